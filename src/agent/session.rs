//! The calls there are, each under the name that opened it.

mod pace;
mod places;
mod presence;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::payer::Payer;
use super::{ABSENT_RTCP_TIMEOUT, CONNECT_TIMEOUT, HELD_TIMEOUT, NAME_KEPT, RTCP_TIMEOUT};
use crate::access::{Guest, Stage};
use crate::bucket::Bucket;
use crate::reason::{Code, Reason};
use crate::sdp::{Candidates, Offer};
use crate::wire::{Candidate, ClientId, UserName};
pub(super) use pace::Later;
use pace::RESTARTS;

/// ICE generations whose candidates are still recognised: the present one and
/// those that a restart just replaced.
const GENERATIONS: usize = 3;
/// A call without a media path whose caller's name is not in the user list any
/// more: somebody who has gone, or a network that comes back at once or never.
const ABSENT_TIMEOUT: Duration = Duration::from_secs(5);
/// Why a call ends by itself.
const LEFT: Reason = Reason::fixed(Code::ViewerLeft, "the viewer left the chat");
/// See [`LEFT`].
const SILENT: Reason = Reason::fixed(
    Code::ViewerLeft,
    "the viewer left the chat and sends no RTCP",
);
/// After [`CONNECT_TIMEOUT`].
const NO_PATH: Reason = Reason::fixed(Code::NoPath, "no media path could be made in 30 s");
/// After [`RTCP_TIMEOUT`].
const UNREACHABLE: Reason =
    Reason::fixed(Code::Unreachable, "the viewer was not reachable for 45 s");
/// After [`HELD_TIMEOUT`].
const ON_HOLD: Reason = Reason::fixed(Code::OnHold, "the call was on hold for 10 minutes");
/// Local candidates kept until the answer is out.
const LOCAL_CANDIDATES: usize = 64;

/// Names one call for as long as the process lives; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

impl SessionId {
    /// The id with this number; for tests and tools that make their own peers.
    pub fn new(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[derive(Debug)]
enum Path {
    /// ICE and DTLS are under way.
    Connecting { until: Instant },
    /// Media flows, or did at `last_rtcp`.
    Up { last_rtcp: Instant },
}

/// An offer that is to be answered.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Its first ufrag.
    pub ufrag: String,
    /// Whose key it showed.
    pub guest: Option<Arc<Guest>>,
}

#[derive(Debug)]
enum Negotiation {
    /// Our candidates wait for our answer: the original page cannot take one
    /// before the other.
    Answering {
        waiting: Vec<Candidate>,
        /// In their order.
        offers: VecDeque<Asked>,
    },
    Answered,
}

impl Negotiation {
    fn of(asked: Asked) -> Self {
        Self::Answering {
            waiting: Vec::new(),
            offers: VecDeque::from([asked]),
        }
    }
}

/// The ICE user that an offer begins with.
pub(super) fn first_ufrag(offer: &Offer) -> &str {
    offer.ufrags.first().map(String::as_str).unwrap_or_default()
}

/// Who calls, as far as it is known.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub name: UserName,
    /// Who invited them.
    pub guest: Option<Arc<Guest>>,
    pub payer: Payer,
}

/// One call.
#[derive(Debug)]
pub(super) struct Session {
    pub id: SessionId,
    pub caller: UserName,
    /// The connection to the chat server that the caller has, where that says so:
    /// somebody else may have the name once the caller has left.
    conn: Option<ClientId>,
    /// That number is one of the chat server that there is now: it was there since the device
    /// came to it.
    is_numbered: bool,
    /// In the order of all offers, which is theirs: the last one's sender has the name.
    heard: u64,
    /// The last offer.
    pub offer: Box<Offer>,
    /// Candidates taken in this ICE generation.
    pub candidates: Candidates,
    /// That there were too many of them is in the log.
    pub told_of_candidates: bool,
    /// Oldest generation first.
    ufrags: Vec<Vec<String>>,
    path: Path,
    negotiation: Negotiation,
    /// The name that the caller called.
    pub called: UserName,
    /// The caller left the user list while they were heard of, and when.
    absent: Option<Instant>,
    /// The caller's name was in the last user list.
    listed: bool,
    /// Nothing is heard of the viewer, since then.
    interrupted: Option<Instant>,
    /// Who was invited, where the caller showed it with their last offer.
    pub guest: Option<Arc<Guest>>,
    /// Who they showed to be with the first: whose rights the call has, whatever an
    /// offer after it leaves out.
    pub began_as: Option<Arc<Guest>>,
    pub payer: Payer,
    /// When it was opened.
    pub since: Instant,
    /// It has had an answer.
    pub is_answered: bool,
    pub restarts: Bucket,
    /// The last one, where it waits.
    pub later: Option<Later>,
}

