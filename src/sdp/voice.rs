//! What a caller says into their microphone, as far as an offer tells of it.

use super::format::{OPUS_CLOCK, SoundFormat};
use super::read::Description;
use super::roles::{Line, Role};
use super::section::Section;
use super::{Offer, VideoFormat};

/// The caller's own sound. It is taken where the device [hears](Offer::hearing) it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Voice {
    /// Their payload type for Opus.
    pub opus: u8,
    /// The header extension that has its level, where they have one.
    pub level: Option<u8>,
    /// The section.
    pub(super) section: usize,
    /// It is taken.
    pub(super) heard: bool,
}

impl Voice {
    /// What a section sends, that takes sound in this format.
    pub(super) fn of(
        at: usize,
        section: &Section,
        sound: &SoundFormat,
        video: &VideoFormat,
    ) -> Option<Self> {
        // One table of header extensions is for all (RFC 9143 §13).
        let is_free = |id: &u8| {
            let all = video.extensions.iter().chain(&sound.extensions);
            all.clone().all(|(taken, _)| taken != id)
        };
        section.sends().then(|| Self {
            opus: sound.opus,
            level: section.level.filter(is_free),
            section: at,
            heard: false,
        })
    }
}

impl Description {
    /// What is said in a later offer of a call in which the caller gets no sound.
    pub(super) fn voice_again(&self, first: &Offer, offer: &mut Offer, members: &[usize]) {
        let Some(voice) = first.voice.filter(|_| first.sound.is_none()) else {
            return;
        };
        let Some(section) = self.sections.get(voice.section) else {
            return;
        };
        let is_opus =
            |f: &super::section::Format| f.payload_type == voice.opus && f.is("opus", OPUS_CLOCK);
        let is_it = section.kind == "audio" && section.is_rtp() && section.is_muxed();
        if is_it && members.contains(&voice.section) && section.formats.iter().any(is_opus) {
            unsent(&mut offer.lines[voice.section], voice.opus);
            offer.voice = section.sends().then_some(Voice {
                heard: false,
                ..voice
            });
        }
    }
}

impl Offer {
    /// The device hears the caller, where they say something.
    pub(crate) fn hearing(mut self) -> Self {
        let lines = &self.lines;
        let is_live = |voice: &Voice| match lines.get(voice.section).map(|l| &l.role) {
            Some(Role::Sound { .. } | Role::Idle { .. }) => true,
            Some(Role::Video { .. } | Role::Data | Role::Rejected) | None => false,
        };
        if let Some(voice) = &mut self.voice {
            voice.heard = is_live(voice);
        }
        self
    }

    /// What the caller says, where it is taken.
    pub(crate) fn voice(&self) -> Option<Voice> {
        self.voice.filter(|voice| voice.heard)
    }

    /// The same in this section.
    pub(super) fn voice_in(&self, section: usize) -> Option<Voice> {
        self.voice().filter(|voice| voice.section == section)
    }
}

/// A section whose sound the device does not send.
pub(super) fn unsent(line: &mut Line, opus: u8) {
    line.role = Role::Idle {
        payload_type: opus,
        name: "opus/48000/2".to_owned(),
    };
}
