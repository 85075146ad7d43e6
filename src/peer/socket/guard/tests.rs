use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use proptest::prelude::*;

use super::handshake::write as dtls;
use super::pairs::PAIRS;
use super::stun::write;
use super::together::ALL;
use super::*;

const US: &str = "ours";
const THEM: &str = "them";

fn address(n: u8) -> SocketAddr {
    ([192, 0, 2, n], 4_000).into()
}

struct Bench {
    guard: Guard,
    now: Instant,
}

impl Bench {
    /// A call whose offer had `words` bytes.
    fn new(words: usize) -> Self {
        let now = Instant::now();
        let mut guard = Guard::new(Together::new(now), now);
        guard.words(words);
        guard.username(US.to_owned());
        Self { guard, now }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn check(&mut self, to: u8, transaction: u8) -> bool {
        let check = write::check(transaction, &format!("{THEM}:{US}"));
        self.guard.outgoing(0, address(to), &check, self.now)
    }

    fn comes(&mut self, from: u8, datagram: &[u8]) -> bool {
        self.guard.incoming(0, address(from), datagram, self.now)
    }

    fn asks(&mut self, from: u8) -> bool {
        let check = write::check(9, &format!("{US}:{THEM}"));
        self.comes(from, &check)
    }

    /// Checks as the crate sends them, every 40 ms to each address; returns how
    /// many left.
    fn checks_for(&mut self, time: Duration, to: &[u8]) -> usize {
        let mut left = 0;
        for _ in 0..time.as_millis() / 40 {
            left += to.iter().filter(|n| self.check(**n, 1)).count();
            self.pass(Duration::from_millis(40));
        }
        left
    }
}

const RTCP: [u8; 12] = [0x80, 201, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn who_answered_a_check_may_speak_and_nobody_else() {
    let mut bench = Bench::new(5_000);
    let hello = dtls::record(22, 0, &dtls::fragment(100, 0, 0, 100));
    assert!(
        !bench.comes(1, &hello) && !bench.comes(1, &RTCP),
        "too early"
    );
    assert!(bench.check(1, 1));
    assert!(!bench.comes(2, &write::success(1)), "from elsewhere");
    assert!(!bench.comes(1, &write::success(2)), "to no question");
    assert!(bench.comes(1, &write::success(1)));
    assert!(!bench.comes(1, &write::success(1)), "once");
    assert!(bench.comes(1, &hello) && bench.comes(1, &RTCP));
    assert!(!bench.comes(2, &hello) && !bench.comes(2, &RTCP));
    let other_socket = bench.guard.incoming(1, address(1), &RTCP, bench.now);
    assert!(!other_socket, "a pair is proven, not an address");
}

#[test]
fn who_knows_our_username_may_speak_and_is_asked_back_at_once() {
    let mut bench = Bench::new(5_000);
    for name in ["", "their:ours", "ourss:them", "our:them", "ours2:x"] {
        assert!(!bench.comes(1, &write::check(1, name)), "{name}");
    }
    bench.checks_for(Duration::from_secs(3), &[1]);
    assert!(!bench.check(1, 2), "the gap is wide by now");
    assert!(bench.asks(1));
    assert!(bench.check(1, 2) && bench.comes(1, &RTCP));
    // A restart: the old name is known until the next one.
    bench.guard.username("newer".into());
    assert!(bench.asks(3));
    bench.guard.username("newest".into());
    assert!(!bench.asks(4));
}

#[test]
fn nobody_is_sent_more_than_twice_what_was_said() {
    for (words, addresses) in [(5_000, 1_usize), (5_000, 32), (600, 32), (60_000, 32)] {
        let mut bench = Bench::new(words);
        let to: Vec<u8> = (1..=u8::try_from(addresses).expect("few")).collect();
        let size = write::check(1, &format!("{THEM}:{US}")).len();
        let left = bench.checks_for(Duration::from_secs(30), &to) * size;
        assert!(left <= 2 * words.min(MOST_WORDS), "{left} of {words}");
        assert!(left >= size * addresses.min(10), "each was tried");
    }
}

#[test]
fn an_honest_call_has_checks_enough_for_half_a_minute() {
    // Eight pairs: 5 kB of offer, eight candidates of 250 bytes.
    let mut bench = Bench::new(5_000);
    (0..8).for_each(|_| bench.guard.words(250));
    let to = [1, 2, 3, 4, 5, 6, 7, 8];
    assert!(bench.checks_for(Duration::from_secs(2), &to) >= 8 * 7);
    // Its only path opens late, by a check of theirs.
    bench.pass(Duration::from_secs(27));
    assert!(bench.asks(5) && bench.check(5, 3));
    assert!(bench.comes(5, &write::success(3)));
    assert_eq!(
        bench.checks_for(Duration::from_secs(4), &[5]),
        100,
        "no limit"
    );
}

#[test]
fn checks_of_all_calls_share_one_budget() {
    let now = Instant::now();
    let together = Together::new(now);
    let mut left = 0;
    for _ in 0..200 {
        let mut guard = Guard::new(together.clone(), now);
        guard.words(MOST_WORDS);
        for n in 1..=250 {
            let check = write::check(1, "them:ours");
            left += usize::from(guard.outgoing(0, address(n), &check, now)) * check.len();
        }
    }
    assert!(left as f64 <= ALL.burst, "{left}");
}

#[test]
fn addresses_that_nobody_named_are_few() {
    let mut bench = Bench::new(5_000);
    let heard = (0..=255).filter(|n| bench.asks(*n)).count();
    assert_eq!(heard, UNNAMED);
}

#[test]
fn what_goes_through_a_relay_is_judged_by_who_is_behind_it() {
    let mut bench = Bench::new(5_000);
    let server = address(200);
    let allocate = write::message(0x0003, [5; 12], &[]);
    assert!(bench.guard.outgoing(0, server, &allocate, bench.now));
    assert!(
        bench.comes(200, &write::message(0x0113, [5; 12], &[])),
        "the server's own"
    );

    // A third party behind the relay.
    let check = |transaction| write::check(transaction, "them:ours");
    let mut left = 0;
    for _ in 0..750 {
        let sent = write::send(address(7), &check(1));
        left += usize::from(bench.guard.outgoing(0, server, &sent, bench.now));
        bench.pass(Duration::from_millis(40));
    }
    assert!((30..90).contains(&left), "{left}");

    let said = |data: &[u8]| write::data(address(8), data);
    assert!(!bench.comes(200, &said(&RTCP)));
    bench.pass(Duration::from_secs(1));
    let sent = write::send(address(8), &check(2));
    assert!(bench.guard.outgoing(0, server, &sent, bench.now));
    assert!(bench.comes(200, &said(&write::success(2))));
    assert!(bench.comes(200, &said(&RTCP)));
    assert!(
        !bench.comes(8, &RTCP),
        "the same address, not through the relay"
    );

    // The same by a channel.
    let on = |data: &[u8]| write::channel(0x4001, data);
    assert!(!bench.comes(200, &on(&RTCP)), "no such channel");
    let bind = write::bind(0x4001, address(8));
    assert!(bench.guard.outgoing(0, server, &bind, bench.now));
    assert!(bench.comes(200, &on(&RTCP)));
    assert!(!bench.comes(201, &on(&RTCP)), "another server");
}

#[test]
fn a_flood_of_checks_costs_a_bounded_number_of_macs() {
    let mut bench = Bench::new(5_000);
    let mut passed = 0;
    for _ in 0..10_000 {
        passed += usize::from(bench.asks(1));
        bench.pass(Duration::from_millis(1));
    }
    assert!(passed <= 2_250, "{passed} in ten seconds");
}

#[test]
fn rubbish_is_dropped() {
    let mut bench = Bench::new(5_000);
    bench.check(1, 1);
    bench.comes(1, &write::success(1));
    for first in [4, 19, 64, 79, 80, 127, 192, 255] {
        assert!(!bench.comes(1, &[first; 40]), "{first}");
    }
    assert!(!bench.comes(1, &[]));
    assert_eq!(bench.guard.dropped(), 9);
}

#[derive(Debug, Clone)]
enum Step {
    Check(u8),
    Ask(u8),
    Answer(u8),
    Words(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..40_u8).prop_map(Step::Check),
        1 => (0..40_u8).prop_map(Step::Ask),
        1 => (0..40_u8).prop_map(Step::Answer),
        1 => (0..9_000_usize).prop_map(Step::Words),
        3 => (0..2_000_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Whatever the order: bytes to those who never answered are at most twice
    /// those that came from them or were said.
    #[test]
    fn never_more_than_twice(steps in proptest::collection::vec(step(), 0..800)) {
        let mut bench = Bench::new(1_000);
        let (mut said, mut sent) = (1_000, 0);
        let mut proven = [false; 40];
        for step in steps {
            match step {
                Step::Check(n) => {
                    let length = write::check(n, &format!("{THEM}:{US}")).len();
                    if bench.check(n, n) && !proven[usize::from(n)] {
                        sent += length;
                    }
                }
                Step::Ask(n) => {
                    if bench.asks(n) {
                        said += write::check(9, &format!("{US}:{THEM}")).len();
                    }
                }
                Step::Answer(n) => {
                    if bench.comes(n, &write::success(n)) {
                        proven[usize::from(n)] = true;
                    }
                }
                Step::Words(n) => {
                    bench.guard.words(n);
                    said += n.min(MOST_WORDS);
                }
                Step::Wait(ms) => bench.pass(Duration::from_millis(ms)),
            }
            prop_assert!(sent <= 2 * said, "{sent} of {said}");
            prop_assert!(bench.guard.pairs.len() <= PAIRS);
            prop_assert!(bench.guard.pending.len() <= PENDING);
        }
    }
}

#[test]
fn media_of_a_viewer_goes_no_further_and_reports_as_far_as_an_honest_one_has_them() {
    let mut bench = Bench::new(5_000);
    assert!(bench.check(1, 1));
    assert!(bench.comes(1, &write::success(1)));
    let rtp = [0x80, 0x80 | 102, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    assert!(!bench.comes(1, &rtp));
    let mut passed = 0;
    for _ in 0..10_000 {
        bench.pass(Duration::from_millis(1));
        passed += usize::from(bench.comes(1, &RTCP));
    }
    assert!((2_500..=2_751).contains(&passed), "{passed} in ten seconds");
}

/// RTP with Opus, of a stream of this number.
fn speech(payload_type: u8, stream: u8, length: usize) -> Vec<u8> {
    let mut rtp = vec![0x80, payload_type, 0, 1, 0, 0, 0, 0, 0, 0, 0, stream];
    rtp.resize(length, 0);
    rtp
}

#[test]
fn of_who_may_talk_as_much_speech_gets_in_as_somebody_says() {
    let mut bench = Bench::new(5_000);
    let open = Arc::new(AtomicBool::new(false));
    let nobody = Arc::new(AtomicU64::new(u64::MAX));
    bench.guard.hears(111, (open.clone(), nobody), bench.now);
    assert!(!bench.comes(1, &speech(111, 1, 80)), "no path yet");
    assert!(bench.check(1, 1));
    assert!(bench.comes(1, &write::success(1)));
    assert!(!bench.comes(1, &speech(111, 1, 80)), "not their turn");
    open.store(true, std::sync::atomic::Ordering::Release);
    assert!(bench.comes(1, &speech(111, 1, 80)));
    for (strange, why) in [
        (speech(102, 1, 80), "another format"),
        (speech(111, 1, 1_473), "too long"),
        (speech(111, 1, 11), "no header"),
    ] {
        assert!(!bench.comes(1, &strange), "{why}");
    }
    let streams = (0..=255).filter(|n| bench.comes(1, &speech(111, *n, 80)));
    assert_eq!(streams.count(), 4);
    // Ten seconds of a flood.
    let mut passed = 0;
    for _ in 0..10_000 {
        bench.pass(Duration::from_millis(1));
        passed += usize::from(bench.comes(1, &speech(111, 1, 80)));
    }
    assert!((1_000..=1_200).contains(&passed), "{passed} in ten seconds");
}

/// Four packets of a forger's, who has the viewer's address, silenced them for the whole call.
#[test]
fn who_forges_packets_silences_nobody() {
    let mut bench = Bench::new(5_000);
    let last = Arc::new(AtomicU64::new(u64::MAX));
    let voice = (Arc::new(AtomicBool::new(true)), last.clone());
    bench.guard.hears(111, voice, bench.now);
    assert!(bench.check(1, 1) && bench.comes(1, &write::success(1)));
    let theirs = speech(111, 7, 80);
    let forged = (8..=255).filter(|n| bench.comes(1, &speech(111, *n, 80)));
    assert_eq!(forged.count(), 4, "the crate keeps something of each");
    assert!(!bench.comes(1, &theirs));
    bench.pass(Duration::from_secs(2));
    assert!(bench.comes(1, &theirs), "their turn comes");
    last.store(7, std::sync::atomic::Ordering::Release);
    // Half a minute of a flood.
    for n in 0..30_000_u32 {
        bench.pass(Duration::from_millis(1));
        let _ = bench.comes(1, &speech(111, (n % 100) as u8 + 8, 80));
        assert!(n % 20 != 0 || bench.comes(1, &theirs), "at {n} ms");
    }
}

/// Who has a path still pays for what they send over it.
#[test]
fn a_viewer_who_floods_their_path_is_heard_as_often_as_a_browser() {
    let mut bench = Bench::new(5_000);
    assert!(bench.asks(1) && bench.check(1, 1) && bench.comes(1, &write::success(1)));
    bench.guard.connected();
    let second = |bench: &mut Bench, datagram: &[u8]| {
        let passed = (0..20_000).filter(|_| bench.comes(1, datagram)).count();
        bench.pass(Duration::from_secs(10));
        passed
    };
    let check = write::check(9, &format!("{US}:{THEM}"));
    assert_eq!(second(&mut bench, &check), 200);
    let keep_alive = write::message(0x0011, [3; 12], &[]);
    assert_eq!(second(&mut bench, &keep_alive), 200);
    let record = dtls::record(23, 1, &[0; 60]);
    assert_eq!(second(&mut bench, &record), 500);
    assert!(bench.asks(1), "and goes on");
}

/// What a name stands for is said by whoever answers on the network.
#[test]
fn nobody_is_asked_who_is_several_machines_or_this_one() {
    let mut bench = Bench::new(5_000);
    let check = write::check(1, &format!("{THEM}:{US}"));
    let mut asks = |ip: &str| {
        let to = SocketAddr::new(ip.parse().expect("an address"), 4_000);
        bench.guard.outgoing(0, to, &check, bench.now)
    };
    for ip in [
        "224.0.0.251",
        "255.255.255.255",
        "0.0.0.0",
        "127.0.0.1",
        "::1",
        "ff02::1",
    ] {
        assert!(!asks(ip), "{ip}");
    }
    assert!(asks("192.0.2.1"));
    bench.guard = bench.guard.may_be_here(true);
    let here = ([127, 0, 0, 1], 4_000).into();
    assert!(bench.guard.outgoing(0, here, &check, bench.now));
}
