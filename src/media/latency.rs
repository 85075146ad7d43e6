//! Where a frame's time goes: from the camera to the viewers, by stage.
//!
//! Streaming threads and senders record here with every frame, so recording is
//! two atomic operations and no lock. Nothing here reads a clock: who records
//! passes the time, so that a test can.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

/// What is older is no part of a report.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);

/// Samples kept of each stage; with many viewers they cover less than
/// [`WINDOW`].
const SAMPLES: usize = 2048;

/// Low bits of a sample: its length in µs, up to 16 s. The bits above are the
/// ms from [`Latency`]'s beginning to the record, plus one: zero is no sample.
const LENGTH_BITS: u32 = 24;

/// One leg of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// From capture to the encoder's input: driver, queues, decoder, converter.
    ToEncoder,
    /// From the encoder's input to its output and through the parser.
    Encode,
    /// From the encoder's output until a viewer's connection encrypts the
    /// frame's packets and gives them to its socket; once for each viewer.
    Send,
    /// From capture until then. The network and the browser come on top.
    Total,
}

impl Stage {
    /// In the order of the way.
    pub const ALL: [Stage; 4] = [Stage::ToEncoder, Stage::Encode, Stage::Send, Stage::Total];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::ToEncoder => "capture → encoder",
            Self::Encode => "encoder",
            Self::Send => "encoder → sent",
            Self::Total => "capture → sent",
        }
    }
}

struct Ring {
    next: AtomicUsize,
    samples: [AtomicU64; SAMPLES],
}

/// The newest durations of every stage.
pub struct Latency {
    since: Instant,
    rings: [Ring; Stage::ALL.len()],
}

impl Latency {
    /// Nothing is recorded yet; `now` is before every record.
    pub fn new(now: Instant) -> Self {
        Self {
            since: now,
            rings: std::array::from_fn(|_| Ring {
                next: AtomicUsize::new(0),
                samples: [const { AtomicU64::new(0) }; SAMPLES],
            }),
        }
    }

    /// Adds what a frame took for `stage`, which it ended `now`.
    pub fn record(&self, stage: Stage, took: Duration, now: Instant) {
        let longest = (1_u128 << LENGTH_BITS) - 1;
        let length = took.as_micros().min(longest) as u64;
        let ring = &self.rings[stage as usize];
        // Two threads that are a whole ring apart could meet in one place; one
        // sample would be lost, and nothing else.
        let place = ring.next.fetch_add(1, Ordering::Relaxed) % SAMPLES;
        ring.samples[place].store(
            (self.milliseconds(now) + 1) << LENGTH_BITS | length,
            Ordering::Relaxed,
        );
    }

    /// The last minute before `now`.
    pub fn report(&self, now: Instant) -> LatencyReport {
        let now = self.milliseconds(now);
        let window = WINDOW.as_millis() as u64;
        let spread = |stage: Stage| {
            let mut lengths: Vec<u64> = self.rings[stage as usize]
                .samples
                .iter()
                .map(|sample| sample.load(Ordering::Relaxed))
                .filter(|sample| {
                    let at = sample >> LENGTH_BITS;
                    at > 0 && now.saturating_sub(at - 1) < window
                })
                .map(|sample| sample & ((1 << LENGTH_BITS) - 1))
                .collect();
            lengths.sort_unstable();
            let percentile = |percent: usize| {
                // The nearest rank: the smallest with so many at or under it.
                let rank = (lengths.len() * percent).div_ceil(100).max(1);
                Duration::from_micros(lengths[rank - 1])
            };
            (!lengths.is_empty()).then(|| Spread {
                stage,
                samples: lengths.len(),
                p50: percentile(50),
                p95: percentile(95),
            })
        };
        LatencyReport(Stage::ALL.into_iter().filter_map(spread).collect())
    }

    fn milliseconds(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.since).as_millis() as u64
    }
}

