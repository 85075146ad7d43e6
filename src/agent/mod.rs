//! The device's behaviour on the chat server, without the chat server: a pure
//! state machine that answers calls.
//!
//! # Contract
//!
//! Feed it [`Event`]s through [`Agent::handle`] with the time they happened,
//! and after each drain [`Agent::next_command`] until it is `None`. Come back
//! with [`Event::Timeout`] at [`Agent::poll_timeout`]. There is no clock, no
//! socket and no WebRTC here; the [`daemon`](crate::daemon) has those.
//!
//! # What it promises
//!
//! * A session belongs to the name in the offer that opened it, and where the chat server
//!   tells connections apart, to the connection: somebody else may have the name of one who
//!   has left. Nothing that another sends ends it, reaches it or stands in its way.
//! * Every session that is opened is closed exactly once, and a
//!   [`SessionId`] is never used again: a late event of a closed session finds
//!   nothing.
//! * Everything a stranger can grow is bounded: sessions, offers a second,
//!   candidates held and candidates taken, frames sent and lines logged.
//! * What many strangers do costs others as little as can be: junk is its
//!   sender's, calls without a media path are no viewers and give way, and who
//!   never gets one comes after who may.

pub(crate) mod audit;
mod backoff;
mod calls;
mod candidates;
mod events;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod guests;
mod limits;
mod lines;
mod login;
mod outbox;
mod payer;
mod restarts;
mod session;
mod told;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use crate::access::{Gate, Mode};
use crate::reason::{Code, Reason};
use crate::wire::{ClientId, Incoming, UserName};
use audit::{Note, Outcome};
use candidates::HeldCandidates;
pub use events::{AgentConfig, Command, Event, PeerEvent};
use limits::OfferLimits;
use lines::{Lines, bounded};
use login::{Login, Step};
use outbox::{Outbox, Words};
pub use payer::Person;
pub use session::SessionId;
use session::{Session, Sessions};

/// A viewer whose media path was up but who sends no RTCP for this long is gone:
/// a call outlives half a minute without a network, and some time to find a new
/// path.
pub const RTCP_TIMEOUT: Duration = Duration::from_secs(45);
/// The same where the viewer's name left the user list as their RTCP ceased: their
/// page has died. A network that is lost takes the name only much later, when
/// the server misses them.
const ABSENT_RTCP_TIMEOUT: Duration = Duration::from_secs(5);
/// The same of a viewer who put the call on hold: takes no picture and no sound,
/// and so has nothing to report on.
const HELD_TIMEOUT: Duration = Duration::from_secs(600);
/// An offer whose media path is not up by then is given up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Calls without a media path, beside the viewers there may be. One more makes
/// the first of them give way; when all that may be taken at once come, and then as fast
/// as they are taken, each has four seconds.
pub const HALF_OPEN: usize = 40;
/// A viewer who is not reachable keeps the name of their call for so long against who
/// calls by it from elsewhere: the network often comes back. Not for longer, for they
/// may be the same person with a new page.
const NAME_KEPT: Duration = Duration::from_secs(10);
/// The longest reason that is told or logged, in bytes: it may hold what a
/// stranger wrote.
const REASON: usize = 200;
/// Why somebody has to wait.
const BUSY: Reason = Reason::fixed(
    Code::OthersCall,
    "others are calling; try again in a moment",
);
/// Why nobody else is served.
const FULL: Reason = Reason::fixed(
    Code::Full,
    "the camera has as many viewers as it can serve; try again later",
);
/// The same, told to who makes room.
const CROWDED: Reason = Reason::fixed(
    Code::Full,
    "the camera has as many viewers as it can serve, and somebody else has this place now",
);
/// Why all calls end.
const SHUTTING_DOWN: Reason = Reason::fixed(Code::ShuttingDown, "the camera is shutting down");

/// The state machine. See the [module](self) for how to drive it.
#[derive(Debug)]
pub struct Agent {
    config: AgentConfig,
    login: Login,
    sessions: Sessions,
    held: HeldCandidates,
    gate: Gate,
    limits: OfferLimits,
    /// Of those who are not let in: how often they are told.
    strangers: OfferLimits,
    outbox: Outbox,
    /// Lines about calls, and about offers that are no calls.
    lines: (Lines, Lines),
    /// Lines about the calls of each person who was invited, by what the owner calls
    /// them.
    guest_lines: HashMap<UserName, Lines>,
    commands: VecDeque<Command>,
    notes: VecDeque<Note>,
    stopping: bool,
}

impl Agent {
    /// An agent that wants to connect at once.
    pub fn new(config: AgentConfig, now: Instant) -> Self {
        Self {
            login: Login::new(config.name.clone(), config.seed, now),
            sessions: Sessions::default(),
            held: HeldCandidates::default(),
            gate: Gate::new(Mode::Open, config.name.as_str(), [0; 32]),
            limits: OfferLimits::new(now),
            strangers: OfferLimits::new(now),
            outbox: Outbox::new(now),
            lines: (
                Lines::new(40, Duration::from_secs(1), now),
                Lines::new(10, Duration::from_secs(5), now),
            ),
            guest_lines: HashMap::new(),
            commands: VecDeque::new(),
            notes: VecDeque::new(),
            stopping: false,
            config,
        }
    }

