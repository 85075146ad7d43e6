//! From a row of the configuration to one of the table.

use super::table::h264;
use super::{Encoder, KeyFrame, Knob, RateUnit, Sizes};
use crate::config::{EncoderCodec, EncoderConfig, EncoderRateUnit};
use crate::sdp::VideoCodec;

impl From<&EncoderConfig> for Encoder {
    fn from(config: &EncoderConfig) -> Self {
        let owned = |list: &[String]| list.iter().cloned().map(Into::into).collect();
        let start = h264(config.id.clone(), config.factory.clone());
        let (codec, caps, parser) = match config.codec {
            EncoderCodec::H264 => (VideoCodec::H264, start.caps, start.parser),
            EncoderCodec::Vp8 => (VideoCodec::Vp8, "video/x-vp8".into(), "".into()),
        };
        Self {
            codec,
            package: config.package.clone().into(),
            boards: "from the configuration".into(),
            rank: config.rank,
            hardware: config.hardware,
            nodes: owned(&config.nodes),
            formats: owned(&config.formats),
            sizes: Sizes {
                multiple: (config.size_multiple, config.size_multiple),
                ..Sizes::ANY
            },
            ahead: config.ahead.clone().into(),
            properties: config
                .properties
                .iter()
                .map(|(name, value)| (name.clone().into(), value.to_string().into()))
                .collect(),
            controls: config
                .controls
                .iter()
                .map(|(name, value)| (name.clone().into(), *value))
                .collect(),
            gop: knob(&config.gop),
            rate: knob(&config.rate),
            rate_unit: match config.rate_unit {
                EncoderRateUnit::Bits => RateUnit::BitsPerSecond,
                EncoderRateUnit::Kilobits => RateUnit::KilobitsPerSecond,
            },
            rate_range: (config.rate_min_kbps * 1000, config.rate_max_kbps * 1000),
            rate_step: config.rate_step_kbps * 1000,
            key_frame: match config.key_frame.split_once(':') {
                Some(("signal", name)) => KeyFrame::Signal(name.to_owned().into()),
                Some(("control", name)) => KeyFrame::Control(name.to_owned().into()),
                _ if config.key_frame == "timed-event" => KeyFrame::TimedEvent,
                _ => KeyFrame::Event,
            },
            contexts: config.contexts,
            caps: match &*config.caps {
                "" => caps,
                caps => caps.to_owned().into(),
            },
            parser,
            ..h264(config.id.clone(), config.factory.clone())
        }
    }
}

fn knob(text: &str) -> Knob {
    match text.strip_prefix("control:") {
        Some(name) => Knob::Control(name.to_owned().into()),
        None if text.is_empty() => Knob::None,
        None => Knob::Property(text.to_owned().into()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn rows(text: &str) -> Vec<EncoderConfig> {
        Config::parse(text, Path::new("test.toml"))
            .expect("valid")
            .encoders
    }

    #[test]
    fn a_row_of_the_configuration_is_written_like_any_other() {
        let rows = rows(
            "[[encoders]]\nid = \"mine\"\nfactory = \"minenc\"\nrank = 200\n\
             properties = { mode = \"cbr\", threads = 1, fast = true }\n\
             controls = { repeat_sequence_header = 1 }\n\
             gop = \"gop-size\"\nrate = \"control:video_bitrate\"\nrate_step_kbps = 25\n\
             key_frame = \"signal:force-IDR\"\n",
        );
        let all = Encoder::all(&rows);
        let mine = &all[0];
        assert_eq!(mine.id, "mine");
        assert_eq!(mine.key_frame, KeyFrame::Signal("force-IDR".into()));
        assert_eq!(
            mine.element_text(30, 2_010_000),
            "minenc name=encoder gop-size=300 fast=true mode=cbr threads=1 \
             extra-controls=\"controls,video_bitrate=(int)2000000,repeat_sequence_header=(int)1\""
        );
    }

    #[test]
    fn a_row_of_the_configuration_takes_the_place_of_its_namesake() {
        let rows = rows("[[encoders]]\nid = \"x264\"\nfactory = \"otherenc\"\nrank = 10\n");
        let all = Encoder::all(&rows);
        let x264: Vec<_> = all.iter().filter(|e| e.id == "x264").collect();
        assert_eq!(x264.len(), 1);
        assert_eq!(x264[0].factory, "otherenc");
    }
}
