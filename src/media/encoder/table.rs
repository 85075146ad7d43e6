//! Every row.
//!
//! Only the software rows were run on what they are for. Every other one is
//! written from the drivers' and plug-ins' sources and from reports; vendors'
//! elements are described in tests/standins/, with the source of each, and the
//! rows are held against those. A property that the installed element does not
//! have is left out with a warning: plug-ins differ from release to release.

use std::sync::{Arc, LazyLock};

use super::{Encoder, KEY_FRAME_INTERVAL, KeyFrame, Knob, RateBasis, RateUnit, Sizes, Text};
use crate::sdp::VideoCodec;

const BYTE_STREAM: &str = "video/x-h264,stream-format=byte-stream";
const CONSTRAINED: &str = "video/x-h264,profile=constrained-baseline,stream-format=byte-stream";
/// For an element that takes the first level of its driver's list where the caps
/// name none: that is 1.0, whose pictures are 176×144.
const CONSTRAINED_LEVEL_4: &str =
    "video/x-h264,profile=constrained-baseline,level=(string)4,stream-format=byte-stream";
const PARSER: &str =
    "h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au";

/// The table, in no particular order.
pub(crate) fn rows() -> &'static [Arc<Encoder>] {
    static ROWS: LazyLock<Vec<Arc<Encoder>>> = LazyLock::new(|| {
        let mut rows = raspberry_pi();
        rows.extend(vendors());
        rows.extend(intel_and_amd());
        rows.extend(software());
        rows.into_iter().map(Arc::new).collect()
    });
    &ROWS
}

/// What most H.264 rows have in common; also what a row of the configuration
/// starts from.
pub(super) fn h264(id: impl Into<Text>, factory: impl Into<Text>) -> Encoder {
    let factory: Text = factory.into();
    Encoder {
        id: id.into(),
        codec: VideoCodec::H264,
        rate_basis: RateBasis::of(&factory),
        factory,
        package: "".into(),
        boards: "".into(),
        confirmed: false,
        rank: 100,
        hardware: true,
        nodes: vec![],
        formats: texts(&["NV12"]),
        sizes: Sizes::ANY,
        ahead: "".into(),
        properties: vec![],
        controls: vec![],
        gop: Knob::None,
        gop_most: 6000,
        key_frame_seconds: KEY_FRAME_INTERVAL,
        rate: Knob::None,
        rate_unit: RateUnit::BitsPerSecond,
        rate_range: (100_000, 20_000_000),
        rate_step: 1,
        key_frame: KeyFrame::Event,
        contexts: 4,
        caps: CONSTRAINED.into(),
        parser: PARSER.into(),
    }
}

