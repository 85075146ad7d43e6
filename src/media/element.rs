//! GStreamer as all that tries or runs a pipeline uses it: started, described
//! pipelines made, their sink found, what an element says put into words.

pub(crate) mod control;
pub(crate) mod layout;
mod lines;

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::error::MediaError;
use crate::device::discovery::libcamera;
use crate::secret::without_credentials;

/// Starts GStreamer.
pub fn init() -> Result<(), MediaError> {
    gst::init().map_err(|e| MediaError::Init(e.to_string()))
}

/// An error that names the package, where GStreamer has no such element.
pub(crate) fn require(factory: &str, package: &str) -> Result<(), MediaError> {
    match gst::ElementFactory::find(factory) {
        Some(_) => Ok(()),
        None => Err(MediaError::MissingElement {
            element: factory.to_owned(),
            package: package.to_owned(),
        }),
    }
}

/// Loads what the registry knows by this name.
///
/// # Errors
///
/// In words. When GStreamer's plug-in for V4L2 is loaded it opens each node, and has
/// elements for those alone that opened; the registry remembers the others, too.
pub(crate) fn load(factory: &gst::ElementFactory) -> Result<gst::ElementFactory, String> {
    factory.clone().load().map_err(|_| {
        let words = match factory.name().starts_with("v4l2") {
            true => {
                "finds no device that it can open: its driver may be in use by another program, \
                 or this user may not open it (is it in the group \"video\"?)"
            }
            false => "cannot be loaded",
        };
        format!("the plug-in of \"{}\" {words}", factory.name())
    })
}

/// Why a description was not taken. Of an element that cannot be loaded GStreamer
/// (1.22) says that it has no property "name".
pub(crate) fn refusal(description: &str, error: &glib::Error) -> String {
    let names = description.split('!').map(str::trim_start);
    let names = names.filter_map(|part| part.split_ascii_whitespace().next());
    let mut factories = names.filter_map(gst::ElementFactory::find);
    let unloaded = factories.find_map(|factory| load(&factory).err());
    unloaded.unwrap_or_else(|| error.to_string())
}

/// The pipeline of a description; `what` is what an error calls it.
pub(crate) fn parse(description: &str, what: &str) -> Result<gst::Pipeline, MediaError> {
    let pipeline = gst::parse::launch(description)
        .map_err(|e| refusal(description, &e))
        .and_then(|element| {
            element
                .downcast::<gst::Pipeline>()
                .map_err(|_| "it is a single element, not a pipeline".to_owned())
        })
        .map_err(|problem| MediaError::Pipeline {
            what: what.to_owned(),
            problem,
        })?;
    let elements = pipeline.iterate_recurse().into_iter().flatten();
    let is_libcamera =
        |e: &gst::Element| e.factory().is_some_and(|f| f.name() == libcamera::SOURCE);
    let pads = elements.filter(is_libcamera).flat_map(|e| e.src_pads());
    pads.for_each(|pad| lines::say(&pad));
    Ok(pipeline)
}

/// The sink in which every plan ends.
pub(crate) fn sink(bin: &impl IsA<gst::Bin>, what: &str) -> Result<gst_app::AppSink, MediaError> {
    bin.as_ref()
        .by_name("out")
        .and_then(|e| e.downcast().ok())
        .ok_or_else(|| MediaError::Pipeline {
            what: what.to_owned(),
            problem: "its description has no sink".into(),
        })
}

/// What an element says, and what to do where that is known.
pub(crate) fn words(error: &gst::message::Error) -> String {
    let remedy = match error.error().kind::<gst::ResourceError>() {
        Some(gst::ResourceError::Busy) => {
            "; another program uses the device (\"fuser -v\" on its node names it)"
        }
        Some(gst::ResourceError::NotFound) => "; is it plugged in?",
        Some(gst::ResourceError::OpenRead | gst::ResourceError::NotAuthorized) => {
            "; is this user in the groups \"video\" and \"audio\"?"
        }
        _ => "",
    };
    let debug = error.debug().unwrap_or_default();
    let detail = debug.lines().last().unwrap_or_default();
    let words = format!("{} ({detail}){remedy}", error.error());
    // A camera's address may be in it, and viewers are told.
    without_credentials(&words)
}
