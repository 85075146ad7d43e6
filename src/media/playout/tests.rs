use super::*;
use proptest::prelude::*;

const MS: Duration = Duration::from_millis(1);
/// Samples of a packet of 20 ms.
const PACKET: u32 = 960;

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// What became of packets that a network delivered.
#[derive(Default)]
struct Heard {
    /// Of each that was played: which it is, when it was due, and that time since it was
    /// sent, in ms.
    played: Vec<(u32, f64, f64)>,
    /// When so many ms were made up.
    concealed: Vec<(f64, f64)>,
    tally: Tally,
}

impl Heard {
    /// The longest delay of what was due in these seconds, in ms.
    fn longest(&self, seconds: std::ops::Range<f64>) -> f64 {
        let those = self
            .played
            .iter()
            .filter(|(_, due, _)| seconds.contains(&(due / 1e3)));
        those.map(|(.., delay)| *delay).fold(0.0, f64::max)
    }

    /// What was made up in these seconds, in ms.
    fn made_up(&self, seconds: std::ops::Range<f64>) -> f64 {
        let those = self
            .concealed
            .iter()
            .filter(|(due, _)| seconds.contains(&(due / 1e3)));
        those.map(|(_, length)| *length).sum()
    }
}

fn packet(number: u32, came: Instant) -> Packet {
    Packet {
        stream: 7,
        timestamp: (u32::MAX - 5_000).wrapping_add(number * PACKET),
        payload: [opus::SILENCE, &number.to_be_bytes()].concat().into(),
        came,
    }
}

/// Packets of 20 ms, each sent so many ms after the beginning, and delivered so many
/// later, or lost. The speaker leaves out whatever it may.
fn deliver(packets: &[(u32, f64, Option<f64>)]) -> Heard {
    let began = Instant::now();
    let at = |ms: f64| began + Duration::from_secs_f64(ms / 1e3);
    let mut arrivals: Vec<(f64, u32)> = packets
        .iter()
        .filter_map(|(number, sent, takes)| Some((sent + (*takes)?, *number)))
        .collect();
    arrivals.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let mut arrivals = arrivals.into_iter().peekable();
    let (mut playout, mut heard) = (Playout::default(), Heard::default());
    let end = packets.last().expect("some").1 as u32 + 500;
    for now in (0..end).map(f64::from) {
        while let Some((came, number)) = arrivals.next_if(|(came, _)| *came <= now) {
            playout.arrive(packet(number, at(came)));
        }
        while let Some((due, step)) = playout.step(at(now)) {
            let due = ms(due - began);
            match step {
                Step::Play { payload, spare } => {
                    let number = payload[opus::SILENCE.len()..].try_into().expect("a number");
                    let number = u32::from_be_bytes(number);
                    let sent = packets.iter().find(|(n, ..)| *n == number);
                    let sent = sent.expect("it was sent").1;
                    heard.played.push((number, due, due - sent));
                    let left_out = if spare < 120 { 0 } else { spare.min(480) };
                    playout.given(PACKET as usize - left_out, left_out);
                }
                Step::Conceal(samples) => {
                    heard.concealed.push((due, samples as f64 / 48.0));
                    playout.given(samples, 0);
                }
            }
        }
    }
    heard.tally = playout.tally();
    heard
}

/// So many packets, 20 ms apart, each by what `takes` says.
fn sent(count: u32, mut takes: impl FnMut(u32) -> Option<f64>) -> Vec<(u32, f64, Option<f64>)> {
    let packet = |number| (number, f64::from(number) * 20.0, takes(number));
    (0..count).map(packet).collect()
}

#[test]
fn on_a_lan_all_is_heard_and_soon() {
    let mut random = fastrand::Rng::with_seed(1);
    let heard = deliver(&sent(1_500, |_| Some(2.0 + random.f64() * 8.0)));
    assert_eq!(heard.played.len(), 1_500);
    assert_eq!(heard.made_up(0.0..29.9), 0.0);
    assert!(
        heard.longest(0.0..2.0) < 31.0,
        "{}",
        heard.longest(0.0..2.0)
    );
    assert!(
        heard.longest(5.0..30.0) < 23.0,
        "{}",
        heard.longest(5.0..30.0)
    );
}

#[test]
fn what_is_lost_is_made_up_in_its_place_and_delays_nothing() {
    let heard = deliver(&sent(500, |n| (n % 50 != 30).then_some(3.0)));
    assert_eq!(heard.played.len(), 490);
    assert_eq!(heard.made_up(0.0..9.99), 200.0);
    assert_eq!(heard.tally.late, 0);
    assert!(
        heard.longest(0.0..10.0) < 24.0,
        "{}",
        heard.longest(0.0..10.0)
    );
    // Several in a row, too.
    let heard = deliver(&sent(500, |n| (n % 100 < 96 || n < 100).then_some(3.0)));
    assert_eq!(heard.played.len(), 484);
    assert!(
        heard.longest(0.0..10.0) < 24.0,
        "{}",
        heard.longest(0.0..10.0)
    );
}

