//! `camera-agent doctor`: what works on this machine, and what to do where it
//! does not.

use std::io::IsTerminal as _;

use super::process::block_on;
use crate::config::LogConfig;
use crate::doctor::bundle::{self, file::Fresh};
use crate::doctor::{self, Severity};
use crate::{cli, logging};

/// The findings are the output; nothing is logged beside them unless the
/// environment's `RUST_LOG` asks for it.
pub(super) fn run(arguments: &cli::Doctor) -> anyhow::Result<Severity> {
    logging::start(&LogConfig {
        level: "off".into(),
        ..Default::default()
    })?;
    // A name that cannot be used is said before half a minute has gone.
    let file = arguments.report.as_deref().map(Fresh::at).transpose()?;
    if std::io::stderr().is_terminal() {
        eprintln!("examining this device; it takes up to 25 s");
    }
    let config = arguments.config.as_deref();
    let (report, text) = block_on(async {
        let report = doctor::examine(config, arguments.quick).await;
        let text = match &file {
            Some(_) => Some(bundle::gather(config, &report).await),
            None => None,
        };
        Ok((report, text))
    })?;
    if arguments.json {
        println!("{:#}", report.to_json());
    } else {
        print!("{}", report.to_text());
    }
    if let (Some(file), Some(text)) = (file, text) {
        let path = file.write(&text)?;
        eprintln!("{} is written: read it before you send it", path.display());
    }
    Ok(report.severity())
}
