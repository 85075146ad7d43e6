//! Limits on what strangers can make the device do.
//!
//! An offer is paid for twice. To be *read* it costs its sender a token, and
//! everybody some bytes of a generous budget; one that cannot be read costs its
//! sender more, and nobody else anything. To be *taken as a call* it costs one
//! token of a total for all, since sockets and a connection are made for it.
//!
//! The total is shared fairly over names: a name that called before and has not
//! got a media path since is in debt, and what is left of the total is for who
//! is less so. A flood from any number of names that are used again so takes
//! only what nobody else wants. A call that comes to something is no debt, but who
//! completes many in a row leaves some, too. Our own chat server says what comes from the same
//! address; then all names of that have one debt, and the network that the address is a part
//! of has some, too: who has the whole network has addresses without end. (A chat server that
//! lets one client be any number of names and tells nothing of addresses, as the
//! original does, leaves nothing to be fair over but the rate itself.)

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

use super::payer::{Debtor, Payer};
use crate::bucket::{Bucket, Rate};

/// Offers that one name can send at once, and how many a second after that.
/// A person who reloads the page as fast as they can stays under it.
const PER_NAME: Rate = Rate {
    burst: 10.0,
    per_second: 2.0,
};
/// What junk costs its sender beyond the reading.
const JUNK: f64 = 4.0;
/// No name owes more tokens than this: a person who was impersonated, or whose
/// browser is not understood, can call again after some seconds.
const MOST_OWED: f64 = 5.0;
/// Calls of all names together. Our answers and candidates to so many fit into
/// what our chat server lets us send.
const CALLS: Rate = Rate {
    burst: 24.0,
    per_second: 4.0,
};
/// Bytes of offers that are read, of all names together.
const READING: Rate = Rate {
    burst: 4_000_000.0,
    per_second: 1_000_000.0,
};
/// A browser's offer is smaller; larger ones are read while there is plenty.
const LARGE: usize = 20_000;
/// What a call that is refused for the total adds to a debt: who asks again and
/// again comes after who asks once.
const REFUSED: f64 = 0.25;
/// Calls that came to something are no debt. But whoever completes more of them at once
/// than this leaves something to others, or they would take the whole total.
const COMPLETED: f64 = 3.0;
/// Of those, so many are forgotten in a second.
const COMPLETED_FORGOTTEN: f64 = 0.8;
/// Calls without a media path that are forgotten in a second.
const FORGIVEN: f64 = 1.0 / 15.0;
/// Who owes nothing themselves leaves no more than this for what others of their network
/// owe, and so comes before those.
const FOR_OTHERS: f64 = 0.25;
/// More debt than this is as bad.
const MOST_DEBT: f64 = 8.0;
/// Names remembered at once; who was not heard of for the longest is forgotten
/// first.
const NAMES: usize = 256;

/// Who offers, and how fast.
#[derive(Debug)]
struct Caller {
    bucket: Bucket,
    /// They were told that they are too many.
    told: bool,
    at: Instant,
}

impl Caller {
    fn refusal(&mut self) -> Refusal {
        if std::mem::replace(&mut self.told, true) {
            Refusal::Silent
        } else {
            Refusal::First
        }
    }
}

/// Calls that came to no media path, junk and what was refused.
#[derive(Debug, Clone, Copy)]
struct Debt {
    owed: f64,
    /// Calls that came to something, of late.
    completed: f64,
    at: Instant,
}

impl Debt {
    fn left(self, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.owed - elapsed * FORGIVEN).max(0.0)
    }

    fn forgive(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.completed = (self.completed - elapsed * COMPLETED_FORGOTTEN).max(0.0);
        self.owed = self.left(now);
        self.at = self.at.max(now);
    }

    /// What they have to leave to others, as a part of a burst.
    fn reserve(self) -> f64 {
        match self.owed {
            ..0.05 if self.completed > COMPLETED => 0.125,
            // All but forgotten: a half would let forty names come round in
            // turn, and take what comes back as fast as it does.
            ..0.05 => 0.0,
            ..1.5 => 0.25,
            _ => 0.5,
        }
    }

    fn owe(&mut self, more: f64) {
        self.owed = (self.owed + more).min(MOST_DEBT);
    }
}

/// Why an offer goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The first of a flood: its sender is told.
    First,
    /// One more.
    Silent,
}

/// What all callers have left.
#[derive(Debug)]
pub(super) struct OfferLimits {
    calls: Bucket,
    reading: Bucket,
    names: HashMap<Payer, Caller>,
    debts: HashMap<Debtor, Debt>,
}

