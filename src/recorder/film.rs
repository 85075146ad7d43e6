//! Fragmented MP4 with H.264 and, where there is sound, Opus: a piece of a file a
//! second. Pure.
//!
//! The file is whole after each fragment: what is lost by a cut of the power is what
//! was not written yet. Why by `shiguredo_mp4` and not by GStreamer's mp4mux:
//! docs/recording.md.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use bytes::Bytes;
use shiguredo_mp4::boxes::{
    AudioSampleEntryFields, Avc1Box, AvccBox, DopsBox, OpusBox, SampleEntry,
    VisualSampleEntryFields,
};
use shiguredo_mp4::mux::{Fmp4SegmentMuxer, Sample, SegmentMuxerOptions};
use shiguredo_mp4::{FixedPointNumber, TrackKind, Uint};

use super::picture::{Sets, Unit};
use crate::media::bitstream::sps;
use crate::media::opus;

/// Ticks a second of the picture, as of RTP's.
const PICTURE_RATE: u32 = 90_000;
/// The same, and [`opus::RATE`], as the crate takes them.
const PICTURES: NonZeroU32 = NonZeroU32::new(PICTURE_RATE).expect("it is not zero");
/// See [`PICTURES`].
const SAMPLES: NonZeroU32 = NonZeroU32::new(opus::RATE).expect("it is not zero");
/// How long a fragment is, and what is lost at most.
const FRAGMENT: Duration = Duration::from_secs(1);
/// A file goes on in another one at the next key frame after so long.
const LONGEST: Duration = Duration::from_secs(600);
/// Sound that is so far from where it should be is moved there: three packets.
const ASTRAY: i64 = 3 * opus::SILENCE_SAMPLES as i64;
/// Sound that has not come so long after the picture will not come: two seconds, for a
/// slow machine that has just been asked for more.
const LATE: i64 = 2 * opus::RATE as i64;
/// A picture that is shown for longer was the last one before a hole.
const LONGEST_PICTURE: Duration = Duration::from_secs(10);

/// A file that is being made.
#[derive(Debug)]
pub(super) struct Film {
    muxer: Fmp4SegmentMuxer,
    began: Instant,
    sets: Sets,
    entry: SampleEntry,
    /// Waits for the time of the next one.
    last: Option<(u64, bool, Vec<u8>)>,
    pictures: Vec<(u32, bool, Vec<u8>)>,
    /// Where the next picture begins, in ticks of [`PICTURE_RATE`].
    fragment_from: u64,
    sound: Sound,
    /// Nothing was written yet.
    is_new: bool,
    /// The next key frame begins another file.
    is_ending: bool,
}

/// Its sound.
#[derive(Debug, Default)]
struct Sound {
    packets: Vec<(u32, Bytes)>,
    /// Where the next one belongs, in samples.
    next: i64,
    channels: u8,
    /// The file has no place for it.
    is_left_out: bool,
    /// Its first packet is a silence, in the place of one that is late.
    is_held: bool,
}

/// Why a picture is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is for another file.
    Another,
    /// It cannot be read, or was not written.
    Unusable,
}

impl Film {
    /// Begins with this picture, where it says what a decoder has to know. With `sound` of
    /// so many channels the file has a place for it, however late it comes; without it,
    /// where it comes within the first fragment.
    pub(super) fn begin(
        unit: Unit,
        at: Instant,
        made: Duration,
        sound: Option<u8>,
    ) -> Option<Self> {
        let sets = unit.sets?;
        let entry = picture_entry(&sets)?;
        let options = SegmentMuxerOptions {
            creation_timestamp: made,
        };
        Some(Self {
            muxer: Fmp4SegmentMuxer::with_options(options).ok()?,
            began: at,
            sets,
            entry,
            last: Some((0, true, unit.data)),
            pictures: Vec::new(),
            fragment_from: 0,
            sound: Sound {
                channels: sound.unwrap_or_default(),
                ..Sound::default()
            },
            is_new: true,
            is_ending: false,
        })
    }

