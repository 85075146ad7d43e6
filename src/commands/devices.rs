//! `camera-agent devices`: cameras, microphones and encoders, as they are found.

use std::io::{ErrorKind, Write as _};

use anyhow::Context as _;

use crate::device::led::Led;
use crate::media::element;
use crate::media::probe::Encoders;
use crate::secret::without_credentials;
use crate::{cli, inventory};

/// Looks, and prints what there is.
pub(super) fn run(arguments: &cli::Devices) -> anyhow::Result<()> {
    let config = arguments.configuration()?;
    element::init()?;
    let encoders = Encoders::for_this_machine(&config)?;
    // To look at a camera is to open its node.
    let lit = Led::new(config.led.path.as_deref())?.light()?;
    let report = inventory::look(&config, &encoders.report());
    drop(lit);
    let text = if arguments.json {
        serde_json::to_string_pretty(&report).context("writing JSON")? + "\n"
    } else {
        report.to_string()
    };
    // A pipeline of the owner's may name a camera with its password.
    let text = without_credentials(&text);
    match std::io::stdout().write_all(text.as_bytes()) {
        // `| head` has seen enough.
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("writing to standard output"),
    }
}
