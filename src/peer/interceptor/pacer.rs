//! Spreads what would burst through a small queue on the way, a key frame
//! above all.
//!
//! An ordinary frame leaves at once. What is larger leaves at two and a half
//! times what the path carries, repairs first; sound, RTCP and what the path is
//! [probed](super::repair) with never wait. How
//! much waits is told to the sender, who leaves out frames rather than let it
//! grow: they can do so without a hole in the sequence numbers.
//!
//! # How much may wait
//!
//! A frame is left out, and with it all up to the next key frame, where more
//! than [`LONGEST`] waits. That cannot hold behind a key frame that takes longer
//! than this to leave, as most do: the frames after it would be left out for
//! its size, another key frame be asked for, and its followers be left out for
//! its size in turn. Such a viewer sees nothing but key frames, two a second
//! (`a_viewer_would_get_nothing_but_key_frames` simulates it). So a key frame
//! brings an allowance of its own size, which shrinks as fast as the queue of
//! one does behind which an ordinary stream goes on, and faster than that of a
//! stream that is more than [`DRAINED_BY`] lets it be: what waits falls from
//! the key frame on, or the rest is left out. It is over after as long as the
//! path takes for the key frame; and what waits is never more than two key
//! frames and [`LONGEST`].

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rtc::interceptor::{Attribute, Packet, StreamInfo, TaggedPacket};
use rtc::shared::marshal::MarshalSize;

use super::passing::{Out, Step};
use crate::peer::path::known::Path;
use crate::peer::stats::Tally;

/// How much faster than the path's estimate.
const FACTOR: f64 = 2.5;
/// The same for a viewer whose frames are thinned to what their path carries.
const THINNED: f64 = 0.9;
/// What leaves at once: so much of the estimate, somewhat more than a frame …
const BURST: Duration = Duration::from_millis(45);
/// … and no less than this many bytes.
const LEAST_BURST: f64 = 5_000.0;
/// A new frame is left out when so much waits.
const LONGEST: Duration = Duration::from_millis(30);
/// A key frame's allowance shrinks at this share of the pace: a stream of one
/// and a half times the estimate leaves as much of 2.5.
const DRAINED_BY: f64 = 0.4;
/// The same for a thinned viewer, who is to have a frame or two at a time.
const LONGEST_THINNED: Duration = Duration::from_millis(250);
/// A thinned viewer's next key frame is worth asking for when less waits.
const ROOM: Duration = Duration::from_millis(50);
/// The driver's timers are no finer.
const TICK: Duration = Duration::from_millis(1);

/// The last key frame that was sent.
#[derive(Debug, Clone, Copy)]
pub(in crate::peer) struct KeyFrame {
    /// Its size.
    pub bytes: usize,
    /// When it was put in the queue.
    pub at: Instant,
}

impl KeyFrame {
    /// What may still wait for its size, in bytes, where so much of it leaves.
    fn allows(self, bytes_per_second: f64, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        (self.bytes as f64 - since * bytes_per_second).max(0.0)
    }
}

/// What the pacer and the sender know of each other. Clones are cheap.
#[derive(Debug, Clone)]
pub(in crate::peer) struct Pace {
    path: Path,
    waiting: Arc<AtomicUsize>,
    thinned: Arc<AtomicBool>,
}

impl Pace {
    pub fn new(path: Path) -> Self {
        Self {
            path,
            waiting: Arc::default(),
            thinned: Arc::default(),
        }
    }

    /// Lets through no more than the path carries, or bursts again.
    pub fn thin(&self, on: bool) {
        self.thinned.store(on, Ordering::Relaxed);
    }

    /// So much waits that a new frame is to be left out.
    pub fn is_behind(&self, last_key: Option<KeyFrame>, now: Instant) -> bool {
        let pace = self.bytes_per_second();
        let (longest, drained) = match self.is_thinned() {
            true => (LONGEST_THINNED, pace),
            false => (LONGEST, pace * DRAINED_BY),
        };
        let allowed = last_key.map_or(0.0, |key| key.allows(drained, now));
        self.waits() > pace * longest.as_secs_f64() + allowed
    }

    /// A key frame that is asked for now finds room when it comes. For a
    /// thinned viewer it may not, and one that is left out only costs the bits
    /// of the frames between: they would see none of either.
    pub fn has_room(&self) -> bool {
        !self.is_thinned() || self.waits() <= self.bytes_per_second() * ROOM.as_secs_f64()
    }

    fn waits(&self) -> f64 {
        self.waiting.load(Ordering::Relaxed) as f64
    }

