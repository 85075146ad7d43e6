//! When each packet of a voice is played: a jitter buffer that is as deep as the network
//! asks for. Pure: what came and what time it is come in, [`Step`]s go out.
//!
//! The speaker is given sound without a pause, from the first packet on. What is missing
//! when its turn comes is concealed: where it was lost, in its place, and where it is
//! late, before it, so that from there on everything is played later. What waits longer
//! than it has to is played sooner again, by a few ms at a time ([`splice`]).
//!
//! Packets are told apart by their time stamps. Their numbers are of no use here: they
//! count padding, too, and how much sound is missing is told by the time.

pub(crate) mod splice;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::opus;

/// Samples a second, of Opus's time stamps and of all that is played.
const RATE: u32 = opus::RATE;
/// The first packet waits for so long: what browsers and a LAN do to the time of one.
const START: Duration = Duration::from_millis(20);
/// And the latest of those of the last seconds so long, once that is known.
const KEEP: Duration = Duration::from_millis(10);
/// Samples that are concealed at a time: 10 ms, and what Opus can make up at least.
const CONCEALED: i64 = 480;
const LEAST: i64 = 120;
/// As much, as a time.
const WAITS: Duration = Duration::from_millis(10);
/// Where so much is missing nothing is made up for it, and it is no jitter: 100 ms.
const OUTAGE: i64 = 4_800;
/// The newest packet waits no longer than that, in samples of those before it: 120 ms.
const DEEPEST: i64 = 5_760;
/// Packets that wait, whatever they say of their length.
const MOST: usize = 64;
/// Who leaps so far, in samples of a time stamp, begins anew: a second.
const LEAP: i64 = 48_000;
/// Who asks so late what to play has let the card run empty.
const LATE: Duration = Duration::from_millis(20);
/// How long nothing is late before it is played sooner: at first, and after it was.
const AT_FIRST: Duration = Duration::from_secs(1);
const CALM: Duration = Duration::from_secs(10);
/// Waits are remembered by the second, for as long as that.
const SECOND: Duration = Duration::from_secs(1);
/// It becomes shorter no oftener than that.
const PAUSE: Duration = Duration::from_millis(100);

/// A packet of Opus, and when it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    /// Another one begins anew.
    pub(crate) stream: u32,
    /// In samples at 48 kHz (RFC 7587 §4.1).
    pub(crate) timestamp: u32,
    pub(crate) payload: Bytes,
    pub(crate) came: Instant,
}

/// What is given to the speaker next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// This packet, of which so many samples may be left out.
    Play { payload: Bytes, spare: usize },
    /// So many samples in the place of what is not there.
    Conceal(usize),
}

/// What became of a voice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Packets that were played, that came too late, and that were left out since too
    /// many waited.
    pub(crate) played: u32,
    pub(crate) late: u32,
    pub(crate) skipped: u32,
    /// Samples that were made up, and that were left out to be sooner.
    pub(crate) concealed: u64,
    pub(crate) shortened: u64,
    /// The longest that packets had to wait.
    pub(crate) deepest: Duration,
}

/// The jitter buffer of one turn.
#[derive(Debug, Default)]
pub(crate) struct Playout {
    line: Option<Line>,
    waiting: BTreeMap<i64, Waiting>,
    /// What is played next, on the line.
    next: i64,
    /// When that is given to the speaker; nothing, before the first packet.
    due: Option<Instant>,
    /// But no earlier than that: it begins.
    holds: Option<Instant>,
    /// Samples that were made up since the last packet, in the place of nothing.
    missing: i64,
    /// Nothing is played sooner before this time.
    calm: Option<Instant>,
    waits: Waits,
    tally: Tally,
}

/// Time stamps, without their leaps.
#[derive(Debug, Clone, Copy)]
struct Line {
    stream: u32,
    timestamp: u32,
    place: i64,
}

#[derive(Debug)]
struct Waiting {
    payload: Bytes,
    samples: i64,
    came: Instant,
}

impl Playout {
    /// A packet came. What is no Opus, or is late, is dropped.
    pub(crate) fn arrive(&mut self, packet: Packet) {
        let Some(samples) = opus::samples(&packet.payload) else {
            return;
        };
        let begins = self.due.is_none();
        let place = match self.place(&packet) {
            Some(place) if !begins => place,
            place => {
                self.waiting.clear();
                let place = place.unwrap_or(self.next);
                self.begin(place, packet.came);
                place
            }
        };
        if place >= self.next && self.missing >= OUTAGE && self.waiting.is_empty() {
            // It was held up on its way, or was not sent. The latter is no jitter.
            let was_late = (0..=self.missing / 2).contains(&(place - self.next));
            self.begin(place, packet.came);
            if was_late {
                self.calm = Some(packet.came + CALM);
            }
        }
        if place < self.next {
            self.overtaken(packet.came);
            return;
        }
        let waiting = Waiting {
            payload: packet.payload,
            samples: samples.into(),
            came: packet.came,
        };
        self.waiting.entry(place).or_insert(waiting);
        while self.waiting.len() > MOST {
            self.waiting.pop_first();
            self.tally.skipped += 1;
        }
    }

