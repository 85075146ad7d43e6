//! Where the planes of a picture lie in its buffer, said on each that does not.
//!
//! By GStreamer's contract a buffer without `GstVideoMeta` is laid out by its
//! caps, and most encoders know; some of vendors' want it said: qtic2venc takes
//! a frame without for an error. Behind a tee nobody is asked whether they do.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video::{VideoFrameFlags, VideoInfo, VideoMeta};

/// Says it of all that comes through `pad`; what has it said passes untouched.
pub(in crate::media) fn say(pad: &gst::Pad) {
    // One that is too small for it has no such layout; the encoder finds that.
    say_as(pad, |info, buffer| {
        let is_whole = buffer.size() >= info.size();
        is_whole.then(|| (info.offset().to_vec(), info.stride().to_vec()))
    });
}

/// Says it of all that comes through `pad` and has it not said, as `planes` finds it for
/// each: where each plane begins, and how long its lines are, in bytes.
pub(super) fn say_as(
    pad: &gst::Pad,
    planes: impl Fn(&VideoInfo, &gst::BufferRef) -> Option<(Vec<usize>, Vec<i32>)>
    + Send
    + Sync
    + 'static,
) {
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, probe| {
        if let Some(gst::PadProbeData::Buffer(buffer)) = &mut probe.data
            && buffer.meta::<VideoMeta>().is_none()
            && let Some(info) = pad
                .current_caps()
                .and_then(|c| VideoInfo::from_caps(&c).ok())
            && let Some((offsets, strides)) = planes(&info, buffer)
        {
            let _ = VideoMeta::add_full(
                buffer.make_mut(),
                VideoFrameFlags::empty(),
                info.format(),
                info.width(),
                info.height(),
                &offsets,
                &strides,
            );
        }
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    use gstreamer_video as gst_video;

    use super::*;

    /// The layout that `frame`, 60 × 40 of NV12, has behind the pad.
    fn behind(frame: gst::Buffer) -> Option<(Vec<usize>, Vec<i32>)> {
        let pad = gst::Pad::builder(gst::PadDirection::Src).build();
        let caps = gst_video::VideoCapsBuilder::new()
            .format(gst_video::VideoFormat::Nv12)
            .width(60)
            .height(40)
            .framerate((30, 1).into())
            .build();
        let (came, coming) = std::sync::mpsc::sync_channel(1);
        let sink = gst::Pad::builder(gst::PadDirection::Sink)
            .chain_function(move |_, _, buffer| {
                let meta = buffer.meta::<VideoMeta>();
                let _ = came.send(meta.map(|m| (m.offset().to_vec(), m.stride().to_vec())));
                Ok(gst::FlowSuccess::Ok)
            })
            .build();
        pad.link(&sink).expect("a source and a sink");
        for pad in [&sink, &pad] {
            pad.set_active(true).expect("a pad");
        }
        say(&pad);
        pad.push_event(gst::event::StreamStart::new("one"));
        pad.push_event(gst::event::Caps::new(&caps));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        pad.push_event(gst::event::Segment::new(&segment));
        let _ = pad.push(frame);
        coming.try_recv().ok().flatten()
    }

    #[test]
    fn a_layout_is_said_where_none_is_and_one_that_is_said_stays() {
        crate::media::element::init().expect("GStreamer is installed");
        let plain = gst::Buffer::from_mut_slice(vec![0; 60 * 60]);
        let said = behind(plain).expect("it is said");
        assert_eq!(said, (vec![0, 2400], vec![60, 60]));

        let mut padded = gst::Buffer::from_mut_slice(vec![0; 64 * 60]);
        VideoMeta::add_full(
            padded.get_mut().expect("the only one"),
            VideoFrameFlags::empty(),
            gst_video::VideoFormat::Nv12,
            60,
            40,
            &[0, 2560],
            &[64, 64],
        )
        .expect("large enough");
        assert_eq!(behind(padded), Some((vec![0, 2560], vec![64, 64])));

        let short = gst::Buffer::from_mut_slice(vec![0; 100]);
        assert_eq!(behind(short), None);
    }
}