    /// Takes one event that happened at `now`.
    pub fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::SignalingOpen => {
                self.sessions.forget_numbers();
                self.login.opened(now);
            }
            Event::SignalingClosed => {
                if let Some(delay) = self.login.closed(now) {
                    info!(
                        viewers = self.sessions.len(),
                        "chat server is away; next try in {:.1} s",
                        delay.as_secs_f64()
                    );
                }
            }
            Event::Message(message) => self.message(message, now),
            Event::NetworkChanged => {
                let step = self.login.network_changed(now);
                self.step(step);
            }
            Event::Peer(session, event) => self.peer(session, event, now),
            Event::Timeout => self.timeout(now),
            Event::Shutdown => self.shutdown(now),
        }
        self.flush(now);
    }

    /// The next thing to do, oldest first.
    pub fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// When to come back with [`Event::Timeout`], if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [
            self.login.poll_timeout(),
            self.sessions.poll_timeout(),
            self.held.poll_timeout(),
            self.outbox.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// How many sessions there are.
    pub fn viewers(&self) -> usize {
        self.sessions.len()
    }

    /// How many of them have a media path.
    pub fn connected(&self) -> usize {
        self.sessions.connected()
    }

    /// How many of those watch: they take the picture, and are heard of or were a moment ago.
    pub fn watch(&self, now: Instant) -> usize {
        self.sessions.watch(now).count()
    }

    /// The same, and whether one of them is no stranger: they were invited, or nobody ever was.
    pub(crate) fn watchers(&self, now: Instant) -> (usize, bool) {
        let is_known = |session: &Session| session.guest.is_some();
        let is_known = self.sessions.watch(now).any(is_known) || !self.gate.has_strangers();
        (self.watch(now), is_known)
    }

    /// The name in force on the chat server, while there is one.
    pub fn name(&self) -> Option<&UserName> {
        self.login.name()
    }

    /// Takes another name and another limit. Calls stay, also those over a new
    /// limit.
    pub fn reconfigure(&mut self, name: UserName, max_viewers: usize, now: Instant) {
        self.gate.rename(name.as_str());
        self.config.name.clone_from(&name);
        self.config.max_viewers = max_viewers;
        let step = self.login.rename(name, now);
        self.step(step);
    }

    /// The chat server is another one: leaves the old one, keeps the calls and
    /// connects at once.
    pub fn reconnect(&mut self, now: Instant) {
        if !self.stopping {
            self.login.reconnect(now);
            self.commands.push_back(Command::Disconnect);
        }
    }

    fn message(&mut self, message: Incoming, now: Instant) {
        let (stamp, message) = message.stamped();
        let conn = stamp.as_ref().map(|stamp| &stamp.conn);
        match message {
            Incoming::Id(id) => {
                let step = self.login.id(id, None, now);
                self.step(step);
            }
            Incoming::Welcome { id, key } => {
                let step = self.login.id(id, Some(key), now);
                self.step(step);
            }
            Incoming::RejectUsername { id, name } => {
                let renamed = self.login.renamed(id.as_ref(), name.clone());
                if renamed && self.is_junk_worth_a_line(now) {
                    warn!(
                        given = %name, wanted = %self.config.name,
                        "the chat server gave us another name; ours is claimed as soon as it is free"
                    );
                }
            }
            Incoming::UserList(users) => self.users(&users, None, now),
            Incoming::Roll(all) => {
                let (users, conns): (Vec<_>, Vec<_>) = all.into_iter().unzip();
                self.users(&users, Some(&conns), now);
            }
            Incoming::VideoOffer {
                name,
                sdp,
                access,
                again,
            } => {
                self.offer(&name, stamp, (&sdp, again), access.as_ref(), now);
            }
            Incoming::NewIceCandidate { name, candidate } => {
                if let Some(candidate) = candidate {
                    self.candidate(name, conn, candidate, now);
                }
            }
            Incoming::HangUp { name, target } => {
                if let Some(session) = self.sessions.of_caller(&name, conn) {
                    let id = session.id;
                    if self.is_worth_a_line(now) {
                        info!(caller = %name, broadcast = target.is_none(), "hung up");
                    }
                    self.close(id, "hung up", now);
                }
            }
            Incoming::VideoAnswer { name, .. } => {
                debug!(%name, "an answer, but this device never calls; ignored");
            }
            Incoming::Chat { .. } => {}
            Incoming::Other(kind) => {
                debug!(kind = bounded(&kind, REASON), "message type ignored");
            }
            // A stamp within a stamp: no server writes that.
            Incoming::From { .. } => {}
        }
    }

    fn users(&mut self, users: &[UserName], conns: Option<&[ClientId]>, now: Instant) {
        self.login.users(users);
        for id in self.sessions.users(users, conns, now) {
            self.ask_for_restart(id);
        }
    }

    fn peer(&mut self, id: SessionId, event: PeerEvent, now: Instant) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let target = session.caller.clone();
        match event {
            PeerEvent::Answered { sdp } => self.answered(id, sdp, now),
            PeerEvent::Candidate(candidate) => {
                if let Some(candidate) = session.local_candidate(candidate) {
                    self.say(id, Words::Candidate(candidate));
                }
            }
            PeerEvent::Connected => {
                let was_interrupted = session.is_interrupted();
                self.outbox.take_back_restart(id);
                if session.connected(now) {
                    let payer = session.payer.clone();
                    self.limits.connected(&payer, now);
                    if self.sessions.connected() > self.config.max_viewers
                        && !self.has_room_made(id, now)
                    {
                        return self.end(id, FULL, now);
                    }
                    if self.is_worth_a_line(now) {
                        info!(caller = %target, session = %id, "connected");
                    }
                }
                if was_interrupted {
                    if self.is_worth_a_line(now) {
                        info!(caller = %target, session = %id, "the viewer is back");
                    }
                    // It may have been our own network, and the server is back too.
                    let step = self.login.network_changed(now);
                    self.step(step);
                }
            }
            PeerEvent::Rtcp => session.rtcp(now),
            PeerEvent::KeyKept(key) => self.kept(id, key, now),
            PeerEvent::Interrupted => {
                session.interrupt(now);
                if self.is_worth_a_line(now) {
                    info!(caller = %target, session = %id, "the viewer is not reachable");
                }
                self.ask_for_restart(id);
                self.flush(now);
                // It may be our own network, and then asking reaches nobody.
                let step = self.login.probe();
                self.step(step);
            }
            PeerEvent::Left => {
                if self.is_worth_a_line(now) {
                    let by = "closing the connection";
                    info!(caller = %target, session = %id, by, "hung up");
                }
                // No hang-up: they know, and may be calling again already.
                self.close(id, "hung up", now);
            }
            PeerEvent::Failed(reason) => {
                let words = bounded(&reason.words, REASON);
                if self.is_worth_a_line(now) {
                    info!(caller = %target, session = %id, reason = words, "call failed");
                }
                self.end(id, Reason::new(reason.code, words), now);
            }
        }
    }

    fn timeout(&mut self, now: Instant) {
        let step = self.login.timeout(now);
        self.step(step);
        self.restart(now);
        self.held.expire(now);
        for (id, caller, reason) in self.sessions.expired(now) {
            if self.is_worth_a_line(now) {
                info!(%caller, session = %id, reason = %reason.words, "call ended");
            }
            self.end(id, reason, now);
        }
    }

    fn shutdown(&mut self, now: Instant) {
        if std::mem::replace(&mut self.stopping, true) {
            return;
        }
        for id in self.sessions.all() {
            self.end(id, SHUTTING_DOWN, now);
        }
        self.outbox.close();
        self.flush(now);
        self.login.stop();
        self.commands.push_back(Command::Quit);
    }

    /// Returns whose call it was.
    fn close(&mut self, id: SessionId, why: &str, now: Instant) -> Option<UserName> {
        let session = self.sessions.remove(id)?;
        self.outbox.forget(id);
        if session.is_answered {
            let (guest, since) = (session.guest.as_deref(), Some(session.since));
            self.note(Outcome::Ended, &session.caller, guest, since, why, now);
        }
        self.commands.push_back(Command::Close { session: id });
        Some(session.caller)
    }

    /// Sends what can be sent.
    fn flush(&mut self, now: Instant) {
        let name = if self.stopping {
            self.login.name()
        } else {
            self.login.confirmed()
        };
        let wanted = self.login.wanted();
        while let Some(frame) = self.outbox.next(name, wanted, now) {
            self.commands.push_back(Command::Send(frame));
        }
    }

    /// A call may have a line in the log; says so where some had none.
    fn is_worth_a_line(&mut self, now: Instant) -> bool {
        let left_out = self.lines.0.take(now);
        if let Some(count @ 1..) = left_out {
            info!(count, "lines about calls were left out");
        }
        left_out.is_some()
    }

    /// The same of what is no call.
    fn is_junk_worth_a_line(&mut self, now: Instant) -> bool {
        let left_out = self.lines.1.take(now);
        if let Some(count @ 1..) = left_out {
            warn!(count, "lines about offers that were refused were left out");
        }
        left_out.is_some()
    }

    fn step(&mut self, step: Option<Step>) {
        let Some(step) = step else { return };
        self.commands.push_back(match step {
            Step::Connect => Command::Connect,
            Step::Disconnect => {
                warn!("the chat server gave no id; is it a webrtc-from-chat server?");
                Command::Disconnect
            }
            Step::Probe => Command::Probe,
            Step::Send(frame) => Command::Send(frame),
        });
    }
}
