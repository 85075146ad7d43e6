//! Picture and sound through GStreamer.
//!
//! Picture and sound are two pipelines under one clock and one base time, so
//! that a fault of one does not stop the other and both stamp alike. The
//! picture's encoders hang on a tee, one branch an encoding, added and removed
//! while it runs: the camera's node can be opened only once. When the camera is
//! lost, `show` hangs them on a slate's tee until it is back.

mod branch;
mod camera;
mod caption;
mod echo;
mod encoders;
mod held;
mod openers;
mod overlay;
mod own_rate;
mod picture;
mod pipeline;
mod range;
mod show;
mod sound;
mod speaker;
mod still;
mod tap;
mod whole;

use std::sync::Arc;
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use tracing::debug;

use super::duck::Duck;
use super::element::{control, require};
use super::encoder::{Encoder, Text};
use super::error::MediaError;
use super::hub::source::{Output, OwnH264, PictureStatus, SILENCE, Source, Still, Waker};
use super::moved::Moves;
use super::plan::{Circumstances, PicturePlan, SoundPlan};
use super::probe::Encoders;
use super::stream::{SoundCoding, Stream, VideoRate};
use super::{driver, plan};
use crate::config::{AudioConfig, AudioSource, VideoConfig, VideoSource};
use crate::device::discovery;
use crate::device::learned::Learned;
use crate::device::led::Led;
use crate::echo::Played;
use crate::motion;
use crate::sdp::ProfileLevelId;
pub(crate) use echo::{overhear, tell as tell_played};
pub(crate) use speaker::Speaker;

/// Looks for the camera that the configuration asks for, and plans its picture
/// for an encoder that takes `formats`, with what was `learned` of that camera.
pub(crate) fn plan_picture(
    config: &VideoConfig,
    formats: &[Text],
    learned: &Learned,
) -> Result<PicturePlan, MediaError> {
    let mut cameras = match config.source {
        VideoSource::V4l2 => discovery::cameras(config).cameras,
        VideoSource::Test | VideoSource::Custom => Vec::new(),
    };
    let mut with = |learned: &Learned| {
        let circumstances = Circumstances {
            formats,
            memory: learned.memory(),
            pass_through: learned.pass_through(),
            skip_modes: learned.skip_modes(),
        };
        driver::plan_with_driver(&mut cameras, |cameras| {
            plan::picture(config, cameras, &circumstances)
        })
    };
    let mut plan = with(learned)?;
    if !learned.is_about(plan.node.as_deref()) {
        plan = with(&Learned::default())?;
    }
    if plan.description.contains(plan::H264_DECODER) {
        require(plan::H264_DECODER, plan::H264_DECODER_PACKAGE)?;
    }
    Ok(plan)
}

/// Looks for the microphone that the configuration asks for; `None` where
/// there is to be no sound.
pub(crate) fn plan_sound(config: &AudioConfig) -> Result<Option<SoundPlan>, MediaError> {
    let is_asked = config.source == AudioSource::Alsa && config.device == "auto";
    let microphones = if is_asked {
        discovery::sound::microphones()
    } else {
        Vec::new()
    };
    plan::sound(config, &microphones)
}

/// Checks that the custom descriptions of a configuration parse.
pub(crate) fn check_descriptions(
    video: &VideoConfig,
    audio: &AudioConfig,
) -> Result<(), MediaError> {
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

/// Has the encoder of a sound pipeline encode so.
fn encode_sound(pipeline: &gst::Pipeline, coding: SoundCoding) {
    let Some(encoder) = pipeline.by_name(plan::SOUND_ENCODER) else {
        return;
    };
    let set = |encoder: &gst::Element, property: &'static str, value: &str| {
        if let Err(why) = control::set_property(encoder, property, value) {
            debug!(property, why, "the encoder of the sound was not told");
        }
    };
    let percent = coding.loss_percent.to_string();
    set(&encoder, "packet-loss-percentage", &percent);
    let milliseconds = match coding.short_frames {
        true => "10",
        false => "20",
    };
    // Between two buffers, on their own thread: opusenc ends the process where a frame
    // of one length meets the other.
    let Some(pad) = encoder.static_pad("sink") else {
        return;
    };
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, _| {
        if let Some(encoder) = pad.parent_element() {
            set(&encoder, "frame-size", milliseconds);
        }
        gst::PadProbeReturn::Remove
    });
}

