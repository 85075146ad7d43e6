//! A bundle that somebody sent, read again: a described machine whose answers are
//! held against those that the board gave. What comes is a stranger's text. Pure.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::layout;
use super::machine::Machine;
use super::redact::LONGEST;
use super::written::FORMAT;
pub(crate) use super::written::MOST;
use crate::config::{AudioConfig, Config, VideoConfig};
use crate::device::discovery::seen::SeenNode;
use crate::device::learned::Memory;
use crate::device::{Camera, Microphone};
use crate::inventory::Outcome;
use crate::media::encoder::Encoder;
use crate::media::error::MediaError;
use crate::media::plan::{self, Circumstances};

/// Entries of any list; no camera has so many modes.
const MOST_ENTRIES: usize = 5_000;
/// Cameras, microphones, nodes and encoders.
const MOST_DEVICES: usize = 256;
/// Characters of a reader's words that are repeated.
const MOST_WORDS: usize = 160;

/// Why a text is no bundle, in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no report of camera-agent doctor: {0}")]
pub(crate) struct ReadError(String);

/// The parts of a bundle of which a fixture is made.
#[derive(Deserialize)]
struct Bundle {
    report: Head,
    machine: Machine,
    wanted: Wanted,
    devices: Devices,
    plan: Plan,
    encoders: Vec<Row>,
}

#[derive(Deserialize)]
struct Head {
    format: u32,
    by: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    video: VideoConfig,
    audio: AudioConfig,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Devices {
    nodes: Vec<SeenNode>,
    cameras: Vec<Camera>,
    #[serde(rename = "others")]
    _others: IgnoredAny,
    microphones: Vec<Microphone>,
    #[serde(rename = "libcamera")]
    _libcamera: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    encoder: Option<String>,
    formats: Vec<Cow<'static, str>>,
    memory: String,
    pass_through: bool,
    skip_modes: usize,
    picture: Outcome,
    sound: Option<Outcome>,
}

#[derive(Deserialize)]
struct Row {
    id: String,
    usable: bool,
}

/// A described machine: `tests/fixtures/devices/*.json`. `reported` is what its
/// board said, where one did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fixture {
    pub board: String,
    pub confirmed: String,
    pub source: String,
    pub video: VideoConfig,
    pub audio: AudioConfig,
    pub formats: Vec<Cow<'static, str>>,
    pub memory: String,
    pub pass_through: bool,
    pub skip_modes: usize,
    /// Rows of the table that worked there, the one that is taken first.
    pub encoders: Vec<String>,
    pub cameras: Vec<Camera>,
    pub microphones: Vec<Microphone>,
    pub reported: Reported,
}

/// The answers of a board.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reported {
    /// Each node, and what it was taken for.
    pub nodes: Vec<SeenNode>,
    /// What was planned.
    pub picture: Outcome,
    pub sound: Option<Outcome>,
    /// The row that was taken, which may be one of the board's own configuration.
    pub encoder: Option<String>,
}

impl Fixture {
    /// Reads a bundle.
    ///
    /// # Errors
    ///
    /// It is none, or not one that is whole.
    pub(crate) fn of_bundle(text: &str) -> Result<Self, ReadError> {
        let bad = |words: String| ReadError(words);
        if text.len() > MOST {
            return Err(bad(format!(
                "it has {} bytes, and none has more than {MOST}",
                text.len()
            )));
        }
        let value: Value = serde_json::from_str(text).map_err(|e| bad(words(&e)))?;
        bounded(&value).map_err(bad)?;
        // Of another format the parts may be others, too.
        let head: Head = Head::deserialize(&value["report"]).map_err(|e| bad(words(&e)))?;
        if head.format != FORMAT {
            return Err(bad(format!(
                "it is of format {}, and this version reads format {FORMAT}: take the version \
                 that wrote it",
                head.format
            )));
        }
        let bundle: Bundle = serde_json::from_value(value).map_err(|e| bad(words(&e)))?;
        let fixture = Self::of(bundle)?;
        let config = Config {
            video: fixture.video.clone(),
            audio: fixture.audio.clone(),
            ..Config::default()
        };
        config.validate().map_err(|e| bad(words(&e)))?;
        // Nodes and memory have to make sense; what comes of them is not asked here.
        fixture.differences().map_err(bad)?;
        Ok(fixture)
    }

