//! What was seen during an attack and after it, and whether that holds.

use std::time::{Duration, Instant};

use super::THOUSAND;

pub(super) const MEBIBYTE: u64 = 1 << 20;
/// Nobody is woken up as late as this, but where the machine stands still.
const STALLED: Duration = Duration::from_millis(50);
/// A second caller has a picture by then.
const SERVED: Duration = Duration::from_secs(2);

/// What came of an attack.
pub(super) struct Verdict {
    pub(super) wrong: Vec<String>,
    pub(super) seen: String,
}

/// What was before an attack.
pub(super) struct Before {
    pub(super) state: State,
    /// Bytes that came to somebody who has no part in it.
    pub(super) victim: u64,
    /// Lines of log.
    pub(super) log: usize,
    /// How often the camera has connected to the chat server.
    pub(super) registered: usize,
}

/// What was seen while it lasted.
pub(super) struct During {
    pub(super) began: Instant,
    pub(super) seconds: f64,
    pub(super) gap: Duration,
    /// How long the unluckiest second caller waited; none where one got nothing.
    pub(super) served: Option<Duration>,
    /// Seen by the viewer, a second.
    pub(super) pictures: f64,
    /// Sent by the attackers, a second.
    pub(super) messages: f64,
    /// What the device took, in processors.
    pub(super) busy: f64,
    /// In bytes, before and after each second caller.
    pub(super) memory: Vec<u64>,
    pub(super) stalled: Duration,
}

/// What is looked at before an attack and after it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) memory: u64,
    pub(super) files: usize,
    pub(super) threads: usize,
}

impl Verdict {
    /// What the viewer, the second caller and the memory say.
    pub(super) fn of(name: &str, during: &During, before: &Before, calm: Duration) -> Self {
        let mut verdict = Self {
            wrong: Vec::new(),
            seen: String::new(),
        };
        let (gap, served) = (during.gap, during.served);
        let stalled = Some(during.stalled).filter(|late| *late > STALLED);
        let bar = Duration::from_millis(500).max(calm + Duration::from_millis(300));
        let bar = bar + stalled.unwrap_or_default();
        verdict.hold(
            gap <= bar,
            format!("no picture for {gap:.2?}, at most {bar:.2?}"),
        );
        verdict.hold(
            served.is_some_and(|t| t <= SERVED),
            format!("the second caller had a picture after {served:.2?}"),
        );
        let memory = &during.memory;
        let most = memory.iter().max().copied().unwrap_or_default();
        let last = memory.last().copied().unwrap_or_default();
        let grown = most.saturating_sub(before.state.memory) / MEBIBYTE;
        verdict.hold(grown <= 64, format!("{grown} MiB more"));
        if name == THOUSAND {
            verdict.of_a_thousand(during, last);
        }
        verdict.seen = format!(
            "gap {gap:.2?} (machine {:.2?}), {:.1} pictures a second, second caller {:.2?}, {} MiB, \
             then {}, then {}, {:.2} processors, {:.0} messages a second",
            during.stalled,
            during.pictures,
            served.unwrap_or_default(),
            before.state.memory / MEBIBYTE,
            memory[memory.len() / 2] / MEBIBYTE,
            last / MEBIBYTE,
            during.busy,
            during.messages,
        );
        verdict
    }

    fn of_a_thousand(&mut self, during: &During, last: u64) {
        let (pictures, messages) = (during.pictures, during.messages);
        // One gap as long as it may be costs nine of them.
        self.hold(
            pictures >= 29.5 - 9.0 / during.seconds,
            format!("{pictures:.1} pictures a second"),
        );
        self.hold(
            messages >= 900.0,
            format!("only {messages:.0} messages a second"),
        );
        // The first calls take what later ones find.
        let middle = during.memory[during.memory.len() / 2..].iter().min();
        let middle = middle.copied().unwrap_or(last);
        self.hold(
            last <= middle + 8 * MEBIBYTE,
            format!("{last} bytes at the end, {middle} before"),
        );
    }

    pub(super) fn hold(&mut self, holds: bool, what: String) {
        if !holds {
            self.wrong.push(what);
        }
    }
}
