//! The messages of the data channel [`LABEL`], as docs/protocol.md describes them for
//! those who write a page of their own. Text in, text out.
//!
//! Each is a JSON object with a `type`. Types and fields that are not known
//! are passed over by both sides, so that either can be newer.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::access::{Guest, Key, KeyId};
use crate::config::ControlValue;
use crate::device::controls::{CameraControl, Kind};
use crate::media::status::MediaStatus;

/// The channel that is served; a page opens it with its first offer.
pub const LABEL: &str = "camera-agent";

/// Longest message read, in bytes.
pub const MAX_BYTES: usize = 4096;

/// Longest list of controls sent, in bytes: under what every browser takes.
/// No real camera comes near it.
const MAX_CONTROLS_BYTES: usize = 32 * 1024;

/// Longest words of an error, in characters.
const MAX_WORDS: usize = 500;

/// What a viewer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromViewer {
    /// Set this control of the camera.
    Control {
        /// Its name.
        name: String,
        /// To what.
        value: ControlValue,
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
    /// A type that is not known here.
    Unknown,
}

/// How one viewer's stream went since they were last told. Sent as it stands here,
/// as a `stats` message.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Stats {
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
pub enum MessageError {
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

/// Reads what a viewer sent.
///
/// # Errors
///
/// It is too long or not of this protocol.
pub fn parse(text: &[u8]) -> Result<FromViewer, MessageError> {
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
        Some("stats") => match message["on"].as_bool() {
            Some(on) => Ok(FromViewer::Stats { on }),
            None => Err(MessageError::Stats),
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
pub fn status(status: &MediaStatus) -> String {
    json!({"type": "status", "video": status.video, "audio": status.audio}).to_string()
}

/// The controls that a viewer may set, and how they stand.
///
/// Bit masks are left out: they are for the configuration, not for people.
pub fn controls<'a>(controls: impl IntoIterator<Item = &'a CameraControl>) -> String {
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

/// As whom a viewer was invited, and to what.
pub fn invited(guest: &Guest) -> String {
    let may: Vec<_> = guest.may.words().collect();
    json!({"type": "invited", "label": guest.label.as_str(), "may": may}).to_string()
}

/// A key for this viewer's browser alone. The channel is the only way that it
/// takes.
pub fn key(id: KeyId, key: &Key) -> String {
    json!({"type": "key", "id": id.to_string(), "key": key.expose()}).to_string()
}

/// Why an invited person's control is not obeyed.
pub const NO_CONTROL: &str =
    "your invitation does not let you set this camera; ask its owner for one that does";

/// How many qualities a viewer can choose from with `quality`, the best first;
/// they have not chosen yet.
pub fn qualities(count: usize) -> String {
    json!({"type": "qualities", "count": count}).to_string()
}

/// How the stream goes.
pub fn stats(stats: &Stats) -> String {
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
pub fn pong(id: u32, now: Duration) -> String {
    // Microseconds are what a double holds of today's date.
    let now = (now.as_secs_f64() * 1e6).round() / 1e3;
    json!({"type": "pong", "id": id, "now_ms": now}).to_string()
}

/// Why something a viewer asked for was not done.
pub fn error(about: &str, text: &str) -> String {
    let text: String = text.chars().take(MAX_WORDS).collect();
    json!({"type": "error", "about": about, "text": text}).to_string()
}

/// How often a viewer is listened to: a token bucket.
#[derive(Debug, Clone)]
pub struct Limiter {
    tokens: f64,
    at: Instant,
}

impl Limiter {
    /// Messages at once, and a second.
    pub const RATE: f64 = 20.0;

    /// A full bucket at `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            tokens: Self::RATE,
            at: now,
        }
    }

    /// Whether one more message is read.
    pub fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * Self::RATE).min(Self::RATE);
        self.at = self.at.max(now);
        let taken = self.tokens >= 1.0;
        if taken {
            self.tokens -= 1.0;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::device;
    use crate::media::status::{State, StreamStatus};

    fn camera_control(name: &str, menu: Vec<(i64, String)>) -> CameraControl {
        CameraControl {
            control: device::Control {
                id: 1,
                name: name.into(),
                minimum: -10,
                maximum: 10,
                step: 0,
                default: 3,
                menu,
                writable: true,
            },
            kind: Kind::Integer,
            value: 4,
            inactive: false,
        }
    }

    #[test]
    fn a_control_is_set_to_a_number_a_switch_or_a_label() {
        for (text, wanted) in [
            (
                r#"{"type":"control","name":"b","value":12}"#,
                ControlValue::Number(12),
            ),
            (
                r#"{"type":"control","name":"b","value":true}"#,
                ControlValue::Switch(true),
            ),
            (
                r#"{"type":"control","name":"b","value":"x","more":1}"#,
                ControlValue::Label("x".into()),
            ),
        ] {
            let name = "b".to_owned();
            let control = FromViewer::Control {
                name,
                value: wanted,
            };
            assert_eq!(parse(text.as_bytes()), Ok(control));
        }
        for bad in [
            r#"{"type":"control"}"#,
            r#"{"type":"control","name":"b","value":1.5}"#,
            r#"{"type":"control","name":7,"value":1}"#,
            r#"{"type":"control","name":"b","value":99999999999999999999}"#,
        ] {
            assert_eq!(parse(bad.as_bytes()), Err(MessageError::Control), "{bad}");
        }
    }

    #[test]
    fn what_is_not_known_is_passed_over() {
        assert_eq!(parse(br#"{"type":"new"}"#), Ok(FromViewer::Unknown));
        for (text, tier) in [
            (r#"{"type":"quality","tier":1}"#, Ok(Some(1))),
            (r#"{"type":"quality","tier":null}"#, Ok(None)),
            (
                r#"{"type":"quality","tier":-1}"#,
                Err(MessageError::Quality),
            ),
            (
                r#"{"type":"quality","tier":"x"}"#,
                Err(MessageError::Quality),
            ),
        ] {
            let expected = tier.map(|tier| FromViewer::Quality { tier });
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        }
        for bad in ["", "null", "7", "[]", "{}", r#"{"type":1}"#, "{", "\u{ff}"] {
            assert_eq!(
                parse(bad.as_bytes()),
                Err(MessageError::Unreadable),
                "{bad}"
            );
        }
        assert_eq!(parse(&[0xff, 0xfe]), Err(MessageError::Unreadable));
        let deep = "[".repeat(MAX_BYTES);
        assert_eq!(parse(deep.as_bytes()), Err(MessageError::Unreadable));
        let long = vec![b' '; MAX_BYTES + 1];
        assert_eq!(parse(&long), Err(MessageError::TooLong(MAX_BYTES + 1)));
    }

    #[test]
    fn stats_are_switched_and_pings_carry_a_number() {
        for (text, expected) in [
            (
                r#"{"type":"stats","on":true}"#,
                Ok(FromViewer::Stats { on: true }),
            ),
            (
                r#"{"type":"stats","on":false}"#,
                Ok(FromViewer::Stats { on: false }),
            ),
            (r#"{"type":"stats"}"#, Err(MessageError::Stats)),
            (r#"{"type":"stats","on":1}"#, Err(MessageError::Stats)),
            (
                r#"{"type":"ping","id":4294967295}"#,
                Ok(FromViewer::Ping { id: u32::MAX }),
            ),
            (
                r#"{"type":"ping","id":4294967296}"#,
                Err(MessageError::Ping),
            ),
            (r#"{"type":"ping","id":-1}"#, Err(MessageError::Ping)),
            (r#"{"type":"ping"}"#, Err(MessageError::Ping)),
        ] {
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn stats_and_pongs_read_as_documented() {
        let told = Stats {
            tier: 1,
            thinned: false,
            sent_bps: 512_000,
            estimate_bps: 800_000,
            loss: 0.25,
            rtt_ms: Some(23.5),
            queue_ms: 4.0,
            fps: 29.5,
            left_out: 2,
            repairs: 3,
        };
        assert_eq!(
            serde_json::from_str::<Value>(&stats(&told)).expect("JSON"),
            json!({"type": "stats", "tier": 1, "thinned": false, "sent_bps": 512_000,
                "estimate_bps": 800_000, "loss": 0.25, "rtt_ms": 23.5, "queue_ms": 4.0,
                "fps": 29.5, "left_out": 2, "repairs": 3})
        );
        let unknown = stats(&Stats::default());
        assert!(unknown.contains(r#""rtt_ms":null"#), "{unknown}");
        let now = Duration::new(1_795_529_471, 123_456_789);
        assert_eq!(
            serde_json::from_str::<Value>(&pong(7, now)).expect("JSON"),
            json!({"type": "pong", "id": 7, "now_ms": 1_795_529_471_123.457})
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn a_control_message_is_read_as_it_was_meant(name in ".{0,40}", number in any::<i64>()) {
            let text = json!({"type": "control", "name": name, "value": number}).to_string();
            let value = ControlValue::Number(number);
            prop_assert_eq!(parse(text.as_bytes()), Ok(FromViewer::Control { name, value }));
        }
    }

    #[test]
    fn what_viewers_are_told_reads_as_documented() {
        let lost = MediaStatus {
            video: StreamStatus {
                state: State::Lost,
                text: "it is \"gone\"".into(),
                reason: "poll error".into(),
            },
            ..Default::default()
        };
        assert_eq!(
            serde_json::from_str::<Value>(&status(&lost)).expect("JSON"),
            json!({"type": "status",
                "video": {"state": "lost", "text": "it is \"gone\"", "reason": "poll error"},
                "audio": {"state": "idle", "text": "", "reason": ""}})
        );
        let mut read_only = camera_control("read_only", vec![]);
        read_only.control.writable = false;
        let mut taken_over = camera_control("gain", vec![(0, "Low".into())]);
        taken_over.inactive = true;
        let list = [camera_control("brightness", vec![]), read_only, taken_over];
        assert_eq!(
            serde_json::from_str::<Value>(&controls(&list)).expect("JSON"),
            json!({"type": "controls", "controls": [
                {"name": "brightness", "minimum": -10, "maximum": 10, "step": 1, "default": 3, "value": 4},
                {"name": "gain", "minimum": -10, "maximum": 10, "step": 1, "default": 3, "value": 4,
                    "menu": [{"value": 0, "label": "Low"}], "inactive": true}]})
        );
        assert_eq!(
            serde_json::from_str::<Value>(&error("control", &"x".repeat(9_999))).expect("JSON"),
            json!({"type": "error", "about": "control", "text": "x".repeat(500)})
        );
    }

    #[test]
    fn a_camera_with_absurdly_many_controls_is_told_in_part() {
        let menu: Vec<_> = (0..64).map(|i| (i, "y".repeat(31))).collect();
        let many = vec![camera_control("z", menu); 256];
        let text = controls(&many);
        assert!(text.len() < MAX_CONTROLS_BYTES + 100, "{}", text.len());
        let read: Value = serde_json::from_str(&text).expect("JSON");
        assert!(read["controls"].as_array().is_some_and(|c| c.len() > 5));
    }

    #[test]
    fn a_flood_is_cut_to_the_rate_and_a_calm_viewer_never_is() {
        let start = Instant::now();
        let mut limiter = Limiter::new(start);
        let read = |limiter: &mut Limiter, now| (0..1000).filter(|_| limiter.take(now)).count();
        assert_eq!(read(&mut limiter, start), 20);
        assert_eq!(read(&mut limiter, start + Duration::from_secs(1)), 20);
        assert_eq!(
            read(&mut limiter, start),
            0,
            "a clock that steps back earns nothing"
        );
        assert_eq!(read(&mut limiter, start + Duration::from_secs(3600)), 20);
        let mut calm = Limiter::new(start);
        assert!((0..1000).all(|i| calm.take(start + Duration::from_millis(100 * i))));
    }
}
