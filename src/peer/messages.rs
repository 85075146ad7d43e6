//! The messages of the data channel [`LABEL`], as docs/protocol.md describes them for
//! those who write a page of their own. Text in, text out.
//!
//! Each is a JSON object with a `type`. Types and fields that are not known
//! are passed over by both sides, so that either can be newer.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::talk::FloorWords;
use crate::access::{Guest, Key, KeyId};
use crate::bucket::Rate;
use crate::config::{ControlValue, ZoneConfig, ZoneWish};
use crate::device::controls::{CameraControl, Kind};
use crate::floor::Place;
use crate::media::moved::Moved;
use crate::media::status::MediaStatus;
use crate::motion::trigger::End;
use crate::reason::{Code, Reason};
use crate::zones::Known;

/// The channel that is served; a page opens it with its first offer.
pub(crate) const LABEL: &str = "camera-agent";

/// Longest message read, in bytes.
pub(crate) const MAX_BYTES: usize = 4096;

/// How many messages of a viewer are read.
pub(super) const LISTENED: Rate = Rate {
    burst: 20.0,
    per_second: 20.0,
};

/// Longest list of controls sent, in bytes: under what every browser takes.
/// No real camera comes near it.
const MAX_CONTROLS_BYTES: usize = 32 * 1024;

/// Longest words of an error, in characters.
const MAX_WORDS: usize = 500;

/// What a viewer says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FromViewer {
    /// Set this control of the camera.
    Control {
        /// Its name.
        name: String,
        /// To what.
        value: ControlValue,
    },
    /// Close camera and microphone, or let them be opened again.
    Privacy {
        /// Close them.
        on: bool,
    },
    /// Send this quality, whatever the path carries.
    Quality {
        /// 0 is the best; `None` for what suits the path.
        tier: Option<usize>,
    },
    /// Tell how the stream goes, once a second, or no longer.
    Stats {
        /// Tell it.
        on: bool,
    },
    /// They want to talk, or no longer.
    Talk {
        /// They do.
        on: bool,
        /// They wait until they may.
        wait: bool,
    },
    /// Say what time it is there: answered by [`pong`] at once.
    Ping {
        /// Sent back as it came: by it the viewer knows which ping is answered.
        id: u32,
    },
    /// The key of this name, that was handed over by [`key`], is kept.
    KeyKept {
        /// The name.
        id: String,
    },
    /// Look for motion elsewhere.
    Zones(ZoneWish),
    /// A type that is not known here.
    Unknown,
}

/// How one viewer's stream went since they were last told. Sent as it stands here,
/// as a `stats` message.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub(crate) struct Stats {
    /// The quality that they are sent, 0 the best.
    pub tier: usize,
    /// Of it they get only what their path carries.
    pub thinned: bool,
    /// What was sent, in bit/s: video, audio, repairs, RTP headers included.
    pub sent_bps: u32,
    /// What their path is taken to carry, in the same unit.
    pub estimate_bps: u32,
    /// Share of packets that their page reported lost, 0 to 1.
    pub loss: f64,
    /// The round trip in ms, once it is known.
    pub rtt_ms: Option<f64>,
    /// How long packets stand in the path's queue, in ms.
    pub queue_ms: f64,
    /// Pictures sent, in pictures a second.
    pub fps: f64,
    /// Pictures that were left out for them.
    pub left_out: u32,
    /// Packets that were sent again.
    pub repairs: u32,
}

/// Why a message is passed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MessageError {
    /// Longer than [`MAX_BYTES`].
    #[error("it has {0} bytes, the limit is {MAX_BYTES}")]
    TooLong(usize),
    /// Not a JSON object with a `type`.
    #[error("it is no JSON object with a \"type\"")]
    Unreadable,
    /// A `control` message without what it needs; the viewer is told.
    #[error(
        "a control message needs \"name\" (text) and \"value\" (a whole number, true, false or a label)"
    )]
    Control,
    /// A `quality` message without what it needs; the viewer is told.
    #[error(
        "a quality message needs \"tier\" (0 for the best, 1 for the next, null for what suits)"
    )]
    Quality,
    /// A `privacy` message without what it needs; the viewer is told.
    #[error("a privacy message needs \"on\" (true or false)")]
    Privacy,
    /// A `zone` or `zones` message without what it needs; the viewer is told.
    #[error(
        "a zone message needs \"name\" (text) and \"corners\" (pairs of numbers, or null to take it \
         away); a zones message needs \"configured\": true"
    )]
    Zone,
    /// A `talk` message without what it needs; the viewer is told.
    #[error("a talk message needs \"on\" (true or false)")]
    Talk,
    /// A `stats` message without what it needs; the viewer is told.
    #[error("a stats message needs \"on\" (true or false)")]
    Stats,
    /// A `ping` message without what it needs; the viewer is told.
    #[error("a ping message needs \"id\" (a whole number from 0 to 4294967295)")]
    Ping,
}

#[derive(Deserialize)]
struct Control {
    name: String,
    value: ControlValue,
}

