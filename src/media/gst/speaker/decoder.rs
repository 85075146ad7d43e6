//! Opus to samples, one packet at a time and at once: GStreamer's decoder, without a
//! pipeline around it.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;

use crate::lock::lock;
use crate::media::element::require;
use crate::media::error::MediaError;
use crate::media::opus::RATE;
use crate::media::plan::{SPEAKER_DECODER, SPEAKER_DECODER_PACKAGE};

/// One that is open, for one voice: 48 kHz, one channel.
pub(super) struct Decoder {
    element: gst::Element,
    input: gst::Pad,
    output: gst::Pad,
    decoded: Arc<Mutex<Vec<i16>>>,
    /// Samples so far.
    count: u64,
}

/// So many samples, as a time.
fn time(samples: u64) -> gst::ClockTime {
    gst::ClockTime::from_nseconds(samples * 1_000_000_000 / u64::from(RATE))
}

impl Decoder {
    /// # Errors
    ///
    /// GStreamer has none.
    pub(super) fn new() -> Result<Self, MediaError> {
        require(SPEAKER_DECODER, SPEAKER_DECODER_PACKAGE)?;
        let failed = |problem: String| MediaError::Pipeline {
            what: SPEAKER_DECODER.to_owned(),
            problem,
        };
        let factory = gst::ElementFactory::make(SPEAKER_DECODER);
        let element = factory.property("plc", true).build();
        let element = element.map_err(|e| failed(e.to_string()))?;
        let decoded = Arc::<Mutex<Vec<i16>>>::default();
        let taken = decoded.clone();
        let raw = gst::Caps::builder("audio/x-raw")
            .field("format", "S16LE")
            .field("layout", "interleaved")
            .field("rate", RATE as i32)
            .field("channels", 1)
            .build();
        let template = |name, direction, caps: &gst::Caps| {
            let presence = gst::PadPresence::Always;
            gst::PadTemplate::new(name, direction, presence, caps)
                .map_err(|e| failed(e.to_string()))
        };
        let output = template("sink", gst::PadDirection::Sink, &raw)?;
        let output = gst::Pad::builder_from_template(&output)
            .chain_function(move |_, _, buffer| {
                if let Ok(bytes) = buffer.map_readable() {
                    let pairs = bytes.chunks_exact(2);
                    let samples = pairs.map(|s| i16::from_le_bytes([s[0], s[1]]));
                    lock(&taken).extend(samples);
                }
                Ok(gst::FlowSuccess::Ok)
            })
            .build();
        let opus = gst::Caps::builder("audio/x-opus")
            .field("channel-mapping-family", 0)
            .field("channels", 1)
            .field("rate", RATE as i32)
            .build();
        let input = template("src", gst::PadDirection::Src, &opus)?;
        let input = gst::Pad::from_template(&input);
        let this = Self {
            element,
            input,
            output,
            decoded,
            count: 0,
        };
        this.start(&opus).map_err(failed)?;
        Ok(this)
    }

    fn start(&self, opus: &gst::Caps) -> Result<(), String> {
        let pad = |name: &str| self.element.static_pad(name).ok_or("it has no pads");
        let link = |from: &gst::Pad, to: &gst::Pad| from.link(to).map_err(|e| e.to_string());
        link(&self.input, &pad("sink")?)?;
        link(&pad("src")?, &self.output)?;
        for pad in [&self.output, &self.input] {
            pad.set_active(true).map_err(|e| e.to_string())?;
        }
        let playing = self.element.set_state(gst::State::Playing);
        playing.map_err(|e| e.to_string())?;
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        let events = [
            gst::event::StreamStart::new("voice"),
            gst::event::Caps::new(opus),
            gst::event::Segment::new(&segment),
        ];
        match events.into_iter().all(|event| self.input.push_event(event)) {
            true => Ok(()),
            false => Err("it does not take Opus".to_owned()),
        }
    }

    /// The samples of a packet that is so long. What cannot be decoded is made up.
    pub(super) fn decode(&mut self, packet: Bytes, samples: usize) -> Vec<i16> {
        let mut buffer = gst::Buffer::from_slice(packet);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(time(self.count));
            buffer.set_duration(time(samples as u64));
        }
        let _ = self.input.push(buffer);
        match self.taken() {
            decoded if decoded.is_empty() => self.conceal(samples),
            decoded => decoded,
        }
    }

    /// So many samples in the place of what is missing, a multiple of 120.
    pub(super) fn conceal(&mut self, samples: usize) -> Vec<i16> {
        let gap = gst::event::Gap::builder(time(self.count)).duration(time(samples as u64));
        self.input.push_event(gap.build());
        match self.taken() {
            // Nothing was decoded before it.
            made_up if made_up.is_empty() => {
                self.count += samples as u64;
                vec![0; samples]
            }
            made_up => made_up,
        }
    }

    fn taken(&mut self) -> Vec<i16> {
        let taken = std::mem::take(&mut *lock(&self.decoded));
        self.count += taken.len() as u64;
        taken
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        let _ = self.input.set_active(false);
        let _ = self.element.set_state(gst::State::Null);
        let _ = self.output.set_active(false);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::tone;
    use super::*;

    fn power(samples: &[i16]) -> f64 {
        let squares = samples.iter().map(|s| f64::from(*s).powi(2));
        squares.sum::<f64>() / samples.len() as f64
    }

    #[test]
    fn each_packet_is_decoded_at_once_and_what_is_missing_is_made_up() {
        crate::media::element::init().expect("GStreamer is installed");
        let mut decoder = Decoder::new().expect("it is installed");
        assert_eq!(decoder.conceal(480), [0; 480], "nothing was said yet");
        let (mut heard, mut made_up) = (Vec::new(), Vec::new());
        for (i, packet) in tone(60).into_iter().enumerate() {
            let samples = if i % 20 == 15 {
                let half = decoder.conceal(480);
                [half, decoder.conceal(480)].concat()
            } else {
                decoder.decode(packet.into(), 960)
            };
            assert_eq!(samples.len(), 960, "packet {i}");
            if i > 5 {
                heard.push(power(&samples));
            }
            if i % 20 == 15 {
                made_up.push(power(&samples));
            }
        }
        let whole = heard.iter().copied().fold(0.0, f64::max);
        assert!(whole > 1e7, "{whole}");
        for power in made_up {
            assert!(
                power > whole / 4.0,
                "it goes on as it was: {power} of {whole}"
            );
        }
        // What is no Opus is silent, or made up; and what comes next is heard.
        for bad in [&[0xff_u8, 0xff, 0xff][..], &[0x78; 3]] {
            let samples = decoder.decode(Bytes::from_static(bad), 960);
            assert!(!samples.is_empty());
        }
        let packets = tone(10);
        let last = packets
            .into_iter()
            .map(|packet| decoder.decode(packet.into(), 960));
        assert!(power(&last.last().expect("some")) > 1e7);
    }
}