    /// A picture; a fragment, where one is full.
    pub(super) fn picture(
        &mut self,
        unit: Unit,
        key: bool,
        at: Instant,
    ) -> Result<Option<Vec<u8>>, Refused> {
        let since = at.saturating_duration_since(self.began);
        let is_other = unit.sets.is_some_and(|sets| sets != self.sets);
        if is_other || (key && (self.is_ending || since >= LONGEST)) {
            return Err(Refused::Another);
        }
        let (before, ..) = self.last.as_ref().ok_or(Refused::Unusable)?;
        let ticks = ticks(since).max(before + 1);
        if ticks - before > ticks_of(LONGEST_PICTURE) {
            return Err(Refused::Another);
        }
        let fragment = match ticks - self.fragment_from >= ticks_of(FRAGMENT) {
            true => Some(self.cut(ticks)?),
            false => {
                self.settle(ticks);
                None
            }
        };
        self.last = Some((ticks, key, unit.data));
        Ok(fragment)
    }

    /// A packet of sound.
    pub(super) fn sound(&mut self, packet: &Bytes, at: Instant) {
        let Some(samples) = opus::samples(packet) else {
            return;
        };
        if self.sound.is_left_out {
            self.is_ending = true;
            return;
        }
        let Some(since) = at.checked_duration_since(self.began) else {
            return;
        };
        let place = (since.as_micros() * u128::from(opus::RATE) / 1_000_000) as i64;
        let astray = place - self.sound.next;
        let is_held = std::mem::take(&mut self.sound.is_held);
        if astray < -ASTRAY || (is_held && astray < 0) {
            self.sound.is_held = is_held;
            return;
        }
        if astray > ASTRAY {
            self.sound.fill_up_to(place);
        }
        self.sound.channels = self.sound.channels.max(opus::channels(packet));
        self.sound.push(samples, packet.clone());
    }

    /// The last fragment, and how long the file is. The last picture is shown up to
    /// `at`.
    pub(super) fn end(mut self, at: Instant) -> (Option<Vec<u8>>, Duration) {
        let Some((before, ..)) = self.last else {
            return (None, Duration::ZERO);
        };
        let longest = before + ticks_of(FRAGMENT);
        let ticks = ticks(at.saturating_duration_since(self.began)).clamp(before + 1, longest);
        let length = Duration::from_micros(ticks * 1_000_000 / u64::from(PICTURE_RATE));
        (self.cut(ticks).ok(), length)
    }

    /// The last picture ends here.
    fn settle(&mut self, ticks: u64) {
        if let Some((from, key, data)) = self.last.take() {
            let duration = u32::try_from(ticks - from).unwrap_or(u32::MAX);
            self.pictures.push((duration, key, data));
        }
    }

    fn cut(&mut self, ticks: u64) -> Result<Vec<u8>, Refused> {
        self.settle(ticks);
        self.fragment_from = ticks;
        let end = i64::try_from(ticks * u64::from(opus::RATE) / u64::from(PICTURE_RATE));
        if self.is_new && self.sound.next == 0 && self.sound.channels > 0 {
            // What it is to have is said in the first fragment alone.
            self.sound.fill_up_to(opus::SILENCE_SAMPLES.into());
            self.sound.is_held = true;
        }
        let has_sound = self.sound.next > 0;
        if has_sound {
            self.sound.fill_up_to(end.unwrap_or_default() - LATE);
        }
        if self.is_new && !has_sound {
            self.sound.is_left_out = true;
        }
        let mut samples = Vec::new();
        let mut payload = Vec::new();
        let mut sample = |kind, rate, entry: Option<&SampleEntry>, duration, key, data: &[u8]| {
            samples.push(Sample {
                track_kind: kind,
                sample_entry: entry.cloned(),
                keyframe: key,
                timescale: rate,
                duration,
                composition_time_offset: None,
                data_offset: payload.len() as u64,
                data_size: data.len(),
            });
            payload.extend_from_slice(data);
        };
        // Named once: the others are of the same.
        let mut entry = self.is_new.then_some(&self.entry);
        for (duration, key, data) in self.pictures.drain(..) {
            sample(
                TrackKind::Video,
                PICTURES,
                entry.take(),
                duration,
                key,
                &data,
            );
        }
        let sound_entry = sound_entry(self.sound.channels.max(1));
        let mut entry = self.is_new.then_some(&sound_entry);
        for (duration, data) in self.sound.packets.drain(..) {
            sample(
                TrackKind::Audio,
                SAMPLES,
                entry.take(),
                duration,
                true,
                &data,
            );
        }
        let unusable = |_| Refused::Unusable;
        let head = self.muxer.create_media_segment_metadata(&samples);
        let head = head.map_err(unusable)?;
        let mut bytes = match std::mem::take(&mut self.is_new) {
            true => self.muxer.init_segment_bytes().map_err(unusable)?,
            false => Vec::new(),
        };
        bytes.extend(head);
        bytes.extend(payload);
        Ok(bytes)
    }
}