#[test]
fn one_that_is_late_is_heard_and_delays_the_rest_for_a_while() {
    // At 6 s the network stops for 70 ms.
    let takes = |n: u32| Some(2.0 + (70.0 - (f64::from(n) * 20.0 - 6_000.0)).clamp(0.0, 70.0));
    let heard = deliver(&sent(2_000, |n| if n < 300 { Some(2.0) } else { takes(n) }));
    assert_eq!(heard.played.len(), 2_000, "nothing is thrown away");
    let made_up = heard.made_up(0.0..39.9);
    assert!((50.0..=70.0).contains(&made_up), "{made_up} ms");
    assert!(
        heard.longest(5.0..6.0) < 13.0,
        "{}",
        heard.longest(5.0..6.0)
    );
    let after = heard.longest(7.0..15.0);
    assert!((60.0..85.0).contains(&after), "{after}");
    let later = heard.longest(30.0..40.0);
    assert!(later < 25.0, "{later}");
}

#[test]
fn it_is_as_deep_as_a_bad_network_asks_for() {
    let mut random = fastrand::Rng::with_seed(2);
    for (jitter, deepest) in [(20.0, 45.0), (40.0, 65.0), (80.0, 110.0)] {
        let heard = deliver(&sent(3_000, |_| Some(random.f64() * jitter)));
        let share = heard.made_up(10.0..59.9) / 50_000.0;
        println!("{jitter} ms: {:?}, {share}", heard.tally);
        assert!(share < 0.01, "{jitter} ms: {share} of it is made up");
        let longest = heard.longest(10.0..60.0);
        assert!(longest < deepest, "{jitter} ms: {longest}");
    }
}

#[test]
fn after_an_outage_and_a_pause_it_goes_on_at_once() {
    // Nothing for two seconds, then all of it; and two seconds in which nothing is sent.
    let heard = deliver(&sent(1_000, |n| match n {
        200..300 => Some(2_002.0 - f64::from(n - 200) * 20.0),
        _ => Some(2.0),
    }));
    let recovers = heard.longest(6.2..8.0);
    assert!(recovers < 150.0, "{recovers}");
    assert!(
        heard.longest(17.5..20.0) < 30.0,
        "{}",
        heard.longest(17.5..20.0)
    );
    let paused: Vec<_> = sent(600, |_| Some(2.0));
    let paused: Vec<_> = paused
        .into_iter()
        .filter(|(n, ..)| !(200..300).contains(n))
        .collect();
    let heard = deliver(&paused);
    assert_eq!(heard.played.len(), 500, "all of it");
    assert!(
        heard.longest(0.0..12.0) < 34.0,
        "{}",
        heard.longest(0.0..12.0)
    );
}

/// It was taken for the first one after a pause.
#[test]
fn a_straggler_in_a_pause_is_not_played_behind_what_came_after_it() {
    let packets = sent(80, |n| Some(if n == 18 { 170.0 } else { 2.0 }));
    let paused: Vec<_> = packets
        .into_iter()
        .filter(|(n, ..)| !(20..60).contains(n))
        .collect();
    let heard = deliver(&paused);
    assert!(heard.played.is_sorted_by_key(|(n, ..)| *n));
    assert_eq!(heard.played.len(), 39, "all but the straggler");
}

#[test]
fn the_pace_of_who_talks_is_followed_without_end() {
    for ppm in [-300.0, 300.0] {
        let packet = |n: u32| (n, f64::from(n) * 20.0 * (1.0 + ppm / 1e6), Some(2.0));
        let heard = deliver(&(0..15_000).map(packet).collect::<Vec<_>>());
        assert!(
            heard.longest(1.0..300.0) < 35.0,
            "{}",
            heard.longest(1.0..300.0)
        );
        // 300 ppm of five minutes are 90 ms.
        let made_up = heard.made_up(0.0..299.8);
        assert!(made_up < 120.0, "{made_up}");
        assert_eq!(heard.played.len(), 15_000);
    }
}

/// What strangers may send.
fn strange() -> impl Strategy<Value = (u32, u32, Vec<u8>, u32)> {
    let stream = prop_oneof![9 => Just(1), 1 => Just(2_u32)];
    let step = prop_oneof![
        6 => Just(960_u32),
        2 => 0_u32..6_000,
        1 => any::<u32>(),
    ];
    let payload = prop_oneof![
        4 => Just(opus::SILENCE.to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    let later = prop_oneof![6 => Just(20_u32), 2 => 0_u32..3, 1 => 0_u32..3_000];
    (stream, step, payload, later)
}

proptest! {
    /// Whatever is sent: what is given follows on what was given, in steps that Opus can
    /// make up, and little is kept.
    #[test]
    fn sound_is_given_without_a_pause(packets in prop::collection::vec(strange(), 1..200)) {
        let (began, mut now, mut timestamp) = (Instant::now(), Duration::ZERO, 0_u32);
        let mut playout = Playout::default();
        let mut next = None;
        for (stream, step, payload, later) in packets {
            timestamp = timestamp.wrapping_add(step);
            let payload = payload.into();
            playout.arrive(Packet { stream, timestamp, payload, came: began + now });
            prop_assert!(playout.waiting.len() <= MOST);
            for _ in 0..later {
                now += MS;
                while let Some((due, step)) = playout.step(began + now) {
                    prop_assert!(next.is_none_or(|next| next == due));
                    let samples = match step {
                        Step::Play { payload, spare } => {
                            prop_assert!(spare < 48_000);
                            opus::samples(&payload).expect("Opus") as usize
                        }
                        Step::Conceal(samples) => {
                            prop_assert!(samples > 0 && samples.is_multiple_of(120));
                            samples
                        }
                    };
                    playout.given(samples, 0);
                    let taken = Duration::from_nanos(samples as u64 * 1_000_000_000 / 48_000);
                    next = Some(due + taken);
                }
            }
        }
    }
}
