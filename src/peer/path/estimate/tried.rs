//! What is counted of a probe. Pure.

use std::time::Duration;

use rtc::interceptor::PacketReport;

use super::{Probe, SHORTEST};

/// What came of the probe that is on.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) probe: Probe,
    /// Bytes behind the first packet, and the time over which they came.
    bytes: usize,
    first: Option<Duration>,
    last: Duration,
}

impl Tried {
    pub(super) fn new(probe: Probe) -> Self {
        Self {
            probe,
            bytes: 0,
            first: None,
            last: Duration::ZERO,
        }
    }

    pub(super) fn count(&mut self, reports: &[PacketReport], untold: &[PacketReport]) {
        let probe = self.probe;
        let of_it = |r: &&PacketReport| r.departure >= probe.began && probe.is_on(r.departure);
        if self.first.is_some() {
            self.bytes += untold.iter().filter(of_it).map(|r| r.size).sum::<usize>();
        }
        for report in reports.iter().filter(of_it) {
            let Some(arrival) = report.arrival.filter(|_| report.arrived) else {
                continue;
            };
            match self.first {
                None => self.first = Some(arrival),
                Some(_) => self.bytes += report.size,
            }
            self.last = self.last.max(arrival);
        }
    }

    /// What arrived, in bit/s; `None` where it is too little to say.
    pub(super) fn arrived(&self) -> Option<f64> {
        let time = self.last.checked_sub(self.first?)?;
        (time >= SHORTEST).then(|| self.bytes as f64 * 8.0 / time.as_secs_f64())
    }
}
