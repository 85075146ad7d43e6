//! Who is heard at the camera: carries out what [`crate::floor`] decides. Viewers
//! ask here, their packets come by here, and whoever has the floor is played.

mod line;
mod talker;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Instant;

use tokio::sync::{Notify, watch};
use tracing::{debug, info};

use crate::access::{Guest, Right};
use crate::agent::{Person, SessionId};
use crate::bucket::{Bucket, Rate};
use crate::config::SpeakerConfig;
use crate::floor::{By, Floor, Over, Place, Rank};
use crate::lock::lock;
use crate::media::gst::Speaker;
use crate::media::hub::Hub;
use crate::privacy::Privacy;
use crate::reason::{Code, Reason};
pub(in crate::peer) use line::{FloorLine, FloorWords};
pub(in crate::peer) use talker::Talker;

/// How often one call may ask for the floor: each turn opens the speaker, and is told to
/// everybody.
const TURNS: Rate = Rate {
    burst: 5.0,
    per_second: 1.0,
};
/// Of who talks, so many lines are in the log at INFO; all are at DEBUG.
const LINES: Rate = Rate {
    burst: 20.0,
    per_second: 0.5,
};

const NO_SPEAKER: Reason = Reason::fixed(Code::NoSpeaker, "this camera has no speaker");
const SILENCE: Reason = Reason::fixed(
    Code::FloorSilent,
    "nothing was heard of you for a while, so others may talk again",
);
const PASSED_ON: Reason = Reason::fixed(
    Code::FloorPassedOn,
    "others waited, so it is their turn now",
);
const LONG: Reason = Reason::fixed(
    Code::FloorPassedOn,
    "you, or somebody at your address, have talked for three minutes, so it is the turn of others now",
);
const PRIVATE: Reason = Reason::fixed(
    Code::Privacy,
    "the owner has switched camera and microphone off, so nobody is heard there",
);

/// What is to be told of the floor.
#[derive(Debug, Clone, Default)]
pub(super) struct News {
    /// Who talks, and what they are called in the chat.
    pub talks: Option<(SessionId, Arc<str>)>,
    waiting: Vec<SessionId>,
    /// Whose turn ended last that they did not give back, why, and how many such
    /// there were.
    pub lost: Option<(SessionId, Reason, u64)>,
    /// Nobody may talk by this any more.
    pub closed: bool,
}

impl News {
    /// Where `session` stands.
    pub(super) fn place(&self, session: SessionId) -> Place {
        if self.talks.as_ref().is_some_and(|(who, _)| *who == session) {
            Place::Talks
        } else if self.waiting.contains(&session) {
            Place::Waits
        } else {
            Place::Listens
        }
    }
}

/// The speaker of a device, and who is heard there.
pub(crate) struct TalkBack {
    config: SpeakerConfig,
    speaker: Speaker,
    privacy: Option<Privacy>,
    state: Mutex<State>,
    news: watch::Sender<News>,
    /// The floor's next deadline is another.
    changed: Notify,
}

struct State {
    floor: Floor<SessionId, Person>,
    members: HashMap<SessionId, Member>,
    /// Who is played.
    plays: Option<SessionId>,
    /// Turns that were taken.
    lost: u64,
    lines: Bucket,
    /// A task looks at the time.
    looking: bool,
    /// It is another device's from now on.
    closed: bool,
}

struct Member {
    name: Arc<str>,
    /// Their packets are let in.
    open: Arc<AtomicBool>,
    /// Their page can ask for it.
    asks: bool,
    by: By<SessionId, Person>,
    turns: Bucket,
}

impl TalkBack {
    /// For what is configured; `None` where there is no speaker.
    pub(crate) fn new(config: &SpeakerConfig, hub: &Hub, privacy: Privacy) -> Option<Arc<Self>> {
        Self::of(config, hub, Some(privacy))
    }

    fn of(config: &SpeakerConfig, hub: &Hub, privacy: Option<Privacy>) -> Option<Arc<Self>> {
        Some(Arc::new(Self {
            speaker: Speaker::new(config, hub.duck().clone(), hub.played().clone())?,
            config: config.clone(),
            privacy,
            state: Mutex::new(State {
                floor: Floor::new(),
                members: HashMap::new(),
                plays: None,
                lost: 0,
                lines: Bucket::full(LINES, Instant::now()),
                looking: false,
                closed: false,
            }),
            news: watch::Sender::default(),
            changed: Notify::new(),
        }))
    }

    /// It was made for this configuration.
    pub(crate) fn is_of(&self, config: &SpeakerConfig) -> bool {
        self.config == *config
    }

