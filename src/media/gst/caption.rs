//! Captions on pictures that GStreamer makes: the counter of the test picture,
//! the words of the slate.

use std::sync::Mutex;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video as gst_video;

use super::overlay::{Caption, Painter, Plane};
use crate::lock::lock;

/// Paints a caption on what `source` makes.
pub(super) fn paint(source: &gst::Element, caption: Caption) {
    let Some(pad) = source.static_pad("src") else {
        return;
    };
    let state = Mutex::new((Painter::new(caption), 0_u64, None));
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, probe| {
        let Some(gst::PadProbeData::Buffer(buffer)) = &mut probe.data else {
            return gst::PadProbeReturn::Ok;
        };
        let (painter, frame, info) = &mut *lock(&state);
        if info.is_none() {
            *info = pad
                .current_caps()
                .and_then(|caps| gst_video::VideoInfo::from_caps(&caps).ok());
        }
        if let Some(info) = info {
            paint_buffer(painter, buffer.make_mut(), info, *frame);
            *frame += 1;
        }
        gst::PadProbeReturn::Ok
    });
}

fn paint_buffer(
    painter: &mut Painter,
    buffer: &mut gst::BufferRef,
    info: &gst_video::VideoInfo,
    frame: u64,
) {
    let Ok(now) = gst::glib::DateTime::now_local() else {
        return;
    };
    let seconds = now.hour() * 3600 + now.minute() * 60 + now.second();
    let time = seconds as u32 * 1000 + now.microsecond() as u32 / 1000;
    let Ok(mut map) = buffer.map_writable() else {
        return;
    };
    let (offsets, strides) = (info.offset(), info.stride());
    if offsets.len() < 3 || map.len() < offsets[2] || offsets[2] < offsets[1] {
        return;
    }
    let (y, chroma) = map.split_at_mut(offsets[1]);
    let (u, v) = chroma.split_at_mut(offsets[2] - offsets[1]);
    let (width, height) = (info.width() as usize, info.height() as usize);
    let plane = |data, i: usize, divide: usize| Plane {
        data,
        stride: strides[i].unsigned_abs() as usize,
        width: width / divide,
        height: height / divide,
    };
    painter.paint(
        [plane(y, 0, 1), plane(u, 1, 2), plane(v, 2, 2)],
        time,
        frame,
    );
}