impl Sound {
    fn push(&mut self, samples: u32, packet: Bytes) {
        self.next += i64::from(samples);
        self.packets.push((samples, packet));
    }

    /// Nothing is heard where nothing came.
    fn fill_up_to(&mut self, place: i64) {
        while place - self.next >= i64::from(opus::SILENCE_SAMPLES) {
            self.push(opus::SILENCE_SAMPLES, Bytes::from_static(opus::SILENCE));
        }
    }
}

fn ticks(since: Duration) -> u64 {
    (since.as_micros() * u128::from(PICTURE_RATE) / 1_000_000) as u64
}

fn ticks_of(duration: Duration) -> u64 {
    duration.as_secs() * u64::from(PICTURE_RATE)
}

/// ISO/IEC 14496-15 §5.3.3.
fn picture_entry(sets: &Sets) -> Option<SampleEntry> {
    let [_, profile, constraints, level, ..] = sets.sps[..] else {
        return None;
    };
    let (width, height) = sps::size(&sets.sps)?;
    // The fields of the high profiles are left out for those that have none.
    let is_high = ![66, 77, 88].contains(&profile);
    Some(SampleEntry::Avc1(Avc1Box {
        visual: VisualSampleEntryFields {
            data_reference_index: VisualSampleEntryFields::DEFAULT_DATA_REFERENCE_INDEX,
            width: u16::try_from(width).ok()?,
            height: u16::try_from(height).ok()?,
            horizresolution: VisualSampleEntryFields::DEFAULT_HORIZRESOLUTION,
            vertresolution: VisualSampleEntryFields::DEFAULT_VERTRESOLUTION,
            frame_count: VisualSampleEntryFields::DEFAULT_FRAME_COUNT,
            compressorname: VisualSampleEntryFields::NULL_COMPRESSORNAME,
            depth: VisualSampleEntryFields::DEFAULT_DEPTH,
        },
        avcc_box: AvccBox {
            avc_profile_indication: profile,
            profile_compatibility: constraints,
            avc_level_indication: level,
            length_size_minus_one: Uint::new(3),
            sps_list: vec![sets.sps.clone()],
            pps_list: vec![sets.pps.clone()],
            // 4:2:0 of eight bits is what is sent to viewers.
            chroma_format: is_high.then(|| Uint::new(1)),
            bit_depth_luma_minus8: is_high.then(|| Uint::new(0)),
            bit_depth_chroma_minus8: is_high.then(|| Uint::new(0)),
            sps_ext_list: Vec::new(),
        },
        unknown_boxes: Vec::new(),
    }))
}

/// Encapsulation of Opus in ISO Base Media File Format §4.3.
fn sound_entry(channels: u8) -> SampleEntry {
    SampleEntry::Opus(OpusBox {
        audio: AudioSampleEntryFields {
            data_reference_index: AudioSampleEntryFields::DEFAULT_DATA_REFERENCE_INDEX,
            channelcount: channels.into(),
            samplesize: AudioSampleEntryFields::DEFAULT_SAMPLESIZE,
            samplerate: FixedPointNumber::new(opus::RATE as u16, 0),
        },
        dops_box: DopsBox {
            output_channel_count: channels,
            // A piece out of a stream has no beginning that is to be left out.
            pre_skip: 0,
            input_sample_rate: opus::RATE,
            output_gain: 0,
        },
        unknown_boxes: Vec::new(),
    })
}
