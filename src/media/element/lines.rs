//! Where the lines of libcamera's pictures lie, which its plug-in does not say.
//!
//! Before libcamera 0.5.1 `libcamerasrc` hands out what the driver has filled, as if
//! it lay as GStreamer lays pictures out: each line of RGB at a multiple of four bytes,
//! none of NV12 padded beyond that. A driver may do neither: vimc pads nothing, and
//! image processors pad to 32 or 64 bytes. Then every picture is slanted, or refused for
//! being too small. But each plane comes in a memory of its own, which is as large as
//! its lines.

use gstreamer as gst;
use gstreamer_video::VideoInfo;

use super::layout;

/// Drivers pad a line by less than this, in bytes.
const PADDING: usize = 256;
/// And to a multiple of this.
const ALIGNED: usize = 16;

/// Has it said on all that comes through `pad`, where it differs from what GStreamer
/// takes for granted.
pub(super) fn say(pad: &gst::Pad) {
    layout::say_as(pad, |info, buffer| {
        planes(info, &memories(buffer)).map(|planes| (planes.offsets, planes.strides))
    });
}

/// Sizes of a buffer's memories, in bytes.
fn memories(buffer: &gst::BufferRef) -> Vec<usize> {
    buffer.iter_memories().map(|memory| memory.size()).collect()
}

/// How a picture lies in a buffer, in bytes.
#[derive(Debug, PartialEq, Eq)]
struct Planes {
    offsets: Vec<usize>,
    strides: Vec<i32>,
}

/// How a picture lies in memories of these sizes; `None` where it is as GStreamer
/// takes it to be, or cannot be told.
fn planes(info: &VideoInfo, memories: &[usize]) -> Option<Planes> {
    if memories.len() != info.n_planes() as usize {
        return None;
    }
    let mut found = Planes {
        offsets: Vec::with_capacity(memories.len()),
        strides: Vec::with_capacity(memories.len()),
    };
    let mut offset = 0;
    for (plane, size) in (0..).zip(memories) {
        let (lines, used) = extent(info, plane)?;
        let stride = size / lines;
        let makes_sense = match found.strides.first() {
            None => stride == used || is_padded(stride, used),
            // What a driver pads, it pads in all planes alike.
            Some(first) => stride == alike(info, plane, *first),
        };
        if stride * lines != *size || stride < used || !makes_sense {
            return None;
        }
        found.offsets.push(offset);
        found.strides.push(i32::try_from(stride).ok()?);
        offset += size;
    }
    (found.strides != info.stride()).then_some(found)
}

/// As drivers pad.
fn is_padded(stride: usize, used: usize) -> bool {
    stride.is_multiple_of(ALIGNED) && (used..used + PADDING).contains(&stride)
}

/// The components of a plane.
fn components(info: &VideoInfo, plane: u32) -> impl Iterator<Item = u8> + use<> {
    let planes = info.format_info().plane().to_vec();
    (0..)
        .zip(planes)
        .filter_map(move |(c, of)| (of == plane).then_some(c))
}

/// The stride of a plane where that of the first one, of one component, is `first`.
fn alike(info: &VideoInfo, plane: u32, first: i32) -> usize {
    let format = info.format_info();
    let widths = components(info, plane).map(|c| format.scale_width(c, first.unsigned_abs()));
    widths.sum::<u32>() as usize
}

/// The lines of a plane, and the bytes of one that are a picture.
fn extent(info: &VideoInfo, plane: u32) -> Option<(usize, usize)> {
    let format = info.format_info();
    let lines = components(info, plane).next();
    let lines = lines.map(|c| format.scale_height(c, info.height()) as usize)?;
    let bytes = components(info, plane).map(|component| {
        let pixels = format.scale_width(component, info.width()) as usize;
        let each = format.pixel_stride()[usize::from(component)];
        pixels * usize::try_from(each).unwrap_or(0)
    });
    let used = bytes.max()?;
    (lines > 0 && used > 0).then_some((lines, used))
}

#[cfg(test)]
mod tests {
    use gstreamer::prelude::*;
    use gstreamer_app as gst_app;
    use gstreamer_video::{VideoFormat, VideoFrameRef};

    use super::*;

    fn info(format: VideoFormat, width: u32, height: u32) -> VideoInfo {
        crate::media::element::init().expect("GStreamer is installed");
        VideoInfo::builder(format, width, height)
            .fps((30, 1))
            .build()
            .expect("a picture")
    }

