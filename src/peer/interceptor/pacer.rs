//! Spreads what would burst through a small queue on the way, a key frame
//! above all.
//!
//! An ordinary frame leaves at once. What is larger leaves at two and a half
//! times what the path carries, repairs first; sound, RTCP and what the path is
//! [probed](super::repair) with never wait. Where the path has shown a limit, all of
//! the picture leaves little faster than it carries: no part of it comes earlier
//! for standing in the path's queue, and the sound would stand there behind it, which
//! receivers make up for with a longer buffer of sound, and of the picture that belongs
//! to it. How
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

use super::passing::{Out, Step, shrink};
use crate::peer::path::known::Path;
use crate::peer::stats::Tally;

/// How much faster than the path's estimate.
const FACTOR: f64 = 2.5;
/// The same over a path that has shown a limit: enough for an estimate that is
/// somewhat too low.
const NARROW: f64 = 1.25;
/// The same for a viewer whose frames are thinned to what their path carries.
const THINNED: f64 = 0.9;
/// Of what a slow path was seen to carry.
const CAREFULLY: f64 = 0.8;
/// In bit/s. What was seen to carry so much was held up by a browser and by this
/// process, not by the path; and a first key frame of 50 kB stands 50 ms in its
/// queue at the most.
const FAST: u32 = 8_000_000;
/// A key frame leaves such a path at this pace, in bit/s.
const LOCAL: u32 = 40_000_000;
/// So long a burst at that pace, in seconds.
const FIRST_BURST: f64 = 0.010;
/// What a path was seen to carry is worth something for so long after the first
/// packet: to who tells nothing of it, too.
const SEEN: Duration = Duration::from_secs(1);
/// What leaves at once, as time at the estimate: somewhat more than a frame.
const BURST: Duration = Duration::from_millis(45);
/// The least that leaves at once, in bytes.
const LEAST_BURST: f64 = 5_000.0;
/// The same over a path that has shown a limit: a packet, and one more for a credit that is
/// not used up; or what leaves in so long, for timers may be late.
const NARROW_BURST: f64 = 1_250.0;
const LATE: Duration = Duration::from_millis(8);
/// A new frame is left out when so much waits.
const LONGEST: Duration = Duration::from_millis(30);
/// The same over a path that has shown a limit: as many bytes.
const LONGEST_NARROW: Duration = Duration::from_millis(60);
/// A key frame's allowance shrinks at this share of the pace: a stream of one
/// and a half times the estimate leaves as much of 2.5.
const DRAINED_BY: f64 = 0.4;
/// The same over a path that has shown a limit: a stream of 1.17 times the estimate leaves
/// as much of 1.25. An estimate that has just fallen, and an encoder that makes too much,
/// have it so for seconds.
const DRAINED_BY_NARROW: f64 = 0.06;
/// A new frame is left out when so much waits for a thinned viewer, who is to have a frame
/// or two at a time.
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

/// How a viewer's picture leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// No more of it than the path carries.
    Thinned,
    /// The path has shown a limit.
    Narrow,
    /// It has shown none.
    Free,
}

/// What the pacer and the sender know of each other. Clones are cheap.
#[derive(Debug, Clone)]
pub(in crate::peer) struct Pace {
    path: Path,
    waiting: Arc<AtomicUsize>,
    thinned: Arc<AtomicBool>,
}

impl Pace {
    pub(crate) fn new(path: Path) -> Self {
        Self {
            path,
            waiting: Arc::default(),
            thinned: Arc::default(),
        }
    }

    /// Lets through no more than the path carries, or bursts again.
    pub(crate) fn thin(&self, on: bool) {
        self.thinned.store(on, Ordering::Relaxed);
    }

    /// So much waits that a new frame is to be left out.
    pub(crate) fn is_behind(&self, last_key: Option<KeyFrame>, now: Instant) -> bool {
        let pace = self.bytes_per_second();
        let (longest, drained_by) = match self.manner() {
            Manner::Thinned => (LONGEST_THINNED, 1.0),
            Manner::Narrow => (LONGEST_NARROW, DRAINED_BY_NARROW),
            Manner::Free => (LONGEST, DRAINED_BY),
        };
        let allowed = last_key.map_or(0.0, |key| key.allows(pace * drained_by, now));
        self.waits() > pace * longest.as_secs_f64() + allowed
    }

