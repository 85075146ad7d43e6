//! Who is signed in: tokens of browsers, kept hashed, with their ends.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{Credential, Token, sha256, token};
use crate::wire::UserName;

/// A session ends so long after it began.
pub const SESSION: Duration = Duration::from_secs(30 * 24 * 3600);
/// And so long after it was last used. One with an open chat connection is used.
const IDLE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Sessions of one user; the one that was not used for longest gives way. With
/// as many users as a file may have, that bounds all.
pub const MOST_OF_ONE: usize = 16;

/// Names a session within the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionNumber(u64);

#[derive(Debug)]
struct Session {
    number: SessionNumber,
    user: UserName,
    credential: Credential,
    made: Instant,
    used: Instant,
    /// Chat connections that go by it.
    open: usize,
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        let idle = now.saturating_duration_since(self.used) >= IDLE && self.open == 0;
        idle || now.saturating_duration_since(self.made) >= SESSION
    }
}

/// A session that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which.
    pub number: SessionNumber,
    /// Whose.
    pub user: UserName,
    /// What they signed in with.
    pub credential: Credential,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Sessions {
    /// By the hash of the token.
    all: HashMap<[u8; 32], Session>,
    next: u64,
}

impl Sessions {
    /// Begins one; says which had to give way.
    pub fn begin(
        &mut self,
        user: &UserName,
        credential: Credential,
        now: Instant,
    ) -> (Token, Option<SessionNumber>) {
        let own = self.all.iter().filter(|(_, s)| s.user == *user);
        let own: Vec<_> = own.map(|(hash, s)| (s.open > 0, s.used, *hash)).collect();
        let mut gone = None;
        if own.len() >= MOST_OF_ONE
            && let Some((.., hash)) = own.into_iter().min()
        {
            gone = self.all.remove(&hash).map(|session| session.number);
        }
        let (text, hash) = token();
        self.next += 1;
        let session = Session {
            number: SessionNumber(self.next),
            user: user.clone(),
            credential,
            made: now,
            used: now,
            open: 0,
        };
        self.all.insert(hash, session);
        (Token(text), gone)
    }

    /// The session of a token; it is used by that.
    pub fn find(&mut self, token: &str, now: Instant) -> Option<Found> {
        let hash = sha256(&[token.as_bytes()]);
        let session = self.all.get_mut(&hash).filter(|s| !s.is_over(now))?;
        session.used = session.used.max(now);
        Some(Found {
            number: session.number,
            user: session.user.clone(),
            credential: session.credential,
        })
    }

    /// Somebody signs out.
    pub fn end(&mut self, token: &str) -> Option<SessionNumber> {
        let hash = sha256(&[token.as_bytes()]);
        self.all.remove(&hash).map(|session| session.number)
    }

    /// A chat connection goes by it; false where it has ended.
    pub fn opened(&mut self, number: SessionNumber) -> bool {
        let session = self.all.values_mut().find(|s| s.number == number);
        session.map(|session| session.open += 1).is_some()
    }

    /// That connection has ended.
    pub fn closed(&mut self, number: SessionNumber, now: Instant) {
        if let Some(session) = self.all.values_mut().find(|s| s.number == number) {
            session.open = session.open.saturating_sub(1);
            session.used = session.used.max(now);
        }
    }

    /// Ends those whose time is over, and those that are not `good` any more.
    pub fn sweep(
        &mut self,
        now: Instant,
        good: impl Fn(&UserName, &Credential) -> bool,
    ) -> Vec<SessionNumber> {
        let is_over = |s: &Session| s.is_over(now) || !good(&s.user, &s.credential);
        let over = self.all.extract_if(|_, session| is_over(session));
        over.map(|(_, session)| session.number).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether nobody is signed in.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}
