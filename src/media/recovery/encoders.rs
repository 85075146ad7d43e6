//! An encoder that fails, ends or is silent.

use std::collections::VecDeque;
use std::time::Instant;

use tracing::warn;

use super::{Action, Encoder, HASTE, Recovery};
use crate::media::stream::Encoding;

impl Recovery {
    pub(super) fn observe_encoder(
        &mut self,
        codec: Encoding,
        now: Instant,
        fed: bool,
        encoded: Option<Instant>,
    ) {
        let silence = self.limits.silence;
        let Some(encoder) = self.encoders.get_mut(&codec) else {
            return;
        };
        if let Some((at, action)) = encoder.restart_at {
            if now >= at {
                encoder.restart_at = None;
                self.actions.push_back(action);
            }
            return;
        }
        if let Some(at) = encoded.filter(|at| *at >= encoder.started) {
            encoder.fault = None;
            if fed && now.saturating_duration_since(at) >= silence {
                let reason = format!("nothing came out for {:.1} s", silence.as_secs_f64());
                self.encoder_failed(codec, reason, now);
            }
        } else if fed && now.saturating_duration_since(encoder.started) >= self.limits.first_output
        {
            self.encoder_failed(codec, "nothing came out at all".to_owned(), now);
        }
    }

    pub(super) fn encoder_started(&mut self, codec: Encoding, now: Instant) {
        let encoder = self.encoders.entry(codec).or_insert_with(|| Encoder {
            started: now,
            down: false,
            faults: VecDeque::new(),
            fault: None,
            restart_at: None,
        });
        encoder.started = now;
        encoder.down = false;
    }

    pub(super) fn encoder_failed(&mut self, codec: Encoding, reason: String, now: Instant) {
        let series = self.limits.series;
        let Some(encoder) = self.encoders.get_mut(&codec) else {
            return;
        };
        if std::mem::replace(&mut encoder.down, true) {
            return;
        }
        while encoder
            .faults
            .front()
            .is_some_and(|at| now.saturating_duration_since(*at) > series)
        {
            encoder.faults.pop_front();
        }
        let hasty = encoder
            .faults
            .back()
            .is_some_and(|at| now.saturating_duration_since(*at) < HASTE);
        encoder.faults.push_back(now);
        warn!(stream = %codec, reason, faults = encoder.faults.len(), "the encoder failed");
        encoder.fault = Some(reason);
        // Twice is no accident. Odd: the row itself; even: the next one.
        let action = match encoder.faults.len() % 2 {
            0 => Action::NextEncoder(codec),
            _ => Action::RestartEncoder(codec),
        };
        // Two at once are quick to mend; a long series must not spin.
        if hasty && encoder.faults.len() > 2 {
            encoder.restart_at = Some((now + HASTE, action));
        } else {
            self.actions.push_back(action);
        }
    }
}
