//! Which copies of a raw picture a processor makes between a camera and an
//! encoder, and why, in words for the log. Pure: it reads a plan.

use super::{Carries, H264_DECODER, PicturePlan, Target, takes};
use crate::device::learned::Memory;
use crate::media::encoder::Encoder;
use crate::sdp::VideoCodec;

/// What a processor does on the way, by the element that does it.
const WORK: &[(&str, &str)] = &[
    (
        "jpegdec",
        "its JPEG is decoded, and its range made television's",
    ),
    (H264_DECODER, "its H.264 is decoded"),
    ("deinterlace", "its fields are woven"),
    ("videocrop", "a line is cut off"),
    ("videoscale", "it is scaled"),
    ("videoflip", "it is turned"),
];

/// What becomes of each picture of `plan` until `encoder` has it. `memory` is
/// how it is handed over.
pub(crate) fn copies(
    plan: &PicturePlan,
    encoder: &Encoder,
    target: Target,
    memory: Memory,
) -> String {
    let format = match &plan.carries {
        Carries::H264 if encoder.codec == VideoCodec::H264 && target.size.is_none() => {
            return "no copy: the camera encodes".to_owned();
        }
        Carries::H264 => None,
        Carries::Raw(format) => Some(format),
    };
    let mut work: Vec<&str> = WORK
        .iter()
        .filter(|(element, _)| plan.description.contains(element))
        .map(|(_, words)| *words)
        .collect();
    if format.is_none() {
        work.push("its H.264 is decoded");
    }
    if target.size.is_some() {
        work.push("it is scaled");
    }
    if format.is_some_and(|format| !takes(&encoder.formats, format)) {
        work.push("its pixels are converted");
    }
    let is_v4l2 = encoder.factory.starts_with("v4l2");
    let done = match work.as_slice() {
        [] => "the picture is as the camera gave it".to_owned(),
        work => format!("the picture is worked on: {}", work.join(", ")),
    };
    let handed = match (is_v4l2, memory) {
        (true, Memory::Dmabuf) if work.is_empty() => {
            "no copy: the encoder reads the camera's own buffers"
        }
        (true, _) if !work.is_empty() => {
            "one copy, into the encoder's buffers: what was made of it lies in this program's"
        }
        (true, _) if plan.node.is_none() => {
            "one copy, into the encoder's buffers: it comes from no V4L2 device, whose memory \
             could be shared"
        }
        (true, _) => {
            "one copy, into the encoder's buffers: camera and encoder were not seen to share memory"
        }
        (false, _) => "the encoder takes it from this program's memory",
    };
    format!("{done}; {handed}")
}