    /// Bytes that may wait right behind a key frame without being left out.
    pub(crate) fn room_for_followers(&self) -> f64 {
        let longest = match self.manner() {
            Manner::Narrow => LONGEST_NARROW,
            Manner::Thinned | Manner::Free => LONGEST,
        };
        self.bytes_per_second() * longest.as_secs_f64() / 2.0
    }

    /// A key frame that is asked for now finds room when it comes. For a
    /// thinned viewer it may not, and one that is left out only costs the bits
    /// of the frames between: they would see none of either.
    pub(crate) fn has_room(&self) -> bool {
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

    fn manner(&self) -> Manner {
        match self.is_thinned() {
            true => Manner::Thinned,
            false if self.path.is_narrow() => Manner::Narrow,
            false => Manner::Free,
        }
    }

    fn bytes_per_second(&self) -> f64 {
        match self.manner() {
            Manner::Thinned => self.estimate() * THINNED,
            Manner::Narrow => self.estimate() * NARROW,
            Manner::Free => (self.estimate() * FACTOR).max(self.at_once()),
        }
    }

    /// Bytes that leave at once.
    fn burst(&self) -> f64 {
        match self.manner() {
            Manner::Narrow => NARROW_BURST.max(self.bytes_per_second() * LATE.as_secs_f64()),
            Manner::Thinned | Manner::Free => (self.estimate() * BURST.as_secs_f64())
                .max(self.at_once() * FIRST_BURST)
                .max(LEAST_BURST),
        }
    }

    /// What leaves a second while nothing is known but what the path was seen to
    /// carry for a moment.
    fn at_once(&self) -> f64 {
        let seen = match self.path.at_once() {
            Some(seen) if seen >= FAST => seen.max(LOCAL),
            Some(seen) => (f64::from(seen) * CAREFULLY) as u32,
            None => 0,
        };
        f64::from(seen) / 8.0
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
    /// When the first packet was to leave.
    began: Option<Instant>,
    /// The first picture has not left as a whole.
    is_first: bool,
}

fn size(packet: &TaggedPacket) -> usize {
    match &packet.message.packet {
        Packet::Rtp(rtp) => rtp.marshal_size(),
        _ => 0,
    }
}

impl Pacer {
    pub(crate) fn new(pace: Pace, tally: Tally) -> Self {
        Self {
            pace,
            tally,
            paced: HashSet::new(),
            rtx: HashSet::new(),
            repairs: VecDeque::new(),
            media: VecDeque::new(),
            credit: LEAST_BURST,
            counted: None,
            began: None,
            is_first: true,
        }
    }

    /// A repetition that nobody needs.
    fn is_probe(&self, packet: &TaggedPacket) -> bool {
        matches!(&packet.message.packet, Packet::Rtp(rtp) if self.rtx.contains(&rtp.header.ssrc))
            && !packet.message.has(&Attribute::Retransmission)
    }

    /// Lets out what may leave at `now`.
    fn release(&mut self, now: Instant, out: &mut Out) {
        let began = *self.began.get_or_insert(now);
        if now.saturating_duration_since(began) > SEEN {
            self.pace.path.forget_at_once();
        }
        let burst = self.pace.burst();
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
            } else if self.is_first
                && let Packet::Rtp(rtp) = &packet.message.packet
            {
                self.is_first = self.tally.first_picture(rtp.header.marker, now);
            }
            self.credit -= size as f64;
            self.pace.waiting.fetch_sub(size, Ordering::Relaxed);
            // What waited here did not wait on the path.
            packet.now = packet.now.max(now);
            out.writes.push_back(packet);
        }
        shrink(&mut self.media);
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
            // What sound takes of the path is not there for the picture. What it is probed
            // with comes on top, and little more than the picture would leave it none.
            if !(self.is_probe(&packet) && self.pace.manner() == Manner::Narrow) {
                self.credit = (self.credit - size(&packet) as f64).max(-LEAST_BURST);
            }
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
mod tests;
