//! `camera-agent doctor`: what works on this machine, and what to do where it
//! does not.

use std::io::IsTerminal as _;

use super::process::block_on;
use crate::config::LogConfig;
use crate::doctor::{self, Severity};
use crate::{cli, logging};

/// The findings are the output; nothing is logged beside them unless the
/// environment's `RUST_LOG` asks for it.
pub(super) fn run(arguments: &cli::Doctor) -> anyhow::Result<Severity> {
    logging::start(&LogConfig {
        level: "off".into(),
        ..Default::default()
    })?;
    if std::io::stderr().is_terminal() {
        eprintln!("examining this device; it takes up to 25 s");
    }
    let report = block_on(async {
        Ok(doctor::examine(arguments.config.as_deref(), arguments.quick).await)
    })?;
    if arguments.json {
        println!("{:#}", report.to_json());
    } else {
        print!("{}", report.to_text());
    }
    Ok(report.severity())
}
