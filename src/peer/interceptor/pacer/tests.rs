use super::*;
use crate::peer::interceptor::passing::Passing;
use crate::peer::path::known::Bounds;
use rtc::interceptor::{AttributedPacket, Interceptor};
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;

const VIDEO: u32 = 7;
const RTX: u32 = 8;
const AUDIO: u32 = 9;

fn pacer(bits_per_second: u32) -> (Passing<Pacer>, Pace) {
    let path = Path::new(Bounds {
        min: 100_000,
        max: 10_000_000,
    });
    path.restart(bits_per_second);
    let pace = Pace::new(path);
    let mut pacer = Passing::new(Pacer::new(pace.clone(), Tally::default()));
    pacer.bind_local_stream(&StreamInfo {
        ssrc: VIDEO,
        ssrc_rtx: Some(RTX),
        mime_type: "video/H264".into(),
        ..Default::default()
    });
    pacer.bind_local_stream(&StreamInfo {
        ssrc: AUDIO,
        mime_type: "audio/opus".into(),
        ..Default::default()
    });
    (pacer, pace)
}

fn packet(ssrc: u32, now: Instant) -> TaggedPacket {
    let header = rtp::header::Header {
        ssrc,
        ..Default::default()
    };
    let rtp = rtp::Packet {
        header,
        payload: vec![0; 988].into(),
    };
    let message = AttributedPacket::new(Packet::Rtp(rtp));
    TaggedPacket {
        now,
        transport: TransportContext::default(),
        message: match ssrc {
            RTX => message.with(Attribute::Retransmission),
            _ => message,
        },
    }
}

/// SSRC and time of what leaves until nothing waits.
fn leaving(pacer: &mut Passing<Pacer>, start: Instant) -> Vec<(u32, Duration)> {
    let mut left = Vec::new();
    loop {
        while let Some(out) = pacer.poll_write() {
            if let Packet::Rtp(rtp) = &out.message.packet {
                left.push((rtp.header.ssrc, out.now - start));
            }
        }
        match pacer.poll_timeout() {
            Some(at) => pacer.handle_timeout(at).expect("it takes every time"),
            None => return left,
        }
    }
}

#[test]
fn an_ordinary_frame_leaves_at_once() {
    let (mut pacer, pace) = pacer(2_000_000);
    let start = Instant::now();
    for frame in 0..10 {
        let now = start + Duration::from_millis(33) * frame;
        for _ in 0..8 {
            pacer.handle_write(packet(VIDEO, now)).expect("taken");
        }
        assert!(!pace.is_behind(None, now));
        let left = leaving(&mut pacer, now);
        assert_eq!(left.len(), 8);
        assert!(left.iter().all(|(_, at)| *at == Duration::ZERO), "{left:?}");
    }
}

#[test]
fn a_key_frame_is_spread_at_two_and_a_half_times_the_estimate() {
    let (mut pacer, pace) = pacer(1_000_000);
    let start = Instant::now();
    // 40 kB: some 5.6 kB leave at once, the rest at 312 kB/s.
    for _ in 0..40 {
        pacer.handle_write(packet(VIDEO, start)).expect("taken");
    }
    let key = KeyFrame {
        bytes: 40_000,
        at: start,
    };
    assert!(pace.is_behind(None, start) && !pace.is_behind(Some(key), start));
    let left = leaving(&mut pacer, start);
    assert_eq!(left.len(), 40);
    let last = left[39].1;
    assert!((100..120).contains(&last.as_millis()), "{last:?}");
    assert!(!pace.is_behind(None, start));
    // Evenly: never more than a burst in 10 ms.
    for (i, (_, at)) in left.iter().enumerate() {
        let soon = left[i..]
            .iter()
            .filter(|(_, t)| *t - *at < Duration::from_millis(10));
        assert!(soon.count() <= 10);
    }
}

