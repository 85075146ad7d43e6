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
//! address; then all names of that have one debt. (A chat server that lets one
//! client be any number of names and tells nothing of addresses, as the
//! original does, leaves nothing to be fair over but the rate itself.)

use std::collections::HashMap;
use std::time::Instant;

use crate::access::KeyId;
use crate::bucket::{Bucket, Rate};
use crate::wire::UserName;

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
/// More debt than this is as bad.
const MOST_DEBT: f64 = 8.0;
/// Names remembered at once; who was not heard of for the longest is forgotten
/// first.
const NAMES: usize = 256;

/// Whose budget it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Payer {
    /// A name on the chat, which proves nothing.
    Name(UserName),
    /// The same, of an address that the chat server vouches for.
    At(u64, UserName),
    /// All names of an address.
    Source(u64),
    /// Who holds a key, whatever their name. An invitation that is shared is one
    /// for each name.
    Guest(KeyId, Option<UserName>),
}

impl Payer {
    /// A name, and what stands for the address where the chat server says so.
    pub(super) fn of(name: &UserName, source: Option<u64>) -> Self {
        match source {
            Some(source) => Self::At(source, name.clone()),
            None => Self::Name(name.clone()),
        }
    }

    /// In whose debt a call is. Names are to be had for nothing, addresses are
    /// not.
    pub(super) fn debtor(&self) -> Self {
        match self {
            Self::At(source, _) => Self::Source(*source),
            Self::Name(_) | Self::Source(_) | Self::Guest(..) => self.clone(),
        }
    }
}

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
    debts: HashMap<Payer, Debt>,
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
        let reserve = debt(&mut self.debts, name, now).reserve().max(plenty);
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
        debt(&mut self.debts, name, now).owe(1.0);
    }

    /// Asks to make a call of an offer that was read, from who has no media
    /// path.
    pub(super) fn call(&mut self, name: &Payer, now: Instant) -> Result<(), Refusal> {
        let debt = debt(&mut self.debts, name, now);
        if self.calls.take_but(debt.reserve(), 1.0, now) {
            debt.owe(1.0);
            Ok(())
        } else {
            debt.owe(REFUSED);
            Err(caller(&mut self.names, name, now).refusal())
        }
    }

    /// The media path of a call of theirs is up: that one came to something.
    pub(super) fn connected(&mut self, name: &Payer, now: Instant) {
        let debt = debt(&mut self.debts, name, now);
        debt.owed = (debt.owed - 1.0).max(0.0);
        debt.completed = (debt.completed + 1.0).min(2.0 * COMPLETED);
    }

    /// The calls without a media path that they had of late, rounded.
    pub(super) fn debt(&self, name: &Payer, now: Instant) -> u32 {
        let debt = self.debts.get(&name.debtor());
        debt.map_or(0.0, |debt| debt.left(now)).round() as u32
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

fn debt<'a>(debts: &'a mut HashMap<Payer, Debt>, name: &Payer, now: Instant) -> &'a mut Debt {
    let debtor = name.debtor();
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
fn forget_one<T>(all: &mut HashMap<Payer, T>, name: &Payer, at: impl Fn(&T) -> Instant) {
    if all.len() < NAMES || all.contains_key(name) {
        return;
    }
    let oldest = all.iter().min_by_key(|(_, entry)| at(entry));
    if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
        all.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn name(text: &str) -> Payer {
        Payer::Name(UserName::parse(text).expect("a good name"))
    }

    #[test]
    fn a_flood_from_one_name_is_refused_and_told_once_and_others_are_served() {
        let now = Instant::now();
        let mut limits = OfferLimits::new(now);
        let mut offer = |who: &str, now| {
            let who = name(who);
            limits.read(&who, 8_000, false, now)?;
            limits.call(&who, now)
        };
        let verdicts: Vec<_> = (0..100).map(|_| offer("m", now)).collect();
        let count = |v| verdicts.iter().filter(|x| **x == v).count();
        assert_eq!(count(Ok(())), 10);
        assert_eq!(count(Err(Refusal::First)), 1);
        assert_eq!(offer("alice", now), Ok(()));
        let later = now + Duration::from_secs(1);
        assert_eq!(offer("m", later), Ok(()));
    }

    #[test]
    fn a_flood_from_many_names_meets_the_total_and_each_is_told() {
        let now = Instant::now();
        let mut limits = OfferLimits::new(now);
        let mut count = [0; 3];
        for i in 0..200 {
            count[match limits.call(&name(&format!("n{i}")), now) {
                Ok(()) => 0,
                Err(Refusal::First) => 1,
                Err(Refusal::Silent) => 2,
            }] += 1;
        }
        assert_eq!(count, [24, 176, 0]);
        assert_eq!(limits.read(&name("alice"), 60_000, true, now), Ok(()));
        for i in 0..10_000 {
            let _ = limits.read(&name(&format!("m{i}")), 60_000, false, now);
        }
        assert!(limits.names.len() <= NAMES && limits.debts.len() <= NAMES);
        let restart = limits.read(&name("alice"), 8_000, true, now);
        assert_eq!(restart, Ok(()), "they have a media path");
        let small = limits.read(&name("bob"), 8_000, false, now);
        assert_eq!(small, Ok(()), "large ones leave half of the reading");
    }

    #[test]
    fn junk_costs_its_sender_and_nobody_else() {
        let mut now = Instant::now();
        let mut limits = OfferLimits::new(now);
        let mut read = 0;
        for i in 0..1_000 {
            now += Duration::from_millis(10);
            let who = name(&format!("m{}", i % 8));
            if limits.read(&who, 1, false, now).is_ok() {
                limits.junk(&who, now);
                read += 1;
            }
        }
        assert!(read < 60, "{read} in 10 s of 8 names");
        assert_eq!(limits.calls.level(), 1.0);
        assert!(limits.debt(&name("m0"), now) >= 2);
        assert_eq!(limits.debt(&name("alice"), now), 0);
    }

    #[test]
    fn who_never_gets_a_path_leaves_the_rest_to_others_until_it_is_forgotten() {
        let mut now = Instant::now();
        let mut limits = OfferLimits::new(now);
        for _ in 0..2_000 {
            now += Duration::from_millis(10);
            for i in 0..4 {
                let _ = limits.call(&name(&format!("m{i}")), now);
            }
        }
        for i in 0..12 {
            assert_eq!(limits.call(&name(&format!("n{i}")), now), Ok(()), "{i}");
        }
        // One call that came to something pays for itself, and for no other.
        let before = limits.debts[&name("m0")].left(now);
        limits.connected(&name("m0"), now);
        assert_eq!(limits.debts[&name("m0")].left(now), before - 1.0);
        assert!(limits.debt(&name("m1"), now) >= 2);
        now += Duration::from_secs(150);
        assert_eq!(limits.debt(&name("m1"), now), 0);
        assert_eq!(limits.call(&name("m1"), now), Ok(()));
        assert_eq!(limits.debt(&name("m1"), now), 1);
        limits.connected(&name("m1"), now);
        now += Duration::from_secs(8);
        assert_eq!(limits.debt(&name("m1"), now), 0);
    }

    /// Twelve browsers whose calls come to nothing began at the same moment; somebody with a
    /// good path, who calls again each two seconds, was refused.
    #[test]
    fn who_calls_again_is_served_beside_calls_that_come_to_nothing() {
        let mut now = Instant::now();
        let mut limits = OfferLimits::new(now);
        for i in 0..400 {
            if i % 20 == 0 {
                for m in 0..12 {
                    let _ = limits.call(&name(&format!("m{m}")), now);
                }
            }
            if i % 40 == 5 {
                assert_eq!(limits.call(&name("alice"), now), Ok(()), "{i}");
                limits.connected(&name("alice"), now);
            }
            now += Duration::from_millis(50);
        }
    }

    /// As the siege does it: of fifty addresses each sends an offer and a piece of junk in
    /// half a second, and somebody calls each second and a bit.
    #[test]
    fn fifty_addresses_that_begin_together_keep_nobody_out() {
        let begin = Instant::now();
        let mut limits = OfferLimits::new(begin);
        let payer = |source, who: &str| {
            Payer::of(&UserName::parse(who).expect("a good name"), Some(source))
        };
        for ms in 0..20_000_u64 {
            let now = begin + Duration::from_millis(ms);
            for n in (0..50).filter(|n| (ms + n).is_multiple_of(45)) {
                let who = payer(n, &format!("one{n}-{}", ms / 540));
                let kind = ((ms + n) / 45 + n) % 12;
                let length = [6_000, 2_000].get(kind as usize);
                if length.is_none_or(|length| limits.read(&who, *length, false, now).is_err()) {
                    continue;
                }
                match kind {
                    0 => drop(limits.call(&who, now)),
                    _ => limits.junk(&who, now),
                }
            }
            if ms % 1_200 == 20 {
                let who = payer(99, &format!("second{ms}"));
                assert_eq!(limits.read(&who, 6_000, false, now), Ok(()), "{ms}");
                assert_eq!(
                    limits.call(&who, now),
                    Ok(()),
                    "{ms} {}",
                    limits.calls.level()
                );
                limits.connected(&who, now);
            }
        }
    }

    /// Four calls a second that came up were the whole total, and cost nothing.
    #[test]
    fn whoever_completes_call_upon_call_leaves_room_for_others() {
        let mut now = Instant::now();
        let mut limits = OfferLimits::new(now);
        for i in 0..500 {
            now += Duration::from_millis(200);
            for m in 0..2 {
                let who = name(&format!("m{m}"));
                if limits.call(&who, now).is_ok() {
                    limits.connected(&who, now);
                }
            }
            if i >= 50 && i % 10 == 0 {
                let who = name(&format!("honest{i}"));
                assert_eq!(limits.call(&who, now), Ok(()), "{i}");
            }
        }
    }

    /// As it was seen: fifty addresses, a new name for each offer.
    #[test]
    fn names_without_end_of_a_few_addresses_leave_room_for_another_address() {
        let mut now = Instant::now();
        let mut limits = OfferLimits::new(now);
        let mut offer = |source, who: &str, now| {
            let who = Payer::of(&UserName::parse(who).expect("a good name"), source);
            limits.read(&who, 6_000, false, now)?;
            limits.call(&who, now)
        };
        for i in 0..2_000_u64 {
            now += Duration::from_millis(12);
            let _ = offer(Some(i % 50), &format!("m{i}"), now);
            // The first second is anybody's.
            if i >= 100 && i % 200 == 0 {
                let who = format!("honest{i}");
                assert_eq!(offer(Some(1_000 + i), &who, now), Ok(()), "{i}");
            }
        }
        // Where nothing is said of addresses, a name is a name.
        assert_eq!(offer(None, "alice", now), Ok(()));
    }
}
