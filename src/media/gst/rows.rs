//! Which encoder makes each stream.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{error, warn};

use crate::config::VideoConfig;
use crate::media::encoder::Encoder;
use crate::media::probe::{Encoders, Found};
use crate::media::{Encoding, MediaError, plan};

/// After so long the better one is tried again.
const FORGIVEN: Duration = Duration::from_secs(600);

/// An encoder in use.
struct Row {
    encoder: Arc<Encoder>,
    /// When it took the place of a better one.
    fell_at: Option<Instant>,
}

impl Row {
    fn first(encoder: Arc<Encoder>) -> Self {
        Self {
            encoder,
            fell_at: None,
        }
    }
}

/// The encoders in use.
pub(super) struct Rows {
    table: Arc<Encoders>,
    /// The best encoder for H.264.
    first: Arc<Encoder>,
    /// There is always one for [`Encoding::H264`].
    rows: HashMap<Encoding, Row>,
}

impl Rows {
    pub fn new(table: Arc<Encoders>, h264: Arc<Encoder>) -> Self {
        Self {
            table,
            first: h264.clone(),
            rows: HashMap::from([(Encoding::H264, Row::first(h264))]),
        }
    }

    /// The one that is in use for this stream, if any was.
    pub fn get(&self, encoding: Encoding) -> Option<Arc<Encoder>> {
        self.rows.get(&encoding).map(|row| row.encoder.clone())
    }

    /// The one for H.264 in full size.
    pub fn h264(&self) -> Arc<Encoder> {
        self.rows[&Encoding::H264].encoder.clone()
    }

    /// The encoder of this stream, chosen when it is first asked for.
    pub fn encoder(
        &mut self,
        encoding: Encoding,
        config: &VideoConfig,
    ) -> Result<Arc<Encoder>, MediaError> {
        if let Some(row) = self.rows.get(&encoding) {
            return Ok(row.encoder.clone());
        }
        let Found { encoder, .. } = match encoding.tier {
            0 => self.table.best(encoding.codec)?,
            tier => {
                let size = plan::tier_size(config, config.shown_size(), tier);
                self.table.beside_best(encoding.codec, size)?
            }
        };
        self.rows.insert(encoding, Row::first(encoder.clone()));
        Ok(encoder)
    }

    /// Puts the next one that works in the place of one that failed twice; the
    /// best again behind the last.
    pub fn replace(&mut self, encoding: Encoding) {
        let Some(failed) = self.rows.get(&encoding).map(|row| row.encoder.clone()) else {
            return;
        };
        let next = match self.table.after(&failed.id) {
            Some(next) => {
                for warning in &next.report.warnings {
                    warn!(encoder = %next.encoder.id, "{warning}");
                }
                Row {
                    encoder: next.encoder,
                    fell_at: Some(Instant::now()),
                }
            }
            None => match self.table.best(encoding.codec) {
                Ok(best) => Row::first(best.encoder),
                Err(error) => return error!(%error, "no encoder is left"),
            },
        };
        warn!(
            stream = %encoding, failed = %failed.id, next = %next.encoder.id,
            "another encoder takes over"
        );
        self.rows.insert(encoding, next);
    }

    /// An encoder that failed after many hours may work again: it is given a
    /// new chance when nobody would notice.
    pub fn forgive(&mut self, now: Instant) {
        self.rows.retain(|_, row| {
            row.fell_at
                .is_none_or(|at| now.saturating_duration_since(at) < FORGIVEN)
        });
        // The camera's mode is chosen for what this one takes.
        self.rows
            .entry(Encoding::H264)
            .or_insert_with(|| Row::first(self.first.clone()));
    }
}
