//! What viewers hear of a microphone: frames for a canceller, and silence where that
//! is not sure. Pure: times are those of the media clock, and come in.

use std::collections::VecDeque;
use std::time::Duration;

use super::adaptive::Adaptive;
use super::played::Speaker;
use super::{Canceller, FRAME, Measured, Played, RATE, Samples};

/// What sounds so much later is put beside what is heard: as far as a card's word may be
/// wrong. It was given to the card before.
const LEAD: Duration = Duration::from_millis(20);
/// Where the microphone's time line is off by so many samples, some were lost: 30 ms.
const STRAY: i64 = RATE as i64 * 3 / 100;
/// The peak of what is no sound: digital silence, and its noise.
const NOTHING: f32 = 8.0;
/// Frames after which nothing of a sound is left in the room, nor on its way.
const GONE: u32 = 200;
/// The peak from which on viewers might hear it: 60 dB under full scale.
const HEARD: f32 = 33.0;
/// Frames for which nothing is heard after such a sound, while the canceller is not
/// sure: half a second on its way, as long as that may be, and what the room keeps.
const HANG_OVER: u32 = 80;
/// Frames of sound after which it ought to be sure.
const LONG: u32 = 1_500;
/// A delay that differs by more is told of.
const MATERIAL: Duration = Duration::from_millis(5);

/// What is worth telling.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum News {
    /// Both are heard from now on, here and there; `is_new` where that was measured for
    /// the first time, or is otherwise now.
    Sure { measured: Measured, is_new: bool },
    /// The speaker was not found in what the microphone hears: there is silence while it
    /// speaks.
    NotFound,
}

/// Between a microphone and who listens.
pub(crate) struct Microphone {
    played: Played,
    canceller: Box<dyn Canceller>,
    speaker: Speaker,
    /// Where on the speaker's time line the next frame is.
    next: Option<i64>,
    /// Less than a frame.
    waiting: Vec<f32>,
    /// What viewers hear next; with what waits it is none or a frame.
    done: VecDeque<f32>,
    /// What was heard, as late as what the canceller makes of it.
    plain: VecDeque<f32>,
    /// Frames since the speaker gave a sound, and since one that viewers might hear.
    quiet: u32,
    soft: u32,
    /// The last frame came from the canceller, and was silent.
    cancels: bool,
    is_silent: bool,
    was_sure: bool,
    /// Frames of sound without being sure.
    unsure: u32,
    told: Option<Duration>,
}

impl Microphone {
    /// One that hears what was `played`.
    pub(crate) fn new(played: Played) -> Self {
        Self::with(played, Box::new(Adaptive::new()))
    }

    pub(super) fn with(played: Played, canceller: Box<dyn Canceller>) -> Self {
        Self {
            played,
            plain: std::iter::repeat_n(0.0, canceller.latency()).collect(),
            canceller,
            speaker: Speaker::default(),
            next: None,
            waiting: Vec::with_capacity(FRAME),
            done: VecDeque::new(),
            quiet: GONE,
            soft: HANG_OVER,
            cancels: false,
            is_silent: false,
            was_sure: false,
            unsure: 0,
            told: None,
        }
    }

    /// What was heard from this time on, however much that is; becomes what viewers hear,
    /// some 10 ms later, and up to 20 where buffers are no frames.
    pub(crate) fn hear(&mut self, at: Duration, samples: &mut [i16]) -> Option<News> {
        if self.waiting.len() + self.done.len() == 0 && !samples.len().is_multiple_of(FRAME) {
            // What is left of a buffer waits for the next one.
            self.done.extend([0.0; FRAME]);
        }
        let before = self.waiting.len() as u64 * 1_000_000_000 / u64::from(RATE);
        let mut at = at.saturating_sub(Duration::from_nanos(before));
        let mut news = None;
        for sample in &*samples {
            self.waiting.push(f32::from(*sample));
            if self.waiting.len() == FRAME {
                let mut heard = std::array::from_fn(|i| self.waiting[i]);
                self.waiting.clear();
                news = self.frame(at, &mut heard).or(news);
                self.done.extend(heard);
                at += Duration::from_millis(10);
            }
        }
        let count = samples.len();
        for (to, from) in samples.iter_mut().zip(self.done.drain(..count)) {
            *to = from.round().clamp(-32_768.0, 32_767.0) as i16;
        }
        news
    }

    fn frame(&mut self, at: Duration, heard: &mut Samples) -> Option<News> {
        let near = self.next.map(|next| (next, STRAY));
        let (mut played, mut next, speaker) = self.played.frame(at + LEAD, near);
        if speaker != self.speaker {
            (played, next, _) = self.played.frame(at + LEAD, None);
            self.changes(speaker);
        }
        self.next = Some(next);
        self.plain.extend(&*heard);
        let plain: Samples = std::array::from_fn(|_| self.plain.pop_front().unwrap_or_default());
        let peak = played.iter().fold(0.0, |peak: f32, s| peak.max(s.abs()));
        self.quiet = if peak > NOTHING {
            0
        } else {
            self.quiet.saturating_add(1)
        };
        self.soft = if peak > HEARD {
            0
        } else {
            self.soft.saturating_add(1)
        };
        if self.quiet >= GONE {
            // What was there before the sound is played on to its end.
            *heard = plain;
            self.cancels = false;
            self.next = None;
            return None;
        }
        let begins = !std::mem::replace(&mut self.cancels, true);
        if begins {
            self.canceller.rest();
        }
        let is_sure = self.canceller.cancel(&played, heard);
        if begins {
            *heard = plain;
        }
        self.silence(!is_sure && self.soft < HANG_OVER, heard);
        self.tell(is_sure)
    }

    fn changes(&mut self, speaker: Speaker) {
        if speaker.device == self.speaker.device {
            self.canceller.rest();
            self.canceller.doubt();
        } else {
            self.canceller.reset();
            self.unsure = 0;
        }
        self.speaker = speaker;
    }

    /// Fades where it changes: a sound that is cut off clicks.
    fn silence(&mut self, is_silent: bool, heard: &mut Samples) {
        let was = std::mem::replace(&mut self.is_silent, is_silent);
        for (i, sample) in heard.iter_mut().enumerate() {
            let part = i as f32 / FRAME as f32;
            *sample *= match (was, is_silent) {
                (false, false) => 1.0,
                (false, true) => 1.0 - part,
                (true, false) => part,
                (true, true) => 0.0,
            };
        }
    }

    /// What the canceller knows, by the card's word.
    fn measured(&self) -> Measured {
        let mut measured = self.canceller.measured();
        measured.delay = measured.delay.map(|delay| delay.saturating_sub(LEAD));
        measured
    }

    fn tell(&mut self, is_sure: bool) -> Option<News> {
        if self.soft == 0 {
            self.played.record(is_sure, self.measured());
        }
        let was_sure = std::mem::replace(&mut self.was_sure, is_sure);
        if !is_sure {
            self.unsure += u32::from(self.soft == 0);
            return (self.unsure == LONG && self.soft == 0).then_some(News::NotFound);
        }
        self.unsure = 0;
        if was_sure {
            return None;
        }
        let measured = self.measured();
        let told = self.told.unwrap_or(Duration::MAX);
        let is_new = measured
            .delay
            .is_some_and(|now| now.abs_diff(told) > MATERIAL);
        if is_new {
            self.told = measured.delay;
        }
        Some(News::Sure { measured, is_new })
    }
}