impl Session {
    /// What comes with `guest`'s key is not this caller's, whatever the name.
    pub(super) fn is_of_another_guest(&self, guest: Option<&Arc<Guest>>) -> bool {
        let label = |guest: Option<&Arc<Guest>>| guest.map(|g| g.label.clone());
        label(self.guest.as_ref()) != label(guest)
    }

    pub(super) fn is_by_own_key(&self, guest: Option<&Arc<Guest>>) -> bool {
        match (&self.guest, guest) {
            (Some(own), Some(guest)) => own.id == guest.id && guest.stage != Stage::Shared,
            (None, _) | (_, None) => false,
        }
    }

    /// What came from `conn` with `guest`'s key is the caller's: a chat server or a key
    /// vouches for that, and not the name alone.
    pub(super) fn is_surely_of(&self, conn: Option<&ClientId>, guest: Option<&Arc<Guest>>) -> bool {
        let is_at_own = conn.is_some() && self.conn.as_ref() == conn;
        self.is_by_own_key(guest) || is_at_own && !self.is_of_another_guest(guest)
    }

    /// Whose call it is.
    pub(super) fn by(&self) -> Caller {
        Caller {
            name: self.caller.clone(),
            guest: self.guest.clone(),
            payer: self.payer.clone(),
        }
    }

    /// The last offer has this ufrag.
    pub(super) fn is_at(&self, ufrag: &str) -> bool {
        first_ufrag(&self.offer) == ufrag
    }

    /// True while nobody else may call by the name of this call: media flows, as far as
    /// is known, or did [a moment ago](NAME_KEPT).
    pub(super) fn has_name(&self, now: Instant) -> bool {
        match self.path {
            Path::Up { last_rtcp } => self.interrupted.is_none() || now < last_rtcp + NAME_KEPT,
            Path::Connecting { .. } => false,
        }
    }

    pub(super) fn has_ufrag(&self, ufrag: &str) -> bool {
        self.ufrags.iter().flatten().any(|u| u == ufrag)
    }

    pub(super) fn renegotiated(&mut self, offer: &Offer, guest: Option<Arc<Guest>>, now: Instant) {
        let asked = Asked {
            ufrag: first_ufrag(offer).to_owned(),
            guest: guest.clone(),
        };
        // A key that they have kept meanwhile is the same invitation's.
        if let (Some(began), Some(guest)) = (&mut self.began_as, &guest)
            && began.label == guest.label
        {
            *began = guest.clone();
        }
        self.guest = guest;
        if self.ufrags.last() != Some(&offer.ufrags) {
            self.ufrags.push(offer.ufrags.clone());
            if self.ufrags.len() > GENERATIONS {
                self.ufrags.remove(0);
            }
            self.candidates = Candidates::default();
            self.told_of_candidates = false;
        }
        *self.offer = offer.clone();
        self.absent = None;
        match &mut self.path {
            // However often they offer: a path is there in time or never.
            Path::Connecting { .. } => {}
            // They are there, and look for a way.
            Path::Up { last_rtcp } => *last_rtcp = now,
        }
        match &mut self.negotiation {
            Negotiation::Answering { offers, .. } => offers.push_back(asked),
            Negotiation::Answered => self.negotiation = Negotiation::of(asked),
        }
    }

    /// The answer goes out, to this offer; these candidates follow it.
    pub(super) fn answered(&mut self) -> (Asked, Vec<Candidate>) {
        match &mut self.negotiation {
            Negotiation::Answering { offers, waiting } => {
                let asked = offers.pop_front().unwrap_or_default();
                let waiting = std::mem::take(waiting);
                if offers.is_empty() {
                    self.negotiation = Negotiation::Answered;
                }
                (asked, waiting)
            }
            Negotiation::Answered => Default::default(),
        }
    }

    /// Returns the candidate if it can be sent now.
    pub(super) fn local_candidate(&mut self, candidate: Candidate) -> Option<Candidate> {
        match &mut self.negotiation {
            Negotiation::Answering { waiting, .. } => {
                if waiting.len() < LOCAL_CANDIDATES {
                    waiting.push(candidate);
                }
                None
            }
            Negotiation::Answered => Some(candidate),
        }
    }

    /// They take neither picture nor sound.
    fn is_on_hold(&self) -> bool {
        !self.offer.takes_picture() && !self.offer.takes_sound()
    }

    /// Nothing is heard of the viewer, until they are [connected](Self::connected)
    /// again.
    pub(super) fn interrupt(&mut self, now: Instant) {
        self.interrupted.get_or_insert(now);
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.is_some()
    }

