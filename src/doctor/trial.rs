//! A pipeline that a check runs for some seconds.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use crate::media::element::{parse, sink, words};
use crate::media::error::MediaError;

/// It stops, and its devices close, when this is dropped.
pub(super) struct Trial {
    what: String,
    pub pipeline: gst::Pipeline,
    pub sink: gst_app::AppSink,
    _stop: StopOnDrop,
}

impl Trial {
    /// `description` ends in a sink called `out`; `what` is for messages.
    pub(super) fn parse(description: &str, what: &str) -> Result<Self, MediaError> {
        let pipeline = parse(description, what)?;
        Ok(Self {
            what: what.to_owned(),
            sink: sink(&pipeline, what)?,
            _stop: StopOnDrop(pipeline.clone()),
            pipeline,
        })
    }

    /// Opens the devices.
    pub(super) fn play(&self) -> Result<(), MediaError> {
        match self.pipeline.set_state(gst::State::Playing) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.error().unwrap_or_else(|| MediaError::Pipeline {
                what: self.what.clone(),
                problem: error.to_string(),
            })),
        }
    }

    /// What an element has complained of since this was asked last.
    pub(super) fn error(&self) -> Option<MediaError> {
        let bus = self.pipeline.bus()?;
        let message = bus.pop_filtered(&[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(error) => Some(MediaError::Pipeline {
                what: self.what.clone(),
                problem: words(error),
            }),
            _ => None,
        }
    }
}

struct StopOnDrop(gst::Pipeline);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}