/// Sound would stand behind it in the path's queue.
#[test]
fn over_a_path_that_has_shown_a_limit_hardly_more_leaves_than_it_carries() {
    let (mut pacer, pace) = pacer(1_000_000);
    pace.path.lock().narrow = true;
    let start = Instant::now();
    for _ in 0..40 {
        pacer.handle_write(packet(VIDEO, start)).expect("taken");
    }
    let key = KeyFrame {
        bytes: 40_000,
        at: start,
    };
    assert!(pace.is_behind(None, start) && !pace.is_behind(Some(key), start));
    let left = leaving(&mut pacer, start);
    // Two at once, and then three in what the path takes for two and a half.
    for (i, (_, at)) in left.iter().enumerate() {
        let soon = left[i..]
            .iter()
            .filter(|(_, t)| *t - *at < Duration::from_millis(20));
        assert!(soon.count() <= 5, "{left:?}");
    }
    let last = left[39].1;
    assert!((230..260).contains(&last.as_millis()), "{last:?}");
}

/// A stream of all that the path carries, with key frames of four frames' size: the frames
/// behind them find room.
#[test]
fn over_such_a_path_no_frame_is_left_out_for_a_key_frame_before_it() {
    let (mut pacer, pace) = pacer(1_000_000);
    pace.path.lock().narrow = true;
    let start = Instant::now();
    let (mut now, mut key) = (start, None);
    for frame in 0..300 {
        assert!(!pace.is_behind(key, now), "frame {frame}");
        let packets = match frame % 100 {
            0 => 16,
            _ => 4,
        };
        if frame % 100 == 0 {
            key = Some(KeyFrame {
                bytes: 16_000,
                at: now,
            });
        }
        for _ in 0..packets {
            pacer.handle_write(packet(VIDEO, now)).expect("taken");
        }
        let next = now + Duration::from_micros(33_333);
        while let Some(at) = pacer.poll_timeout().filter(|at| *at < next) {
            pacer.handle_timeout(at).expect("it takes every time");
        }
        now = next;
    }
}

/// What an encoder makes too much, or an estimate that has just fallen, is left out for no
/// key frame.
#[test]
fn over_such_a_path_a_stream_of_somewhat_more_goes_on_behind_a_key_frame() {
    for bits in [900_000, 1_000_000, 1_100_000, 1_150_000] {
        let got = stream_over(true, 1_000_000, bits, true);
        assert_eq!((got.frames, got.key_frames), (300, 1), "{bits}");
    }
}

/// Timers are late where much is to be done.
#[test]
fn over_such_a_path_a_timer_that_is_late_leaves_nothing_out() {
    let (mut pacer, pace) = pacer(5_000_000);
    pace.path.lock().narrow = true;
    let start = Instant::now();
    for ms in 0..3_000 {
        let now = start + Duration::from_millis(ms);
        if ms % 33 == 0 {
            assert!(!pace.is_behind(None, now), "{ms} ms");
            for _ in 0..20 {
                pacer.handle_write(packet(VIDEO, now)).expect("taken");
            }
        }
        if ms % 8 == 0 && pacer.poll_timeout().is_some_and(|at| at <= now) {
            pacer.handle_timeout(now).expect("it takes every time");
        }
    }
}

/// A probe of 1.8 times what it carries, beside a stream of all of it.
#[test]
fn what_such_a_path_is_probed_with_leaves_the_picture_its_share() {
    let (mut pacer, pace) = pacer(200_000);
    pace.path.lock().narrow = true;
    let start = Instant::now();
    for ms in 0..400 {
        let now = start + Duration::from_millis(ms);
        if ms % 40 == 0 {
            assert!(!pace.is_behind(None, now), "{ms} ms");
            pacer.handle_write(packet(VIDEO, now)).expect("taken");
        }
        if ms % 50 == 0 {
            let mut probe = packet(RTX, now);
            probe.message = AttributedPacket::new(probe.message.packet);
            pacer.handle_write(probe).expect("taken");
        }
        while let Some(at) = pacer.poll_timeout().filter(|at| *at <= now) {
            pacer.handle_timeout(at).expect("it takes every time");
        }
    }
    assert!(pace.waits() < 1_100.0, "{}", pace.waits());
}