    /// Where on the line a packet is; nothing, where a line begins with it.
    fn place(&mut self, packet: &Packet) -> Option<i64> {
        let (stream, timestamp) = (packet.stream, packet.timestamp);
        let same = self.line.filter(|line| line.stream == stream);
        let ahead = same.map(|line| i64::from(timestamp.wrapping_sub(line.timestamp) as i32));
        let ahead = ahead.filter(|ahead| ahead.abs() <= LEAP);
        let place = self.line.map_or(0, |line| line.place) + ahead.unwrap_or(LEAP);
        if ahead.is_none_or(|ahead| ahead > 0) {
            self.line = Some(Line {
                stream,
                timestamp,
                place,
            });
        }
        if ahead.is_none() {
            self.next = place;
        }
        ahead.map(|_| place)
    }

    fn begin(&mut self, place: i64, came: Instant) {
        let at = came + START;
        self.next = place;
        self.missing = 0;
        self.holds = Some(at);
        self.due.get_or_insert(at);
        self.calm = Some(came + AT_FIRST);
        self.waits.clear();
    }

    /// One came behind what is later than it, and something else was played in its place:
    /// others like it are waited for.
    fn overtaken(&mut self, came: Instant) {
        self.tally.late += 1;
        self.calm = self.calm.max(Some(came + CALM));
        if let (Some(due), None) = (self.due, self.holds) {
            self.holds = Some(due + WAITS);
        }
    }

    /// When there is a step to take; nothing, before the first packet.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Nothing waits to be played.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    /// What is given to the speaker now, and for which time, once that is due. To be
    /// followed by [`given`](Self::given).
    pub(crate) fn step(&mut self, now: Instant) -> Option<(Instant, Step)> {
        let due = self.due.filter(|due| *due <= now)?;
        let due = if now - due > LATE { now } else { due };
        self.due = Some(due);
        Some((due, self.next_step(due)))
    }

    /// So many samples were given to the speaker, and so many left out of them.
    pub(crate) fn given(&mut self, samples: usize, left_out: usize) {
        let time =
            |samples: usize| Duration::from_nanos(samples as u64 * 1_000_000_000 / u64::from(RATE));
        if let Some(due) = &mut self.due {
            *due += time(samples);
            if left_out > 0 {
                self.waits.shorten(time(left_out));
                self.calm = self.calm.max(Some(*due + PAUSE));
                self.tally.shortened += left_out as u64;
            }
        }
    }

    fn next_step(&mut self, due: Instant) -> Step {
        self.skip();
        let first = self.waiting.first_key_value().map(|(place, _)| *place);
        let Some(first) = first.filter(|_| self.holds.is_none_or(|at| at <= due)) else {
            if first.is_none() {
                self.missing += CONCEALED;
            }
            return self.conceal(CONCEALED);
        };
        // What was made up stands for what is lost.
        self.holds = None;
        let lost = first - self.next;
        let stands = lost.min(self.missing);
        self.missing -= stands;
        let lost = lost - stands;
        self.next = first;
        if (LEAST..=OUTAGE).contains(&lost) {
            let now = (lost / LEAST * LEAST).min(CONCEALED);
            self.next = first - lost + now;
            return self.conceal(now);
        }
        self.play(first, due)
    }

    /// Leaves out what is too far behind the newest.
    fn skip(&mut self) {
        while let (Some((first, _)), Some((last, _))) = (
            self.waiting.first_key_value(),
            self.waiting.last_key_value(),
        ) && last - first > DEEPEST
        {
            self.waiting.pop_first();
            self.tally.skipped += 1;
            if let Some((first, _)) = self.waiting.first_key_value() {
                self.next = *first;
                self.missing = 0;
            }
        }
    }

    fn conceal(&mut self, samples: i64) -> Step {
        self.tally.concealed += samples.unsigned_abs();
        Step::Conceal(usize::try_from(samples).unwrap_or_default())
    }

    fn play(&mut self, place: i64, due: Instant) -> Step {
        let Some(waiting) = self.waiting.remove(&place) else {
            return self.conceal(CONCEALED);
        };
        if std::mem::take(&mut self.missing) > 0 {
            self.calm = self.calm.max(Some(due + CALM));
        }
        self.next = place + waiting.samples;
        let waited = due.saturating_duration_since(waiting.came);
        self.waits.add(waited, due);
        self.tally.played += 1;
        self.tally.deepest = self.tally.deepest.max(waited);
        let is_calm = self.calm.is_none_or(|calm| calm <= due);
        let spare = match self.waits.shortest() {
            Some(shortest) if is_calm => shortest.saturating_sub(KEEP),
            Some(_) | None => Duration::ZERO,
        };
        Step::Play {
            payload: waiting.payload,
            spare: (spare.as_secs_f64() * f64::from(RATE)) as usize,
        }
    }
}

/// The shortest wait of each of the last seconds, the newest last.
#[derive(Debug, Default)]
struct Waits(VecDeque<(Instant, Duration)>);

impl Waits {
    fn clear(&mut self) {
        self.0.clear();
    }

    fn add(&mut self, waited: Duration, now: Instant) {
        match self.0.back_mut() {
            Some((since, shortest)) if now < *since + SECOND => *shortest = waited.min(*shortest),
            Some(_) | None => self.0.push_back((now, waited)),
        }
        while self
            .0
            .front()
            .is_some_and(|(since, _)| now >= *since + CALM)
        {
            self.0.pop_front();
        }
    }

    fn shortest(&self) -> Option<Duration> {
        self.0.iter().map(|(_, shortest)| *shortest).min()
    }

    /// All of it is played sooner by so much.
    fn shorten(&mut self, by: Duration) {
        for (_, shortest) in &mut self.0 {
            *shortest = shortest.saturating_sub(by);
        }
    }
}
