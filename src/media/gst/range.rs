//! Pictures whose values use all of 0 to 255, as every JPEG's do, are brought
//! into the range of television: 16 to 235, colours to 240.
//!
//! VP8 cannot say which of the two a picture has, openh264 and many encoders in
//! hardware do not, and browsers take it for the latter: dark and bright parts
//! are crushed. GStreamer 1.22 does not do it: its `videoconvert` writes the
//! caps that it is asked for and leaves 4:2:0 values as they are. It is done
//! once, in front of the tee, for all encoders and tiers.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video as gst_video;
use gstreamer_video::prelude::*;
use tracing::debug;

/// Of television pictures whatever comes through `pad` from now on. What is in
/// that range already passes untouched.
pub(super) fn limit(pad: &gst::Pad) {
    // Streaming threads call a pad's probes one at a time.
    let full = std::sync::Mutex::<Option<gst_video::VideoInfo>>::default();
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(kinds, move |_, info| {
        match &mut info.data {
            Some(gst::PadProbeData::Event(event)) => {
                if let gst::EventView::Caps(caps) = event.view() {
                    let found = full_range(caps.caps());
                    if let Some((_, limited)) = &found {
                        debug!(caps = %limited, "its range is made television's");
                        *event = gst::event::Caps::new(limited);
                    }
                    *crate::lock::lock(&full) = found.map(|(info, _)| info);
                }
            }
            Some(gst::PadProbeData::Buffer(buffer)) => {
                if let Some(video) = &*crate::lock::lock(&full) {
                    compress(buffer.make_mut(), video);
                }
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

/// What jpegdec says of its colours: JFIF's range and matrix, and nothing of the
/// rest. V4L2's encoders take no such thing.
const OF_JPEGDEC: &str = "1:4:0:0";
/// V4L2_COLORSPACE_JPEG, which is the same with its primaries, those of sRGB.
/// With it, a converter between the two has nothing to do.
const OF_V4L2: &str = "1:4:7:1";

/// Lets the pictures that leave `pad` of jpegdec be what V4L2 says of JPEG.
pub(super) fn name_as_v4l2(pad: &gst::Pad) {
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |_, info| {
        if let Some(gst::PadProbeData::Event(event)) = &mut info.data
            && let gst::EventView::Caps(caps) = event.view()
            && let Some(named) = named(caps.caps())
        {
            *event = gst::event::Caps::new(&named);
        }
        gst::PadProbeReturn::Ok
    });
}

fn named(caps: &gst::CapsRef) -> Option<gst::Caps> {
    let colours: &str = caps.structure(0)?.get("colorimetry").ok()?;
    (colours == OF_JPEGDEC).then(|| {
        let mut caps = caps.to_owned();
        caps.make_mut().set("colorimetry", OF_V4L2);
        caps
    })
}

/// What these caps are, and the same in television's range; `None` where they
/// are that, or nothing that is brought there: 4:2:0 of 8 bits.
fn full_range(caps: &gst::CapsRef) -> Option<(gst_video::VideoInfo, gst::Caps)> {
    let info = gst_video::VideoInfo::from_caps(caps).ok()?;
    let colours = info.colorimetry();
    let is_420 = matches!(
        info.format(),
        gst_video::VideoFormat::I420
            | gst_video::VideoFormat::Yv12
            | gst_video::VideoFormat::Nv12
            | gst_video::VideoFormat::Nv21
    );
    if colours.range() != gst_video::VideoColorRange::Range0_255 || !is_420 {
        return None;
    }
    let limited = gst_video::VideoColorimetry::new(
        gst_video::VideoColorRange::Range16_235,
        colours.matrix(),
        colours.transfer(),
        colours.primaries(),
    );
    let mut caps = caps.to_owned();
    caps.make_mut().set("colorimetry", limited.to_string());
    Some((info, caps))
}

fn compress(buffer: &mut gst::BufferRef, info: &gst_video::VideoInfo) {
    let Ok(mut frame) = gst_video::VideoFrameRef::from_buffer_ref_writable(buffer, info) else {
        return;
    };
    for plane in 0..frame.n_planes() {
        if let Ok(values) = frame.plane_data_mut(plane) {
            match plane {
                0 => values.iter_mut().for_each(|value| *value = luma(*value)),
                _ => values.iter_mut().for_each(|value| *value = chroma(*value)),
            }
        }
    }
}

/// 0 to 255 become 16 to 235.
fn luma(value: u8) -> u8 {
    // In 16 bits, so that many are done at once.
    (((u16::from(value) * 220 + 128) >> 8) + 16) as u8
}

/// 0 to 255 become 16 to 240; no colour, 128, stays so.
fn chroma(value: u8) -> u8 {
    (((u16::from(value) * 225) >> 8) + 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_where_television_has_them() {
        for value in 0..=u8::MAX {
            let exact = |range: f64| 16.0 + f64::from(value) * range / 255.0;
            assert!(
                (f64::from(luma(value)) - exact(219.0)).abs() <= 1.0,
                "{value}"
            );
            assert!(
                (f64::from(chroma(value)) - exact(224.0)).abs() <= 1.0,
                "{value}"
            );
        }
        assert_eq!((luma(0), luma(255)), (16, 235));
        assert_eq!((chroma(0), chroma(128), chroma(255)), (16, 128, 240));
    }

    #[test]
    fn the_colours_of_a_jpeg_have_the_name_that_v4l2_knows() {
        gst::init().expect("GStreamer is installed");
        let caps = |colours: &str| {
            let text = format!("video/x-raw,format=I420,colorimetry={colours}");
            text.parse::<gst::Caps>().expect("caps")
        };
        let jpeg = named(&caps(OF_JPEGDEC)).expect("it is given a name");
        assert_eq!(jpeg, caps(OF_V4L2));
        assert_eq!(named(&caps("bt709")), None);
        // Which television's range is known of, too.
        let (_, limited) =
            full_range(&caps(&format!("{OF_V4L2},width=64,height=64"))).expect("full range");
        assert!(limited.to_string().contains("2:4:7:1"), "{limited}");
    }

    #[test]
    fn only_full_range_420_is_changed() {
        gst::init().expect("GStreamer is installed");
        let caps = |text: &str| {
            let text = format!("video/x-raw,width=64,height=64,framerate=30/1,{text}");
            let caps: gst::Caps = text.parse().expect("caps");
            full_range(&caps).map(|(_, caps)| caps.to_string())
        };
        for (text, limited) in [
            ("format=I420,colorimetry=1:4:0:0", "2:4:0:0"),
            ("format=NV12,colorimetry=1:3:5:1", "bt709"),
        ] {
            let found = caps(text).expect("full range");
            assert!(found.contains(limited), "{text}: {found}");
        }
        for text in [
            "format=I420,colorimetry=bt601",
            "format=YUY2,colorimetry=1:4:7:1",
            "format=BGRx,colorimetry=1:1:5:1",
        ] {
            assert_eq!(caps(text), None, "{text}");
        }
        let jpeg: gst::Caps = "video/x-h264".parse().expect("caps");
        assert!(full_range(&jpeg).is_none());
    }
}
