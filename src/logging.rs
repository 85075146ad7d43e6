//! Log lines on standard error, for people or as JSON.
//!
//! Where standard error is the journal each line carries its priority, as
//! sd-daemon(3) has it, and no time, for the journal has its own.

#[cfg(test)]
pub(crate) mod journal;

use std::fmt;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterFn, filter_fn};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, format};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::config::{ConfigError, LogConfig, LogFormat};
use crate::secret::without_credentials;

/// What the crates under this one say is kept to what an operator can use.
/// webrtc-rs logs at ERROR what is everyday life on a network.
const QUIET: &str = "webrtc=off,rtc=off,rtc_ice=off,rtc_dtls=off,rtc_sctp=off,rtc_turn=off,\
                     rtc_mdns=off,rtc_interceptor=off,rtc_srtp=off,rtc_shared=off";

/// Whose most detailed lines hold what nobody may read, whatever the filter
/// says: the request of the WebSocket's handshake with its `Authorization`.
const SECRET: &str = "tungstenite::handshake";

/// The log that was started; its level can be changed.
pub struct Logging(reload::Handle<EnvFilter, Registry>);

/// Starts logging. The environment's `RUST_LOG` has the last word.
pub(crate) fn start(config: &LogConfig) -> Result<Logging, ConfigError> {
    let (filter, handle) = reload::Layer::new(filter(config)?);
    let layer = tracing_subscriber::fmt::layer().with_writer(|| Clean(io::stderr()));
    let registry = tracing_subscriber::registry().with(filter).with(discreet());
    let started = match (config.format, is_journal()) {
        (LogFormat::Human, false) => registry
            .with(
                layer
                    .with_ansi(io::stderr().is_terminal())
                    .with_target(false),
            )
            .try_init(),
        (LogFormat::Human, true) => {
            let plain = format().with_ansi(false).with_target(false).without_time();
            let layer = layer.with_ansi(false).event_format(Prioritised(plain));
            registry.with(layer).try_init()
        }
        (LogFormat::Json, false) => registry.with(layer.json().flatten_event(true)).try_init(),
        (LogFormat::Json, true) => {
            let json = format().json().flatten_event(true);
            let layer = layer.json().event_format(Prioritised(json));
            registry.with(layer).try_init()
        }
    };
    started.map_err(|e| bad(e.to_string()))?;
    Ok(Logging(handle))
}

impl Logging {
    /// Takes another level; the format stays.
    pub(crate) fn set_level(&self, config: &LogConfig) -> Result<(), ConfigError> {
        let filter = filter(config)?;
        self.0.reload(filter).map_err(|e| bad(e.to_string()))
    }
}

fn filter(config: &LogConfig) -> Result<EnvFilter, ConfigError> {
    let wanted = std::env::var("RUST_LOG").unwrap_or_else(|_| config.level.clone());
    EnvFilter::try_new(format!("{QUIET},{wanted}"))
        .map_err(|e| bad(format!("\"{wanted}\" is no level and no filter: {e}")))
}

/// Keeps lines back that hold secrets.
fn discreet() -> FilterFn<impl Fn(&Metadata<'_>) -> bool> {
    filter_fn(|line| *line.level() != Level::TRACE || !line.target().starts_with(SECRET))
}

/// Writes lines without the credentials that may be in addresses: what a
/// camera's address is, for one, comes in GStreamer's own words.
struct Clean<W>(W);

impl<W: io::Write> io::Write for Clean<W> {
    /// Whole lines come in one piece.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(bytes) {
            Ok(text) if text.contains('@') => {
                self.0.write_all(without_credentials(text).as_bytes())?;
            }
            _ => self.0.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn bad(problem: String) -> ConfigError {
    ConfigError::Value {
        key: "log.level",
        problem,
    }
}

/// The one line of a process that cannot go on, whether or not logging has
/// started.
pub(crate) fn last_words(words: &dyn fmt::Display) {
    let priority = if is_journal() { "<3>" } else { "" };
    let words = without_credentials(&format!("{words:#}"));
    eprintln!("{priority}camera-agent: {words}");
}

/// Standard error goes to the journal: systemd says which file that is
/// (systemd.exec(5), `JOURNAL_STREAM`), and it was not redirected since.
fn is_journal() -> bool {
    let Ok(journal) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    let Ok(stderr) = io::stderr().as_fd().try_clone_to_owned() else {
        return false;
    };
    std::fs::File::from(stderr)
        .metadata()
        .is_ok_and(|file| journal == format!("{}:{}", file.dev(), file.ino()))
}

/// Lines that begin with their priority.
struct Prioritised<F>(F);

impl<S, N, F> FormatEvent<S, N> for Prioritised<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = String::new();
        self.0
            .format_event(context, Writer::new(&mut text), event)?;
        let priority = priority(*event.metadata().level());
        text.lines()
            .try_for_each(|line| writeln!(writer, "<{priority}>{line}"))
    }
}

/// syslog(3)'s number.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::journal::Journal;
    use super::*;

    #[test]
    fn secrets_are_kept_back_whatever_the_level() {
        let lines = Journal::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || Clean(writer.clone()));
        let registry = tracing_subscriber::registry().with(EnvFilter::new("trace"));
        tracing::subscriber::with_default(registry.with(discreet()).with(layer), || {
            tracing::trace!(target: "tungstenite::handshake::client", "Authorization: north");
            tracing::debug!(target: "tungstenite::handshake::client", "done");
            tracing::warn!("cannot open rtsp://camera:north@h/door or \"http://north@h\"");
        });
        let text = lines.text();
        assert!(!text.contains("north"), "{text}");
        assert!(
            text.contains("done") && text.contains("rtsp://…@h/door"),
            "{text}"
        );
    }

    #[test]
    fn each_line_in_the_journal_carries_its_priority() {
        let lines = Journal::default();
        let writer = lines.clone();
        let plain = format().with_ansi(false).with_target(false).without_time();
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .event_format(Prioritised(plain))
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::error!("lost");
            tracing::warn!("odd\nin two lines");
            tracing::info!(viewers = 3, "call");
        });
        let text = lines.text();
        let lines: Vec<_> = text.lines().collect();
        assert!(
            lines[0].starts_with("<3>") && lines[0].ends_with("lost"),
            "{text}"
        );
        assert!(
            lines[1].starts_with("<4>") && lines[2].starts_with("<4>"),
            "{text}"
        );
        assert!(
            lines[3].starts_with("<6>") && lines[3].contains("viewers=3"),
            "{text}"
        );
        assert_eq!(lines.len(), 4, "{text}");
    }
}