/// The [`Source`] over GStreamer.
pub struct GstSource {
    picture: show::Show,
    sound: sound::Sound,
}

impl GstSource {
    /// A source for this configuration. `encoder` is the one to begin with,
    /// `encoders` has others for when it fails.
    pub fn new(
        video: VideoConfig,
        audio: AudioConfig,
        encoder: Arc<Encoder>,
        encoders: Arc<Encoders>,
    ) -> Self {
        let clock = gst::SystemClock::obtain();
        let base_time = clock.time();
        let sound = sound::Sound::new(audio, clock.clone(), base_time);
        let picture = show::Show::new(video, encoder, encoders, clock, base_time);
        Self { picture, sound }
    }

    /// Lights `led` while the camera's device is open.
    pub(crate) fn with_led(mut self, led: Led) -> Self {
        self.picture.set_led(led);
        self
    }

    /// Looks for motion in the camera's picture, also while nobody watches.
    pub(crate) fn with_motion(mut self, settings: Option<motion::Settings>) -> Self {
        self.picture.set_motion(settings);
        self
    }
}

impl Source for GstSource {
    fn attach(&mut self, waker: Waker) {
        self.sound.attach(waker.clone());
        self.picture.attach(waker);
    }

    fn attach_moves(&mut self, moves: Arc<Moves>) {
        self.picture.attach_moves(moves);
    }

    fn attach_duck(&mut self, duck: Duck) {
        self.sound.attach_duck(duck);
    }

    fn attach_played(&mut self, played: Played) {
        self.sound.attach_played(played);
    }

    fn start(&mut self, stream: Stream, output: Output) -> Result<(), MediaError> {
        match stream {
            Stream::Video(encoding) => {
                self.picture.start(encoding, output);
                Ok(())
            }
            Stream::Audio => self.sound.start(output),
        }
    }

    fn stop(&mut self, stream: Stream) {
        match stream {
            Stream::Audio => self.sound.stop(),
            Stream::Video(encoding) => self.picture.stop(encoding),
        }
    }

    fn force_key_frame(&mut self, stream: Stream) {
        if let Stream::Video(encoding) = stream {
            self.picture.force_key_frame(encoding);
        }
    }

    fn set_rate(&mut self, stream: Stream, rate: VideoRate) {
        if let Stream::Video(encoding) = stream {
            self.picture.set_rate(encoding, rate);
        }
    }

    fn set_sound(&mut self, coding: SoundCoding) {
        self.sound.set_coding(coding);
    }

    fn prepare(&mut self) {
        self.picture.prepare();
    }

    fn poll(&mut self, now: Instant) -> Option<Instant> {
        self.sound.poll();
        self.picture.poll(now)
    }

    fn device_appeared(&mut self, now: Instant) {
        self.picture.device_appeared(now);
    }

    fn set_private(&mut self, private: bool) -> bool {
        self.picture.set_private(private, Instant::now());
        true
    }

    fn picture(&self) -> Option<PictureStatus> {
        Some(self.picture.status())
    }

    fn still(&mut self, still: Still) {
        self.picture.still(still);
    }

    fn set_decoders(&mut self, decoders: Vec<ProfileLevelId>) {
        self.picture.set_decoders(decoders);
    }

    fn own_h264(&self) -> Option<OwnH264> {
        self.picture.own_h264()
    }

    fn patience(&self, stream: Stream) -> Duration {
        match stream {
            // All that may be tried, one after the other.
            Stream::Video(encoding) if self.picture.is_choosing(encoding) => {
                Duration::from_secs(180)
            }
            // The picture mends itself; this is for what it cannot mend.
            Stream::Video(_) => Duration::from_secs(20),
            Stream::Audio => SILENCE,
        }
    }
}

#[cfg(test)]
mod tests;
