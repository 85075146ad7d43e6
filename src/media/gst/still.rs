//! One picture of the camera's as a JPEG: the camera's own where it makes them, else
//! the next one of the pipeline, encoded on a thread that ends with it. Before somebody
//! asks there is nothing of this.

use std::sync::Mutex;

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use tracing::debug;

use super::picture::Picture;
use crate::lock::lock;
use crate::media::bitstream::jpeg;
use crate::media::element::{parse, sink};
use crate::media::hub::source::Still;
use crate::media::plan::{Carries, H264_DECODER};

/// Of the JPEG, of 100: what cannot be told from the picture.
const QUALITY: u32 = 90;
/// The same of one that is made smaller, to be found by.
const ROUGH: u32 = 75;
/// Encoding one takes no longer.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(3);
/// Of a JPEG's headers: where a marker of a Huffman table is looked for.
const HEADERS: usize = 4096;

impl Picture {
    /// Gives the next picture to `still`.
    pub(super) fn still(&self, still: Still) {
        // A turned one is no more as the camera made it.
        let is_turned = self.plan.description.contains("videoflip");
        let device = self.element("device").filter(|_| !is_turned);
        let own = device
            .and_then(|device| device.static_pad("src"))
            .filter(|pad| media_type(pad).as_deref() == Some("image/jpeg"));
        let tee = || self.element("tee")?.static_pad("sink");
        let Some(pad) = own.or_else(tee) else {
            return;
        };
        // One of all since the last key frame is no picture by itself.
        let only_keys = self.plan.carries == Carries::H264;
        let still = Mutex::new(Some(still));
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            let Some(gst::PadProbeData::Buffer(buffer)) = &info.data else {
                return gst::PadProbeReturn::Ok;
            };
            if only_keys && buffer.flags().contains(gst::BufferFlags::DELTA_UNIT) {
                return gst::PadProbeReturn::Ok;
            }
            let asked = lock(&still).take().filter(|still| !still.to.is_closed());
            if let (Some(still), Some(caps)) = (asked, pad.current_caps()) {
                // The camera gets its own back at once.
                let copy = buffer.copy_deep();
                let encode = move || {
                    let picture = encoded(copy, &caps, still.width);
                    drop(still.to.send(picture));
                };
                let thread = std::thread::Builder::new().name("still".into());
                if let Err(error) = thread.spawn(encode) {
                    debug!(%error, "no picture for who asked");
                }
            }
            gst::PadProbeReturn::Remove
        });
    }
}

fn media_type(pad: &gst::Pad) -> Option<String> {
    let caps = pad.current_caps()?;
    Some(caps.structure(0)?.name().to_string())
}

/// The JPEG of a picture of any kind; `width` is for another than it has.
fn encoded(
    buffer: Result<gst::Buffer, gst::glib::BoolError>,
    caps: &gst::Caps,
    width: Option<u32>,
) -> Result<Bytes, String> {
    let mut buffer = buffer.map_err(|error| error.to_string())?;
    let decode = match caps.structure(0).map(|s| s.name().as_str()) {
        Some("image/jpeg") => {
            if width.is_none()
                && let Ok(bytes) = buffer.map_readable()
                && is_whole(&bytes)
            {
                return Ok(Bytes::copy_from_slice(&bytes));
            }
            "jpegdec ! ".to_owned()
        }
        Some("video/x-h264") => format!("h264parse ! {H264_DECODER} ! "),
        _ => String::new(),
    };
    // Its height follows.
    let scale = width.map_or_else(String::new, |width| {
        format!("videoscale ! video/x-raw,width={width},pixel-aspect-ratio=1/1 ! ")
    });
    let quality = if width.is_some() { ROUGH } else { QUALITY };
    let description = format!(
        "appsrc name=in format=time ! {decode}{scale}videoconvert ! jpegenc quality={quality} ! \
         appsink name=out sync=false"
    );
    let pipeline = parse(&description, "still").map_err(|error| error.to_string())?;
    let encode = || {
        let source = pipeline.by_name("in")?.downcast::<gst_app::AppSrc>().ok()?;
        let sink = sink(&pipeline, "still").ok()?;
        source.set_caps(Some(caps));
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gst::ClockTime::ZERO);
        }
        pipeline.set_state(gst::State::Playing).ok()?;
        source.push_buffer(buffer).ok()?;
        source.end_of_stream().ok()?;
        let sample = sink.try_pull_sample(PATIENCE)?;
        let bytes = sample.buffer()?.map_readable().ok()?;
        Some(Bytes::copy_from_slice(&bytes))
    };
    let bytes = encode();
    let _ = pipeline.set_state(gst::State::Null);
    bytes.ok_or_else(|| format!("a picture of this kind could not be encoded: {caps}"))
}

/// Motion JPEG may leave its Huffman tables out, and a cable part of it.
fn is_whole(bytes: &[u8]) -> bool {
    let headers = &bytes[..bytes.len().min(HEADERS)];
    let has_tables = headers.windows(2).any(|marker| marker == [0xff, 0xc4]);
    has_tables && jpeg::check(bytes).is_ok()
}
