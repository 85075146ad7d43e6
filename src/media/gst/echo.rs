//! Carries samples to the echo canceller: what is given to the speaker, and what the
//! microphone hears.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use tracing::{debug, info, warn};

use super::pipeline;
use crate::echo::{Microphone, News, Played};
use crate::lock::lock;
use crate::media::drift::Drift;
use crate::media::plan;

/// Tells `played` of all that leaves `pad`, at 48 kHz in 16 bits of one channel, on its
/// way to the card: it sounds when its pipeline, which began at `pipeline`'s base time,
/// has it rendered.
pub(crate) fn tell(pad: &gst::Pad, pipeline: &gst::Pipeline, played: Played) {
    let latency = Arc::new(Mutex::new(gst::ClockTime::ZERO));
    let told = latency.clone();
    // The sink says how late all of it is, and again when its card's buffer changes.
    pad.add_probe(gst::PadProbeType::EVENT_UPSTREAM, move |_, info| {
        if let Some(event) = info.event()
            && let gst::EventView::Latency(event) = event.view()
        {
            *lock(&told) = event.latency();
        }
        gst::PadProbeReturn::Ok
    });
    played.opened();
    let pipeline = pipeline.downgrade();
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        if let Some(buffer) = info.buffer()
            && let Some(base) = pipeline.upgrade().and_then(|p| p.base_time())
            && let Some(at) = pipeline::running_time(pad, buffer)
            && let Ok(samples) = buffer.map_readable()
        {
            let at = base + at + *lock(&latency);
            let pairs = samples.chunks_exact(2);
            played.give(at.into(), pairs.map(|s| i16::from_le_bytes([s[0], s[1]])));
        }
        gst::PadProbeReturn::Ok
    });
}

/// Takes what was `played` out of what arrives at `pad`, at 48 kHz in 16 bits of one
/// channel, on the time line of `pace`, from the microphone that is called `what`.
pub(super) fn cancel(
    pad: &gst::Pad,
    played: Played,
    pace: Arc<Mutex<Drift>>,
    base_time: gst::ClockTime,
    what: &str,
) {
    let what = what.to_owned();
    let microphone: Mutex<Option<Microphone>> = Mutex::default();
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        if !played.is_wanted() {
            return gst::PadProbeReturn::Ok;
        }
        if let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data
            && let Some(place) = pipeline::running_time(pad, buffer)
            && let Ok(mut bytes) = buffer.make_mut().map_writable()
        {
            let captured = lock(&pace).captured(place.into());
            let pairs = bytes.chunks_exact(2);
            let mut samples: Vec<i16> = pairs.map(|s| i16::from_le_bytes([s[0], s[1]])).collect();
            let at = Duration::from(base_time) + captured;
            let news = lock(&microphone)
                .get_or_insert_with(|| Microphone::new(played.clone()))
                .hear(at, &mut samples);
            for (to, sample) in bytes.chunks_exact_mut(2).zip(samples) {
                to.copy_from_slice(&sample.to_le_bytes());
            }
            if let Some(news) = news {
                say(&what, news);
            }
        }
        gst::PadProbeReturn::Ok
    });
}

/// Gives what a microphone's pipeline hears to `hear`, with the time of the media clock at
/// which it was captured, as [`cancel`] has it. `what` is the microphone, for the log.
pub(crate) fn overhear(
    microphone: &gst::Pipeline,
    what: &str,
    hear: impl Fn(Duration, Vec<i16>) + Send + Sync + 'static,
) -> Option<()> {
    let pace = Arc::<Mutex<Drift>>::default();
    let capture = microphone.by_name(plan::SOUND_CAPTURE)?;
    let run = lock(&pace).resume(false);
    pipeline::watch_pace(&capture.static_pad("src")?, what, pace.clone(), run);
    let encoder = microphone.by_name(plan::SOUND_ENCODER)?;
    let microphone = microphone.downgrade();
    encoder
        .static_pad("sink")?
        .add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            if let Some(buffer) = info.buffer()
                && let Some(base) = microphone.upgrade().and_then(|p| p.base_time())
                && let Some(place) = pipeline::running_time(pad, buffer)
                && let Ok(bytes) = buffer.map_readable()
            {
                let captured = lock(&pace).captured(place.into());
                let pairs = bytes.chunks_exact(2);
                let samples = pairs.map(|s| i16::from_le_bytes([s[0], s[1]])).collect();
                hear(Duration::from(base) + captured, samples);
            }
            gst::PadProbeReturn::Ok
        })
        .map(|_| ())
}

fn say(microphone: &str, news: News) {
    match news {
        News::Sure { measured, is_new } => {
            let delay_ms = measured.delay.map(|delay| delay.as_millis());
            let return_loss_db = format_args!("{:.0}", measured.return_loss);
            let ppm = format_args!("{:.0}", measured.ppm);
            if is_new {
                info!(%microphone, delay_ms, return_loss_db, ppm, "the echo canceller knows the way from the speaker to the microphone");
            } else {
                debug!(%microphone, delay_ms, return_loss_db, ppm, "the echo canceller is sure again");
            }
        }
        News::NotFound => warn!(
            %microphone,
            "the echo canceller does not find the speaker in what the microphone hears: viewers hear nothing while it speaks; where the microphone cannot hear it, set speaker.echo = \"off\""
        ),
    }
}