#[test]
fn sound_never_waits_and_repairs_go_first() {
    let (mut pacer, _) = pacer(500_000);
    let start = Instant::now();
    for _ in 0..30 {
        pacer.handle_write(packet(VIDEO, start)).expect("taken");
    }
    pacer.handle_write(packet(AUDIO, start)).expect("taken");
    pacer.handle_write(packet(RTX, start)).expect("taken");
    let left = leaving(&mut pacer, start);
    let at = |ssrc| left.iter().position(|(s, _)| *s == ssrc).expect("it left");
    assert_eq!(left[at(AUDIO)].1, Duration::ZERO);
    assert!(at(RTX) < 10, "{left:?}");
    assert_eq!(left.len(), 32);
}

#[test]
fn a_thinned_viewer_gets_no_more_than_their_path_carries() {
    let (mut pacer, pace) = pacer(400_000);
    pace.thin(true);
    let start = Instant::now();
    let (mut now, mut sent) = (start, 0);
    // 30 frames a second of 4 kB each would be 960 kbit/s, and there is
    // sound of 60 kbit/s.
    for frame in 0..300 {
        if frame % 4 == 0 {
            pacer.handle_write(packet(AUDIO, now)).expect("taken");
        }
        if !pace.is_behind(None, now) {
            for _ in 0..4 {
                pacer.handle_write(packet(VIDEO, now)).expect("taken");
            }
        }
        let next = now + Duration::from_millis(33);
        loop {
            sent += std::iter::from_fn(|| pacer.poll_write()).count();
            match pacer.poll_timeout() {
                Some(at) if at <= next => pacer.handle_timeout(at).expect("taken"),
                _ => break,
            }
        }
        now = next;
    }
    let bits = sent as f64 * 8_000.0 / (now - start).as_secs_f64();
    assert!((300e3..=380e3).contains(&bits), "{bits}");
}

#[test]
fn a_thinned_viewers_key_frame_waits_for_the_one_before() {
    let (mut pacer, pace) = pacer(128_000);
    pace.thin(true);
    assert!(pace.has_room());
    let start = Instant::now();
    // 18 kB at 14.4 kB/s; 5 leave at once.
    for _ in 0..18 {
        pacer.handle_write(packet(VIDEO, start)).expect("taken");
    }
    let key = KeyFrame {
        bytes: 18_000,
        at: start,
    };
    // The frames behind it belong to it, as long as they are few.
    assert!(!pace.is_behind(Some(key), start) && !pace.has_room());
    for _ in 0..9 {
        pacer.handle_write(packet(VIDEO, start)).expect("taken");
    }
    assert!(pace.is_behind(Some(key), start));
    let left = leaving(&mut pacer, start);
    assert!(pace.has_room());
    let last = left[26].1.as_millis();
    assert!((1_300..1_700).contains(&last), "{last} ms");
    pace.thin(false);
    for _ in 0..18 {
        pacer.handle_write(packet(VIDEO, start)).expect("taken");
    }
    assert!(pace.has_room(), "others are asked for at once");
}

/// A stream of 30 frames a second, a key frame of 40 kB first and half a
/// second after one is asked for, sent as the sender does it.
struct Streamed {
    frames: usize,
    key_frames: usize,
    /// The longest queue, in time at the pace.
    longest: Duration,
    /// The longest time from a key frame until no more than [`LONGEST`]
    /// waits.
    recovered: Duration,
}

fn stream(estimate: u32, stream_bits: u32, allow: bool) -> Streamed {
    stream_over(false, estimate, stream_bits, allow)
}

