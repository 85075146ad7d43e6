//! `[[encoders]]`: rows that a configuration adds to the encoder table, for a
//! board that is not in it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::ConfigError;

/// One row. Its keys are those of [`crate::media::encoder::Encoder`], as a
/// person would write them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderConfig {
    /// The name for `video.encoder` and logs; that of a row of the table takes
    /// its place.
    pub id: String,
    /// What it makes; H.264 is all that there is hardware for.
    #[serde(default)]
    pub codec: EncoderCodec,
    /// The GStreamer element.
    pub factory: String,
    /// Who ships the element, for messages.
    #[serde(default = "unknown_package")]
    pub package: String,
    /// Higher is tried first: 100 a vendor's hardware, 10 x264.
    #[serde(default = "vendor_rank")]
    pub rank: u8,
    /// Made of silicon, not of CPU time.
    #[serde(default = "yes")]
    pub hardware: bool,
    /// What has to be there, any one of them; `*` in the last part of a path
    /// stands for any text, `v4l2:NAME` for a video node of this name.
    #[serde(default)]
    pub nodes: Vec<String>,
    /// Raw formats it takes, by GStreamer's names, best first.
    #[serde(default = "nv12")]
    pub formats: Vec<String>,
    /// Elements between raw pictures and the encoder.
    #[serde(default)]
    pub ahead: String,
    /// The element's properties.
    #[serde(default)]
    pub properties: BTreeMap<String, Scalar>,
    /// V4L2 controls set at the start.
    #[serde(default)]
    pub controls: BTreeMap<String, i32>,
    /// The property, or `control:NAME`, for the distance of key frames in
    /// frames; empty for none.
    #[serde(default)]
    pub gop: String,
    /// The property, or `control:NAME`, for the bitrate; empty for none.
    #[serde(default)]
    pub rate: String,
    /// How [`EncoderConfig::rate`] counts.
    #[serde(default)]
    pub rate_unit: EncoderRateUnit,
    /// Lowest bitrate, in kbit/s.
    #[serde(default = "least_rate")]
    pub rate_min_kbps: u32,
    /// Highest bitrate, in kbit/s.
    #[serde(default = "most_rate")]
    pub rate_max_kbps: u32,
    /// Bitrates are multiples of this, in kbit/s.
    #[serde(default = "one")]
    pub rate_step_kbps: u32,
    /// How a key frame is asked for: `event`, `timed-event`, `signal:NAME` or
    /// `control:NAME`.
    #[serde(default = "event")]
    pub key_frame: String,
    /// How many such encoders run at a time.
    #[serde(default = "four")]
    pub contexts: u8,
    /// Width and height are multiples of this.
    #[serde(default = "two")]
    pub size_multiple: u32,
    /// Caps that follow it; empty for constrained baseline as a byte stream.
    #[serde(default)]
    pub caps: String,
}

/// What an encoder makes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EncoderCodec {
    /// H.264.
    #[default]
    H264,
    /// VP8.
    Vp8,
}

/// How a bitrate counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum EncoderRateUnit {
    /// In bit/s.
    #[default]
    #[serde(rename = "bit/s")]
    Bits,
    /// In kbit/s (1000 bit/s).
    #[serde(rename = "kbit/s")]
    Kilobits,
}

/// A property's value.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text, also the nick of an enumeration.
    Text(String),
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(v) => write!(f, "{v}"),
            Self::Int(v) => write!(f, "{v}"),
            Self::Float(v) => write!(f, "{v}"),
            Self::Text(v) => f.write_str(v),
        }
    }
}

fn unknown_package() -> String {
    "that ships it".into()
}
fn vendor_rank() -> u8 {
    100
}
fn yes() -> bool {
    true
}
fn nv12() -> Vec<String> {
    vec!["NV12".into()]
}
fn least_rate() -> u32 {
    100
}
fn most_rate() -> u32 {
    20_000
}
fn one() -> u32 {
    1
}
fn two() -> u32 {
    2
}
fn four() -> u8 {
    4
}
fn event() -> String {
    "event".into()
}

/// Checks all rows, and that no id is there twice.
pub(super) fn validate(rows: &[EncoderConfig]) -> Result<(), ConfigError> {
    for (i, row) in rows.iter().enumerate() {
        row.validate()?;
        if rows[..i].iter().any(|other| other.id == row.id) {
            return bad("encoders.id", &row.id, "another row has the same id");
        }
    }
    Ok(())
}

