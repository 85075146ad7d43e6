//! Picture and sound through GStreamer.
//!
//! Picture and sound are two pipelines under one clock and one base time, so
//! that a fault of one does not stop the other and both stamp alike. The
//! picture's encoders hang on a tee, one branch a codec, added and removed
//! while it runs: the camera's node can be opened only once.

pub mod control;
mod pipeline;

use std::sync::Arc;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use tracing::debug;

use super::encoder::Encoder;
use super::{MediaError, Output, Source, Stream, devices, plan};
use crate::config::{AudioConfig, AudioSource, VideoConfig, VideoSource};
use crate::sdp::VideoCodec;
use pipeline::{Picture, Running};

/// Starts GStreamer.
pub fn init() -> Result<(), MediaError> {
    gst::init().map_err(|e| MediaError::Init(e.to_string()))
}

fn require(factory: &str, package: &str) -> Result<(), MediaError> {
    match gst::ElementFactory::find(factory) {
        Some(_) => Ok(()),
        None => Err(MediaError::MissingElement {
            element: factory.to_owned(),
            package: package.to_owned(),
        }),
    }
}

fn parse(description: &str, what: &str) -> Result<gst::Pipeline, MediaError> {
    gst::parse::launch(description)
        .map_err(|e| e.to_string())
        .and_then(|element| {
            element
                .downcast::<gst::Pipeline>()
                .map_err(|_| "it is a single element, not a pipeline".to_owned())
        })
        .map_err(|problem| MediaError::Pipeline {
            what: what.to_owned(),
            problem,
        })
}

fn sink(bin: &impl IsA<gst::Bin>, what: &str) -> Result<gst_app::AppSink, MediaError> {
    bin.as_ref()
        .by_name("out")
        .and_then(|e| e.downcast().ok())
        .ok_or_else(|| MediaError::Pipeline {
            what: what.to_owned(),
            problem: "its description has no sink".into(),
        })
}

fn words(error: &gst::message::Error) -> String {
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
    format!("{} ({detail}){remedy}", error.error())
}

/// Checks that the custom descriptions of a configuration parse.
pub fn check_descriptions(video: &VideoConfig, audio: &AudioConfig) -> Result<(), MediaError> {
    let check = |key, description: Option<&str>| match description {
        None => Ok(()),
        // Followed by something, as it will be: it may end in caps.
        Some(text) => gst::parse::bin_from_description(&format!("{text} ! identity"), true)
            .map(drop)
            .map_err(|e| MediaError::Description {
                key,
                problem: e.to_string(),
            }),
    };
    check("video.pipeline", video.pipeline.as_deref())?;
    check("audio.pipeline", audio.pipeline.as_deref())
}

/// The [`Source`] over GStreamer.
pub struct GstSource {
    video: VideoConfig,
    audio: AudioConfig,
    encoder: Arc<Encoder>,
    clock: gst::Clock,
    base_time: gst::ClockTime,
    picture: Option<Picture>,
    /// A test picture, made ahead so that a first viewer need not wait for it.
    spare: Option<Picture>,
    sound: Option<Running>,
}

impl GstSource {
    /// A source for this configuration with the encoder that was found to work.
    pub fn new(video: VideoConfig, audio: AudioConfig, encoder: Arc<Encoder>) -> Self {
        let clock = gst::SystemClock::obtain();
        let base_time = clock.time();
        Self {
            video,
            audio,
            encoder,
            base_time,
            clock,
            picture: None,
            spare: None,
            sound: None,
        }
    }

    fn encoder(&self, codec: VideoCodec) -> Result<Arc<Encoder>, MediaError> {
        if codec == self.encoder.codec {
            return Ok(self.encoder.clone());
        }
        let rows = Encoder::all(&[]);
        let Some(encoder) = rows.into_iter().find(|row| row.codec == codec) else {
            return Err(MediaError::NoEncoder {
                codec,
                reasons: "the table has no row for it".into(),
            });
        };
        require(&encoder.factory, &encoder.package)?;
        Ok(encoder)
    }

    fn start_video(&mut self, codec: VideoCodec, output: Output) -> Result<(), MediaError> {
        let branch = plan::video_branch(&*self.encoder(codec)?, &self.video);
        let stream = Stream::Video(codec);
        if let Some(picture) = &mut self.picture {
            return picture.add_branch(stream, &branch, output);
        }
        let mut picture = match self.spare.take() {
            Some(spare) => spare,
            None => Picture::new(&self.video)?,
        };
        picture.add_branch(stream, &branch, output)?;
        picture.running.play(&self.clock, self.base_time)?;
        self.picture = Some(picture);
        Ok(())
    }

    fn start_audio(&mut self, output: Output) -> Result<(), MediaError> {
        let device = match (self.audio.source, self.audio.device.as_str()) {
            (AudioSource::Alsa, "auto") => Some(devices::microphone()?),
            (AudioSource::Alsa, device) => Some(device.to_owned()),
            _ => None,
        };
        let what = match &device {
            Some(device) => format!("microphone {device}"),
            None => "sound".to_owned(),
        };
        let Some(description) = plan::audio(&self.audio, device.as_deref()) else {
            return Ok(());
        };
        let running = Running::new(&description, what)?;
        running.deliver(&running.pipeline, Stream::Audio, output)?;
        running.play(&self.clock, self.base_time)?;
        self.sound = Some(running);
        Ok(())
    }
}

impl Source for GstSource {
    fn start(&mut self, stream: Stream, output: Output) -> Result<(), MediaError> {
        match stream {
            Stream::Video(codec) => self.start_video(codec, output),
            Stream::Audio => self.start_audio(output),
        }
    }

    fn stop(&mut self, stream: Stream) {
        match stream {
            Stream::Audio => self.sound = None,
            Stream::Video(_) => {
                let Some(picture) = &mut self.picture else {
                    return;
                };
                picture.remove_branch(stream);
                if picture.is_unwatched() {
                    self.picture = None;
                    self.prepare();
                }
            }
        }
    }

    fn force_key_frame(&mut self, stream: Stream) {
        let Some(sink) = self.picture.as_ref().and_then(|p| p.sink(stream)) else {
            return;
        };
        let event = gst_video::UpstreamForceKeyUnitEvent::builder()
            .all_headers(true)
            .build();
        if !sink.send_event(event) {
            debug!(%stream, "the encoder took no key frame request");
        }
    }

    fn prepare(&mut self) {
        // A camera's mode is asked for when it is opened; without a camera
        // there is nothing to open, and the pipeline can stand ready.
        if self.spare.is_none() && self.video.source == VideoSource::Test {
            self.spare = Picture::new(&self.video).ok();
        }
    }
}

#[cfg(test)]
mod tests;
