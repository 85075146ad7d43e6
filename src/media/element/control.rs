//! What is changed on an encoder while it runs, by the way that its row says.
//!
//! Every name and value is checked against the installed element before it is
//! set: to set a property that is not there, or one of another type, is a
//! panic, and encoders of vendors change both from release to release.

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use tracing::debug;

use crate::media::encoder::{Encoder, KeyFrame, Knob};

/// The property of the V4L2 elements that takes controls.
const CONTROLS: &str = "extra-controls";

/// Asks the encoder in `branch` for a key frame; `sink` ends the branch. False
/// where nobody took the request; true proves nothing.
pub(crate) fn force_key_frame(
    encoder: &Encoder,
    branch: &gst::Bin,
    sink: &gst_app::AppSink,
) -> bool {
    let mut at = None;
    let taken = match &encoder.key_frame {
        KeyFrame::TimedEvent => {
            at = after_the_last(sink);
            Err("its row says so".to_owned())
        }
        KeyFrame::Event => Err("its row says so".to_owned()),
        // Before its first frame, which is a key frame anyway, a signal finds
        // an encoder that is not there yet.
        KeyFrame::Signal(_) if !has_given(sink) => Ok(()),
        KeyFrame::Signal(name) => element(branch).and_then(|e| emit(&e, name)),
        KeyFrame::Control(name) => element(branch).and_then(|e| set_control(&e, name, 1)),
    };
    match taken {
        Ok(()) => true,
        // Also where the row's own way is missing: the event does no harm.
        Err(why) => {
            let event = gst_video::UpstreamForceKeyUnitEvent::builder()
                .running_time(at)
                .all_headers(true)
                .build();
            let taken = sink.send_event(event);
            if !taken {
                debug!(encoder = %encoder.id, why, "the encoder took no key frame request");
            }
            taken
        }
    }
}

/// Gives the encoder in `branch` another target. False where it has no way to
/// take one; true proves nothing.
pub(crate) fn set_bitrate(encoder: &Encoder, branch: &gst::Bin, bits_per_second: u32) -> bool {
    let value = encoder.rate_value(bits_per_second);
    let set = match &encoder.rate {
        Knob::None => Err("its row has no bitrate".to_owned()),
        Knob::Property(name) => {
            element(branch).and_then(|e| set_property(&e, name, &value.to_string()))
        }
        Knob::Control(name) => element(branch)
            .and_then(|e| set_control(&e, name, i32::try_from(value).unwrap_or(i32::MAX))),
    };
    if let Err(why) = &set {
        debug!(encoder = %encoder.id, why, "the encoder took no bitrate");
    }
    set.is_ok()
}

/// A frame has come to `sink`.
fn has_given(sink: &gst_app::AppSink) -> bool {
    sink.property::<Option<gst::Sample>>("last-sample")
        .is_some()
}

/// From when on a frame is to be a key frame: right behind the last that came,
/// by running time.
fn after_the_last(sink: &gst_app::AppSink) -> Option<gst::ClockTime> {
    let sample = sink.property::<Option<gst::Sample>>("last-sample")?;
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let last = segment.to_running_time(sample.buffer()?.pts()?)?;
    Some(last + gst::ClockTime::NSECOND)
}

fn element(branch: &gst::Bin) -> Result<gst::Element, String> {
    branch
        .by_name("encoder")
        .ok_or_else(|| "the branch has no encoder".to_owned())
}

/// Sets `name` to what `text` stands for, if the element has such a property
/// and the value fits it.
pub(crate) fn set_property(element: &gst::Element, name: &str, text: &str) -> Result<(), String> {
    let value = value_for(element.object_class(), name, text)?;
    element.set_property_from_value(name, &value);
    Ok(())
}

/// The value of property `name` that `text` stands for. An error says what
/// does not fit.
pub(in crate::media) fn value_for(
    class: &glib::object::ObjectClass,
    name: &str,
    text: &str,
) -> Result<glib::Value, String> {
    let spec = class
        .find_property(name)
        .ok_or_else(|| format!("it has no property \"{name}\""))?;
    let flags = spec.flags();
    if !flags.contains(glib::ParamFlags::WRITABLE)
        || flags.contains(glib::ParamFlags::CONSTRUCT_ONLY)
    {
        return Err(format!("its property \"{name}\" cannot be set"));
    }
    let value = glib::Value::deserialize(text, spec.value_type()).map_err(|_| {
        format!(
            "its property \"{name}\" is a {} and takes no \"{text}\"",
            spec.value_type()
        )
    })?;
    match misfit(&spec, &value, text) {
        Some(range) => Err(format!("its property \"{name}\" takes {range}, not {text}")),
        None => Ok(value),
    }
}

