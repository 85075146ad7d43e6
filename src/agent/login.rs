//! Which name the device has on the chat server, and how it gets it back.

use std::time::{Duration, Instant};

use crate::agent::backoff::Backoff;
use crate::wire::{ClientId, Outgoing, UserName};

/// A server that has not given an id by then is hung up on.
const ID_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that lived this long was a success: the backoff begins anew.
const STABLE: Duration = Duration::from_secs(30);
/// At the most one claim of our own name in this time.
const CLAIM_INTERVAL: Duration = Duration::from_secs(2);

#[derive(Debug)]
enum State {
    Waiting {
        until: Instant,
    },
    Connecting,
    AwaitingId {
        until: Instant,
    },
    Named {
        id: ClientId,
        name: UserName,
        since: Instant,
        next_claim: Instant,
        /// Our own name is free and to be claimed at `next_claim`.
        claim: bool,
        /// The server has shown that it knows us by `name`. Until then an
        /// earlier connection of ours may still have it.
        confirmed: bool,
    },
    Stopped,
}

/// What the login wants done.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Open the WebSocket.
    Connect,
    /// Close the WebSocket: the server does not speak. It is tried again
    /// later; that it closed need not be reported.
    Disconnect,
    /// See whether the server is still there.
    Probe,
    /// Send a frame.
    Send(Outgoing),
}

/// The login's state machine.
#[derive(Debug)]
pub(super) struct Login {
    wanted: UserName,
    backoff: Backoff,
    state: State,
    /// The server's key of this connection, or of the last one.
    key: Option<String>,
    /// The key of the connection before this one, which may still have our name.
    proof: Option<String>,
}

impl Login {
    pub(super) fn new(wanted: UserName, seed: u64, now: Instant) -> Self {
        Self {
            wanted,
            backoff: Backoff::new(seed),
            state: State::Waiting { until: now },
            key: None,
            proof: None,
        }
    }

    /// The name in force, while there is one.
    pub(super) fn name(&self) -> Option<&UserName> {
        match &self.state {
            State::Named { name, .. } => Some(name),
            State::Waiting { .. }
            | State::Connecting
            | State::AwaitingId { .. }
            | State::Stopped => None,
        }
    }

    /// The same, once the server has shown that it knows us by it.
    pub(super) fn confirmed(&self) -> Option<&UserName> {
        match &self.state {
            State::Named {
                name,
                confirmed: true,
                ..
            } => Some(name),
            State::Named {
                confirmed: false, ..
            }
            | State::Waiting { .. }
            | State::Connecting
            | State::AwaitingId { .. }
            | State::Stopped => None,
        }
    }

    /// The name that is claimed whenever it is free.
    pub(super) fn wanted(&self) -> &UserName {
        &self.wanted
    }

    /// Somebody has reached us by our name.
    pub(super) fn reached(&mut self) {
        if let State::Named { confirmed, .. } = &mut self.state {
            *confirmed = true;
        }
    }

    /// Takes another name, claimed at once where there is a server.
    pub(super) fn rename(&mut self, wanted: UserName, now: Instant) -> Option<Step> {
        if wanted == self.wanted {
            return None;
        }
        self.wanted = wanted;
        match &mut self.state {
            State::Named {
                id,
                name,
                next_claim,
                claim,
                confirmed,
                ..
            } => {
                *claim = false;
                *confirmed = false;
                *next_claim = now + CLAIM_INTERVAL;
                *name = self.wanted.clone();
                Some(Step::Send(claiming(id, &self.wanted, self.proof.as_ref())))
            }
            State::Waiting { .. }
            | State::Connecting
            | State::AwaitingId { .. }
            | State::Stopped => None,
        }
    }

    /// Leaves the server there is and connects anew at once.
    pub(super) fn reconnect(&mut self, now: Instant) {
        if !matches!(self.state, State::Stopped) {
            self.backoff.reset();
            self.state = State::Waiting { until: now };
            // It is no business of another server's.
            self.key = None;
        }
    }

    pub(super) fn opened(&mut self, now: Instant) {
        if matches!(self.state, State::Connecting) {
            self.state = State::AwaitingId {
                until: now + ID_TIMEOUT,
            };
        }
    }