    fn is_thinned(&self) -> bool {
        self.thinned.load(Ordering::Relaxed)
    }

    fn estimate(&self) -> f64 {
        f64::from(self.path.estimate().bits_per_second) / 8.0
    }

    fn bytes_per_second(&self) -> f64 {
        let factor = match self.is_thinned() {
            true => THINNED,
            false => FACTOR,
        };
        self.estimate() * factor
    }
}

pub(in crate::peer) struct Pacer {
    pace: Pace,
    tally: Tally,
    paced: HashSet<u32>,
    /// SSRCs of RTX.
    rtx: HashSet<u32>,
    repairs: VecDeque<TaggedPacket>,
    media: VecDeque<TaggedPacket>,
    /// Bytes that may leave now; in debt after a large packet.
    credit: f64,
    counted: Option<Instant>,
}

fn size(packet: &TaggedPacket) -> usize {
    match &packet.message.packet {
        Packet::Rtp(rtp) => rtp.marshal_size(),
        _ => 0,
    }
}

impl Pacer {
    pub fn new(pace: Pace, tally: Tally) -> Self {
        Self {
            pace,
            tally,
            paced: HashSet::new(),
            rtx: HashSet::new(),
            repairs: VecDeque::new(),
            media: VecDeque::new(),
            credit: LEAST_BURST,
            counted: None,
        }
    }

    /// Lets out what may leave at `now`.
    fn release(&mut self, now: Instant, out: &mut Out) {
        let burst = (self.pace.estimate() * BURST.as_secs_f64()).max(LEAST_BURST);
        let elapsed = self
            .counted
            .map_or(Duration::MAX, |at| now.saturating_duration_since(at));
        let earned = self.pace.bytes_per_second() * elapsed.as_secs_f64();
        self.credit = (self.credit + earned).min(burst);
        self.counted = Some(now);
        while self.credit > 0.0
            && let Some(mut packet) = self.repairs.pop_front().or_else(|| self.media.pop_front())
        {
            let size = size(&packet);
            self.tally.packet(size);
            if packet.message.has(&Attribute::Retransmission) {
                self.tally.repair();
            }
            self.credit -= size as f64;
            self.pace.waiting.fetch_sub(size, Ordering::Relaxed);
            // What waited here did not wait on the path.
            packet.now = packet.now.max(now);
            out.writes.push_back(packet);
        }
    }
}

impl Step for Pacer {
    fn write(&mut self, packet: TaggedPacket, out: &mut Out) {
        let is_paced = match &packet.message.packet {
            Packet::Rtp(rtp) if self.rtx.contains(&rtp.header.ssrc) => {
                packet.message.has(&Attribute::Retransmission)
            }
            Packet::Rtp(rtp) => self.paced.contains(&rtp.header.ssrc),
            _ => false,
        };
        if !is_paced {
            self.tally.packet(size(&packet));
            // What sound takes of the path is not there for the picture.
            self.credit = (self.credit - size(&packet) as f64).max(-LEAST_BURST);
            out.writes.push_back(packet);
            return;
        }
        let now = packet.now;
        let waiting = &self.pace.waiting;
        waiting.fetch_add(size(&packet), Ordering::Relaxed);
        match packet.message.has(&Attribute::Retransmission) {
            true => self.repairs.push_back(packet),
            false => self.media.push_back(packet),
        }
        self.release(now, out);
    }

    fn timeout(&mut self, now: Instant, out: &mut Out) {
        if !(self.media.is_empty() && self.repairs.is_empty()) {
            self.release(now, out);
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        if self.media.is_empty() && self.repairs.is_empty() {
            return None;
        }
        let wait = -self.credit / self.pace.bytes_per_second().max(1.0);
        let wait = Duration::try_from_secs_f64(wait).unwrap_or_default();
        self.counted.map(|at| at + wait.max(TICK))
    }

    fn bind(&mut self, stream: &StreamInfo) {
        if stream.mime_type.starts_with("video/") {
            self.paced.insert(stream.ssrc);
            self.rtx.extend(stream.ssrc_rtx);
        }
    }

    fn unbind(&mut self, stream: &StreamInfo) {
        self.paced.remove(&stream.ssrc);
        if let Some(rtx) = stream.ssrc_rtx {
            self.rtx.remove(&rtx);
        }
    }
}

#[cfg(test)]
mod tests {
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
    fn a_thinned_viewer_gets_no_more_than_his_path_carries() {
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
        const KEY: usize = 40;
        let (mut pacer, pace) = pacer(estimate);
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
}
