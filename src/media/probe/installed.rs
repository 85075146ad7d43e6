//! Makes a row fit the element that is really installed.

use gstreamer as gst;
use gstreamer::glib;

use crate::media::element::{control, load};
use crate::media::encoder::{Encoder, KeyFrame, Knob};

/// The row without what the installed element does not take, and what that is,
/// in words. Loads the plug-in, which is what a broken one does not survive:
/// to be called where a crash does no harm.
///
/// # Errors
///
/// The plug-in cannot be loaded.
pub(super) fn fit(encoder: &Encoder) -> Result<(Encoder, Vec<String>), String> {
    let factory = gst::ElementFactory::find(&encoder.factory)
        .ok_or_else(|| format!("GStreamer has no element \"{}\"", encoder.factory))?;
    let factory = load(&factory)?;
    let type_ = factory.element_type();
    let class = glib::Class::<gst::Element>::from_type(type_)
        .ok_or_else(|| "its plug-in registers no such element".to_owned())?;
    let mut fitted = encoder.clone();
    let mut left_out = Vec::new();
    fitted.properties.retain(|(name, value)| {
        keep(
            control::value_for(&class, name, value).map(drop),
            &mut left_out,
        )
    });
    let takes_controls = control::takes_controls(&class);
    if !takes_controls && !encoder.controls.is_empty() {
        left_out.push("it takes no V4L2 controls".into());
        fitted.controls.clear();
    }
    // Both are numbers; any in range shows whether the property takes one.
    let gop = encoder.gop_frames(30);
    let rate = encoder.rate_value(encoder.rate_range.0);
    for (knob, sample) in [(&mut fitted.gop, gop), (&mut fitted.rate, rate)] {
        let fits = match &*knob {
            Knob::None => Ok(()),
            Knob::Property(name) => control::value_for(&class, name, &sample.to_string()).map(drop),
            Knob::Control(_) if takes_controls => Ok(()),
            Knob::Control(name) => Err(format!("it takes no V4L2 control \"{name}\"")),
        };
        if !keep(fits, &mut left_out) {
            *knob = Knob::None;
        }
    }
    let fits = match &fitted.key_frame {
        KeyFrame::Event | KeyFrame::TimedEvent => Ok(()),
        KeyFrame::Signal(name) if control::has_action(type_, name) => Ok(()),
        KeyFrame::Signal(name) => Err(format!("it has no signal \"{name}\"")),
        KeyFrame::Control(_) if takes_controls => Ok(()),
        KeyFrame::Control(name) => Err(format!("it takes no V4L2 control \"{name}\"")),
    };
    if !keep(fits, &mut left_out) {
        fitted.key_frame = KeyFrame::Event;
    }
    Ok((fitted, left_out))
}

fn keep(fits: Result<(), String>, left_out: &mut Vec<String>) -> bool {
    match fits {
        Ok(()) => true,
        Err(why) => {
            left_out.push(why);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::encoder::table;

    #[test]
    fn every_row_of_the_software_encoders_fits_what_is_installed() {
        crate::media::element::init().expect("GStreamer is installed");
        for row in table::rows().iter().filter(|row| !row.hardware) {
            let (fitted, left_out) = fit(row).expect("it is installed");
            assert_eq!(left_out, [""; 0], "{}", row.id);
            assert_eq!(fitted, **row);
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_named() {
        crate::media::element::init().expect("GStreamer is installed");
        let mut row = (*Encoder::row("x264").expect("a row")).clone();
        row.properties.push(("rc-mode".into(), "cbr".into()));
        row.properties.push(("ref".into(), "99".into()));
        row.controls.push(("repeat_sequence_header".into(), 1));
        row.gop = Knob::Property("gop-size".into());
        row.key_frame = KeyFrame::Signal("force-IDR".into());
        let (fitted, left_out) = fit(&row).expect("it is installed");
        let words = left_out.join("; ");
        for part in [
            "rc-mode",
            "\"ref\" takes 1 to 16",
            "controls",
            "gop-size",
            "force-IDR",
        ] {
            assert!(words.contains(part), "{part}: {words}");
        }
        assert_eq!(
            fitted.properties,
            Encoder::row("x264").expect("a row").properties
        );
        assert_eq!(fitted.gop, Knob::None);
        assert_eq!(fitted.key_frame, KeyFrame::Event);
        assert!(fitted.controls.is_empty());
        row.factory = "nosuchenc".into();
        assert!(fit(&row).is_err_and(|e| e.contains("nosuchenc")));
    }
}