fn texts(list: &[&'static str]) -> Vec<Text> {
    list.iter().map(|t| (*t).into()).collect()
}

fn pairs(list: &[(&'static str, &'static str)]) -> Vec<(Text, Text)> {
    list.iter()
        .map(|(k, v)| ((*k).into(), (*v).into()))
        .collect()
}

fn property(name: &'static str) -> Knob {
    Knob::Property(name.into())
}

fn control(name: &'static str) -> Knob {
    Knob::Control(name.into())
}

/// bcm2835-codec. The Raspberry Pi 5 has no encoder: x264.
fn raspberry_pi() -> Vec<Encoder> {
    vec![Encoder {
        package: "gstreamer1.0-plugins-good".into(),
        boards: "Raspberry Pi 3, 4, Zero 2 W, CM3, CM4".into(),
        rank: 80,
        nodes: texts(&["v4l2:bcm2835-codec-encode"]),
        formats: texts(&["I420", "NV12"]),
        sizes: Sizes {
            least: (32, 32),
            // Upright pictures too: MAX_H_CODEC.
            most: (1920, 1920),
            multiple: (2, 2),
            // It hangs below 9.
            least_fps: 9,
        },
        controls: vec![
            // Constant bitrate.
            ("video_bitrate_mode".into(), 1),
            ("repeat_sequence_header".into(), 1),
        ],
        gop: control("h264_i_frame_period"),
        rate: control("video_bitrate"),
        // The driver takes 25 kbit/s; starved it emits buffers of no length,
        // which GStreamer reads as the stream's end.
        rate_range: (300_000, 25_000_000),
        rate_step: 25_000,
        // GStreamer 1.22.0 to 1.22.3 drop the event; the control works in all.
        key_frame: KeyFrame::Control("force_key_frame".into()),
        // Without a level STREAMON fails with error 3, and below 3 it hangs.
        caps: CONSTRAINED_LEVEL_4.into(),
        ..h264("raspberry-pi", "v4l2h264enc")
    }]
}

fn vendors() -> Vec<Encoder> {
    vec![
        Encoder {
            package: "gstreamer1.0-rockchip1 of the board's vendor (gstreamer-rockchip)".into(),
            boards: "Rockchip RK3399, RK356x, RK3588 with the vendor's kernel".into(),
            nodes: texts(&["/dev/mpp_service", "/dev/mpp-service", "/dev/vpu_service"]),
            formats: texts(&["NV12", "I420"]),
            sizes: Sizes {
                least: (96, 64),
                ..Sizes::ANY
            },
            properties: pairs(&[
                ("rc-mode", "cbr"),
                ("header-mode", "each-idr"),
                ("profile", "baseline"),
                ("sei-mode", "disable"),
            ]),
            gop: property("gop"),
            rate: property("bps"),
            // It says "Baseline" in its caps, which no caps that name a profile
            // let through.
            caps: BYTE_STREAM.into(),
            key_frame: KeyFrame::TimedEvent,
            ..h264("rockchip-mpp", "mpph264enc")
        },
        Encoder {
            package: "NVIDIA's L4T (nvidia-l4t-gstreamer)".into(),
            boards: "NVIDIA Jetson Nano, TX2, Xavier, Orin NX, AGX Orin; not Orin Nano".into(),
            // The Orin Nano has no encoder and no such node; asking its
            // library anyway can hang the system.
            nodes: texts(&["/dev/v4l2-nvenc", "/dev/nvhost-msenc"]),
            formats: texts(&["NV12", "I420"]),
            ahead: "nvvidconv ! video/x-raw(memory:NVMM),format=NV12".into(),
            properties: pairs(&[
                ("control-rate", "1"),
                ("insert-sps-pps", "true"),
                ("num-B-Frames", "0"),
                ("poc-type", "2"),
                ("preset-level", "1"),
                ("maxperf-enable", "true"),
                ("profile", "0"),
            ]),
            gop: property("idrinterval"),
            // L4T 32.x takes it at the start and ignores it afterwards.
            rate: property("bitrate"),
            key_frame: KeyFrame::Signal("force-IDR".into()),
            caps: BYTE_STREAM.into(),
            ..h264("jetson", "nvv4l2h264enc")
        },
        Encoder {
            package: "NXP's BSP (imx-gst1.0-plugin)".into(),
            boards: "NXP i.MX 8M Mini, 8M Plus".into(),
            nodes: texts(&["/dev/mxc_hantro_vc8000e", "/dev/mxc_hantro_h1"]),
            formats: texts(&["NV12", "I420", "YUY2"]),
            sizes: Sizes {
                // Of the H1's library; the other is the element's.
                least: (132, 96),
                most: (1920, 1088),
                ..Sizes::ANY
            },
            gop: property("gop-size"),
            rate: property("bitrate"),
            rate_unit: RateUnit::KilobitsPerSecond,
            // Its caps name no profile.
            caps: BYTE_STREAM.into(),
            ..h264("nxp-vpu", "vpuenc_h264")
        },
        Encoder {
            package: "gstreamer1.0-plugins-good".into(),
            boards: "NXP i.MX 8M Mini, 8M Plus with NXP's kernel (Hantro)".into(),
            rank: 80,
            // The video node has no name; this one is made beside it.
            nodes: texts(&["/dev/vsi_daemon_ctrl"]),
            formats: texts(&["NV12", "I420"]),
            sizes: Sizes {
                least: (144, 144),
                most: (1920, 4080),
                // Of the H1 in the Mini.
                multiple: (4, 4),
                least_fps: 1,
            },
            controls: vec![
                ("video_bitrate_mode".into(), 1),
                ("frame_level_rate_control_enable".into(), 1),
                ("repeat_sequence_header".into(), 1),
            ],
            gop: control("video_gop_size"),
            rate: control("video_bitrate"),
            // GStreamer 1.22.0 to 1.22.3 drop the event.
            key_frame: KeyFrame::Control("force_key_frame".into()),
            caps: CONSTRAINED_LEVEL_4.into(),
            ..h264("nxp-v4l2", "v4l2h264enc")
        },
        Encoder {
            package: "gstreamer1.0-plugins-good".into(),
            boards: "TI AM62A, AM62P, AM67 (Wave5)".into(),
            rank: 80,
            nodes: texts(&["v4l2:wave5-enc", "v4l2:C&M Wave5 VPU encoder"]),
            formats: texts(&["NV12", "I420"]),
            sizes: Sizes {
                least: (256, 128),
                most: (8192, 8192),
                multiple: (8, 8),
                least_fps: 1,
            },
            controls: vec![
                // Without it the bitrate is not looked at.
                ("frame_level_rate_control_enable".into(), 1),
                ("video_bitrate_mode".into(), 1),
                ("prepend_sps_and_pps_to_idr".into(), 1),
            ],
            // The distance of IDRs; h264_i_frame_period is that of other I pictures,
            // at which nobody can begin.
            gop: control("video_gop_size"),
            gop_most: 2047,
            rate: control("video_bitrate"),
            caps: CONSTRAINED_LEVEL_4.into(),
            ..h264("ti-wave5", "v4l2h264enc")
        },
        Encoder {
            package: "Qualcomm's IM SDK (qcom-gst-plugins)".into(),
            boards: "Qualcomm QCS6490, QCS9075 with Qualcomm Linux".into(),
            nodes: texts(&["v4l2:msm_vidc_encoder", "/dev/video33"]),
            // It announces more and fails with it.
            formats: texts(&["NV12"]),
            properties: pairs(&[("control-rate", "constant")]),
            gop: property("idr-interval"),
            rate: property("target-bitrate"),
            // Key frame requests of GStreamer are looked at in later releases only.
            key_frame: KeyFrame::Signal("trigger-iframe".into()),
            caps: BYTE_STREAM.into(),
            ..h264("qualcomm-c2", "qtic2venc")
        },
        Encoder {
            package: "gstreamer1.0-plugins-good".into(),
            boards: "Qualcomm with a mainline kernel (Venus, Iris)".into(),
            rank: 80,
            nodes: texts(&["v4l2:qcom-venus-encoder", "v4l2:qcom-iris-encoder"]),
            sizes: Sizes {
                least: (96, 96),
                most: (4096, 4096),
                ..Sizes::ANY
            },
            controls: vec![
                ("video_bitrate_mode".into(), 1),
                // What Venus looks at when it starts; the other one only later.
                ("sequence_header_mode".into(), 1),
                ("prepend_sps_and_pps_to_idr".into(), 1),
            ],
            gop: control("video_gop_size"),
            rate: control("video_bitrate"),
            // GStreamer 1.22.0 to 1.22.3 drop the event.
            key_frame: KeyFrame::Control("force_key_frame".into()),
            caps: CONSTRAINED_LEVEL_4.into(),
            ..h264("qualcomm-v4l2", "v4l2h264enc")
        },
        Encoder {
            package: "ST's OpenSTLinux (a patched gstreamer1.0-plugins-bad)".into(),
            boards: "ST STM32MP25".into(),
            nodes: texts(&["/dev/video*"]),
            properties: pairs(&[("rate-control", "cbr")]),
            gop: property("keyframe-interval"),
            rate: property("bitrate"),
            ..h264("stm32mp2", "v4l2slh264enc")
        },
    ]
}

fn intel_and_amd() -> Vec<Encoder> {
    let va = |id: &'static str, factory: &'static str, rank| Encoder {
        package: "gstreamer1.0-plugins-bad".into(),
        boards: "Intel and AMD graphics with a VA driver".into(),
        rank,
        nodes: texts(&["/dev/dri/renderD*"]),
        properties: pairs(&[
            ("rate-control", "cbr"),
            ("b-frames", "0"),
            ("num-slices", "1"),
            ("ref-frames", "1"),
            ("target-usage", "6"),
            ("aud", "false"),
        ]),
        gop: property("key-int-max"),
        gop_most: 1024,
        rate: property("bitrate"),
        rate_unit: RateUnit::KilobitsPerSecond,
        ..h264(id, factory)
    };
    vec![
        va("va", "vah264enc", 90),
        Encoder {
            boards: "Intel graphics whose driver has only the low-power encoder".into(),
            ..va("va-lp", "vah264lpenc", 89)
        },
        Encoder {
            package: "gstreamer1.0-plugins-bad".into(),
            boards: "Intel graphics with oneVPL or Media SDK".into(),
            rank: 88,
            nodes: texts(&["/dev/dri/renderD*"]),
            properties: pairs(&[
                ("rate-control", "cbr"),
                ("low-latency", "true"),
                ("b-frames", "0"),
                ("target-usage", "7"),
                ("ref-frames", "1"),
                // 1 would make every other I frame no IDR frame.
                ("idr-interval", "0"),
            ]),
            gop: property("gop-size"),
            rate: property("bitrate"),
            rate_unit: RateUnit::KilobitsPerSecond,
            ..h264("qsv", "qsvh264enc")
        },
        Encoder {
            package: "gstreamer1.0-vaapi".into(),
            boards: "older Intel graphics".into(),
            rank: 85,
            nodes: texts(&["/dev/dri/renderD*"]),
            formats: texts(&["NV12", "I420"]),
            properties: pairs(&[
                ("rate-control", "cbr"),
                ("max-bframes", "0"),
                ("num-slices", "1"),
                ("quality-level", "7"),
                ("cpb-length", "200"),
            ]),
            gop: property("keyframe-period"),
            rate: property("bitrate"),
            rate_unit: RateUnit::KilobitsPerSecond,
            ..h264("vaapi", "vaapih264enc")
        },
    ]
}

fn software() -> Vec<Encoder> {
    let any = |row: Encoder| Encoder {
        boards: "any; needs CPU time".into(),
        confirmed: true,
        hardware: false,
        contexts: 8,
        ..row
    };
    vec![
        any(Encoder {
            package: "gstreamer1.0-plugins-ugly".into(),
            rank: 10,
            formats: texts(&["I420", "NV12"]),
            // zerolatency alone would slice a frame among threads, and
            // Chromium shows damage on sliced frames under loss; one thread,
            // one slice. vbv-buf-capacity lets a live bitrate change take hold
            // within 1 s.
            properties: pairs(&[
                ("tune", "zerolatency"),
                ("speed-preset", "ultrafast"),
                ("threads", "1"),
                ("sliced-threads", "false"),
                ("bframes", "0"),
                ("vbv-buf-capacity", "120"),
                ("byte-stream", "true"),
                ("aud", "false"),
            ]),
            gop: property("key-int-max"),
            rate: property("bitrate"),
            rate_unit: RateUnit::KilobitsPerSecond,
            rate_range: (100_000, 50_000_000),
            ..h264("x264", "x264enc")
        }),
        any(Encoder {
            package: "gstreamer1.0-plugins-bad".into(),
            rank: 5,
            formats: texts(&["I420"]),
            properties: pairs(&[
                ("complexity", "low"),
                ("rate-control", "bitrate"),
                ("slice-mode", "n-slices"),
                ("num-slices", "1"),
                ("multi-thread", "1"),
                ("scene-change-detection", "false"),
                ("enable-frame-skip", "false"),
            ]),
            gop: property("gop-size"),
            rate: property("bitrate"),
            ..h264("openh264", "openh264enc")
        }),
        any(Encoder {
            codec: VideoCodec::Vp8,
            package: "gstreamer1.0-plugins-good".into(),
            rank: 10,
            formats: texts(&["I420"]),
            properties: pairs(&[
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
            ]),
            gop: property("keyframe-max-dist"),
            rate: property("target-bitrate"),
            rate_range: (50_000, 20_000_000),
            caps: "video/x-vp8".into(),
            parser: "".into(),
            ..h264("vp8", "vp8enc")
        }),
    ]
}
