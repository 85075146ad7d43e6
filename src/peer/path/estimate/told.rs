//! Of which streams a viewer's feedback tells.
//!
//! The crate's history keeps every packet that leaves, and takes those for lost
//! that are not told of by the time a later one is. But nothing is told of a
//! stream that the viewer did not offer transport-cc for: so it is with the
//! sound of Firefox, whose fifty packets a second looked like a third of all
//! lost, whatever was sent. What such streams send is on the path all the same.

use std::borrow::Cow;

use rtc::interceptor::PacketReport;

/// The SSRCs of which a packet was told that it came. There are three, at most:
/// sound, picture and its RTX.
#[derive(Debug, Default)]
pub(super) struct Told(Vec<u32>);

/// What was reported at once, in the order in which it was sent.
pub(super) struct Sorted<'r> {
    /// Of streams that are told of: what did not come is lost.
    pub told: Cow<'r, [PacketReport]>,
    /// Of the others: it is not known what came.
    pub untold: Vec<PacketReport>,
}

impl Told {
    /// Tells the packets of which something is known from the others.
    pub(super) fn sort<'r>(&mut self, reports: &'r [PacketReport]) -> Sorted<'r> {
        for report in reports.iter().filter(|report| report.arrived) {
            if !self.0.contains(&report.ssrc) {
                self.0.push(report.ssrc);
            }
        }
        let is_told = |report: &&PacketReport| self.0.contains(&report.ssrc);
        if reports.iter().all(|report| is_told(&report)) {
            return Sorted {
                told: Cow::Borrowed(reports),
                untold: Vec::new(),
            };
        }
        let (told, untold): (Vec<_>, Vec<_>) = reports.iter().partition(is_told);
        Sorted {
            told: told.into_iter().cloned().collect(),
            untold: untold.into_iter().cloned().collect(),
        }
    }
}
