//! What passes, and what does not.

use std::time::Duration;

use proptest::prelude::*;

use super::write::{chunk, data, forward, init, packet, reset, sack, sack_of};
use super::*;

/// We acknowledged `tsn`.
fn at(tsn: u32, now: Instant) -> Sctp {
    let mut sctp = Sctp::new(now);
    sctp.says(&packet(&[sack(tsn, 0)]));
    sctp
}

#[test]
fn what_a_browser_says_passes() {
    let now = Instant::now();
    let mut sctp = Sctp::new(now);
    let mut hears = |chunks: &[Vec<u8>]| {
        assert!(sctp.hears(&packet(chunks), now), "{chunks:?}");
    };
    let first = u32::MAX - 1;
    hears(&[init(7, first)]);
    hears(&[init(7, first)]);
    hears(&[chunk(COOKIE_ECHO, &[9; 40]), data(first, 0)]);
    hears(&[data(first, 0), data(first.wrapping_add(1), 0)]);
    sctp.says(&packet(&[sack(first.wrapping_add(1), 0)]));
    let mut hears = |chunks: &[Vec<u8>]| {
        assert!(sctp.hears(&packet(chunks), now), "{chunks:?}");
    };
    for number in 0..30 {
        hears(&[sack(5, 2), data(number, 1)]);
    }
    hears(&[forward(40)]);
    hears(&[reset(1, u32::MAX)]);
    hears(&[reset(1, u32::MAX)]);
    hears(&[chunk(4, &[0, 1, 0, 7, 1, 2, 3])]);
    hears(&[chunk(6, &[])]);
}

#[test]
fn who_leaves_out_half_of_all_numbers_is_not_heard() {
    let now = Instant::now();
    assert!(!at(77, now).hears(&packet(&[reset(1, 78)]), now));
    for far in [AHEAD + 1, 1 << 20, u32::MAX / 2, u32::MAX / 2 + 1] {
        let hears = |chunk| at(77, now).hears(&packet(&[chunk]), now);
        let tsn = 77_u32.wrapping_add(far);
        assert!(!hears(forward(tsn)), "{far}");
        assert!(!hears(data(tsn, 1)), "{far}");
        assert!(!hears(reset(1, tsn)), "{far}");
    }
    let mut unknown = Sctp::new(now);
    assert!(!unknown.hears(&packet(&[forward(1)]), now));
    assert!(!unknown.hears(&packet(&[reset(1, 1)]), now));
}

#[test]
fn what_the_crate_would_keep_is_few() {
    let now = Instant::now();
    // Each as slow as may be.
    let count = |sctp: &mut Sctp, of: &dyn Fn(u32) -> Vec<u8>| {
        let heard = (0..2_000_u32).filter(|n| {
            let now = now + Duration::from_secs(1) * *n;
            sctp.hears(&packet(&[of(*n)]), now)
        });
        heard.count()
    };
    assert!(count(&mut Sctp::new(now), &|n| init(n, 0)) <= BEGINNINGS);
    assert!(count(&mut Sctp::new(now), &|n| data(n * 7_919, 0)) == 0);
    assert!(count(&mut at(0, now), &|_| init(1, 0)) == 0);
    assert!(count(&mut at(0, now), &|n| reset(n, 0)) <= RESETS);
    assert!(count(&mut at(0, now), &|n| data(1, n as u16)) <= STREAMS);
    assert!(count(&mut at(0, now), &|_| sack(0, 33)) == 0);
}

#[test]
fn what_comes_fast_is_paid_for() {
    let now = Instant::now();
    let mut sctp = at(0, now);
    let heard = |sctp: &mut Sctp, of: Vec<u8>| {
        let packet = packet(&[of]);
        (0..5_000).filter(|_| sctp.hears(&packet, now)).count()
    };
    assert_eq!(heard(&mut sctp, chunk(4, &[0, 1, 0, 8, 0, 0, 0, 0])), 400);
    let mut sctp = at(0, now);
    assert_eq!(heard(&mut sctp, sack(0, 31)), 400 / 32);
    // What we send is answered, and no more than that.
    let mut sctp = at(0, now);
    for number in 0..1_000 {
        sctp.says(&packet(&[data(number, 0)]));
    }
    assert_eq!(heard(&mut sctp, sack(0, 0)), OWED + 400);
    for number in 0..1_000 {
        sctp.says(&packet(&[data(number, 0)]));
        assert!(sctp.hears(&packet(&[sack(number, 0)]), now), "{number}");
    }
}

#[test]
fn what_is_cut_off_is_not_read() {
    let now = Instant::now();
    let whole = packet(&[data(1, 0), forward(3)]);
    for end in 0..whole.len() {
        // The padding of the last one may be missing.
        let is_whole = (29..=32).contains(&end);
        assert_eq!(at(0, now).hears(&whole[..end], now), is_whole, "{end}");
    }
    for value in 0..4 {
        let short = packet(&[chunk(FORWARD_TSN, &vec![0; value])]);
        assert!(!at(0, now).hears(&short, now));
    }
}