    /// The media path is up, or was.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.path, Path::Up { .. })
    }

    /// Returns true the first time.
    pub(super) fn connected(&mut self, now: Instant) -> bool {
        self.interrupted = None;
        self.is_heard_of(now);
        match &mut self.path {
            Path::Connecting { .. } => {
                self.path = Path::Up { last_rtcp: now };
                true
            }
            Path::Up { last_rtcp } => {
                *last_rtcp = now;
                false
            }
        }
    }

    pub(super) fn rtcp(&mut self, now: Instant) {
        self.is_heard_of(now);
        if let Path::Up { last_rtcp } = &mut self.path {
            *last_rtcp = now;
        }
    }

    fn deadline(&self) -> (Instant, Reason) {
        match self.path {
            Path::Connecting { until } => match self.absent {
                Some(since) if since + ABSENT_TIMEOUT < until => (since + ABSENT_TIMEOUT, LEFT),
                _ => (until, NO_PATH),
            },
            Path::Up { last_rtcp } => {
                let (patience, reason) = match self.is_on_hold() {
                    false => (RTCP_TIMEOUT, UNREACHABLE),
                    true => (HELD_TIMEOUT, ON_HOLD),
                };
                let silent = last_rtcp + patience;
                match self.gone_since() {
                    Some(since) => {
                        let gone = since.max(last_rtcp) + ABSENT_RTCP_TIMEOUT;
                        (gone.min(silent), SILENT)
                    }
                    None => (silent, reason),
                }
            }
        }
    }
}

/// All calls, at the most one per name and connection; where the chat server tells no
/// connections apart, per name.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    next: u64,
    /// Offers that were taken.
    heard: u64,
    live: BTreeMap<SessionId, Session>,
}

impl Sessions {
    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    /// How many have a media path.
    pub(super) fn connected(&self) -> usize {
        self.live.values().filter(|s| s.is_up()).count()
    }

    /// Who take the picture and are heard of, or were [a moment ago](NAME_KEPT).
    pub(super) fn watch(&self, now: Instant) -> impl Iterator<Item = &Session> {
        let is_there = move |s: &&Session| s.has_name(now) && s.offer.takes_picture();
        self.live.values().filter(is_there)
    }

    /// How many have none yet.
    pub(super) fn half_open(&self) -> usize {
        self.live.len() - self.connected()
    }

    pub(super) fn open(
        &mut self,
        caller: Caller,
        called: UserName,
        offer: &Offer,
        now: Instant,
    ) -> SessionId {
        self.next += 1;
        self.heard += 1;
        let id = SessionId(self.next);
        let session = Session {
            id,
            caller: caller.name,
            conn: None,
            is_numbered: false,
            heard: self.heard,
            offer: Box::new(offer.clone()),
            candidates: Candidates::default(),
            told_of_candidates: false,
            ufrags: vec![offer.ufrags.clone()],
            path: Path::Connecting {
                until: now + CONNECT_TIMEOUT,
            },
            negotiation: Negotiation::of(Asked {
                ufrag: first_ufrag(offer).to_owned(),
                guest: caller.guest.clone(),
            }),
            called,
            absent: None,
            listed: true,
            interrupted: None,
            began_as: caller.guest.clone(),
            guest: caller.guest,
            payer: caller.payer,
            since: now,
            is_answered: false,
            restarts: Bucket::full(RESTARTS, now),
            later: None,
        };
        self.live.insert(id, session);
        id
    }

    pub(super) fn remove(&mut self, id: SessionId) -> Option<Session> {
        self.live.remove(&id)
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.live.get_mut(&id)
    }

    pub(super) fn of_ufrag(&self, ufrag: &str) -> Option<&Session> {
        self.live.values().find(|s| s.has_ufrag(ufrag))
    }

    /// The session, where there is exactly one.
    pub(super) fn only(&self) -> Option<&Session> {
        let mut all = self.live.values();
        all.next().filter(|_| all.next().is_none())
    }

    /// Every one.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.live.values_mut()
    }

    /// Those who have a media path and were invited.
    pub(super) fn watching(&self) -> impl Iterator<Item = &Guest> {
        let up = self.live.values().filter(|s| s.is_up());
        up.filter_map(|s| s.guest.as_deref())
    }

    pub(super) fn all(&self) -> Vec<SessionId> {
        self.live.keys().copied().collect()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let later = |s: &Session| s.later.as_ref().map(|_| s.restarts.due(1.0));
        let due = |s| later(s).into_iter().chain([s.deadline().0]).min();
        self.live.values().filter_map(due).min()
    }

    pub(super) fn expired(&self, now: Instant) -> Vec<(SessionId, UserName, Reason)> {
        self.live
            .values()
            .filter_map(|s| {
                let (at, reason) = s.deadline();
                (now >= at).then(|| (s.id, s.caller.clone(), reason))
            })
            .collect()
    }
}