    /// The connection is gone or was not made. Says how long the wait is.
    pub(super) fn closed(&mut self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Stopped | State::Waiting { .. } => return None,
            State::Named { since, .. } if now.saturating_duration_since(since) >= STABLE => {
                self.backoff.reset();
            }
            State::Connecting | State::AwaitingId { .. } | State::Named { .. } => {}
        }
        let delay = self.backoff.next_delay();
        self.state = State::Waiting { until: now + delay };
        Some(delay)
    }

    /// The server's number for us: claim our name under it.
    ///
    /// It is the first frame of a connection and never comes again. A later
    /// one was written by another client and relayed; to use that number would
    /// kill the original server, or rename somebody else.
    pub(super) fn id(&mut self, id: ClientId, key: Option<String>, now: Instant) -> Option<Step> {
        match self.state {
            State::AwaitingId { .. } => {}
            State::Named { .. } | State::Waiting { .. } | State::Connecting | State::Stopped => {
                return None;
            }
        }
        self.proof = std::mem::replace(&mut self.key, key);
        self.state = State::Named {
            id: id.clone(),
            name: self.wanted.clone(),
            since: now,
            next_claim: now + CLAIM_INTERVAL,
            claim: false,
            confirmed: false,
        };
        Some(Step::Send(claiming(&id, &self.wanted, self.proof.as_ref())))
    }

    /// The server gave us, if `to` is our number, another name; returns true
    /// where that is news.
    pub(super) fn renamed(&mut self, to: Option<&ClientId>, given: UserName) -> bool {
        match &mut self.state {
            State::Named { id, .. } if to.is_some_and(|to| to != id) => false,
            State::Named {
                name,
                claim,
                confirmed,
                ..
            } => {
                *claim = false;
                *confirmed = true;
                let news = *name != given;
                *name = given;
                news
            }
            State::Waiting { .. }
            | State::Connecting
            | State::AwaitingId { .. }
            | State::Stopped => false,
        }
    }

    /// The user list: if our own name is free, it is time to claim it. A claim
    /// while it is taken would only get us yet another name.
    pub(super) fn users(&mut self, users: &[UserName]) {
        if let State::Named {
            name,
            claim,
            confirmed,
            ..
        } = &mut self.state
        {
            *claim = *name != self.wanted && !users.contains(&self.wanted);
            *confirmed |= users.contains(name);
        }
    }

    /// A network that is another one is tried at once, and a connection may
    /// have been left behind on the old one.
    pub(super) fn network_changed(&mut self, now: Instant) -> Option<Step> {
        if let State::Waiting { until } = &mut self.state {
            self.backoff.reset();
            *until = (*until).min(now);
        }
        self.probe()
    }

    /// There is reason to doubt that the server is still there.
    pub(super) fn probe(&self) -> Option<Step> {
        match self.state {
            State::Connecting | State::AwaitingId { .. } | State::Named { .. } => Some(Step::Probe),
            State::Waiting { .. } | State::Stopped => None,
        }
    }

    pub(super) fn stop(&mut self) {
        self.state = State::Stopped;
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Waiting { until } | State::AwaitingId { until } => Some(*until),
            State::Named {
                claim: true,
                next_claim,
                ..
            } => Some(*next_claim),
            State::Named { claim: false, .. } | State::Connecting | State::Stopped => None,
        }
    }

    pub(super) fn timeout(&mut self, now: Instant) -> Option<Step> {
        match &mut self.state {
            State::Waiting { until } if now >= *until => {
                self.state = State::Connecting;
                Some(Step::Connect)
            }
            State::AwaitingId { until } if now >= *until => {
                let delay = self.backoff.next_delay();
                self.state = State::Waiting { until: now + delay };
                Some(Step::Disconnect)
            }
            State::Named {
                id,
                name,
                next_claim,
                claim: claim @ true,
                confirmed,
                ..
            } if now >= *next_claim => {
                *claim = false;
                *confirmed = false;
                *next_claim = now + CLAIM_INTERVAL;
                *name = self.wanted.clone();
                Some(Step::Send(claiming(id, &self.wanted, self.proof.as_ref())))
            }
            State::Waiting { .. }
            | State::AwaitingId { .. }
            | State::Named { .. }
            | State::Connecting
            | State::Stopped => None,
        }
    }
}

fn claiming(id: &ClientId, name: &UserName, proof: Option<&String>) -> Outgoing {
    let (id, name) = (id.clone(), name.clone());
    match proof.cloned() {
        Some(key) => Outgoing::UsernameAgain { id, name, key },
        None => Outgoing::Username { id, name },
    }
}
