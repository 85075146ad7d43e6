//! The calls there are, each under the name that opened it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use super::{ABSENT_RTCP_TIMEOUT, CONNECT_TIMEOUT, RTCP_TIMEOUT};
use crate::sdp::Offer;
use crate::wire::{Candidate, UserName};

/// ICE generations whose candidates are still recognised: the present one and
/// those that a restart just replaced.
const GENERATIONS: usize = 3;
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

#[derive(Debug)]
enum Negotiation {
    /// Our candidates wait for our answer: the original page cannot take one
    /// before the other.
    Answering {
        waiting: Vec<Candidate>,
        offers: u32,
    },
    Answered,
}

/// One call.
#[derive(Debug)]
pub(super) struct Session {
    pub id: SessionId,
    pub caller: UserName,
    /// Candidates taken in this ICE generation.
    pub candidates: u32,
    fingerprints: Vec<String>,
    /// Oldest generation first.
    ufrags: Vec<Vec<String>>,
    path: Path,
    negotiation: Negotiation,
    /// The caller's name is not in the user list, since when.
    absent: Option<Instant>,
}

impl Session {
    /// An offer with the same DTLS certificate comes from the same peer
    /// connection; a reloaded page has made itself a new one.
    pub fn is_same_peer(&self, offer: &Offer) -> bool {
        self.fingerprints == offer.fingerprints
    }

    pub fn has_ufrag(&self, ufrag: &str) -> bool {
        self.ufrags.iter().flatten().any(|u| u == ufrag)
    }

    pub fn renegotiated(&mut self, offer: &Offer, now: Instant) {
        if self.ufrags.last() != Some(&offer.ufrags) {
            self.ufrags.push(offer.ufrags.clone());
            if self.ufrags.len() > GENERATIONS {
                self.ufrags.remove(0);
            }
            self.candidates = 0;
        }
        self.absent = None;
        if let Path::Connecting { until } = &mut self.path {
            *until = now + CONNECT_TIMEOUT;
        }
        match &mut self.negotiation {
            Negotiation::Answering { offers, .. } => *offers += 1,
            Negotiation::Answered => {
                self.negotiation = Negotiation::Answering {
                    waiting: Vec::new(),
                    offers: 1,
                };
            }
        }
    }

    /// The answer goes out; these candidates follow it.
    pub fn answered(&mut self) -> Vec<Candidate> {
        match &mut self.negotiation {
            Negotiation::Answering { offers, waiting } => {
                *offers -= 1;
                let waiting = std::mem::take(waiting);
                if *offers == 0 {
                    self.negotiation = Negotiation::Answered;
                }
                waiting
            }
            Negotiation::Answered => Vec::new(),
        }
    }

    /// Returns the candidate if it can be sent now.
    pub fn local_candidate(&mut self, candidate: Candidate) -> Option<Candidate> {
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

    /// Returns true the first time.
    pub fn connected(&mut self, now: Instant) -> bool {
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

    pub fn rtcp(&mut self, now: Instant) {
        if let Path::Up { last_rtcp } = &mut self.path {
            *last_rtcp = now;
        }
    }

    fn deadline(&self) -> (Instant, &'static str) {
        match self.path {
            Path::Connecting { until } => (until, "no media path could be made in 30 s"),
            Path::Up { last_rtcp } => {
                let silent = last_rtcp + RTCP_TIMEOUT;
                match self.absent {
                    Some(since) => {
                        let gone = since.max(last_rtcp) + ABSENT_RTCP_TIMEOUT;
                        (
                            gone.min(silent),
                            "the viewer left the chat and sends no RTCP",
                        )
                    }
                    None => (silent, "the viewer sent no RTCP for 15 s"),
                }
            }
        }
    }
}

/// All calls, at the most one per name.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    next: u64,
    live: BTreeMap<SessionId, Session>,
}

impl Sessions {
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// How many have a media path.
    pub fn connected(&self) -> usize {
        let up = |s: &&Session| matches!(s.path, Path::Up { .. });
        self.live.values().filter(up).count()
    }

    pub fn open(&mut self, caller: UserName, offer: &Offer, until: Instant) -> SessionId {
        self.next += 1;
        let id = SessionId(self.next);
        let session = Session {
            id,
            caller,
            candidates: 0,
            fingerprints: offer.fingerprints.clone(),
            ufrags: vec![offer.ufrags.clone()],
            path: Path::Connecting { until },
            negotiation: Negotiation::Answering {
                waiting: Vec::new(),
                offers: 1,
            },
            absent: None,
        };
        self.live.insert(id, session);
        id
    }

    pub fn remove(&mut self, id: SessionId) -> Option<Session> {
        self.live.remove(&id)
    }

    pub fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.live.get_mut(&id)
    }

    pub fn of_caller(&self, caller: &UserName) -> Option<&Session> {
        self.live.values().find(|s| s.caller == *caller)
    }

    pub fn of_caller_mut(&mut self, caller: &UserName) -> Option<&mut Session> {
        self.live.values_mut().find(|s| s.caller == *caller)
    }

    pub fn of_ufrag(&self, ufrag: &str) -> Option<&Session> {
        self.live.values().find(|s| s.has_ufrag(ufrag))
    }

    /// The session, where there is exactly one.
    pub fn only(&self) -> Option<&Session> {
        let mut all = self.live.values();
        all.next().filter(|_| all.next().is_none())
    }

    pub fn all(&self) -> Vec<(SessionId, UserName)> {
        self.live
            .values()
            .map(|s| (s.id, s.caller.clone()))
            .collect()
    }

    /// Notes who is not there any more. Entries that have not named themselves
    /// are missing from the list, so this is a hint and ends nothing.
    pub fn users(&mut self, users: &[UserName], now: Instant) {
        for session in self.live.values_mut() {
            if users.contains(&session.caller) {
                session.absent = None;
            } else {
                session.absent.get_or_insert(now);
            }
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.live.values().map(|s| s.deadline().0).min()
    }

    pub fn expired(&self, now: Instant) -> Vec<(SessionId, UserName, &'static str)> {
        self.live
            .values()
            .filter_map(|s| {
                let (at, reason) = s.deadline();
                (now >= at).then(|| (s.id, s.caller.clone(), reason))
            })
            .collect()
    }
}
