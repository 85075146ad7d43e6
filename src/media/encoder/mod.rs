//! The encoder table: what varies by board, one row an encoder.
//!
//! Adding a board is adding a row, here in [`table`] or, by somebody whose
//! board is not in it, under `[[encoders]]` in the configuration. A row says
//! what an encoder is believed to do; [`super::probe`] finds out what it does.
//! Pure: nothing here asks GStreamer or the kernel.

mod custom;
pub(crate) mod table;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::EncoderConfig;
use crate::sdp::VideoCodec;

/// Text of a row: of the table itself, or of the configuration.
pub type Text = Cow<'static, str>;

/// Key frames come when a viewer needs one; this is only the longest distance,
/// in seconds.
pub(crate) const KEY_FRAME_INTERVAL: u32 = 10;

/// The longest distance, in seconds, for an encoder that does not obey requests:
/// a viewer who comes waits for half of it on average.
pub(crate) const KEY_FRAME_INTERVAL_UNASKED: u32 = 2;

/// How an encoder's target bitrate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RateUnit {
    /// In bit/s.
    #[serde(rename = "bit/s")]
    BitsPerSecond,
    /// In kbit/s (1000 bit/s).
    #[serde(rename = "kbit/s")]
    KilobitsPerSecond,
}

/// Of what an encoder makes so many bits a second, where it is given fewer frames
/// than its caps say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RateBasis {
    /// Of as many frames as its caps say are a second: of fewer it makes less.
    Frames,
    /// Of the time that their timestamps say has passed: of fewer it makes as
    /// much.
    Time,
}

impl RateBasis {
    /// What the element of this name does. Measured, with half of the frames
    /// that the caps say: x264enc makes half of its bitrate, vp8enc and openh264enc
    /// all of it.
    fn of(factory: &str) -> Self {
        match factory {
            "vp8enc" | "openh264enc" => Self::Time,
            _ => Self::Frames,
        }
    }
}

/// A number of the encoder that can be set: a property of the element, or a
/// V4L2 control that the element passes on in its `extra-controls`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Knob {
    /// There is none.
    None,
    /// The element's property of this name.
    Property(Text),
    /// The V4L2 control of this name, in the spelling of `v4l2-ctl`.
    Control(Text),
}

/// How the next frame is made a key frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyFrame {
    /// GStreamer's upstream event for it, for the next frame.
    Event,
    /// The same for the frame behind the last one that came: for elements that mark
    /// no key frames. GStreamer takes a second event for the next frame for the first
    /// one until a frame has come that is marked.
    TimedEvent,
    /// An action signal of the element.
    Signal(Text),
    /// A V4L2 control set to 1.
    Control(Text),
}

/// Which pictures an encoder takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// Least width and height in pixels.
    pub least: (u32, u32),
    /// Greatest width and height in pixels.
    pub most: (u32, u32),
    /// Width and height are multiples of these.
    pub multiple: (u32, u32),
    /// Least frames a second.
    pub least_fps: u32,
}

impl Sizes {
    /// All that the configuration allows.
    pub(crate) const ANY: Self = Self {
        least: (16, 16),
        most: (8192, 8192),
        multiple: (2, 2),
        least_fps: 1,
    };

    /// Why this picture does not fit, in words.
    pub fn refusal(&self, width: u32, height: u32, fps: u32) -> Option<String> {
        let Self {
            least,
            most,
            multiple,
            least_fps,
        } = self;
        if width < least.0 || height < least.1 {
            return Some(format!("it takes no less than {}×{}", least.0, least.1));
        }
        if width > most.0 || height > most.1 {
            return Some(format!("it takes no more than {}×{}", most.0, most.1));
        }
        if !width.is_multiple_of(multiple.0) || !height.is_multiple_of(multiple.1) {
            return Some(format!(
                "its width must be a multiple of {}, its height of {}",
                multiple.0, multiple.1
            ));
        }
        (fps < *least_fps).then(|| format!("it needs {least_fps} frames/s or more"))
    }
}