/// How long a stage took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Which.
    pub stage: Stage,
    /// Frames that were measured; at least 1.
    pub samples: usize,
    /// Half of them took no longer.
    #[serde(rename = "p50_ms", serialize_with = "milliseconds")]
    pub p50: Duration,
    /// 95 of 100 took no longer.
    #[serde(rename = "p95_ms", serialize_with = "milliseconds")]
    pub p95: Duration,
}

fn milliseconds<S: serde::Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(value.as_micros() as f64 / 1000.0)
}

/// The stages of which something was measured, in the order of the way.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct LatencyReport(pub Vec<Spread>);

impl LatencyReport {
    /// One stage.
    pub fn stage(&self, stage: Stage) -> Option<&Spread> {
        self.0.iter().find(|spread| spread.stage == stage)
    }

    /// Some viewer was sent frames.
    pub(crate) fn was_watched(&self) -> bool {
        self.stage(Stage::Total).is_some()
    }
}

/// `capture → encoder 1.9/2.4, …`: p50 and p95 in ms.
impl fmt::Display for LatencyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, spread) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
            write!(
                f,
                "{comma}{} {:.1}/{:.1}",
                spread.stage.name(),
                ms(spread.p50),
                ms(spread.p95)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn half_and_95_of_a_hundred_are_found_whatever_their_order() {
        let now = Instant::now();
        let latency = Latency::new(now);
        for i in (1..=100_u32).rev() {
            latency.record(Stage::Encode, MS * i, now + MS);
        }
        let report = latency.report(now + MS);
        let encode = report.stage(Stage::Encode).expect("measured");
        assert_eq!(
            (encode.samples, encode.p50, encode.p95),
            (100, MS * 50, MS * 95)
        );
        assert_eq!(report.stage(Stage::Send), None);
        assert!(!report.was_watched());
    }

    #[test]
    fn a_single_frame_is_its_own_half() {
        let now = Instant::now();
        let latency = Latency::new(now);
        latency.record(Stage::Total, MS * 7, now);
        let report = latency.report(now);
        assert_eq!(report.to_string(), "capture → sent 7.0/7.0");
        assert!(report.was_watched());
    }

    #[test]
    fn what_is_older_than_a_minute_is_gone() {
        let start = Instant::now();
        let latency = Latency::new(start);
        latency.record(Stage::Send, MS, start);
        latency.record(Stage::Send, MS * 3, start + MS * 30_000);
        let at = |ms| latency.report(start + MS * ms);
        assert_eq!(at(59_999).stage(Stage::Send).expect("both").samples, 2);
        assert_eq!(at(60_000).stage(Stage::Send).expect("one").p50, MS * 3);
        assert_eq!(at(90_000), LatencyReport::default());
    }

    #[test]
    fn the_newest_push_the_oldest_out_and_the_longest_is_kept_in_bounds() {
        let now = Instant::now();
        let latency = Latency::new(now);
        latency.record(Stage::Total, Duration::from_secs(3600), now);
        let report = latency.report(now);
        let total = report.stage(Stage::Total).expect("measured");
        assert_eq!(total.p95.as_secs(), 16);
        for _ in 0..SAMPLES {
            latency.record(Stage::Total, MS, now);
        }
        let report = latency.report(now);
        let total = report.stage(Stage::Total).expect("measured");
        assert_eq!((total.samples, total.p95), (SAMPLES, MS));
    }

    #[test]
    fn threads_record_at_once_and_nothing_is_lost() {
        let now = Instant::now();
        let latency = Latency::new(now);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..500).for_each(|_| latency.record(Stage::Send, MS, now)));
            }
        });
        let report = latency.report(now);
        assert_eq!(report.stage(Stage::Send).expect("measured").samples, 2000);
    }

    #[test]
    fn json_has_the_stage_and_milliseconds() {
        let now = Instant::now();
        let latency = Latency::new(now);
        latency.record(Stage::ToEncoder, Duration::from_micros(1500), now);
        assert_eq!(
            serde_json::to_value(latency.report(now)).expect("JSON"),
            serde_json::json!([
                {"stage": "to-encoder", "samples": 1, "p50_ms": 1.5, "p95_ms": 1.5}
            ])
        );
    }
}
