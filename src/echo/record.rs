//! What a canceller did of late, for who reports it. Pure.

use std::fmt;
use std::time::Duration;

use super::{FRAME, Measured, RATE};

/// Frames in which the speaker gave a sound.
#[derive(Debug, Default)]
pub(super) struct Record {
    frames: u32,
    sure: u32,
    measured: Measured,
}

/// What came of the last while in which the speaker spoke.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Report {
    /// How long it spoke.
    pub(crate) spoke: Duration,
    /// The part of that in which both were heard; in the rest it was half-duplex. 0 to 1.
    pub(crate) sure: f32,
    /// What is known of the way at the end of it.
    pub(crate) measured: Measured,
}

impl Record {
    pub(super) fn add(&mut self, is_sure: bool, measured: Measured) {
        self.frames = self.frames.saturating_add(1);
        self.sure = self.sure.saturating_add(u32::from(is_sure));
        self.measured = measured;
    }

    /// Nothing, where the speaker was silent since it was asked last.
    pub(super) fn take(&mut self) -> Option<Report> {
        let Self { frames, sure, .. } = *self;
        let (measured, _) = (self.measured, std::mem::take(self));
        (frames > 0).then(|| Report {
            spoke: Duration::from_secs(1) * frames * FRAME as u32 / RATE,
            sure: sure as f32 / frames as f32,
            measured,
        })
    }
}

/// `sure for 92 % of 12.3 s, 18 ms late, 34 dB less, 12 ppm apart`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (share, spoke) = (self.sure * 100.0, self.spoke.as_secs_f64());
        write!(f, "sure for {share:.0} % of {spoke:.1} s, ")?;
        match self.measured.delay {
            Some(delay) => write!(f, "{} ms late, ", delay.as_millis())?,
            None => write!(f, "no delay known, ")?,
        }
        let Measured {
            return_loss, ppm, ..
        } = self.measured;
        write!(f, "{return_loss:.0} dB less, {ppm:.0} ppm apart")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_while_is_reported_once() {
        let mut record = Record::default();
        assert_eq!(record.take(), None);
        for i in 0..1_000 {
            let measured = Measured {
                delay: (i > 500).then_some(Duration::from_micros(18_400)),
                return_loss: 34.4,
                ppm: -12.0,
            };
            record.add(i >= 250, measured);
        }
        let report = record.take().expect("it spoke");
        let words = "sure for 75 % of 10.0 s, 18 ms late, 34 dB less, -12 ppm apart";
        assert_eq!(report.to_string(), words);
        assert_eq!(record.take(), None);
        record.add(false, Measured::default());
        let words = "sure for 0 % of 0.0 s, no delay known, 0 dB less, 0 ppm apart";
        assert_eq!(record.take().expect("it spoke").to_string(), words);
    }
}