    fn strides(
        format: VideoFormat,
        (width, height): (u32, u32),
        sizes: &[usize],
    ) -> Option<Vec<i32>> {
        let planes = planes(&info(format, width, height), sizes)?;
        Some(planes.strides)
    }

    #[test]
    fn lines_that_are_not_padded_or_padded_further_are_found_by_the_size() {
        // vimc: 318 pixels are 954 bytes, of which GStreamer makes 956.
        let size = (318, 180);
        assert_eq!(
            strides(VideoFormat::Rgb, size, &[954 * 180]),
            Some(vec![954])
        );
        // An image processor's lines of 64 bytes.
        let size = (424, 240);
        let nv12 = planes(&info(VideoFormat::Nv12, 424, 240), &[448 * 240, 448 * 120]);
        let expected = Planes {
            offsets: vec![0, 448 * 240],
            strides: vec![448, 448],
        };
        assert_eq!(nv12, Some(expected));
        let planar = [432 * 240, 216 * 120, 216 * 120];
        assert_eq!(
            strides(VideoFormat::I420, size, &planar),
            Some(vec![432, 216, 216])
        );
        assert_eq!(
            strides(VideoFormat::Yuy2, size, &[896 * 240]),
            Some(vec![896])
        );
    }

    #[test]
    fn what_gstreamer_takes_for_granted_needs_no_word() {
        let size = (640, 480);
        assert_eq!(
            strides(VideoFormat::Nv12, size, &[640 * 480, 640 * 240]),
            None
        );
        assert_eq!(strides(VideoFormat::Yuy2, size, &[1280 * 480]), None);
        // Padded as GStreamer pads.
        assert_eq!(strides(VideoFormat::Rgb, (318, 180), &[956 * 180]), None);
    }

    #[test]
    fn of_what_cannot_be_told_nothing_is_said() {
        let size = (424, 240);
        // In one memory.
        assert_eq!(strides(VideoFormat::Nv12, size, &[448 * 360]), None);
        // Whole pages.
        assert_eq!(strides(VideoFormat::Yuy2, size, &[204_800]), None);
        // Not of one kind.
        assert_eq!(
            strides(VideoFormat::Nv12, size, &[448 * 240, 424 * 120]),
            None
        );
        // Less than the picture.
        assert_eq!(
            strides(VideoFormat::Nv12, size, &[416 * 240, 416 * 120]),
            None
        );
        assert_eq!(strides(VideoFormat::Yuy2, size, &[0]), None);
        // A strip of lines more.
        assert_eq!(
            strides(VideoFormat::Yuy2, (1920, 1080), &[3840 * 1088]),
            None
        );
    }

    /// The colour of a red picture of 318 × 180 in lines of 954 bytes, behind the
    /// element that converts a camera's.
    #[test]
    fn a_picture_without_padding_is_converted_with_its_colours() {
        let info = info(VideoFormat::Rgb, 318, 180);
        let pipeline = crate::media::element::parse(
            "appsrc name=in format=time ! videoconvert ! video/x-raw,format=RGBA ! \
             appsink name=out sync=false",
            "test",
        )
        .expect("elements");
        let source = pipeline.by_name("in").expect("it is there");
        let source = source.downcast::<gst_app::AppSrc>().expect("a source");
        source.set_caps(Some(&info.to_caps().expect("caps")));
        say(&source.static_pad("src").expect("a pad"));
        pipeline.set_state(gst::State::Playing).expect("it runs");
        let red = [255, 0, 0].repeat(318 * 180);
        let _ = source.push_buffer(gst::Buffer::from_mut_slice(red));
        let sink = crate::media::element::sink(&pipeline, "test").expect("a sink");
        let sample = sink.pull_sample();
        pipeline.set_state(gst::State::Null).expect("it stops");
        let sample = sample.expect("a picture");
        let out = VideoInfo::from_caps(sample.caps().expect("caps")).expect("a picture");
        let buffer = sample.buffer().expect("a buffer");
        let frame = VideoFrameRef::from_buffer_ref_readable(buffer, &out).expect("a frame");
        let bytes = frame.plane_data(0).expect("a plane");
        let is_red = |pixel: &[u8]| pixel == [255, 0, 0, 255];
        assert!(bytes.chunks_exact(4).all(is_red), "{:?}", &bytes[..16]);
    }
}