    fn of(bundle: Bundle) -> Result<Self, ReadError> {
        let Bundle {
            report,
            machine,
            wanted,
            devices,
            plan,
            encoders,
        } = bundle;
        let counts = [
            devices.nodes.len(),
            devices.cameras.len(),
            devices.microphones.len(),
            encoders.len(),
            plan.formats.len(),
        ];
        if counts.iter().any(|count| *count > MOST_DEVICES) {
            return Err(ReadError(format!(
                "more than {MOST_DEVICES} devices of a kind"
            )));
        }
        let is_taken = |row: &&Row| plan.encoder.as_ref() == Some(&row.id);
        let usable = || encoders.iter().filter(|row| row.usable);
        let first = usable().filter(is_taken);
        let others = usable().filter(|row| !is_taken(row));
        let in_table = first
            .chain(others)
            .filter(|row| Encoder::row(&row.id).is_some());
        let encoders = in_table.map(|row| row.id.clone()).collect();
        let Machine {
            board,
            kernel,
            architecture,
            system,
            gstreamer,
            ..
        } = machine;
        Ok(Self {
            board: format!("{board}, {architecture}"),
            confirmed: format!("Reported from this board by {}.", report.by),
            source: format!("the board: kernel {kernel}, {system}, GStreamer {gstreamer}"),
            video: wanted.video,
            audio: wanted.audio,
            formats: plan.formats,
            memory: plan.memory,
            pass_through: plan.pass_through,
            skip_modes: plan.skip_modes,
            encoders,
            cameras: devices.cameras,
            microphones: devices.microphones,
            reported: Reported {
                nodes: devices.nodes,
                picture: plan.picture,
                sound: plan.sound,
                encoder: plan.encoder,
            },
        })
    }

    /// The text of its file.
    pub(crate) fn text(&self) -> String {
        let value = json!(self);
        let keys = [
            "board",
            "confirmed",
            "source",
            "video",
            "audio",
            "formats",
            "memory",
            "pass_through",
            "skip_modes",
            "encoders",
            "cameras",
            "microphones",
            "reported",
        ];
        layout::object(&keys.map(|key| (key, value[key].clone())))
    }

    /// Its file's name: the board's, and a number of its own.
    pub(crate) fn name(&self) -> String {
        let board = self.board.to_lowercase();
        let words: Vec<_> = board
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect();
        let mut slug = words.join("-");
        slug.truncate(48);
        // FNV-1a, 64 bits: to tell two from each other.
        let number = self
            .text()
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
                (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
            });
        format!("reported-{slug}-{:06x}.json", number & 0xff_ffff)
    }

    /// What this version answers otherwise than the board did, a line each.
    ///
    /// # Errors
    ///
    /// The description makes no sense.
    pub(crate) fn differences(&self) -> Result<Vec<String>, String> {
        let memory = match self.memory.as_str() {
            "mmap" => Memory::Mmap,
            "dmabuf" => Memory::Dmabuf,
            _ => return Err("plan.memory is neither \"mmap\" nor \"dmabuf\"".to_owned()),
        };
        let mut all = Vec::new();
        for node in &self.reported.nodes {
            let is = node.again()?;
            if is != node.is {
                let SeenNode {
                    device,
                    driver,
                    caps,
                    is: was,
                } = node;
                all.push(format!(
                    "{device} ({driver}, {caps}) was taken for \"{was}\", and is for \"{is}\" here"
                ));
            }
        }
        let circumstances = Circumstances {
            formats: &self.formats,
            memory,
            pass_through: self.pass_through,
            skip_modes: self.skip_modes,
        };
        let picture = plan::picture(&self.video, &self.cameras, &circumstances);
        let picture = picture.map_or_else(Outcome::from, |plan| Outcome::Plan {
            what: plan.what,
            reason: plan.reason,
            mode: plan.mode,
            pipeline: plan.description,
        });
        all.extend(difference(
            "picture",
            Some(&self.reported.picture),
            Some(&picture),
        ));
        let sound = plan::sound(&self.audio, &self.microphones);
        let sound = sound.map_or_else(
            |error: MediaError| Some(Outcome::from(error)),
            |plan| {
                plan.map(|plan| Outcome::Plan {
                    what: plan.what,
                    reason: plan.reason,
                    mode: None,
                    pipeline: plan.description,
                })
            },
        );
        all.extend(difference(
            "sound",
            self.reported.sound.as_ref(),
            sound.as_ref(),
        ));
        Ok(all)
    }
}

/// The first part in which two outcomes differ.
fn difference(of: &str, there: Option<&Outcome>, here: Option<&Outcome>) -> Option<String> {
    if there == here {
        return None;
    }
    let (there, here) = (json!(there), json!(here));
    let part = ["problem", "what", "mode", "reason", "pipeline"]
        .into_iter()
        .find(|part| there[part] != here[part]);
    Some(match part {
        Some(part) => format!(
            "{of}.{part} was {} on the board, and is {} here",
            there[part], here[part]
        ),
        None => format!("{of} was {there} on the board, and is {here} here"),
    })
}

/// What a text may be made of, however it is made.
fn bounded(value: &Value) -> Result<(), String> {
    match value {
        Value::String(text) if text.len() > 2 * LONGEST => {
            Err(format!("a text in it has {} bytes", text.len()))
        }
        Value::String(text) if text.contains(char::is_control) => {
            Err("a text in it has control characters".to_owned())
        }
        Value::Array(items) if items.len() > MOST_ENTRIES => {
            Err(format!("a list in it has {} entries", items.len()))
        }
        Value::Array(items) => items.iter().try_for_each(bounded),
        Value::Object(fields) => fields.iter().try_for_each(|(key, value)| {
            bounded(&Value::from(key.as_str()))?;
            bounded(value)
        }),
        _ => Ok(()),
    }
}

/// A reader's words, which may repeat what a stranger wrote.
fn words(error: &impl std::fmt::Display) -> String {
    let words = error.to_string();
    let line = words.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(MOST_WORDS).collect()
}
