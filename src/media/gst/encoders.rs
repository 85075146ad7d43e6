//! Which encoder makes each stream.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use crate::config::VideoConfig;
use crate::media::encoder::Encoder;
use crate::media::error::MediaError;
use crate::media::plan;
use crate::media::probe::{Encoders, Found};
use crate::media::stream::Encoding;

/// Told on the trial's thread which encoder a stream gets.
pub(super) type OnChosen = Arc<dyn Fn(Encoding, Result<Chosen, MediaError>) + Send + Sync>;

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

/// What is asked of the table.
enum Wanted {
    /// The best for a picture of this size, where it is not the whole one.
    First(Option<(u32, u32)>),
    /// The next one after the row of this name.
    After(String),
}

impl Wanted {
    fn at_once(&self, table: &Encoders, encoding: Encoding) -> Option<Result<Chosen, MediaError>> {
        let Encoding { codec, tier } = encoding;
        match self {
            Self::First(_) if tier == 0 => Some(table.best_at_once(codec)?.map(Chosen::first)),
            Self::First(size) => {
                let found = table.beside_best_at_once(codec, *size)?;
                Some(found.map(Chosen::first))
            }
            Self::After(failed) => Some(match table.after_at_once(failed)? {
                Some(next) => Ok(Chosen::after(failed, next, true)),
                None => table
                    .best_at_once(codec)?
                    .map(|best| Chosen::after(failed, best, false)),
            }),
        }
    }

    /// Blocks for as long as it takes to try them.
    fn find(&self, table: &Encoders, encoding: Encoding) -> Result<Chosen, MediaError> {
        let Encoding { codec, tier } = encoding;
        match self {
            Self::First(_) if tier == 0 => table.best(codec).map(Chosen::first),
            Self::First(size) => table.beside_best(codec, *size).map(Chosen::first),
            Self::After(failed) => match table.after(failed) {
                Some(next) => Ok(Chosen::after(failed, next, true)),
                None => table
                    .best(codec)
                    .map(|best| Chosen::after(failed, best, false)),
            },
        }
    }
}

/// An encoder that was chosen.
#[derive(Clone)]
pub(super) struct Chosen {
    found: Found,
    /// The one that failed, where it takes the place of one.
    instead_of: Option<String>,
    /// A better one may work again later.
    fell: bool,
}

impl Chosen {
    fn first(found: Found) -> Self {
        Self {
            found,
            instead_of: None,
            fell: false,
        }
    }

    fn after(failed: &str, found: Found, fell: bool) -> Self {
        Self {
            found,
            instead_of: Some(failed.to_owned()),
            fell,
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
    /// Those for which one is being tried.
    choosing: HashSet<Encoding>,
}

impl Rows {
    pub(super) fn new(table: Arc<Encoders>, h264: Arc<Encoder>) -> Self {
        Self {
            table,
            first: h264.clone(),
            rows: HashMap::from([(Encoding::H264, Row::first(h264))]),
            choosing: HashSet::new(),
        }
    }

    /// The one that is in use for this stream, if any was.
    pub(super) fn get(&self, encoding: Encoding) -> Option<Arc<Encoder>> {
        self.rows.get(&encoding).map(|row| row.encoder.clone())
    }

    /// The one for H.264 in full size.
    pub(super) fn h264(&self) -> Arc<Encoder> {
        self.rows[&Encoding::H264].encoder.clone()
    }

    /// The encoder of this stream, chosen when it is first asked for. `None`
    /// where one has to be tried first: [`OnChosen`] tells of it.
    pub(super) fn encoder(
        &mut self,
        encoding: Encoding,
        config: &VideoConfig,
        tell: &OnChosen,
    ) -> Option<Result<Arc<Encoder>, MediaError>> {
        if let Some(row) = self.rows.get(&encoding) {
            return Some(Ok(row.encoder.clone()));
        }
        let size = plan::tier_size(config, config.shown_size(), encoding.tier);
        match self.choose(encoding, Wanted::First(size), tell)? {
            Ok(chosen) => Some(Ok(self.take(encoding, chosen))),
            Err(error) => Some(Err(error)),
        }
    }

    /// Puts the next one that works in the place of one that failed twice; the
    /// best again behind the last. False where one has to be tried first:
    /// [`OnChosen`] tells of it.
    pub(super) fn replace(&mut self, encoding: Encoding, tell: &OnChosen) -> bool {
        let Some(failed) = self.get(encoding) else {
            return true;
        };
        match self.choose(encoding, Wanted::After(failed.id.to_string()), tell) {
            None => return false,
            Some(Ok(chosen)) => drop(self.take(encoding, chosen)),
            Some(Err(error)) => error!(%error, "no encoder is left"),
        }
        true
    }

    /// What [`OnChosen`] told. False where it is not wanted any more.
    pub(super) fn chosen(
        &mut self,
        encoding: Encoding,
        chosen: &Result<Chosen, MediaError>,
    ) -> bool {
        self.choosing.remove(&encoding);
        let Ok(chosen) = chosen else { return true };
        let present = self.get(encoding).map(|row| row.id.to_string());
        let is_wanted = present == chosen.instead_of;
        if is_wanted {
            self.take(encoding, chosen.clone());
        }
        is_wanted
    }

    /// One is being tried for this stream.
    pub(super) fn is_choosing(&self, encoding: Encoding) -> bool {
        self.choosing.contains(&encoding)
    }

    /// At once where all is known, else on a thread of its own: a trial takes
    /// up to half a minute.
    fn choose(
        &mut self,
        encoding: Encoding,
        wanted: Wanted,
        tell: &OnChosen,
    ) -> Option<Result<Chosen, MediaError>> {
        if self.choosing.contains(&encoding) {
            return None;
        }
        if let Some(known) = wanted.at_once(&self.table, encoding) {
            return Some(known);
        }
        let (table, tell) = (self.table.clone(), tell.clone());
        let thread = std::thread::Builder::new().name("encoder-choice".into());
        let spawned = thread.spawn(move || {
            let chosen = wanted.find(&table, encoding);
            tell(encoding, chosen);
        });
        match spawned {
            Ok(_) => {
                info!(stream = %encoding, "an encoder is tried before it is used");
                self.choosing.insert(encoding);
                None
            }
            Err(e) => Some(Err(MediaError::Pipeline {
                what: format!("encoder for {encoding}"),
                problem: format!("no thread to try it: {e}"),
            })),
        }
    }

    fn take(&mut self, encoding: Encoding, chosen: Chosen) -> Arc<Encoder> {
        let Chosen {
            found, instead_of, ..
        } = chosen;
        if let Some(failed) = &instead_of {
            for warning in &found.report.warnings {
                warn!(encoder = %found.encoder.id, "{warning}");
            }
            warn!(
                stream = %encoding, failed, next = %found.encoder.id,
                "another encoder takes over"
            );
        }
        let row = Row {
            encoder: found.encoder.clone(),
            fell_at: chosen.fell.then(Instant::now),
        };
        self.rows.insert(encoding, row);
        found.encoder
    }

    /// An encoder that failed after many hours may work again: it is given a
    /// new chance when nobody would notice.
    pub(super) fn forgive(&mut self, now: Instant) {
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