#[derive(Deserialize)]
struct Zone {
    name: String,
    corners: Option<Vec<[f32; 2]>>,
    sensitivity: Option<u8>,
    was: Option<String>,
}

impl From<Zone> for ZoneWish {
    fn from(zone: Zone) -> Self {
        let Zone {
            name,
            corners,
            sensitivity,
            was,
        } = zone;
        match corners {
            Some(corners) => Self::Put {
                was,
                zone: ZoneConfig {
                    name,
                    corners,
                    sensitivity,
                },
            },
            None => Self::Away(name),
        }
    }
}

/// Reads what a viewer sent.
///
/// # Errors
///
/// It is too long or not of this protocol.
pub(crate) fn parse(text: &[u8]) -> Result<FromViewer, MessageError> {
    if text.len() > MAX_BYTES {
        return Err(MessageError::TooLong(text.len()));
    }
    let message: Value = serde_json::from_slice(text).map_err(|_| MessageError::Unreadable)?;
    match message["type"].as_str() {
        Some("control") => {
            let Control { name, value } =
                serde_json::from_value(message).map_err(|_| MessageError::Control)?;
            Ok(FromViewer::Control { name, value })
        }
        Some("quality") => match &message["tier"] {
            Value::Null => Ok(FromViewer::Quality { tier: None }),
            tier => match tier.as_u64().map(usize::try_from) {
                Some(Ok(tier)) => Ok(FromViewer::Quality { tier: Some(tier) }),
                _ => Err(MessageError::Quality),
            },
        },
        Some("privacy") => match message["on"].as_bool() {
            Some(on) => Ok(FromViewer::Privacy { on }),
            None => Err(MessageError::Privacy),
        },
        Some("zone") => match serde_json::from_value::<Zone>(message) {
            Ok(zone) => Ok(FromViewer::Zones(zone.into())),
            Err(_) => Err(MessageError::Zone),
        },
        Some("zones") => match message["configured"].as_bool() {
            Some(true) => Ok(FromViewer::Zones(ZoneWish::Configured)),
            _ => Err(MessageError::Zone),
        },
        Some("stats") => match message["on"].as_bool() {
            Some(on) => Ok(FromViewer::Stats { on }),
            None => Err(MessageError::Stats),
        },
        Some("talk") => match message["on"].as_bool() {
            Some(on) => Ok(FromViewer::Talk {
                on,
                wait: message["wait"].as_bool() == Some(true),
            }),
            None => Err(MessageError::Talk),
        },
        Some("ping") => match message["id"].as_u64().map(u32::try_from) {
            Some(Ok(id)) => Ok(FromViewer::Ping { id }),
            _ => Err(MessageError::Ping),
        },
        Some("key-kept") => match message["id"].as_str() {
            Some(id) => Ok(FromViewer::KeyKept { id: id.to_owned() }),
            None => Err(MessageError::Unreadable),
        },
        Some(_) => Ok(FromViewer::Unknown),
        None => Err(MessageError::Unreadable),
    }
}

/// How picture and sound are.
pub(crate) fn status(status: &MediaStatus) -> String {
    json!({"type": "status", "video": status.video, "audio": status.audio}).to_string()
}

/// The controls that a viewer may set, and how they stand.
///
/// Bit masks are left out: they are for the configuration, not for people.
pub(crate) fn controls<'a>(controls: impl IntoIterator<Item = &'a CameraControl>) -> String {
    let mut bytes = 0;
    let fitting: Vec<Value> = controls
        .into_iter()
        .filter(|c| c.control.writable && c.kind != Kind::Bitmask)
        .map(control)
        .take_while(|control| {
            bytes += control.to_string().len() + 1;
            bytes <= MAX_CONTROLS_BYTES
        })
        .collect();
    json!({"type": "controls", "controls": fitting}).to_string()
}

fn control(control: &CameraControl) -> Value {
    let what = &control.control;
    let mut message = json!({
        "name": what.name,
        "minimum": what.minimum,
        "maximum": what.maximum,
        "step": what.step.max(1),
        "default": what.default,
        "value": control.value,
    });
    if !what.menu.is_empty() {
        let item = |(value, label): &(i64, String)| json!({"value": value, "label": label});
        message["menu"] = what.menu.iter().map(item).collect();
    }
    if control.inactive {
        message["inactive"] = true.into();
    }
    message
}

/// Who is heard at the camera, and whether this viewer may be.
pub(super) fn floor(words: &FloorWords) -> String {
    let bounded = |text: &str| text.chars().take(MAX_WORDS).collect::<String>();
    let told = |reason: &Reason| json!({"why": reason.code, "text": bounded(&reason.words)});
    let you = match words.place {
        Place::Talks => "talks",
        Place::Waits => "waits",
        Place::Listens => "listens",
    };
    let mut message = json!({"type": "floor", "may": words.may, "you": you});
    if let Some(name) = &words.talks {
        message["talks"] = bounded(name).into();
    }
    if let Some(reason) = &words.why {
        message["why"] = told(reason)["why"].clone();
        message["text"] = told(reason)["text"].clone();
    }
    if let Some(reason) = &words.speaker {
        message["speaker"] = told(reason);
    }
    message.to_string()
}

