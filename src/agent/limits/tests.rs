use super::*;
use crate::agent::payer::Origin;
use crate::wire::{ClientId, Stamp, UserName};
use std::time::Duration;

fn name(text: &str) -> Payer {
    Payer::Name(UserName::parse(text).expect("a good name"))
}

/// Somebody at this address of this network, which are the same where it is IPv4.
fn at(network: u64, source: u64, who: &str) -> Payer {
    let stamp = Stamp {
        conn: ClientId(1.into()),
        source: Some(source),
        network: Some(network),
    };
    let who = UserName::parse(who).expect("a good name");
    Payer::of(&who, Origin::of(&stamp))
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
    let before = limits.debts[&name("m0").debtors()[0]].left(now);
    limits.connected(&name("m0"), now);
    assert_eq!(
        limits.debts[&name("m0").debtors()[0]].left(now),
        before - 1.0
    );
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
    let payer = |source, who: &str| at(source, source, who);
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
        let who = match source {
            Some(source) => at(source, source, who),
            None => name(who),
        };
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

/// A /48 has 65,536 networks that count as an address each, and none of them owed.
#[test]
fn addresses_without_end_of_one_network_leave_room_for_another_network() {
    let mut now = Instant::now();
    let mut limits = OfferLimits::new(now);
    for i in 0..4_000_u64 {
        now += Duration::from_millis(12);
        // Some come back, and owe.
        let from = [10_000 + i, i % 8][i as usize % 2];
        let _ = limits.call(&at(7, from, "m"), now);
        if i >= 1_000 && i % 200 == 0 {
            let who = at(900 + i, 900 + i, "honest");
            assert_eq!(limits.call(&who, now), Ok(()), "{i}");
        }
    }
    // A neighbour pays for no more than they have to.
    for i in 0..4_000_u64 {
        now += Duration::from_millis(12);
        let _ = limits.call(&at(7, i % 50, "m"), now);
        if i >= 1_000 && i % 200 == 0 {
            let who = at(7, 900 + i, "neighbour");
            assert_eq!(limits.call(&who, now), Ok(()), "{i}");
            limits.connected(&who, now);
        }
    }
}
