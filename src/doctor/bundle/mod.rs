//! `camera-agent doctor --report FILE`: what a person with a board can send to
//! those who have none, in one file that they can read first.
//!
//! [`gather`] looks at the machine, [`written`] makes the text, without what
//! [`known`] is private and what [`redact`] finds to be; [`file`](mod@file) holds it.
//! [`fixture`] reads it again and finds the same answers where the board is not.

pub(crate) mod file;
pub(crate) mod fixture;
mod known;
mod layout;
mod log;
mod machine;
mod redact;
mod written;

use std::path::Path;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{Check, Finding, Report, configuration};
use crate::config::Config;
use crate::device::discovery::seen;
use crate::device::led::Led;
use crate::inventory::{self, Outcome};
use crate::media::element;
use crate::media::probe::{Checked, Encoders};
use machine::Machine;
use redact::Redactor;
use written::Gathered;

/// Devices that take longer hang. The encoders were tried before.
const LIMIT: Duration = Duration::from_secs(60);

/// What looking at the devices gave.
struct Looked {
    machine: Machine,
    nodes: Vec<seen::SeenNode>,
    inventory: inventory::Report,
    encoders: Vec<Checked>,
}

/// Looks at this machine, and writes down what is there beside what the doctor
/// found. Never fails: what goes wrong is in the text.
pub(crate) async fn gather(path: Option<&Path>, report: &Report) -> String {
    let config = configuration::read(path).0.unwrap_or_default();
    let mut report = report.clone();
    let looked = {
        let config = config.clone();
        let looking = spawn_blocking(move || look(&config));
        let problem = match timeout(LIMIT, looking).await {
            Ok(Ok(Ok(looked))) => Ok(looked),
            Ok(Ok(Err(problem))) => Err(problem),
            Ok(Err(error)) => Err(format!("looking at the devices failed: {error}")),
            Err(_) => Err(format!(
                "the devices did not answer within {} s",
                LIMIT.as_secs()
            )),
        };
        problem.unwrap_or_else(|problem| {
            let remedy = "unplug the camera and plug it in again, then make the report once more";
            report
                .findings
                .push(Finding::error(Check::Camera, &problem, remedy));
            Looked::nothing(problem)
        })
    };
    let unit = log::unit(path);
    let log = spawn_blocking(move || log::read(unit)).await;
    let log = log.unwrap_or_else(|error| log::Log {
        unit: log::unit(path),
        lines: Err(format!("reading it failed: {error}")),
    });
    let chosen = inventory::chosen(&config, &looked.encoders);
    let formats = chosen.map(|c| c.row.formats.iter().map(ToString::to_string).collect());
    let chosen = chosen.map(|c| c.row.id.to_string());
    let mut redactor = Redactor::new(known::of(path, &config));
    let gathered = Gathered {
        machine: looked.machine,
        video: config.video,
        audio: config.audio,
        nodes: looked.nodes,
        inventory: looked.inventory,
        chosen,
        formats: formats.unwrap_or_default(),
        encoders: looked.encoders,
        report,
        log,
    };
    written::text(&gathered, &mut redactor)
}

fn look(config: &Config) -> Result<Looked, String> {
    element::init().map_err(|e| e.to_string())?;
    let encoders = Encoders::for_this_machine(config).map(|encoders| encoders.report());
    let encoders = encoders.unwrap_or_default();
    // To look at a camera is to open its node.
    let led = Led::new(config.led.path.as_deref()).and_then(|led| led.light());
    let _lit = led.map_err(|e| e.to_string())?;
    Ok(Looked {
        machine: Machine::look(&encoders),
        nodes: seen::nodes(),
        inventory: inventory::look(config, &encoders),
        encoders,
    })
}

impl Looked {
    fn nothing(problem: String) -> Self {
        Self {
            machine: Machine::default(),
            nodes: Vec::new(),
            inventory: inventory::Report {
                picture: Outcome::Problem { problem },
                sound: None,
                cameras: Vec::new(),
                other_nodes: Vec::new(),
                libcamera: false,
                microphones: Vec::new(),
                encoders: Vec::new(),
            },
            encoders: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