/// What a property takes, where `value`, read from `text`, is none of it:
/// setting it would be a panic.
fn misfit(spec: &glib::ParamSpec, value: &glib::Value, text: &str) -> Option<String> {
    // GStreamer reads a negative number as a large one where there is no sign.
    let negative = text.trim_start().starts_with('-');
    macro_rules! check {
        ($($spec:ty => $number:ty),*) => {$(
            if let (Some(spec), Ok(value)) = (spec.downcast_ref::<$spec>(), value.get::<$number>()) {
                let (low, high) = (spec.minimum(), spec.maximum());
                let wrapped = negative && low >= 0 as $number;
                return (value < low || value > high || wrapped).then(|| format!("{low} to {high}"));
            }
        )*};
    }
    check!(
        glib::ParamSpecInt => i32,
        glib::ParamSpecUInt => u32,
        glib::ParamSpecInt64 => i64,
        glib::ParamSpecUInt64 => u64,
        glib::ParamSpecFloat => f32,
        glib::ParamSpecDouble => f64
    );
    let type_ = spec.value_type();
    if let Some(class) = glib::EnumClass::with_type(type_) {
        let number = value.transform::<i32>().ok().and_then(|v| v.get().ok());
        let known = number.is_some_and(|number: i32| class.value(number).is_some());
        let nicks: Vec<_> = class.values().iter().map(|v| v.nick()).collect();
        return (!known).then(|| nicks.join(", "));
    }
    if let Some(class) = glib::FlagsClass::with_type(type_) {
        let bits = value.transform::<u32>().ok().and_then(|v| v.get().ok());
        let all = class.values().iter().fold(0, |all, v| all | v.value());
        let known = bits.is_some_and(|bits: u32| bits & !all == 0);
        let nicks: Vec<_> = class.values().iter().map(|v| v.nick()).collect();
        return (!known).then(|| nicks.join(" + "));
    }
    let plain = [
        glib::Type::BOOL,
        glib::Type::STRING,
        gst::Structure::static_type(),
        gst::Caps::static_type(),
    ];
    (!plain.contains(&type_)).then(|| format!("a {type_}, which cannot be checked"))
}

/// True where the element takes V4L2 controls.
pub(in crate::media) fn takes_controls(class: &glib::object::ObjectClass) -> bool {
    class
        .find_property(CONTROLS)
        .is_some_and(|spec| spec.value_type() == gst::Structure::static_type())
}

/// Sets one V4L2 control; the element passes it on at once, and with it only
/// this one.
fn set_control(element: &gst::Element, name: &str, value: i32) -> Result<(), String> {
    if !takes_controls(element.object_class()) {
        return Err(format!("it has no property \"{CONTROLS}\""));
    }
    let controls = gst::Structure::builder("controls")
        .field(name, value)
        .build();
    element.set_property(CONTROLS, controls);
    Ok(())
}

/// True where elements of this type have an action signal `name` that takes
/// nothing and gives nothing or whether it was done.
pub(in crate::media) fn has_action(type_: glib::Type, name: &str) -> bool {
    glib::subclass::SignalId::lookup(name, type_).is_some_and(|signal| {
        let query = signal.query();
        query.n_params() == 0
            && [glib::Type::UNIT, glib::Type::BOOL].contains(&query.return_type().type_())
            && query.flags().contains(glib::SignalFlags::ACTION)
    })
}

fn emit(element: &gst::Element, name: &str) -> Result<(), String> {
    if !has_action(element.type_(), name) {
        return Err(format!("it has no signal \"{name}\""));
    }
    let done = element.emit_by_name_with_values(name, &[]);
    match done.map(|done| done.get::<bool>()) {
        Some(Ok(false)) => Err(format!("its signal \"{name}\" did nothing")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn x264() -> gst::Element {
        crate::media::element::init().expect("GStreamer is installed");
        gst::ElementFactory::make("x264enc")
            .name("encoder")
            .build()
            .expect("x264enc is installed")
    }

    #[test]
    fn properties_are_checked_before_they_are_set() {
        let encoder = x264();
        set_property(&encoder, "bitrate", "1234").expect("it fits");
        assert_eq!(encoder.property::<u32>("bitrate"), 1234);
        set_property(&encoder, "tune", "zerolatency").expect("a flag by its nick");
        set_property(&encoder, "pass", "4").expect("an enumeration by its number");
        for (name, text, words) in [
            ("bps", "1", "no property \"bps\""),
            ("bitrate", "much", "takes no \"much\""),
            ("bitrate", "-1", "takes 1 to 2048000, not -1"),
            ("bitrate", "0", "takes 1 to 2048000, not 0"),
            ("pass", "brilliant", "takes no \"brilliant\""),
            ("bframes", "17", "takes 0 to 16, not 17"),
            ("pass", "77", "takes no \"77\""),
            ("tune", "8", "takes stillimage + fastdecode"),
            ("parent", "x", "takes no \"x\""),
        ] {
            let error = set_property(&encoder, name, text).expect_err(name);
            assert!(error.contains(words), "{name}={text}: {error}");
        }
        assert_eq!(encoder.property::<u32>("bitrate"), 1234);
    }

    #[test]
    fn a_way_that_the_element_does_not_have_is_no_panic() {
        let encoder = x264();
        let bin = gst::Bin::new();
        let sink = gst_app::AppSink::builder().build();
        let mut row = (*Encoder::row("x264").expect("a row")).clone();
        // No encoder in the bin.
        assert!(!set_bitrate(&row, &bin, 1_000_000));
        bin.add(&encoder).expect("an empty bin");
        assert!(set_bitrate(&row, &bin, 1_000_000));
        assert_eq!(encoder.property::<u32>("bitrate"), 1000);
        for knob in [
            Knob::None,
            Knob::Property("bps".into()),
            Knob::Property("tune".into()),
            Knob::Control("video_bitrate".into()),
        ] {
            row.rate = knob;
            assert!(!set_bitrate(&row, &bin, 2_000_000), "{:?}", row.rate);
        }
        for way in [KeyFrame::Event, KeyFrame::Control("force_key_frame".into())] {
            row.key_frame = way;
            assert!(!force_key_frame(&row, &bin, &sink), "{:?}", row.key_frame);
        }
        // The first frame is one.
        row.key_frame = KeyFrame::Signal("force-IDR".into());
        assert!(force_key_frame(&row, &bin, &sink));
        assert!(emit(&encoder, "force-IDR").is_err());
        // Every element has it, but it is no action.
        assert!(emit(&encoder, "pad-added").is_err());
    }
}
