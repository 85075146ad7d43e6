//! How often passwords may be tried: by address and by name, each failure making
//! the next wait longer.
//!
//! # Whom guessing keeps out
//!
//! Nobody can tell a stranger who guesses from an owner at a new address. So
//!
//! * an address from which somebody has signed in before has a count of its own
//!   for their name: what others guess, there or elsewhere, is no part of it;
//! * everybody else waits at most [`MOST_WAIT`] for what others did, and the wait
//!   ends by itself;
//! * a token, which cannot be guessed, meets no brakes at all (the shell asks
//!   for it before these).

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

use crate::room::Source;
use crate::wire::UserName;

/// The longest wait.
pub const MOST_WAIT: Duration = Duration::from_secs(300);
/// Entries of each table. When it is full, the one with the fewest failures goes.
const MOST_ENTRIES: usize = 4096;
/// After so long without another one, failures are forgotten.
const FORGOTTEN: Duration = Duration::from_secs(3600);
/// Names whose addresses are known, and addresses of each.
const MOST_NAMES: usize = 256;
const MOST_ADDRESSES: usize = 16;

/// How failures of one kind slow what follows.
#[derive(Debug, Clone, Copy)]
struct Rule {
    /// Fewer cost nothing; this one costs a second, each further one twice as
    /// much.
    free: u32,
    most: Duration,
}

const OF_ADDRESS: Rule = Rule {
    free: 5,
    most: MOST_WAIT,
};
/// Short, since it may be the owner's own phone elsewhere that is slowed.
const OF_NAME: Rule = Rule {
    free: 10,
    most: Duration::from_secs(30),
};
const OF_KNOWN: Rule = Rule {
    free: 5,
    most: MOST_WAIT,
};
/// This machine, or a proxy on it that nobody told of: all who come that way
/// share it.
const OF_THIS_MACHINE: Rule = Rule {
    free: 10,
    most: Duration::from_secs(4),
};

impl Rule {
    fn of(source: Source) -> Self {
        match source.is_this_machine() {
            true => OF_THIS_MACHINE,
            false => OF_ADDRESS,
        }
    }

    fn wait(self, failures: u32) -> Duration {
        match failures.checked_sub(self.free) {
            None => Duration::ZERO,
            Some(beyond) => Duration::from_secs(1 << beyond.min(20)).min(self.most),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

/// Failures by whatever they are counted by.
#[derive(Debug)]
struct Table<K>(HashMap<K, Failures>);

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq + Clone> Table<K> {
    /// How long to wait yet.
    fn wait(&self, key: &K, rule: Rule, now: Instant) -> Duration {
        let Some(failures) = self.0.get(key) else {
            return Duration::ZERO;
        };
        let since = now.saturating_duration_since(failures.last);
        if since >= FORGOTTEN {
            return Duration::ZERO;
        }
        rule.wait(failures.count).saturating_sub(since)
    }

    fn charge(&mut self, key: K, now: Instant) {
        if let Some(failures) = self.0.get_mut(&key) {
            if now.saturating_duration_since(failures.last) >= FORGOTTEN {
                failures.count = 0;
            }
            failures.count = failures.count.saturating_add(1);
            failures.last = failures.last.max(now);
            return;
        }
        if self.0.len() >= MOST_ENTRIES {
            let stale = |f: &Failures| now.saturating_duration_since(f.last) >= FORGOTTEN;
            let least = self
                .0
                .iter()
                .min_by_key(|(_, f)| (!stale(f), f.count, f.last));
            if let Some(least) = least.map(|(key, _)| key.clone()) {
                self.0.remove(&least);
            }
        }
        let first = Failures {
            count: 1,
            last: now,
        };
        self.0.insert(key, first);
    }

    fn refund(&mut self, key: &K) {
        if let Some(failures) = self.0.get_mut(key) {
            failures.count -= 1;
            if failures.count == 0 {
                self.0.remove(key);
            }
        }
    }
}

/// A password that may be tried now. It counts as a failure until it is said to
/// be none, so that many at once are no way around.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it is a failure unless said otherwise"]
pub struct Attempt {
    name: UserName,
    source: Source,
    is_known: bool,
}

impl Attempt {
    /// This name was signed in by from this address before.
    pub fn is_known(&self) -> bool {
        self.is_known
    }
}

/// All counts.
#[derive(Debug, Default)]
pub struct Brakes {
    addresses: Table<Source>,
    names: Table<UserName>,
    known: Table<(UserName, Source)>,
    /// Where somebody signed in lately, the latest last.
    seen: HashMap<UserName, VecDeque<Source>>,
}

impl Brakes {
    /// Somebody is about to try a password.
    ///
    /// # Errors
    ///
    /// How long they have to wait first. To ask costs nothing.
    pub fn begin(
        &mut self,
        name: &UserName,
        source: Source,
        now: Instant,
    ) -> Result<Attempt, Duration> {
        let pair = (name.clone(), source);
        let is_known = self.seen.get(name).is_some_and(|s| s.contains(&source));
        let wait = match is_known {
            true => self.known.wait(&pair, OF_KNOWN, now),
            false => {
                let of_address = self.addresses.wait(&source, Rule::of(source), now);
                of_address.max(self.names.wait(name, OF_NAME, now))
            }
        };
        if !wait.is_zero() {
            return Err(wait);
        }
        match is_known {
            true => self.known.charge(pair, now),
            false => {
                self.addresses.charge(source, now);
                self.names.charge(name.clone(), now);
            }
        }
        Ok(Attempt {
            name: name.clone(),
            source,
            is_known,
        })
    }

    /// The password was right.
    pub fn succeeded(&mut self, attempt: Attempt) {
        let Attempt { name, source, .. } = &attempt;
        let seen = match self.seen.len() < MOST_NAMES || self.seen.contains_key(name) {
            true => Some(self.seen.entry(name.clone()).or_default()),
            false => None,
        };
        if let Some(seen) = seen {
            seen.retain(|known| known != source);
            seen.push_back(*source);
            if seen.len() > MOST_ADDRESSES {
                seen.pop_front();
            }
        }
        // Nobody else can have it, so what they mistyped there counts no more.
        self.known.0.remove(&(name.clone(), *source));
        self.take_back(attempt);
    }

    /// The password was not tried after all.
    pub fn take_back(&mut self, attempt: Attempt) {
        match attempt.is_known {
            true => self.known.refund(&(attempt.name, attempt.source)),
            false => {
                self.addresses.refund(&attempt.source);
                self.names.refund(&attempt.name);
            }
        }
    }

    /// Only these names are there now.
    pub fn retain(&mut self, is_there: impl Fn(&UserName) -> bool) {
        self.seen.retain(|name, _| is_there(name));
    }

    /// How many counts are kept, in all tables.
    pub fn len(&self) -> usize {
        self.addresses.0.len() + self.names.0.len() + self.known.0.len()
    }

    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
