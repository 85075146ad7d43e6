//! Which signal asks the process to stop, and which to stop at once: pure.
//!
//! The first one is an orderly end. The next one comes from somebody who does
//! not want to wait for it, but for one case: coreutils' `timeout` signals its
//! child and then its own process group, where the child is again, and some
//! supervisors do so, too. So two SIGTERMs in a moment are one. Two SIGINTs are
//! two: that is a person at a keyboard.

use std::time::{Duration, Instant};

/// SIGTERMs that come closer together than this are one.
const MOMENT: Duration = Duration::from_millis(500);

/// A signal that ends a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGTERM, from a program.
    Terminate,
    /// SIGINT, from a keyboard.
    Interrupt,
}

/// What to do on a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Response {
    /// Say goodbye, close the devices, and end.
    Stop,
    /// It is the same request again.
    Nothing,
    /// End here and now.
    Exit,
}

/// The signals there were.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    first: Option<(Signal, Instant)>,
}

impl Ending {
    /// Judges one more.
    pub(crate) fn on(&mut self, signal: Signal, now: Instant) -> Response {
        match self.first {
            None => {
                self.first = Some((signal, now));
                Response::Stop
            }
            Some((Signal::Terminate, at))
                if signal == Signal::Terminate && now.saturating_duration_since(at) < MOMENT =>
            {
                Response::Nothing
            }
            Some(_) => Response::Exit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of signals at these times, in ms after the first.
    fn verdicts(signals: &[(Signal, u64)]) -> Vec<Response> {
        let start = Instant::now();
        let mut ending = Ending::default();
        signals
            .iter()
            .map(|(signal, at)| ending.on(*signal, start + Duration::from_millis(*at)))
            .collect()
    }

    #[test]
    fn two_terms_in_a_moment_are_one_and_a_later_one_is_impatience() {
        use Response::{Exit, Nothing, Stop};
        use Signal::{Interrupt, Terminate};
        for (signals, expected) in [
            (&[(Terminate, 0), (Terminate, 1)][..], &[Stop, Nothing][..]),
            (
                &[(Terminate, 0), (Terminate, 499), (Terminate, 500)],
                &[Stop, Nothing, Exit],
            ),
            (&[(Terminate, 0), (Interrupt, 1)], &[Stop, Exit]),
            (&[(Interrupt, 0), (Interrupt, 1)], &[Stop, Exit]),
            (&[(Interrupt, 0), (Terminate, 1)], &[Stop, Exit]),
        ] {
            assert_eq!(verdicts(signals), expected, "{signals:?}");
        }
    }
}
