//! How calls begin, stage by stage: from the offer to the last packet of the
//! first picture. Pure.
//!
//! Each call writes one record, by [`Begins`]; the last ones are kept in
//! [`Begun`], for the log and for `doctor`.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tracing::debug;

use crate::agent::SessionId;
use crate::lock::lock;

/// Calls that are kept. Half of them are few enough to be told apart from the
/// rest, and a day's calls of a house fit.
const CALLS: usize = 64;

/// What ends a stage, in the order of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stage {
    /// The answer is given to the agent, on its way to the viewer.
    Answer,
    /// ICE has a pair of addresses.
    Path,
    /// The DTLS handshake is over.
    Handshake,
    /// The first packet of the picture goes to the socket.
    FirstPacket,
    /// The last packet of the first picture does.
    Picture,
}

impl Stage {
    pub(crate) const ALL: [Stage; 5] = [
        Stage::Answer,
        Stage::Path,
        Stage::Handshake,
        Stage::FirstPacket,
        Stage::Picture,
    ];

    /// For people.
    fn name(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Path => "path",
            Self::Handshake => "DTLS",
            Self::FirstPacket => "first packet",
            Self::Picture => "rest of the picture",
        }
    }
}

/// One call: when each stage ended, counted from the offer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stages([Option<Duration>; Stage::ALL.len()]);

impl Stages {
    /// A stage has ended, so long after the offer. It does once.
    fn end(&mut self, stage: Stage, after: Duration) {
        self.0[stage as usize].get_or_insert(after);
    }

    /// How long a stage took: since the latest end of those before it. `None`
    /// where it has not ended.
    pub(crate) fn took(&self, stage: Stage) -> Option<Duration> {
        let end = self.0[stage as usize]?;
        let before = self.0[..stage as usize].iter().flatten().max();
        Some(end.saturating_sub(before.copied().unwrap_or_default()))
    }

    /// From the offer to the whole picture.
    pub(crate) fn whole(&self) -> Option<Duration> {
        self.0[Stage::Picture as usize]
    }
}

/// `answer 2.6, path 7.1, …; 26.3 ms in all`.
impl fmt::Display for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for stage in Stage::ALL {
            if let Some(took) = self.took(stage) {
                let comma = if stage == Stage::Answer { "" } else { ", " };
                write!(f, "{comma}{} {:.1}", stage.name(), ms(took))?;
            }
        }
        match self.whole() {
            Some(whole) => write!(f, "; {:.1} ms in all", ms(whole)),
            None => Ok(()),
        }
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The last calls that came to a picture. Clones are cheap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Begun(Arc<Mutex<Calls>>);

#[derive(Debug, Default)]
struct Calls {
    /// The oldest first.
    last: VecDeque<Stages>,
    /// How many there were in all.
    count: u64,
}

impl Begun {
    fn add(&self, stages: Stages) {
        let mut calls = lock(&self.0);
        if calls.last.len() == CALLS {
            calls.last.pop_front();
        }
        calls.last.push_back(stages);
        calls.count += 1;
    }

    /// How many calls came to a picture so far.
    pub(crate) fn count(&self) -> u64 {
        lock(&self.0).count
    }

    /// The last ones.
    pub(crate) fn report(&self) -> Report {
        let calls = lock(&self.0);
        let of = |took: &dyn Fn(&Stages) -> Option<Duration>| {
            Spread::of(calls.last.iter().filter_map(took).collect())
        };
        let stages = Stage::ALL.iter().filter_map(|&stage| {
            let spread = of(&|stages| stages.took(stage))?;
            Some(StageSpread { stage, spread })
        });
        Report {
            calls: calls.last.len(),
            stages: stages.collect(),
            whole: of(&Stages::whole).unwrap_or_default(),
        }
    }

    /// The newest one.
    pub(crate) fn newest(&self) -> Option<Stages> {
        lock(&self.0).last.back().copied()
    }
}

/// How long something took in some calls, in ms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    /// Half of them took no longer.
    pub p50_ms: f64,
    /// 95 of 100 took no longer.
    pub p95_ms: f64,
}

impl Spread {
    fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        // The nearest rank: the smallest with so many at or under it.
        let rank = |percent: usize| (times.len() * percent).div_ceil(100).max(1);
        let at = |percent| {
            let time = times.get(rank(percent) - 1)?;
            Some(time.as_micros() as f64 / 1e3)
        };
        Some(Self {
            p50_ms: at(50)?,
            p95_ms: at(95)?,
        })
    }
}

/// One stage of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct StageSpread {
    /// Which.
    pub stage: Stage,
    /// How long.
    #[serde(flatten)]
    pub spread: Spread,
}

/// How the last calls began.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// How many there are in it.
    pub calls: usize,
    /// In the order of the way.
    pub stages: Vec<StageSpread>,
    /// From the offer to the whole picture.
    pub whole: Spread,
}

/// `offer → picture 26.3/41.0: answer 2.6/3.0, …`: p50 and p95 in ms.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pair = |spread: Spread| format!("{:.1}/{:.1}", spread.p50_ms, spread.p95_ms);
        write!(f, "offer → picture {}", pair(self.whole))?;
        for (i, StageSpread { stage, spread }) in self.stages.iter().enumerate() {
            let before = if i == 0 { ":" } else { "," };
            write!(f, "{before} {} {}", stage.name(), pair(*spread))?;
        }
        Ok(())
    }
}