/// One encoder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encoder {
    /// The name in the configuration and in logs.
    pub id: Text,
    /// What it makes.
    pub codec: VideoCodec,
    /// The GStreamer element.
    pub factory: Text,
    /// The Debian package that ships the element, or who else does.
    pub package: Text,
    /// Which boards have it.
    pub boards: Text,
    /// Somebody ran this row on such a board. Otherwise it was written from
    /// documentation and sources, and only the probe knows.
    pub confirmed: bool,
    /// Higher is tried first.
    pub rank: u8,
    /// Made of silicon, not of CPU time.
    pub hardware: bool,
    /// What has to be there, any one of them: paths, with `*` in the last part
    /// for any text, or `v4l2:NAME` for a video node of this name in sysfs.
    /// Empty where nothing is needed.
    pub nodes: Vec<Text>,
    /// Raw formats it takes, best first.
    pub formats: Vec<Text>,
    /// Which pictures it takes.
    pub sizes: Sizes,
    /// Elements between raw pictures in system memory and the encoder; empty
    /// where none are needed.
    pub ahead: Text,
    /// Properties for low latency: no reordering, one slice a frame, headers in
    /// band. Those that the installed element does not have are left out.
    pub properties: Vec<(Text, Text)>,
    /// V4L2 controls set at the start.
    pub controls: Vec<(Text, i32)>,
    /// The distance of key frames, in frames.
    pub gop: Knob,
    /// The longest distance that [`Encoder::gop`] takes, in frames.
    pub gop_most: u32,
    /// The longest distance of key frames, in seconds.
    pub key_frame_seconds: u32,
    /// The bitrate; it can be changed while the encoder runs.
    pub rate: Knob,
    /// Its unit.
    pub rate_unit: RateUnit,
    /// What its bitrate is spread over.
    pub rate_basis: RateBasis,
    /// Lowest and highest bitrate, in bit/s.
    pub rate_range: (u32, u32),
    /// Bitrates are multiples of this, in bit/s.
    pub rate_step: u32,
    /// How a key frame is asked for.
    pub key_frame: KeyFrame,
    /// How many such encoders run at a time, as far as is known.
    pub contexts: u8,
    /// Caps that follow it.
    pub caps: Text,
    /// The parser behind it, with what makes it repeat SPS and PPS; empty for
    /// none.
    pub parser: Text,
}

impl Encoder {
    /// The row of the table with this id.
    pub fn row(id: &str) -> Option<Arc<Encoder>> {
        table::rows().iter().find(|e| e.id == id).cloned()
    }

    /// The table with the rows of the configuration, best first. A row of the
    /// configuration takes the place of one of the same id.
    pub fn all(custom: &[EncoderConfig]) -> Vec<Arc<Encoder>> {
        let mut rows: Vec<_> = custom.iter().map(|c| Arc::new(c.into())).collect();
        let built_in = table::rows()
            .iter()
            .filter(|row| custom.iter().all(|c| c.id != row.id));
        rows.extend(built_in.cloned());
        rows.sort_by_key(|e: &Arc<Encoder>| std::cmp::Reverse(e.rank));
        rows
    }

    /// What it is to be asked for so that it makes so many bit/s where it gets
    /// one of `every` frames that its caps say, in bit/s.
    pub(crate) fn asked_for(&self, bits_per_second: u32, every: u32) -> u32 {
        match self.rate_basis {
            RateBasis::Frames => bits_per_second.saturating_mul(every.max(1)),
            RateBasis::Time => bits_per_second,
        }
    }

    /// The value of [`Encoder::rate`] for `bits_per_second`, kept in range and
    /// on a step.
    pub fn rate_value(&self, bits_per_second: u32) -> u32 {
        let (low, high) = self.rate_range;
        let bits = bits_per_second.clamp(low, high);
        let step = self.rate_step.max(1);
        let bits = (bits - bits % step).max(low);
        match self.rate_unit {
            RateUnit::BitsPerSecond => bits,
            RateUnit::KilobitsPerSecond => bits / 1000,
        }
    }

    /// The distance of key frames in frames, at `fps` frames a second.
    pub(crate) fn gop_frames(&self, fps: u32) -> u32 {
        // A distance of one is every frame; the Raspberry Pi's encoder hangs.
        (fps * self.key_frame_seconds).clamp(2, self.gop_most.max(2))
    }

    /// The element with all it needs, as text for GStreamer, at `fps` frames a
    /// second. It is called `encoder`.
    pub fn element_text(&self, fps: u32, bits_per_second: u32) -> String {
        let mut text = match &*self.ahead {
            "" => String::new(),
            ahead => format!("{ahead} ! "),
        };
        let _ = write!(text, "{} name=encoder", self.factory);
        let mut controls = String::new();
        for (knob, value) in [
            (&self.gop, self.gop_frames(fps)),
            (&self.rate, self.rate_value(bits_per_second)),
        ] {
            let _ = match knob {
                Knob::None => Ok(()),
                Knob::Property(name) => write!(text, " {name}={value}"),
                Knob::Control(name) => write!(controls, ",{name}=(int){value}"),
            };
        }
        for (name, value) in &self.properties {
            let _ = write!(text, " {name}={}", quoted(value));
        }
        for (name, value) in &self.controls {
            let _ = write!(controls, ",{name}=(int){value}");
        }
        if !controls.is_empty() {
            let _ = write!(text, " extra-controls=\"controls{controls}\"");
        }
        text
    }
}

