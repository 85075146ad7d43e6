//! When packets arrived, by the clock of who received them.

use std::borrow::Cow;
use std::time::Duration;

use rtc::interceptor::PacketReport;

/// A receiver's clock in transport-cc: 24 bits of 64 ms, 12.4 days
/// (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1), counted from when
/// it likes. Here it goes on over its wrap.
#[derive(Debug, Default)]
pub(super) struct TheirClock {
    /// The last arrival, unwrapped.
    last: Option<Duration>,
    wraps: u32,
}

impl TheirClock {
    pub(super) const PERIOD: Duration = Duration::from_millis(64 << 24);

    /// Reports with arrivals that do not wrap.
    pub(super) fn unwrap<'r>(&mut self, reports: &'r [PacketReport]) -> Cow<'r, [PacketReport]> {
        let mut reports = Cow::Borrowed(reports);
        for i in 0..reports.len() {
            let Some(arrival) = reports[i].arrival else {
                continue;
            };
            let on = self.at(arrival);
            if on != arrival {
                reports.to_mut()[i].arrival = Some(on);
            }
        }
        reports
    }

    pub(super) fn at(&mut self, arrival: Duration) -> Duration {
        let half = Self::PERIOD / 2;
        let mut on = arrival + Self::PERIOD * self.wraps;
        if let Some(last) = self.last {
            if on + half < last {
                self.wraps += 1;
                on += Self::PERIOD;
            } else if on > last + half {
                // Out of order, from before the wrap.
                return on.saturating_sub(Self::PERIOD);
            }
        }
        self.last = Some(on);
        on
    }
}