/// Motion, as it begins and once more as it ends. `past`: it is said to somebody
/// who has just come.
pub(crate) fn motion(moved: &Moved, past: bool) -> String {
    let began = moved.began.duration_since(SystemTime::UNIX_EPOCH);
    let began = began.unwrap_or_default().as_millis() as u64;
    let mut message = json!({"type": "motion", "zone": &*moved.zone, "began_ms": began});
    if let Some((end, lasted)) = moved.ended {
        message["ended_ms"] = (began + lasted.as_millis() as u64).into();
        message["end"] = match end {
            End::Still => "still",
            End::Maximum => "maximum",
            End::Unseen => "unseen",
        }
        .into();
    }
    if past {
        message["past"] = true.into();
    }
    message.to_string()
}

/// As whom a viewer was invited, and to what.
pub(crate) fn invited(guest: &Guest) -> String {
    let may: Vec<_> = guest.may.words().collect();
    json!({"type": "invited", "label": guest.label.as_str(), "may": may}).to_string()
}

/// A key for this viewer's browser alone. The channel is the only way that it
/// takes.
pub(crate) fn key(id: KeyId, key: &Key) -> String {
    json!({"type": "key", "id": id.to_string(), "key": key.expose()}).to_string()
}

/// Why an invited person's control is not obeyed.
pub(super) const NO_CONTROL: Reason = Reason::fixed(
    Code::ControlsNotInvited,
    "your invitation does not let you set this camera; ask its owner for one that does",
);
/// Why a control is not set yet.
pub(super) const BUSY: Reason = Reason::fixed(
    Code::CameraBusy,
    "the camera is still busy with the changes before this one",
);

/// Why something that a viewer asked for was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// For programs and for people.
    pub reason: Reason,
    /// The control that it is about.
    pub control: Option<String>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            control: None,
        }
    }
}

impl From<&MessageError> for Refusal {
    fn from(error: &MessageError) -> Self {
        Reason::new(Code::BadMessage, error.to_string()).into()
    }
}

/// Why privacy is not switched for a viewer.
pub(crate) const NO_PRIVACY: Reason = Reason::fixed(
    Code::PrivacyNotInvited,
    "only who was invited to control this camera may switch it off and on",
);

/// Whether camera and microphone are closed for privacy, to who may switch that.
pub(crate) fn privacy(on: bool) -> String {
    json!({"type": "privacy", "on": on}).to_string()
}

/// Why zones are not drawn for a viewer.
pub(crate) const NO_ZONES: Reason = Reason::fixed(
    Code::ZonesNotInvited,
    "only who was invited to control this camera may say where it looks for motion",
);

/// Where motion is looked for; whether this viewer may draw it elsewhere.
pub(crate) fn zones(known: &Known, may_draw: bool) -> String {
    #[derive(Serialize)]
    struct Message<'a> {
        r#type: &'static str,
        zones: &'a [ZoneConfig],
        sensitivity: u8,
        drawn: bool,
        may_draw: bool,
    }
    let message = Message {
        r#type: "zones",
        zones: &known.zones,
        sensitivity: known.sensitivity,
        drawn: known.drawn,
        may_draw,
    };
    serde_json::to_string(&message).expect("texts and numbers can be written")
}

/// How many qualities a viewer can choose from with `quality`, the best first;
/// they have not chosen yet.
pub(crate) fn qualities(count: usize) -> String {
    json!({"type": "qualities", "count": count}).to_string()
}

/// How the stream goes.
pub(crate) fn stats(stats: &Stats) -> String {
    #[derive(Serialize)]
    struct Message<'a> {
        r#type: &'static str,
        #[serde(flatten)]
        stats: &'a Stats,
    }
    let message = Message {
        r#type: "stats",
        stats,
    };
    serde_json::to_string(&message).expect("numbers can be written")
}

/// The answer to a ping: the time here, since 1970. Capture times that the
/// stream carries are by this clock; with half the ping's round trip a page can
/// tell its own from it.
pub(crate) fn pong(id: u32, now: Duration) -> String {
    // Microseconds are what a double holds of today's date.
    let now = (now.as_secs_f64() * 1e6).round() / 1e3;
    json!({"type": "pong", "id": id, "now_ms": now}).to_string()
}

/// That something a viewer asked for was not done.
pub(crate) fn error(about: &str, refusal: &Refusal) -> String {
    let bounded = |text: &str| text.chars().take(MAX_WORDS).collect::<String>();
    let Refusal { reason, control } = refusal;
    let text = bounded(&reason.words);
    let mut message = json!({"type": "error", "about": about, "text": text, "why": reason.code});
    if let Some(control) = control {
        message["control"] = bounded(control).into();
    }
    message.to_string()
}

#[cfg(test)]
mod tests;