/// A value for a GStreamer description; quoted only where it has to be.
fn quoted(value: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:+/".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        value.into()
    } else {
        format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str) -> Arc<Encoder> {
        Encoder::row(id).expect("a row")
    }

    #[test]
    fn hardware_comes_before_software_and_ids_are_unique() {
        let rows = Encoder::all(&[]);
        let h264: Vec<_> = rows
            .iter()
            .filter(|e| e.codec == VideoCodec::H264)
            .collect();
        let software = h264.iter().position(|e| !e.hardware).expect("x264");
        assert!(h264[software..].iter().all(|e| !e.hardware));
        assert_eq!(h264[software].id, "x264");
        assert_eq!(h264.last().expect("a row").id, "openh264");
        let mut ids: Vec<_> = rows.iter().map(|e| &e.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), rows.len());
    }

    #[test]
    fn every_row_is_whole() {
        for e in table::rows() {
            let id = &e.id;
            assert!(!e.factory.is_empty() && !e.package.is_empty(), "{id}");
            assert!(!e.boards.is_empty() && !e.formats.is_empty(), "{id}");
            assert!(e.rate_range.0 < e.rate_range.1, "{id}");
            assert!(e.rate_range.0.is_multiple_of(e.rate_step), "{id}");
            assert!(e.contexts >= 1 && e.gop_most >= 60, "{id}");
            assert_eq!(e.key_frame_seconds, KEY_FRAME_INTERVAL, "{id}");
            assert_eq!(e.hardware, !e.nodes.is_empty(), "{id}: hardware has a node");
            assert_eq!(e.confirmed, !e.hardware, "{id}: no board was at hand");
            if e.codec == VideoCodec::H264 {
                assert!(e.caps.contains("stream-format=byte-stream"), "{id}");
                assert!(e.parser.contains("config-interval=-1"), "{id}");
                assert!(e.parser.contains("alignment=au"), "{id}");
            }
            let uses_controls = !e.controls.is_empty()
                || [&e.gop, &e.rate]
                    .iter()
                    .any(|k| matches!(k, Knob::Control(_)));
            assert!(!uses_controls || e.factory.starts_with("v4l2"), "{id}");
        }
    }

    #[test]
    fn rates_are_in_the_unit_of_the_row_in_range_and_on_a_step() {
        for (id, wanted, value) in [
            ("x264", 2_000_000, 2000),
            ("x264", 1, 100),
            ("openh264", 2_000_000, 2_000_000),
            ("raspberry-pi", 2_010_000, 2_000_000),
            ("raspberry-pi", 30_000, 300_000),
            ("raspberry-pi", u32::MAX, 25_000_000),
            ("rockchip-mpp", 1_500_000, 1_500_000),
            ("va", 2_000_999, 2000),
            ("nxp-vpu", 2_000_000, 2000),
            ("jetson", 2_000_000, 2_000_000),
        ] {
            assert_eq!(row(id).rate_value(wanted), value, "{id} {wanted}");
        }
    }

    #[test]
    fn the_distance_of_key_frames_stays_in_the_rows_range() {
        assert_eq!(row("x264").gop_frames(30), 300);
        let mut va = (*row("va")).clone();
        va.gop_most = 500;
        assert_eq!(va.gop_frames(60), 500);
        va.key_frame_seconds = KEY_FRAME_INTERVAL_UNASKED;
        assert_eq!(va.gop_frames(30), 60);
        // One would be every frame, which hangs some drivers.
        va.key_frame_seconds = 1;
        assert_eq!(va.gop_frames(1), 2);
    }

    #[test]
    fn elements_are_written_with_properties_and_controls() {
        let text = row("x264").element_text(30, 2_000_000);
        assert!(
            text.starts_with("x264enc name=encoder key-int-max=300 bitrate=2000 "),
            "{text}"
        );
        let text = row("raspberry-pi").element_text(30, 2_000_000);
        assert_eq!(
            text,
            "v4l2h264enc name=encoder extra-controls=\"controls\
             ,h264_i_frame_period=(int)300,video_bitrate=(int)2000000\
             ,video_bitrate_mode=(int)1,repeat_sequence_header=(int)1\""
        );
        let text = row("jetson").element_text(30, 2_000_000);
        assert!(
            text.starts_with(
                "nvvidconv ! video/x-raw(memory:NVMM),format=NV12 ! nvv4l2h264enc name=encoder "
            ),
            "{text}"
        );
    }

    #[test]
    fn values_are_quoted_where_they_must_be() {
        assert_eq!(quoted("zerolatency"), "zerolatency");
        assert_eq!(quoted("a b\"c\\"), "\"a b\\\"c\\\\\"");
        assert_eq!(quoted(""), "\"\"");
    }

    #[test]
    fn pictures_that_do_not_fit_are_refused_in_words() {
        let pi = row("raspberry-pi");
        assert_eq!(pi.sizes.refusal(1280, 720, 30), None);
        let words = pi.sizes.refusal(1280, 720, 5).expect("hangs at 5");
        assert!(words.contains("9 frames/s"), "{words}");
        assert!(pi.sizes.refusal(2560, 1440, 30).is_some());
        let ti = row("ti-wave5");
        assert!(
            ti.sizes
                .refusal(642, 480, 30)
                .is_some_and(|w| w.contains('8'))
        );
        assert!(ti.sizes.refusal(160, 120, 30).is_some());
        let nxp = row("nxp-v4l2");
        assert_eq!(nxp.sizes.refusal(1080, 1920, 30), None);
        assert!(nxp.sizes.refusal(1366, 768, 30).is_some());
    }

    #[test]
    fn a_row_survives_the_way_to_the_probe_and_back() {
        for e in table::rows() {
            let json = serde_json::to_string(&**e).expect("written");
            let back: Encoder = serde_json::from_str(&json).expect("read");
            assert_eq!(back, **e);
        }
    }
}
