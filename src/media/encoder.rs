//! The encoder table: what varies by board, one row an encoder.
//!
//! Adding a board is adding a row. A row that no hardware has confirmed says
//! so in the README; the rows here run on any CPU.

use crate::sdp::VideoCodec;

/// How an encoder's target bitrate is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateUnit {
    /// The property counts bit/s.
    BitsPerSecond,
    /// The property counts kbit/s (1000 bit/s).
    KilobitsPerSecond,
}

/// One encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoder {
    /// The name in the configuration and in logs.
    pub id: &'static str,
    /// What it makes.
    pub codec: VideoCodec,
    /// The GStreamer element.
    pub factory: &'static str,
    /// The Debian package that ships the element.
    pub package: &'static str,
    /// Higher is tried first.
    pub rank: u8,
    /// Made of silicon, not of CPU time.
    pub hardware: bool,
    /// Raw formats it takes, best first.
    pub formats: &'static [&'static str],
    /// Properties for low latency: no reordering, one slice a frame, headers in
    /// band.
    pub properties: &'static [(&'static str, &'static str)],
    /// The property for the distance of key frames, in frames.
    pub gop: &'static str,
    /// The property for the bitrate.
    pub rate: &'static str,
    /// Its unit.
    pub rate_unit: RateUnit,
    /// Lowest and highest bitrate, in bit/s.
    pub rate_range: (u32, u32),
    /// Caps that follow it.
    pub caps: &'static str,
    /// The parser behind it, with what makes it repeat SPS and PPS.
    pub parser: &'static str,
}

/// Key frames come when a viewer needs one; this is only the longest distance,
/// in seconds.
pub const KEY_FRAME_INTERVAL: u32 = 10;

const H264_CAPS: &str = "video/x-h264,profile=constrained-baseline,stream-format=byte-stream";
const H264_PARSER: &str =
    "h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au";

/// Every row.
pub const TABLE: &[Encoder] = &[
    Encoder {
        id: "x264",
        codec: VideoCodec::H264,
        factory: "x264enc",
        package: "gstreamer1.0-plugins-ugly",
        rank: 10,
        hardware: false,
        formats: &["I420", "NV12"],
        // zerolatency alone would slice a frame among threads, and Chromium
        // shows damage on sliced frames under loss; one thread, one slice.
        // vbv-buf-capacity lets a live bitrate change take hold within 1 s.
        properties: &[
            ("tune", "zerolatency"),
            ("speed-preset", "ultrafast"),
            ("threads", "1"),
            ("sliced-threads", "false"),
            ("bframes", "0"),
            ("vbv-buf-capacity", "120"),
            ("byte-stream", "true"),
            ("aud", "false"),
        ],
        gop: "key-int-max",
        rate: "bitrate",
        rate_unit: RateUnit::KilobitsPerSecond,
        rate_range: (100_000, 50_000_000),
        caps: H264_CAPS,
        parser: H264_PARSER,
    },
    Encoder {
        id: "openh264",
        codec: VideoCodec::H264,
        factory: "openh264enc",
        package: "gstreamer1.0-plugins-bad",
        rank: 5,
        hardware: false,
        formats: &["I420"],
        properties: &[
            ("complexity", "low"),
            ("rate-control", "bitrate"),
            ("slice-mode", "n-slices"),
            ("num-slices", "1"),
            ("multi-thread", "1"),
            ("scene-change-detection", "false"),
            ("enable-frame-skip", "false"),
        ],
        gop: "gop-size",
        rate: "bitrate",
        rate_unit: RateUnit::BitsPerSecond,
        rate_range: (100_000, 20_000_000),
        caps: H264_CAPS,
        parser: H264_PARSER,
    },
    Encoder {
        id: "vp8",
        codec: VideoCodec::Vp8,
        factory: "vp8enc",
        package: "gstreamer1.0-plugins-good",
        rank: 10,
        hardware: false,
        formats: &["I420"],
        properties: &[
            ("deadline", "1"),
            ("cpu-used", "8"),
            ("end-usage", "cbr"),
            ("lag-in-frames", "0"),
            ("threads", "1"),
            ("error-resilient", "default"),
            ("buffer-size", "200"),
            ("buffer-initial-size", "120"),
            ("buffer-optimal-size", "150"),
            ("min-quantizer", "4"),
            ("max-quantizer", "56"),
            ("static-threshold", "100"),
        ],
        gop: "keyframe-max-dist",
        rate: "target-bitrate",
        rate_unit: RateUnit::BitsPerSecond,
        rate_range: (50_000, 20_000_000),
        caps: "video/x-vp8",
        parser: "",
    },
];

impl Encoder {
    /// The rows for `codec`, best first; `wanted` narrows H.264 to one row.
    ///
    /// An empty result means that `wanted` names no row.
    pub fn candidates(codec: VideoCodec, wanted: &str) -> Vec<&'static Encoder> {
        let mut rows: Vec<_> = TABLE
            .iter()
            .filter(|e| e.codec == codec)
            .filter(|e| codec != VideoCodec::H264 || wanted == "auto" || e.id == wanted)
            .collect();
        rows.sort_by_key(|e| std::cmp::Reverse(e.rank));
        rows
    }

    /// The value of [`Encoder::rate`] for `bits_per_second`, kept in range.
    pub fn rate_value(&self, bits_per_second: u32) -> u32 {
        let bits = bits_per_second.clamp(self.rate_range.0, self.rate_range.1);
        match self.rate_unit {
            RateUnit::BitsPerSecond => bits,
            RateUnit::KilobitsPerSecond => bits / 1000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x264_comes_before_openh264_and_ids_are_unique() {
        let ids: Vec<_> = Encoder::candidates(VideoCodec::H264, "auto")
            .iter()
            .map(|e| e.id)
            .collect();
        assert_eq!(ids, ["x264", "openh264"]);
        let mut all: Vec<_> = TABLE.iter().map(|e| e.id).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), TABLE.len());
    }

    #[test]
    fn rates_are_in_the_unit_of_the_row_and_in_range() {
        let row = |id| TABLE.iter().find(|e| e.id == id).expect("a row");
        assert_eq!(row("x264").rate_value(2_000_000), 2000);
        assert_eq!(row("openh264").rate_value(2_000_000), 2_000_000);
        assert_eq!(row("x264").rate_value(1), 100);
    }
}