impl EncoderConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        let id = &*self.id;
        if !is_name(id) || id == "auto" {
            return bad(
                "encoders.id",
                id,
                "an id is made of letters, digits, - and _, and is not \"auto\"",
            );
        }
        if !is_name(&self.factory) {
            return bad(
                "encoders.factory",
                id,
                "name one GStreamer element, as gst-inspect-1.0 does",
            );
        }
        if self.formats.is_empty() || !self.formats.iter().all(|f| is_name(f)) {
            return bad(
                "encoders.formats",
                id,
                "name at least one raw format, such as \"NV12\"",
            );
        }
        for node in &self.nodes {
            let path = node.strip_prefix('/').filter(|p| !p.is_empty());
            let name = node.strip_prefix("v4l2:").filter(|n| !n.is_empty());
            if path.or(name).is_none() {
                return bad(
                    "encoders.nodes",
                    id,
                    "a node is a path such as \"/dev/enc\", or \"v4l2:\" and a name",
                );
            }
        }
        self.validate_knobs()?;
        self.validate_numbers()
    }

    /// What is set on the element, and how.
    fn validate_knobs(&self) -> Result<(), ConfigError> {
        let id = &*self.id;
        if !self.properties.keys().all(|k| is_name(k)) {
            return bad("encoders.properties", id, "a property's name has no spaces");
        }
        if !self.controls.keys().all(|k| is_name(k)) {
            return bad("encoders.controls", id, "a control's name has no spaces");
        }
        for (key, knob) in [("encoders.gop", &self.gop), ("encoders.rate", &self.rate)] {
            let name = knob.strip_prefix("control:").unwrap_or(knob);
            if !knob.is_empty() && !is_name(name) {
                return bad(
                    key,
                    id,
                    "name a property, or \"control:\" and a V4L2 control",
                );
            }
        }
        let key_frame = ["signal:", "control:"]
            .iter()
            .find_map(|prefix| self.key_frame.strip_prefix(prefix));
        let is_event = ["event", "timed-event"].contains(&&*self.key_frame);
        if !is_event && !key_frame.is_some_and(is_name) {
            return bad(
                "encoders.key_frame",
                id,
                "is \"event\", \"timed-event\", or \"signal:\" or \"control:\" and a name",
            );
        }
        Ok(())
    }

    fn validate_numbers(&self) -> Result<(), ConfigError> {
        let id = &*self.id;
        // One Gbit/s: in bit/s it fits 32 bits.
        if self.rate_min_kbps == 0
            || self.rate_min_kbps >= self.rate_max_kbps
            || self.rate_max_kbps > 1_000_000
        {
            return bad(
                "encoders.rate_max_kbps",
                id,
                "rate_min_kbps is above 0, rate_max_kbps above it and at most 1000000",
            );
        }
        if !(1..=self.rate_min_kbps).contains(&self.rate_step_kbps) {
            return bad(
                "encoders.rate_step_kbps",
                id,
                "is between 1 and rate_min_kbps",
            );
        }
        if self.contexts == 0 {
            return bad("encoders.contexts", id, "is 1 or more");
        }
        if !(1..=64).contains(&self.size_multiple) {
            return bad("encoders.size_multiple", id, "is between 1 and 64");
        }
        Ok(())
    }
}

fn bad(key: &'static str, id: &str, problem: &str) -> Result<(), ConfigError> {
    Err(ConfigError::Value {
        key,
        problem: format!("encoder \"{id}\": {problem}"),
    })
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Config;

    const ROW: &str = "[[encoders]]\nid = \"mine\"\nfactory = \"x264enc\"\n";

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("test.toml")).map_err(|e| e.to_string())
    }

    #[test]
    fn a_row_needs_no_more_than_an_id_and_an_element() {
        let config = parse(ROW).expect("valid");
        assert_eq!(config.encoders[0].formats, ["NV12"]);
        assert_eq!(config.encoders[0].key_frame, "event");
    }

    #[test]
    fn what_is_wrong_names_the_key_and_the_row() {
        for (line, key) in [
            ("formats = []", "encoders.formats"),
            ("nodes = [\"video0\"]", "encoders.nodes"),
            ("gop = \"a b\"", "encoders.gop"),
            ("rate = \"control:\"", "encoders.rate"),
            ("key_frame = \"signal:\"", "encoders.key_frame"),
            ("key_frame = \"now\"", "encoders.key_frame"),
            ("rate_min_kbps = 0", "encoders.rate_max_kbps"),
            ("rate_max_kbps = 4000001", "encoders.rate_max_kbps"),
            ("rate_step_kbps = 0", "encoders.rate_step_kbps"),
            ("contexts = 0", "encoders.contexts"),
            ("size_multiple = 0", "encoders.size_multiple"),
            ("properties = { \"a b\" = 1 }", "encoders.properties"),
            ("controls = { \"a b\" = 1 }", "encoders.controls"),
        ] {
            let message = parse(&format!("{ROW}{line}")).expect_err(line);
            assert!(
                message.contains(key) && message.contains("mine"),
                "{line}: {message}"
            );
        }
        let twice = parse(&format!("{ROW}{ROW}")).expect_err("twice");
        assert!(twice.contains("encoders.id"), "{twice}");
        let auto = ROW.replace("mine", "auto");
        assert!(parse(&auto).is_err_and(|m| m.contains("encoders.id")));
        let two = ROW.replace("x264enc", "a ! b");
        assert!(parse(&two).is_err_and(|m| m.contains("encoders.factory")));
        assert!(parse(&format!("{ROW}rate_unit = \"Mbit/s\"")).is_err());
    }
}
