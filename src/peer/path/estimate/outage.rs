//! Moments in which a path lets nothing through: a radio link that is lost and
//! found, a cable, a router that begins anew.
//!
//! What is lost then says nothing of what the path carries. A queue that is full
//! looks different: it takes a packet whenever one has left it.

use std::time::{Duration, Instant};

use rtc::interceptor::PacketReport;

/// Everything that was sent for so long is lost: the narrowest path that we use
/// carries a packet in 100 ms.
const SILENT: Duration = Duration::from_millis(300);
/// And no fewer packets than these: three of three are soon lost by chance.
const PACKETS: usize = 8;
/// A path that does so again within this time is a bad one, and judged by it.
const APART: Duration = Duration::from_secs(5);

/// What was lost in a row.
#[derive(Debug, Clone, Copy)]
struct Run {
    first: Instant,
    last: Instant,
    packets: usize,
}

impl Run {
    fn is_outage(self) -> bool {
        self.packets >= PACKETS && self.last.saturating_duration_since(self.first) >= SILENT
    }
}

/// Finds them in what is reported.
#[derive(Debug, Default)]
pub(super) struct Outages {
    lost: Option<Run>,
    /// When the last one ended.
    last: Option<Instant>,
}

impl Outages {
    /// What is reported from the first packet on that came through again;
    /// `None` where there was no outage. Reports are in the order of sending.
    pub(super) fn first_through<'r>(
        &mut self,
        reports: &'r [PacketReport],
    ) -> Option<&'r [PacketReport]> {
        let mut through = None;
        for (i, report) in reports.iter().enumerate() {
            let sent = report.departure;
            if !report.arrived {
                let run = self.lost.get_or_insert(Run {
                    first: sent,
                    last: sent,
                    packets: 0,
                });
                run.last = sent;
                run.packets += 1;
                continue;
            }
            if !self.lost.take().is_some_and(Run::is_outage) {
                continue;
            }
            let long_ago = |at| sent.saturating_duration_since(at) > APART;
            if self.last.is_none_or(long_ago) {
                through = Some(&reports[i..]);
            }
            self.last = Some(sent);
        }
        through
    }
}