fn stream_over(narrow: bool, estimate: u32, stream_bits: u32, allow: bool) -> Streamed {
    const KEY: usize = 40;
    let (mut pacer, pace) = pacer(estimate);
    pace.path.lock().narrow = narrow;
    let start = Instant::now();
    let step = Duration::from_millis(33);
    let mut wanted = Some(start);
    let mut last_key: Option<KeyFrame> = None;
    let mut got = Streamed {
        frames: 0,
        key_frames: 0,
        longest: Duration::ZERO,
        recovered: Duration::ZERO,
    };
    let mut owed = 0.0;
    for i in 0..300 {
        let now = start + step * i;
        let is_key = wanted.is_some_and(|at| now >= at);
        owed += f64::from(stream_bits) / 8.0 * step.as_secs_f64() / 1_000.0;
        let packets = if is_key { KEY } else { owed as usize };
        owed -= owed.floor();
        let known = last_key.filter(|_| allow);
        if (wanted.is_none() || is_key) && !pace.is_behind(known, now) {
            wanted = None;
            if is_key {
                let bytes = KEY * 988;
                last_key = Some(KeyFrame { bytes, at: now });
                got.key_frames += 1;
            }
            got.frames += 1;
            for _ in 0..packets {
                pacer.handle_write(packet(VIDEO, now)).expect("taken");
            }
        } else if wanted.is_none() || is_key {
            wanted = Some(now + Duration::from_millis(500));
        }
        let waits = pace.waiting.load(Ordering::Relaxed) as f64 / pace.bytes_per_second();
        let waits = Duration::from_secs_f64(waits);
        got.longest = got.longest.max(waits);
        if let Some(key) = last_key
            && waits > LONGEST
        {
            got.recovered = got.recovered.max(now - key.at);
        }
        while let Some(at) = pacer.poll_timeout().filter(|at| *at <= now + step) {
            pacer.handle_timeout(at).expect("taken");
        }
        while pacer.poll_write().is_some() {}
    }
    got
}

#[test]
fn a_viewer_would_get_nothing_but_key_frames() {
    let strict = stream(1_000_000, 900_000, false);
    assert!(strict.frames < 40, "{} of 300", strict.frames);
    assert!(strict.key_frames > 15, "{}", strict.key_frames);
    let ours = stream(1_000_000, 900_000, true);
    assert_eq!((ours.frames, ours.key_frames), (300, 1));
}

#[test]
fn what_waits_falls_from_a_key_frame_on_or_the_rest_is_left_out() {
    for estimate in [300_000, 1_000_000, 2_000_000] {
        let pace = f64::from(estimate) / 8.0 * FACTOR;
        let key = Duration::from_secs_f64(40_000.0 / pace);
        let path = Duration::from_secs_f64(40_000.0 * 8.0 / f64::from(estimate));
        for share in [0.8, 1.0, 1.4, 2.0, 4.0] {
            let rate = (f64::from(estimate) * share) as u32;
            let got = stream(estimate, rate, true);
            assert!(
                got.longest <= LONGEST + key * 2,
                "{:?}, {key:?}",
                got.longest
            );
            assert!(
                got.recovered <= path + LONGEST * 2,
                "{estimate} {share}: {:?} of {path:?}",
                got.recovered
            );
            if share <= 1.0 {
                assert_eq!(got.frames, 300, "{estimate} {share}");
            }
        }
    }
}

/// When the last of so many packets leaves.
fn last_of(packets: usize, pacer: &mut Passing<Pacer>, start: Instant) -> Duration {
    for _ in 0..packets {
        pacer.handle_write(packet(VIDEO, start)).expect("taken");
    }
    let left = leaving(pacer, start);
    assert_eq!(left.len(), packets);
    left.last().expect("some").1
}

#[test]
fn a_first_key_frame_leaves_at_what_the_path_was_seen_to_take_until_that_is_old() {
    let start = Instant::now();
    let millis = Duration::from_millis;
    // 40 kB; at 2.5 times the estimate they take some 90 ms.
    let (mut unseen, _) = pacer(1_200_000);
    assert!(last_of(40, &mut unseen, start) > millis(75));
    let (mut slow, pace) = pacer(1_200_000);
    pace.path.takes_at_once(1_000_000);
    assert!(last_of(40, &mut slow, start) > millis(75), "as it is paced");
    let (mut fast, pace) = pacer(1_200_000);
    pace.path.takes_at_once(FAST);
    assert!(last_of(40, &mut fast, start) < millis(10));
    // To a viewer who tells nothing of their path as well.
    assert!(last_of(40, &mut fast, start + SEEN) < millis(10));
    assert!(last_of(40, &mut fast, start + SEEN * 2) > millis(70));
    let (mut told, pace) = pacer(1_200_000);
    pace.path.takes_at_once(FAST);
    pace.path.heard(start);
    assert!(
        last_of(40, &mut told, start) > millis(75),
        "feedback is better"
    );
    let (mut moved, pace) = pacer(1_200_000);
    pace.path.takes_at_once(FAST);
    pace.path.moved(start);
    assert!(last_of(40, &mut moved, start) > millis(75), "another path");
}