/// Chunks that end sooner for the crate than they say, each with `inside` behind
/// that end.
fn two_faced(inside: &[u8]) -> Vec<Vec<u8>> {
    let with = |kind: u8, before: &[u8]| chunk(kind, &[before, inside].concat());
    let init = [&[0, 0, 0, 7, 0, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 9][..]; 1].concat();
    let response = [0, 16, 0, 12, 0, 0, 0, 1, 0, 0, 0, 1];
    vec![
        with(11, &[]),
        with(8, &[]),
        with(14, &[]),
        with(4, &[0, 1, 0, 8, 1, 2, 3, 4]),
        with(RECONFIG, &[&response[..], &response].concat()),
        with(RECONFIG, &[0, 16, 0, 20, 0, 0, 0, 1, 0, 0, 0, 1]),
        with(
            INIT_ACK,
            &[&init[..], &[0xc0, 0, 0, 4 + inside.len() as u8]].concat(),
        ),
        with(
            INIT_ACK,
            &[&init[..], &[0x80, 4, 0, 5, 0, 0, 0, 0]].concat(),
        ),
        with(SACK, &[0; 12]),
    ]
}

#[test]
fn nothing_hides_in_a_chunk() {
    let now = Instant::now();
    for inside in [forward(1 << 30), init(9, 9), reset(1, 1 << 30)] {
        for chunk in two_faced(&inside) {
            assert!(
                !at(0, now).hears(&packet(std::slice::from_ref(&chunk)), now),
                "{chunk:?}"
            );
            let behind = packet(&[data(1, 0), chunk.clone()]);
            assert!(!at(0, now).hears(&behind, now), "{chunk:?}");
        }
    }
}

#[test]
fn a_cause_is_no_longer_than_its_chunk() {
    let now = Instant::now();
    for kind in [6, 9] {
        let hears = |value: &[u8]| at(0, now).hears(&packet(&[chunk(kind, value)]), now);
        assert!(hears(&[]), "without a cause");
        assert!(hears(&[0, 12, 0, 9, b'c', b'l', b'o', b's', b'e', 0, 0, 0]));
        assert!(hears(&[0, 12, 0, 4, 0, 13, 0, 4]));
        for cause in [
            [0, 12, 0, 9],
            [0, 12, 0xff, 0xff],
            [0, 12, 0, 3],
            [0, 12, 0, 0],
        ] {
            assert!(!hears(&cause), "{cause:?}");
        }
    }
}

#[test]
fn who_stands_alone_stands_alone() {
    let now = Instant::now();
    let both = |first: &[u8], second: &[u8]| {
        Sctp::new(now).hears(&packet(&[first.to_vec(), second.to_vec()]), now)
    };
    let ack = chunk(INIT_ACK, &init(7, 9)[4..]);
    for begins in [&init(7, 9), &ack] {
        assert!(Sctp::new(now).hears(&packet(std::slice::from_ref(begins)), now));
        assert!(!both(begins, &data(9, 0)) && !both(&data(9, 0), begins));
    }
    assert!(!Sctp::new(now).hears(&packet(&[]), now), "nothing in it");
    assert!(
        !at(0, now).hears(&packet(&[chunk(DATA, &[0; 12])]), now),
        "no text"
    );
    let long = |text: usize| packet(&[chunk(DATA, &[&[0; 12][..], &vec![7; text]].concat())]);
    assert!(at(0, now).hears(&long(1_472), now));
    assert!(!at(0, now).hears(&long(1_476), now));
}

/// Pieces of a message that never ends: the crate takes the next one in order
/// however full its window is, for that may be the one that fills a hole.
#[test]
fn a_message_without_end_comes_to_an_end() {
    let begin = Instant::now();
    let mut sctp = at(0, begin);
    let mut heard = 0;
    for n in 1..10_000 {
        let now = begin + Duration::from_millis(10) * n;
        if sctp.hears(&packet(&[data(n, 0)]), now) {
            heard = n;
            // Acknowledged, and not read.
            sctp.says(&packet(&[sack_of(n, 100, 0)]));
        }
    }
    assert_eq!(heard, UNREAD + PROBES);
    // Something was read.
    sctp.says(&packet(&[sack(heard, 0)]));
    let later = begin + Duration::from_secs(1_000);
    assert!(sctp.hears(&packet(&[data(heard + 1, 0)]), later));
}

/// A hole on a path that loses is filled, whatever came behind it.
#[test]
fn who_fills_a_hole_is_heard() {
    let begin = Instant::now();
    let mut sctp = at(0, begin);
    let mut now = begin;
    let mut hears = |sctp: &mut Sctp, tsn| {
        now += Duration::from_millis(10);
        sctp.hears(&packet(&[data(tsn, 0)]), now)
    };
    assert!((2..=AHEAD).all(|tsn| hears(&mut sctp, tsn)));
    sctp.says(&packet(&[sack_of(0, 100, 0)]));
    assert!(hears(&mut sctp, 1));
    sctp.says(&packet(&[sack(AHEAD, 0)]));
    assert!((AHEAD + 1..2_000).all(|tsn| {
        let heard = hears(&mut sctp, tsn);
        sctp.says(&packet(&[sack(tsn, 0)]));
        heard
    }));
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let now = Instant::now();
        let mut sctp = at(0, now);
        sctp.hears(&bytes, now);
        sctp.says(&bytes);
        for kind in [DATA, INIT, SACK, RECONFIG, FORWARD_TSN] {
            sctp.hears(&packet(&[chunk(kind, &bytes)]), now);
        }
    }
}
