//! The probe itself: pictures into an encoder, and what becomes of them.
//!
//! Goes on as fast as the encoder does, never faster than it takes frames.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::{Job, Measured, RateChange, Report, Stage, h264, installed, judge, picture};
use crate::media::element::{control, layout};
use crate::media::encoder::Encoder;
use crate::media::error::of_encoder;
use crate::media::frame::profile_level_id;
use crate::sdp::VideoCodec;

/// Nothing for so long is a stall. A first frame may have to wait for firmware.
const STALL: Duration = Duration::from_secs(3);
/// What comes later than this after frames went in was held back.
const QUIET: Duration = Duration::from_millis(250);
/// A part of the probe on an encoder that is slow is cut short after this.
const PART: Duration = Duration::from_millis(1_200);
/// Frames of a part, however slow the encoder is.
const PART_LEAST: u32 = 12;
/// Frames in the encoder before the first comes out.
const DEEPEST: u32 = 16;
/// Bits a pixel asked for, so that there is something to leave out.
const BITS_PER_PIXEL: f64 = 0.12;

/// Tries an encoder out. `tell` hears of each stage, with the report so far.
///
/// Runs in the calling thread and returns within some ten seconds if the
/// encoder lets it: whoever cannot trust it that far runs
/// [`super::child::run`].
pub fn probe(job: &Job, tell: &mut dyn FnMut(&Report)) -> Report {
    let (fitted, left_out) = match installed::fit(&job.encoder) {
        Ok(fitted) => fitted,
        Err(why) => return Report::unusable(why),
    };
    let pictures = pictures(job);
    let mut trial = match Trial::start(job, &fitted, &pictures) {
        Ok(trial) => trial,
        Err(why) => {
            return Report {
                left_out,
                ..Report::unusable(why)
            };
        }
    };
    let mut problem = trial.run().err();
    let report = |stage, measured: Measured, problem: Option<&str>| Report {
        stage,
        unusable: judge::unusable(job, &measured, problem),
        warnings: judge::warnings(job, &measured, &left_out),
        left_out: left_out.clone(),
        fitted: Some(fitted.clone()),
        measured,
    };
    let mut so_far = report(Stage::Encoded, trial.measured(), problem.as_deref());
    tell(&so_far);
    // Last of all: where it brings both down, what was found holds. It is
    // stopped only when that is told, so that a hang in stopping is known for
    // one.
    let mut second = None;
    if so_far.is_usable() && fitted.contexts > 1 {
        second = Trial::start(job, &fitted, &pictures).ok();
        let runs = second.as_mut().is_some_and(|s| s.advance(5).is_ok());
        trial.measured.second = Some(runs);
        problem = trial.advance(PART_LEAST).and_then(|()| trial.drain()).err();
        so_far = report(Stage::Second, trial.measured(), problem.as_deref());
        tell(&so_far);
    }
    drop(second);
    drop(trial);
    so_far.stage = Stage::Stopped;
    so_far
}

struct Trial<'a> {
    job: &'a Job,
    encoder: &'a Encoder,
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    sink: gst_app::AppSink,
    pictures: &'a [gst::Buffer],
    watched: Arc<Watched>,
    measured: Measured,
    started: Instant,
    /// The fewest that ever stayed inside.
    held_back: Option<u32>,
    /// Frames that may be on their way.
    window: u32,
    /// Output frames so far when the last request went out, until one is
    /// answered or late.
    request: Option<u32>,
    bytes: u64,
    newest: Option<gst::ClockTime>,
}