/// A call that begins. Clones are of the same call, and cheap.
#[derive(Debug, Clone)]
pub(crate) struct Begins {
    session: SessionId,
    offered: Instant,
    stages: Arc<Mutex<Stages>>,
    begun: Begun,
}

impl Begins {
    /// The offer came then; the call is added to `begun` once there is a picture.
    pub(crate) fn new(session: SessionId, offered: Instant, begun: Begun) -> Self {
        Self {
            session,
            offered,
            stages: Arc::default(),
            begun,
        }
    }

    /// Whose it is.
    pub(crate) fn session(&self) -> SessionId {
        self.session
    }

    /// A stage is over; of one that was before, nothing is noted.
    pub(crate) fn end(&self, stage: Stage, now: Instant) {
        let mut stages = lock(&self.stages);
        if stages.whole().is_some() {
            return;
        }
        stages.end(stage, now.saturating_duration_since(self.offered));
        if stages.whole().is_none() {
            return;
        }
        let took = |stage| stages.took(stage).map(ms);
        debug!(
            session = %self.session,
            answer_ms = took(Stage::Answer),
            path_ms = took(Stage::Path),
            dtls_ms = took(Stage::Handshake),
            packet_ms = took(Stage::FirstPacket),
            picture_ms = took(Stage::Picture),
            all_ms = stages.whole().map(ms),
            "the call has begun"
        );
        self.begun.add(*stages);
    }

    /// A packet of the picture goes to the socket; whether it is the last of its
    /// picture. True while more are to be told.
    pub(crate) fn packet(&self, is_last: bool, now: Instant) -> bool {
        self.end(Stage::FirstPacket, now);
        if is_last {
            self.end(Stage::Picture, now);
        }
        !is_last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// One that took so long for each stage.
    fn call(begun: &Begun, each: [u32; 5]) {
        let offered = Instant::now();
        let begins = Begins::new(SessionId::new(1), offered, begun.clone());
        let mut now = offered;
        for (stage, took) in Stage::ALL.into_iter().zip(each) {
            now += MS * took;
            begins.end(stage, now);
            // A second DTLS state or ICE pair is no part of the beginning.
            begins.end(stage, now + MS);
        }
    }

    #[test]
    fn each_stage_is_counted_from_the_one_before() {
        let begun = Begun::default();
        call(&begun, [3, 7, 12, 1, 4]);
        let stages = begun.newest().expect("it came to a picture");
        assert_eq!(
            stages.to_string(),
            "answer 3.0, path 7.0, DTLS 12.0, first packet 1.0, rest of the picture 4.0; \
             27.0 ms in all"
        );
        assert_eq!(
            begun.report().to_string(),
            "offer → picture 27.0/27.0: answer 3.0/3.0, path 7.0/7.0, DTLS 12.0/12.0, \
             first packet 1.0/1.0, rest of the picture 4.0/4.0"
        );
    }

    #[test]
    fn a_call_without_a_picture_is_none_and_one_packet_may_be_a_picture() {
        let begun = Begun::default();
        let offered = Instant::now();
        let begins = Begins::new(SessionId::new(1), offered, begun.clone());
        begins.end(Stage::Answer, offered + MS);
        assert!(begins.packet(false, offered + MS * 5), "more to be told");
        assert_eq!((begun.count(), begun.newest()), (0, None));
        assert_eq!(begun.report(), Report::default());
        assert!(!begins.packet(true, offered + MS * 6));
        assert!(!begins.packet(true, offered + MS * 60));
        let stages = begun.newest().expect("a picture");
        assert_eq!(begun.count(), 1);
        assert_eq!(stages.whole(), Some(MS * 6));
        // ICE and DTLS were not told of: the packet is counted from the answer.
        assert_eq!(stages.took(Stage::Path), None);
        assert_eq!(stages.took(Stage::FirstPacket), Some(MS * 4));
    }

    #[test]
    fn what_comes_out_of_order_takes_no_time() {
        let mut stages = Stages::default();
        stages.end(Stage::Path, MS * 9);
        stages.end(Stage::Answer, MS * 10);
        stages.end(Stage::Handshake, MS * 8);
        assert_eq!(stages.took(Stage::Answer), Some(MS * 10));
        assert_eq!(stages.took(Stage::Path), Some(Duration::ZERO));
        assert_eq!(stages.took(Stage::Handshake), Some(Duration::ZERO));
    }

    #[test]
    fn the_last_calls_count_and_half_and_95_of_a_hundred_are_found() {
        let begun = Begun::default();
        call(&begun, [900; 5]);
        for i in 1..=CALLS as u32 {
            call(&begun, [i, 1, 1, 1, 1]);
        }
        let report = begun.report();
        assert_eq!((report.calls, begun.count()), (CALLS, CALLS as u64 + 1));
        assert_eq!(report.stages[0].stage, Stage::Answer);
        let answer = report.stages[0].spread;
        assert_eq!((answer.p50_ms, answer.p95_ms), (32.0, 61.0));
        assert_eq!((report.whole.p50_ms, report.whole.p95_ms), (36.0, 65.0));
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let begun = Begun::default();
        call(&begun, [3, 7, 12, 1, 4]);
        let text = serde_json::to_string(&begun.report()).expect("JSON");
        assert!(
            text.contains(r#"{"stage":"first-packet","p50_ms":1.0,"p95_ms":1.0}"#),
            "{text}"
        );
        let read: Report = serde_json::from_str(&text).expect("a report");
        assert_eq!(read, begun.report());
    }
}
