//! Log lines on standard error, for people or as JSON.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{ConfigError, LogConfig, LogFormat};

/// What the crates under this one say is kept to what an operator can use.
/// webrtc-rs logs at ERROR what is everyday life on a network.
const QUIET: &str = "webrtc=off,rtc=off,rtc_ice=off,rtc_dtls=off,rtc_sctp=off,rtc_turn=off,\
                     rtc_mdns=off,rtc_interceptor=off,rtc_srtp=off,rtc_shared=off";

/// Starts logging. The environment's `RUST_LOG` has the last word.
pub fn start(config: &LogConfig) -> Result<(), ConfigError> {
    let bad = |problem: String| ConfigError::Value {
        key: "log.level",
        problem,
    };
    let wanted = std::env::var("RUST_LOG").unwrap_or_else(|_| config.level.clone());
    let filter = EnvFilter::try_new(format!("{QUIET},{wanted}"))
        .map_err(|e| bad(format!("\"{wanted}\" is no level and no filter: {e}")))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match config.format {
        LogFormat::Human => builder
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|e| bad(e.to_string()))
}