/// What is seen on the encoder's own pad, before a parser hides it.
#[derive(Default)]
struct Watched {
    empty: AtomicU32,
    ended: AtomicBool,
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl<'a> Trial<'a> {
    fn start(
        job: &'a Job,
        encoder: &'a Encoder,
        pictures: &'a [gst::Buffer],
    ) -> Result<Self, String> {
        let format = encoder.formats.first().map_or("I420", |f| f);
        let parser = match &*encoder.parser {
            "" => String::new(),
            parser => format!(" ! {parser}"),
        };
        let description = format!(
            "appsrc name=source is-live=false format=time ! videoconvert ! \
             video/x-raw,format={format} ! {} ! {}{parser} ! \
             appsink name=out sync=false async=false max-buffers=64",
            encoder.element_text(job.fps, high_rate(job, encoder)),
            encoder.caps,
        );
        let pipeline = gst::parse::launch(&description)
            .map_err(|e| e.to_string())?
            .downcast::<gst::Pipeline>()
            .map_err(|_| "its description is no pipeline".to_owned())?;
        let source: gst_app::AppSrc = named(&pipeline, "source")?;
        let sink: gst_app::AppSink = named(&pipeline, "out")?;
        source.set_caps(Some(
            &gst::Caps::builder("video/x-raw")
                .field("format", "I420")
                .field("width", job.width as i32)
                .field("height", job.height as i32)
                .field("framerate", gst::Fraction::new(job.fps as i32, 1))
                .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
                .build(),
        ));
        let element: gst::Element = named(&pipeline, "encoder")?;
        let watched = Arc::<Watched>::default();
        watch(&element, &watched)?;
        layout::say(&pad(&element, "sink")?);
        let trial = Self {
            job,
            encoder,
            source,
            sink,
            pictures,
            watched,
            measured: Measured::default(),
            started: Instant::now(),
            held_back: None,
            window: DEEPEST,
            request: None,
            bytes: 0,
            newest: None,
            pipeline,
        };
        match trial.pipeline.set_state(gst::State::Playing) {
            Ok(_) => Ok(trial),
            Err(e) => Err(trial.error().unwrap_or_else(|| e.to_string())),
        }
    }

    /// The whole of it. An error is in the element's words or the probe's.
    fn run(&mut self) -> Result<(), String> {
        self.advance(PART_LEAST)?;
        self.drain()?;
        self.window = self.on_the_way() + 2;
        self.started = Instant::now();
        let (first, fps) = (self.measured.frames_out, self.job.fps);
        // Twice: one key frame may come by chance.
        let settle = fps.clamp(2 * PART_LEAST, 45) / 2;
        for _ in 0..2 {
            self.request_key_frame();
            self.part(settle)?;
        }
        let measure = fps.clamp(PART_LEAST, 30);
        let high = high_rate(self.job, self.encoder);
        let made = self.made(measure)?;
        let low = high / 2;
        control::set_bitrate(self.encoder, self.pipeline.upcast_ref(), low);
        self.part(2 * settle)?;
        let then_made = self.made(measure)?;
        self.measured.rate = Some(RateChange {
            asked: high,
            made,
            then_asked: low,
            then_made,
        });
        let frames = self.measured.frames_out - first;
        self.measured.frames_per_second = frames as f32 / self.started.elapsed().as_secs_f32();
        self.drain()
    }

    /// Takes what still comes; the rest is held back. A busy machine makes
    /// that too many at times, never too few.
    fn drain(&mut self) -> Result<(), String> {
        let started = Instant::now();
        let (mut out, mut newest) = (self.measured.frames_out, started);
        while self.on_the_way() > 0 && newest.elapsed() < QUIET && started.elapsed() < STALL {
            self.receive(QUIET.saturating_sub(newest.elapsed()))?;
            if self.measured.frames_out != out {
                (out, newest) = (self.measured.frames_out, Instant::now());
            }
        }
        let held_back = self.on_the_way();
        let least = self
            .held_back
            .map_or(held_back, |least| least.min(held_back));
        self.held_back = Some(least);
        self.measured.held_back = least;
        Ok(())
    }

    /// Up to `frames` frames; fewer of a slow encoder.
    fn part(&mut self, frames: u32) -> Result<(), String> {
        let started = Instant::now();
        for i in 0..frames {
            if i >= PART_LEAST && started.elapsed() > PART {
                break;
            }
            self.advance(1)?;
        }
        Ok(())
    }

    /// The bitrate of up to `frames` frames.
    fn made(&mut self, frames: u32) -> Result<u32, String> {
        let (bytes, out) = (self.bytes, self.measured.frames_out);
        self.part(frames)?;
        let frames = u64::from(self.measured.frames_out - out).max(1);
        let bits = (self.bytes - bytes) * 8 * u64::from(self.job.fps) / frames;
        Ok(u32::try_from(bits).unwrap_or(u32::MAX))
    }

    fn on_the_way(&self) -> u32 {
        self.measured
            .frames_in
            .saturating_sub(self.measured.frames_out)
    }

    /// Gives it `frames` more, and takes what comes until no more than the
    /// window are on their way.
    fn advance(&mut self, frames: u32) -> Result<(), String> {
        for _ in 0..frames {
            self.give()?;
            let mut out = self.measured.frames_out;
            let mut waited = Instant::now();
            self.receive(Duration::ZERO)?;
            while self.on_the_way() > self.window {
                self.receive(QUIET)?;
                if self.measured.frames_out != out {
                    (out, waited) = (self.measured.frames_out, Instant::now());
                } else if waited.elapsed() > STALL {
                    self.measured.stalled = true;
                    return Err(self.stalled());
                }
            }
        }
        // At the very start frames may all be on their way.
        let since = Instant::now();
        while self.measured.frames_out == 0 {
            self.receive(QUIET)?;
            if since.elapsed() > STALL {
                self.measured.stalled = true;
                return Err(self.stalled());
            }
        }
        Ok(())
    }

    fn stalled(&self) -> String {
        match self.measured.frames_out {
            0 => format!(
                "{} frames went in and none came out",
                self.measured.frames_in
            ),
            frames => format!("it stopped after {frames} frames without a word"),
        }
    }

    fn give(&mut self) -> Result<(), String> {
        let number = u64::from(self.measured.frames_in);
        let mut buffer = self.pictures[number as usize % self.pictures.len()].copy();
        let second = gst::ClockTime::SECOND;
        let fps = u64::from(self.job.fps.max(1));
        {
            let buffer = buffer.make_mut();
            let pts = second * number / fps;
            buffer.set_pts(pts);
            buffer.set_duration(second / fps);
        }
        self.measured.frames_in += 1;
        match self.source.push_buffer(buffer) {
            Ok(_) => Ok(()),
            Err(e) => Err(self
                .error()
                .unwrap_or_else(|| format!("it takes no frame: {e}"))),
        }
    }

    /// Takes what comes within `wait`, and then all that is there.
    fn receive(&mut self, wait: Duration) -> Result<(), String> {
        let mut wait = gst::ClockTime::from_nseconds(wait.as_nanos() as u64);
        while let Some(sample) = self.sink.try_pull_sample(wait) {
            self.frame(&sample);
            wait = gst::ClockTime::ZERO;
        }
        if let Some(error) = self.error() {
            return Err(error);
        }
        if self.watched.ended.load(Ordering::SeqCst) {
            self.measured.ended = true;
            return Err(format!(
                "it ended by itself after {} frames",
                self.measured.frames_out
            ));
        }
        if self.watched.empty.load(Ordering::SeqCst) > 2 {
            return Err("it makes empty frames".to_owned());
        }
        Ok(())
    }

    fn frame(&mut self, sample: &gst::Sample) {
        let Some((buffer, map)) = sample
            .buffer()
            .and_then(|b| Some((b, b.map_readable().ok()?)))
        else {
            return;
        };
        let m = &mut self.measured;
        let key = match self.encoder.codec {
            VideoCodec::H264 => {
                let unit = h264::read(&map);
                m.slices = m.slices.max(unit.slices);
                m.bare_key_frames += u32::from(unit.idr && !unit.headers);
                m.reordered += u32::from(unit.b_slice);
                if m.profile.is_none() {
                    m.profile = profile_level_id(&map).map(|p| p.to_string());
                }
                unit.idr
            }
            // RFC 6386 §9.1: the lowest bit is clear in a key frame.
            VideoCodec::Vp8 => map.first().is_some_and(|byte| byte & 1 == 0),
        };
        if m.size.is_none() {
            m.size = sample.caps().and_then(size);
        }
        if let Some(pts) = buffer.pts() {
            m.reordered += u32::from(self.newest.is_some_and(|newest| pts < newest));
            self.newest = Some(pts);
        }
        self.bytes += map.len() as u64;
        m.frames_out += 1;
        let answer = self.request.map(|at| m.frames_out - 1 - at);
        match answer {
            Some(after) if key => {
                m.key_frames.push(Some(after));
                self.request = None;
            }
            Some(after) if after >= judge::KEY_FRAME_LATE => {
                m.key_frames.push(None);
                self.request = None;
            }
            _ if key
                && !(m.frames_out - 1).is_multiple_of(self.encoder.gop_frames(self.job.fps)) =>
            {
                m.unasked_key_frames += 1;
            }
            _ => {}
        }
    }

    fn request_key_frame(&mut self) {
        if self.request.is_some() {
            self.measured.key_frames.push(None);
        }
        self.request = Some(self.measured.frames_out);
        control::force_key_frame(self.encoder, self.pipeline.upcast_ref(), &self.sink);
    }

    fn measured(&self) -> Measured {
        let mut measured = self.measured.clone();
        measured.empty = self.watched.empty.load(Ordering::SeqCst);
        measured.ended |= self.watched.ended.load(Ordering::SeqCst);
        measured
    }

    /// The first error on the bus, in words.
    fn error(&self) -> Option<String> {
        let message = self
            .pipeline
            .bus()?
            .pop_filtered(&[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(error) => {
                let debug = error.debug().unwrap_or_default();
                let detail = debug.lines().last().unwrap_or_default();
                Some(of_encoder(&error.error().to_string(), detail))
            }
            _ => None,
        }
    }
}

/// The bitrate to begin with: enough that half of it is still in range and
/// still makes a picture.
fn high_rate(job: &Job, encoder: &Encoder) -> u32 {
    let pixels = f64::from(job.width) * f64::from(job.height) * f64::from(job.fps);
    let wanted = job.bits_per_second.max((pixels * BITS_PER_PIXEL) as u32);
    let (low, high) = encoder.rate_range;
    wanted.clamp(low.saturating_mul(2).min(high), high)
}

fn pictures(job: &Job) -> Vec<gst::Buffer> {
    (0..picture::PICTURES)
        .map(|number| {
            let data = picture::picture(job.width as usize, job.height as usize, number);
            let data = padded(&data, job.width as usize, job.height as usize);
            gst::Buffer::from_mut_slice(data)
        })
        .collect()
}

/// I420 as GStreamer lays it out by default: rows begin at multiples of four
/// bytes, and each plane has an even number of rows.
fn padded(data: &[u8], width: usize, height: usize) -> Vec<u8> {
    let mut rest = data;
    let mut out = Vec::with_capacity(data.len());
    for (width, height) in [
        (width, height),
        (width / 2, height / 2),
        (width / 2, height / 2),
    ] {
        for _ in 0..height {
            let (row, next) = rest.split_at(width);
            out.extend_from_slice(row);
            out.resize(out.len().next_multiple_of(4), 128);
            rest = next;
        }
    }
    out
}

/// Counts what leaves the encoder empty, and its end.
fn watch(element: &gst::Element, watched: &Arc<Watched>) -> Result<(), String> {
    let pad = pad(element, "src")?;
    let watched = watched.clone();
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(kinds, move |_, info| {
        match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) if buffer.size() == 0 => {
                watched.empty.fetch_add(1, Ordering::SeqCst);
            }
            Some(gst::PadProbeData::Event(event)) if event.type_() == gst::EventType::Eos => {
                watched.ended.store(true, Ordering::SeqCst);
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

fn pad(element: &gst::Element, name: &str) -> Result<gst::Pad, String> {
    element
        .static_pad(name)
        .ok_or_else(|| format!("the element has no pad \"{name}\""))
}

fn named<T: IsA<gst::Element>>(pipeline: &gst::Pipeline, name: &str) -> Result<T, String> {
    pipeline
        .by_name(name)
        .and_then(|element| element.downcast().ok())
        .ok_or_else(|| format!("its description has no element \"{name}\""))
}

fn size(caps: &gst::CapsRef) -> Option<(u32, u32)> {
    let structure = caps.structure(0)?;
    let number = |name| u32::try_from(structure.get::<i32>(name).ok()?).ok();
    Some((number("width")?, number("height")?))
}

#[cfg(test)]
mod tests;
