//! Picture and sound through GStreamer.
//!
//! Picture and sound are two pipelines under one clock and one base time, so
//! that a fault of one does not stop the other and both stamp alike. The
//! picture's encoders hang on a tee, one branch a codec, added and removed
//! while it runs: the camera's node can be opened only once. When the camera is
//! lost, [`show`] hangs them on a slate's tee until it is back.

mod pipeline;
mod show;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::encoder::Encoder;
use super::frame::profile_level_id;
use super::led::Led;
use super::{MediaError, Output, PictureStatus, Source, Stream, Waker, devices, hub, plan};
use crate::config::{AudioConfig, AudioSource, VideoConfig};
use crate::sdp::{ProfileLevelId, VideoCodec};
use pipeline::{Life, Running};

/// A trial encode that takes longer has failed.
const TRIAL: Duration = Duration::from_secs(5);

/// What the encoder check found.
#[derive(Debug, Clone, Copy)]
pub struct EncoderCheck {
    /// The row that works.
    pub encoder: &'static Encoder,
    /// What its SPS says.
    pub profile: Option<ProfileLevelId>,
}

/// Starts GStreamer.
pub fn init() -> Result<(), MediaError> {
    gst::init().map_err(|e| MediaError::Init(e.to_string()))
}

/// Encodes a frame with each candidate until one works: a factory that exists
/// is not an encoder that works.
pub fn check_encoder(config: &VideoConfig) -> Result<EncoderCheck, MediaError> {
    let codec = VideoCodec::H264;
    let candidates = Encoder::candidates(codec, &config.encoder);
    if candidates.is_empty() {
        let known: Vec<_> = Encoder::candidates(codec, "auto")
            .iter()
            .map(|e| e.id)
            .collect();
        return Err(MediaError::UnknownEncoder {
            wanted: config.encoder.clone(),
            known: known.join(", "),
        });
    }
    let mut reasons = Vec::new();
    for encoder in candidates {
        match trial(encoder, config) {
            Ok(profile) => return Ok(EncoderCheck { encoder, profile }),
            Err(reason) => reasons.push(format!("{}: {reason}", encoder.id)),
        }
    }
    Err(MediaError::NoEncoder {
        codec,
        reasons: reasons.join("; "),
    })
}

fn trial(
    encoder: &'static Encoder,
    config: &VideoConfig,
) -> Result<Option<ProfileLevelId>, MediaError> {
    require(encoder.factory, encoder.package)?;
    let description = format!(
        "videotestsrc num-buffers=2 pattern=black ! \
         video/x-raw,format={},width={},height={},framerate={}/1 ! {}",
        encoder.formats[0],
        config.width,
        config.height,
        config.fps,
        plan::video_branch(encoder, config)
    );
    let what = format!("trial of {}", encoder.id);
    let pipeline = parse(&description, &what)?;
    let stopped = StopOnDrop(pipeline.clone());
    let sink = sink(&pipeline, &what)?;
    stopped.0.set_state(gst::State::Playing).map_err(|e| {
        let problem = first_error(&pipeline).unwrap_or_else(|| e.to_string());
        MediaError::Pipeline {
            what: what.clone(),
            problem,
        }
    })?;
    let limit = gst::ClockTime::from_mseconds(TRIAL.as_millis() as u64);
    let sample = sink
        .try_pull_sample(limit)
        .ok_or_else(|| MediaError::Pipeline {
            what: what.clone(),
            problem: first_error(&pipeline).unwrap_or_else(|| "no frame came out".into()),
        })?;
    let map = sample.buffer().and_then(|b| b.map_readable().ok());
    Ok(map.and_then(|m| profile_level_id(&m)))
}

struct StopOnDrop(gst::Pipeline);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}

fn require(factory: &str, package: &'static str) -> Result<(), MediaError> {
    match gst::ElementFactory::find(factory) {
        Some(_) => Ok(()),
        None => Err(MediaError::MissingElement {
            element: factory.to_owned(),
            package,
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

/// The first error on the bus, in words.
fn first_error(pipeline: &gst::Pipeline) -> Option<String> {
    let bus = pipeline.bus()?;
    let message = bus.pop_filtered(&[gst::MessageType::Error])?;
    match message.view() {
        gst::MessageView::Error(error) => Some(words(error)),
        _ => None,
    }
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
    audio: AudioConfig,
    clock: gst::Clock,
    base_time: gst::ClockTime,
    picture: show::Show,
    sound: Option<Running>,
}

impl GstSource {
    /// A source for this configuration with the encoder that was checked.
    pub fn new(video: VideoConfig, audio: AudioConfig, encoder: &'static Encoder) -> Self {
        let clock = gst::SystemClock::obtain();
        let base_time = clock.time();
        Self {
            picture: show::Show::new(video, encoder, clock.clone(), base_time),
            audio,
            base_time,
            clock,
            sound: None,
        }
    }

    /// Lights `led` while the camera's device is open.
    pub fn with_led(mut self, led: Led) -> Self {
        self.picture.set_led(led);
        self
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
        let failure = output.failure();
        let running = Running::new(
            &description,
            what,
            Arc::new(move |_, error| failure.report(error)),
        )?;
        let life = Life::new();
        let output = Arc::new(Mutex::new(output));
        running.deliver(&running.pipeline, None, output, &life)?;
        running.play(&self.clock, self.base_time)?;
        self.sound = Some(running);
        Ok(())
    }
}

impl Source for GstSource {
    fn attach(&mut self, waker: Waker) {
        self.picture.attach(waker);
    }

    fn start(&mut self, stream: Stream, output: Output) -> Result<(), MediaError> {
        match stream {
            Stream::Video(codec) => {
                self.picture.start(codec, output);
                Ok(())
            }
            Stream::Audio => self.start_audio(output),
        }
    }

    fn stop(&mut self, stream: Stream) {
        match stream {
            Stream::Audio => self.sound = None,
            Stream::Video(codec) => self.picture.stop(codec),
        }
    }

    fn force_key_frame(&mut self, stream: Stream) {
        if let Stream::Video(codec) = stream {
            self.picture.force_key_frame(codec);
        }
    }

    fn prepare(&mut self) {
        self.picture.prepare();
    }

    fn poll(&mut self, now: Instant) -> Option<Instant> {
        self.picture.poll(now)
    }

    fn device_appeared(&mut self, now: Instant) {
        self.picture.device_appeared(now);
    }

    fn picture(&self) -> Option<PictureStatus> {
        Some(self.picture.status())
    }

    fn patience(&self, stream: Stream) -> Duration {
        match stream {
            // The picture mends itself; this is for what it cannot mend.
            Stream::Video(_) => Duration::from_secs(20),
            Stream::Audio => hub::SILENCE,
        }
    }
}

#[cfg(test)]
mod tests;