    /// Nobody is heard any more: there is another configuration.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.clear(&mut state, &NO_SPEAKER);
        self.news.send_modify(|news| news.closed = true);
        self.changed.notify_one();
    }

    /// Whether somebody may talk. A stranger may where the configuration says so, and
    /// where strangers are let in a guest comes no worse off than they.
    fn lets(&self, guest: Option<&Guest>) -> bool {
        let strangers = self.config.strangers;
        guest.map_or(strangers, |guest| guest.may(Right::Talk, strangers))
    }

    fn is_private(&self) -> bool {
        self.privacy.as_ref().is_some_and(Privacy::is_on)
    }

    /// A call that may talk; `None` for one that may not.
    pub(super) fn join(
        self: &Arc<Self>,
        session: SessionId,
        (name, person): (&str, Person),
        guest: Option<&Guest>,
    ) -> Option<Arc<Talker>> {
        if !self.lets(guest) {
            return None;
        }
        let mut state = self.lock();
        // Packets of one that knows no button open their way by themselves.
        let open = Arc::new(AtomicBool::new(true));
        let member = Member {
            name: name.into(),
            open: open.clone(),
            asks: false,
            by: By {
                who: session,
                person,
                rank: match guest.is_some_and(|guest| guest.may.has(Right::Talk)) {
                    true => Rank::Invited,
                    false => Rank::Stranger,
                },
            },
            turns: Bucket::full(TURNS, Instant::now()),
        };
        state.members.insert(session, member);
        if !std::mem::replace(&mut state.looking, true) {
            tokio::spawn(look(Arc::downgrade(self)));
        }
        drop(state);
        Some(Arc::new(Talker::new(self.clone(), session, open)))
    }

    /// What is told of the floor, now and after each change.
    pub(super) fn news(&self) -> watch::Receiver<News> {
        self.news.subscribe()
    }

    /// Why nothing is heard of who talks, likewise.
    pub(super) fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.speaker.trouble()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Nobody talks or waits.
    fn clear(&self, state: &mut State, why: &Reason) {
        let now = Instant::now();
        // Who waits is given no turn to lose: one person is told why.
        let members = state.members.keys().copied();
        let waits = |who: &SessionId| state.floor.place(*who) == Place::Waits;
        let waiting: Vec<_> = members.filter(waits).collect();
        for who in waiting {
            state.floor.give_back(who, now);
        }
        while let Some(who) = state.floor.talks() {
            self.takes(state, who, why);
            state.floor.give_back(who, now);
        }
        self.settle(state);
    }

    fn takes(&self, state: &mut State, who: SessionId, why: &Reason) {
        state.lost += 1;
        let lost = Some((who, why.clone(), state.lost));
        self.news.send_modify(|news| news.lost = lost);
    }

    /// Ends turns whose time is over.
    fn poll(&self, state: &mut State, now: Instant) {
        while let Some((who, over)) = state.floor.poll(now) {
            let asks = state.members.get(&who).is_some_and(|m| m.asks);
            debug!(session = %who, ?over, "the floor was taken");
            if asks {
                let why = match over {
                    Over::Silent => &SILENCE,
                    Over::PassedOn => &PASSED_ON,
                    Over::Long => &LONG,
                };
                self.takes(state, who, why);
            }
        }
        self.settle(state);
    }

    /// Whoever has the floor is played and told of, and nobody else.
    fn settle(&self, state: &mut State) {
        let talks = state.floor.talks();
        for (session, member) in &state.members {
            let open = !member.asks || talks == Some(*session);
            member.open.store(open && !state.closed, Ordering::Release);
        }
        if talks != state.plays {
            state.plays = talks;
            self.speaker.end();
            if talks.is_some() {
                self.speaker.begin();
            }
        }
        let name = |who: SessionId| {
            let member = state.members.get(&who);
            (who, member.map_or_else(|| "".into(), |m| m.name.clone()))
        };
        let talks = talks.map(name);
        let members = state.members.keys().copied();
        let waits = |who: &SessionId| state.floor.place(*who) == Place::Waits;
        let waiting: Vec<_> = members.filter(waits).collect();
        self.news.send_if_modified(|news| {
            let is_new = news.talks != talks;
            if is_new {
                let who = talks.as_ref().map_or("nobody", |(_, name)| name);
                match state.lines.take(1.0, Instant::now()) {
                    true => info!(who, "talks"),
                    false => debug!(who, "talks"),
                }
            }
            let changed = is_new || news.waiting != waiting;
            (news.talks, news.waiting) = (talks, waiting);
            changed
        });
    }
}

/// Looks at the time until nobody is there who might talk.
async fn look(talk: Weak<TalkBack>) {
    let mut privacy = match talk.upgrade() {
        Some(talk) => talk.privacy.as_ref().map(Privacy::subscribe),
        None => return,
    };
    loop {
        let Some(this) = talk.upgrade() else { return };
        let due = {
            let mut state = this.lock();
            if this.is_private() && state.floor.talks().is_some() {
                this.clear(&mut state, &PRIVATE);
            }
            this.poll(&mut state, Instant::now());
            if state.members.is_empty() {
                state.looking = false;
                return;
            }
            state.floor.next_timeout()
        };
        let due = async {
            match due {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let private = async {
            match &mut privacy {
                Some(privacy) => privacy.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            _ = private => {}
            () = this.changed.notified() => {}
        }
    }
}