impl OfferLimits {
    /// Full buckets at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            calls: Bucket::full(CALLS, now),
            reading: Bucket::full(READING, now),
            names: HashMap::new(),
            debts: HashMap::new(),
        }
    }

    /// Asks to read an offer of so many bytes. One who has a media path
    /// (`is_up`) answers for themselves alone: what others send must not keep
    /// them from an ICE restart.
    pub(super) fn read(
        &mut self,
        name: &Payer,
        bytes: usize,
        is_up: bool,
        now: Instant,
    ) -> Result<(), Refusal> {
        let caller = caller(&mut self.names, name, now);
        if !caller.bucket.take(1.0, now) {
            return Err(caller.refusal());
        }
        if caller.bucket.level() >= 0.5 {
            caller.told = false;
        }
        let plenty = if bytes > LARGE { 0.5 } else { 0.0 };
        let reserve = reserve(&mut self.debts, name, now).max(plenty);
        if self.reading.take_but(reserve, bytes as f64, now) || is_up {
            Ok(())
        } else {
            Err(caller.refusal())
        }
    }

    /// What was read was no offer that can be answered.
    pub(super) fn junk(&mut self, name: &Payer, now: Instant) {
        let caller = caller(&mut self.names, name, now);
        caller.bucket.charge(JUNK, MOST_OWED);
        owe(&mut self.debts, name, 1.0, now);
    }

    /// Asks to make a call of an offer that was read, from who has no media
    /// path.
    pub(super) fn call(&mut self, name: &Payer, now: Instant) -> Result<(), Refusal> {
        let reserve = reserve(&mut self.debts, name, now);
        if self.calls.take_but(reserve, 1.0, now) {
            owe(&mut self.debts, name, 1.0, now);
            Ok(())
        } else {
            owe(&mut self.debts, name, REFUSED, now);
            Err(caller(&mut self.names, name, now).refusal())
        }
    }

    /// The media path of a call of theirs is up: that one came to something.
    pub(super) fn connected(&mut self, name: &Payer, now: Instant) {
        for debtor in name.debtors() {
            let debt = debt(&mut self.debts, debtor, now);
            debt.owed = (debt.owed - 1.0).max(0.0);
            debt.completed = (debt.completed + 1.0).min(2.0 * COMPLETED);
        }
    }

    /// The calls without a media path that they, or others of their network, had of
    /// late, rounded.
    pub(super) fn debt(&self, name: &Payer, now: Instant) -> u32 {
        let debts = name.debtors().into_iter();
        let debts = debts.filter_map(|debtor| self.debts.get(&debtor));
        debts.map(|debt| debt.left(now)).fold(0.0, f64::max).round() as u32
    }
}

fn caller<'a>(names: &'a mut HashMap<Payer, Caller>, name: &Payer, now: Instant) -> &'a mut Caller {
    forget_one(names, name, |caller| caller.at);
    let caller = names.entry(name.clone()).or_insert_with(|| Caller {
        bucket: Bucket::full(PER_NAME, now),
        told: false,
        at: now,
    });
    caller.at = caller.at.max(now);
    caller
}

/// What they have to leave to others, as a part of a burst.
fn reserve(debts: &mut HashMap<Debtor, Debt>, name: &Payer, now: Instant) -> f64 {
    let mut reserve = |debtor| debt(debts, debtor, now).reserve();
    let mut debtors = name.debtors();
    let own = debtors.pop().map_or(0.0, &mut reserve);
    let wider = debtors.into_iter().map(reserve).fold(0.0, f64::max);
    own.max(wider.min(FOR_OTHERS))
}

fn owe(debts: &mut HashMap<Debtor, Debt>, name: &Payer, more: f64, now: Instant) {
    for debtor in name.debtors() {
        debt(debts, debtor, now).owe(more);
    }
}

fn debt(debts: &mut HashMap<Debtor, Debt>, debtor: Debtor, now: Instant) -> &mut Debt {
    forget_one(debts, &debtor, |debt| debt.at);
    let debt = debts.entry(debtor).or_insert(Debt {
        owed: 0.0,
        completed: 0.0,
        at: now,
    });
    debt.forgive(now);
    debt
}

/// Makes room for one more, where it is one.
fn forget_one<K: Eq + Hash + Clone, T>(
    all: &mut HashMap<K, T>,
    name: &K,
    at: impl Fn(&T) -> Instant,
) {
    if all.len() < NAMES || all.contains_key(name) {
        return;
    }
    let oldest = all.iter().min_by_key(|(_, entry)| at(entry));
    if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
        all.remove(&oldest);
    }
}

#[cfg(test)]
mod tests;
