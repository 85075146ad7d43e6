//! Which of several microphones hears something: one whose capture is switched
//! off, or whose samples are all zero, comes after every other.
//!
//! The cards' mixers are asked each time. Listening takes a part of a second
//! and is done only where they leave a choice between several; what came of it
//! is remembered for as long as the choice is the same. A sound server has its
//! own choice and its own mixer, and is not looked into.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use alsa::mixer::{Mixer, Selem, SelemChannelId};
use alsa::pcm::{Access, Format, HwParams, PCM};
use alsa::{Direction, ValueOr};

use crate::device::{Microphone, MicrophoneKind};
use crate::lock::lock;

/// What a device may give when it is opened says nothing: clicks, or zeros.
const SETTLE: Duration = Duration::from_millis(50);
/// Zeros for so long are silence; some USB microphones begin with a while of
/// them.
const LISTEN: Duration = Duration::from_millis(600);
/// A level below this, in dB, is none.
const NO_LEVEL: f32 = -40.0;

/// A card's number and its PCM's: what is behind a name.
pub(super) type Source = (i32, u32);

/// A microphone that may be taken.
pub(super) struct Candidate {
    pub microphone: Microphone,
    /// `None` where ALSA does not tell.
    pub source: Option<Source>,
}

impl Candidate {
    fn is_same(&self, other: &Self) -> bool {
        match (self.source, other.source) {
            (None, None) => self.microphone.device == other.microphone.device,
            (mine, its) => mine == its,
        }
    }
}

/// What listening to one gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hearing {
    /// Samples that are not all zero.
    Sound,
    /// Zeros.
    Zeros,
    /// It runs, and nothing comes.
    Nothing,
    /// It could not be listened to: another program has it.
    Unknown,
}

impl Hearing {
    fn trouble(self) -> Option<&'static str> {
        match self {
            Self::Sound | Self::Unknown => None,
            Self::Zeros => Some("only digital silence comes from it: is it muted, see `alsamixer`"),
            Self::Nothing => Some("it opens, and no sound comes: plug it in again"),
        }
    }
}

/// What listening gave among these candidates, where one heard something.
#[derive(Debug)]
struct Heard {
    among: Vec<String>,
    troubles: Vec<Option<String>>,
}

/// Over all calls of this process.
static HEARD: Mutex<Option<Heard>> = Mutex::new(None);

/// All of them, those that hear something first.
pub(super) fn best_first(candidates: Vec<Candidate>) -> Vec<Microphone> {
    // Not held while listening: a driver may hang.
    let mut heard = lock(&HEARD).take();
    let ranked = rank(candidates, &mut heard, listen);
    *lock(&HEARD) = heard;
    ranked
}

/// The order, with a [`Microphone::trouble`] for each that was silent. Listened
/// to is the first, and while it is silent the next.
fn rank(
    mut candidates: Vec<Candidate>,
    heard: &mut Option<Heard>,
    mut listen: impl FnMut(&str) -> Hearing,
) -> Vec<Microphone> {
    sort(&mut candidates);
    let among: Vec<_> = candidates
        .iter()
        .map(|c| c.microphone.device.clone())
        .collect();
    match heard {
        Some(before) if before.among == among => {
            for (candidate, trouble) in candidates.iter_mut().zip(&before.troubles) {
                candidate.microphone.trouble.clone_from(trouble);
            }
        }
        _ if is_choice(&candidates) => {
            let hears = listen_to_each(&mut candidates, &mut listen);
            let troubles = candidates.iter().map(|c| c.microphone.trouble.clone());
            *heard = hears.then(|| Heard {
                troubles: troubles.collect(),
                among,
            });
        }
        _ => *heard = None,
    }
    sort(&mut candidates);
    candidates.into_iter().map(|c| c.microphone).collect()
}

fn sort(candidates: &mut [Candidate]) {
    candidates.sort_by_key(|c| (c.microphone.trouble.is_some(), c.microphone.kind));
}

/// Two that are not the same could be taken.
fn is_choice(sorted: &[Candidate]) -> bool {
    let Some(first) = sorted.first() else {
        return false;
    };
    let is_server = first.microphone.kind == MicrophoneKind::SoundServer;
    let others = sorted.iter().filter(|c| c.microphone.trouble.is_none());
    !is_server && others.skip(1).any(|c| !c.is_same(first))
}

/// Until one is not silent; says whether one surely hears.
fn listen_to_each(candidates: &mut [Candidate], listen: &mut impl FnMut(&str) -> Hearing) -> bool {
    for at in 0..candidates.len() {
        // A trouble may have come by another name of it.
        if candidates[at].microphone.trouble.is_some() {
            continue;
        }
        let hearing = listen(&candidates[at].microphone.device);
        let Some(trouble) = hearing.trouble() else {
            return hearing == Hearing::Sound;
        };
        let (listened, rest) = candidates[at..].split_first_mut().expect("it is one");
        for same in rest.iter_mut().filter(|c| c.is_same(listened)) {
            same.microphone.trouble = Some(trouble.to_owned());
        }
        listened.microphone.trouble = Some(trouble.to_owned());
    }
    false
}

/// What a mixer's element says about capture.
#[derive(Debug, Clone, Default, PartialEq)]
struct Capture {
    name: String,
    /// Any channel is on; `None` without a switch.
    is_on: Option<bool>,
    /// Any channel lets sound through; `None` without a level.
    is_up: Option<bool>,
}

/// Why a card with these elements hears nothing. "Capture" is in the way of all
/// that a card hears; without it, one source that is on will do.
fn deaf(elements: &[Capture]) -> Option<&'static str> {
    let master: Vec<_> = elements.iter().filter(|e| e.name == "Capture").collect();
    let all = || elements.iter().collect();
    let says = |of: fn(&Capture) -> Option<bool>, what: &'static str| {
        let asked: Vec<&Capture> = match master.iter().any(|e| of(e).is_some()) {
            true => master.clone(),
            false => all(),
        };
        let mut states = asked.into_iter().filter_map(of).peekable();
        (states.peek().is_some() && states.all(|state| !state)).then_some(what)
    };
    says(|e| e.is_on, "its capture is switched off")
        .or_else(|| says(|e| e.is_up, "its capture level is at zero"))
}

/// Why this card hears nothing, and what to do; `None` where its mixer does not
/// say so, or it has none.
pub(super) fn deafness(card: i32) -> Option<String> {
    let mixer = Mixer::new(&format!("hw:{card}"), true).ok()?;
    let elements: Vec<_> = mixer.iter().filter_map(Selem::new).map(capture).collect();
    let why = deaf(&elements)?;
    Some(format!("{why}: `alsamixer -c {card}` (F4 shows capture)"))
}

fn capture(element: Selem) -> Capture {
    let channels = || {
        let has = |channel: &&SelemChannelId| element.has_capture_channel(**channel);
        SelemChannelId::all().iter().filter(has)
    };
    let (lowest, highest) = element.get_capture_volume_range();
    let is_up = |channel: &SelemChannelId| {
        let level = element.get_capture_volume(*channel).ok();
        let decibels = element.get_capture_vol_db(*channel).ok();
        level.is_none_or(|level| is_level(level, lowest, decibels.map(|db| db.to_db())))
    };
    let is_on = |channel: &SelemChannelId| element.get_capture_switch(*channel) != Ok(0);
    Capture {
        name: element
            .get_id()
            .get_name()
            .map(str::to_owned)
            .unwrap_or_default(),
        is_on: element.has_capture_switch().then(|| channels().any(is_on)),
        is_up: (element.has_capture_volume() && lowest < highest).then(|| channels().any(is_up)),
    }
}

/// The lowest level of some cards is no silence: they know their decibels.
fn is_level(level: i64, lowest: i64, decibels: Option<f32>) -> bool {
    level > lowest || decibels.is_some_and(|db| db > NO_LEVEL)
}

/// Listens until something is heard.
fn listen(pcm: &str) -> Hearing {
    try_listening(pcm).unwrap_or(Hearing::Unknown)
}

fn try_listening(name: &str) -> alsa::Result<Hearing> {
    let pcm = PCM::new(name, Direction::Capture, true)?;
    let (channels, rate) = {
        let parameters = HwParams::any(&pcm)?;
        parameters.set_access(Access::RWInterleaved)?;
        parameters.set_format(Format::s16())?;
        let channels = parameters.set_channels_near(2)?;
        let rate = parameters.set_rate_near(48_000, ValueOr::Nearest)?;
        parameters.set_buffer_time_near(200_000, ValueOr::Nearest)?;
        pcm.hw_params(&parameters)?;
        (channels as usize, rate)
    };
    let io = pcm.io_i16()?;
    pcm.start()?;
    let settled = rate as usize * SETTLE.as_millis() as usize / 1000;
    let mut samples = vec![0_i16; 2048 * channels];
    let (mut frames, end) = (0, Instant::now() + LISTEN);
    while let left = end.saturating_duration_since(Instant::now())
        && !left.is_zero()
    {
        if !pcm.wait(Some(left.as_millis() as u32 + 1))? {
            break;
        }
        let read = match io.readi(&mut samples) {
            Ok(read) => read,
            Err(error) if error.errno() == libc::EAGAIN => continue,
            // It ran over while this machine was busy.
            Err(_) => {
                pcm.prepare()?;
                pcm.start()?;
                continue;
            }
        };
        let skipped = settled.saturating_sub(frames).min(read);
        if samples[skipped * channels..read * channels]
            .iter()
            .any(|s| *s != 0)
        {
            return Ok(Hearing::Sound);
        }
        frames += read;
    }
    Ok(match frames > settled {
        true => Hearing::Zeros,
        false => Hearing::Nothing,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn candidate(device: &str, kind: MicrophoneKind, source: Option<Source>) -> Candidate {
        Candidate {
            microphone: Microphone {
                device: device.into(),
                kind,
                name: String::new(),
                trouble: None,
            },
            source,
        }
    }

    /// A headset jack with nothing in it is the default; beside it, a USB
    /// microphone.
    fn board() -> Vec<Candidate> {
        use MicrophoneKind::{Card, Shared};
        vec![
            candidate("default", Shared, Some((0, 0))),
            candidate("dsnoop:0", Shared, Some((0, 0))),
            candidate("dsnoop:1", Shared, Some((1, 0))),
            candidate("plughw:0", Card, Some((0, 0))),
            candidate("plughw:1", Card, Some((1, 0))),
        ]
    }

    /// Ranks, and says what was listened to.
    fn ranked(
        candidates: Vec<Candidate>,
        heard: &mut Option<Heard>,
        hearing: &[(&str, Hearing)],
    ) -> (Vec<Microphone>, Vec<String>) {
        let hearing: HashMap<_, _> = hearing.iter().copied().collect();
        let mut listened = Vec::new();
        let ranked = rank(candidates, heard, |device| {
            listened.push(device.to_owned());
            hearing[device]
        });
        (ranked, listened)
    }

    #[test]
    fn one_that_hears_comes_before_one_that_is_silent_by_all_its_names() {
        let mut heard = None;
        let hearing = [("default", Hearing::Zeros), ("dsnoop:1", Hearing::Sound)];
        let (all, listened) = ranked(board(), &mut heard, &hearing);
        let devices: Vec<_> = all.iter().map(|m| m.device.as_str()).collect();
        let order = ["dsnoop:1", "plughw:1", "default", "dsnoop:0", "plughw:0"];
        assert_eq!(devices, order);
        assert_eq!(listened, ["default", "dsnoop:1"], "each card once");
        let silent = all.iter().filter(|m| m.trouble.is_some());
        assert_eq!(silent.count(), 3);

        // A call later on does not wait for that again.
        let (again, listened) = ranked(board(), &mut heard, &[]);
        assert_eq!(again, all);
        assert!(listened.is_empty());

        // It is unplugged: there is no choice, and nothing to listen for.
        let left = board().into_iter().filter(|c| c.source == Some((0, 0)));
        let (left, listened) = ranked(left.collect(), &mut heard, &[]);
        assert_eq!(left[0].device, "default");
        assert!(listened.is_empty());
    }

    #[test]
    fn one_that_hears_at_once_is_the_only_one_that_is_listened_to() {
        let (all, listened) = ranked(board(), &mut None, &[("default", Hearing::Sound)]);
        assert_eq!(all[0].device, "default");
        assert_eq!(listened, ["default"]);
        // Another program has it: no reason against it.
        let (all, _) = ranked(board(), &mut None, &[("default", Hearing::Unknown)]);
        assert_eq!(all[0].device, "default");
    }

    #[test]
    fn what_a_mixer_says_needs_no_listening() {
        let mut board = board();
        for candidate in board.iter_mut().filter(|c| c.source == Some((0, 0))) {
            candidate.microphone.trouble = Some("its capture is switched off".into());
        }
        let (all, listened) = ranked(board, &mut None, &[]);
        assert_eq!(all[0].device, "dsnoop:1");
        assert!(listened.is_empty());
    }

    #[test]
    fn where_none_hears_the_usual_one_stays_and_is_listened_to_again() {
        let mut heard = None;
        let silent = [("default", Hearing::Zeros), ("dsnoop:1", Hearing::Nothing)];
        for _ in 0..2 {
            let (all, listened) = ranked(board(), &mut heard, &silent);
            assert_eq!(all[0].device, "default");
            assert!(all[0].trouble.is_some());
            assert_eq!(listened.len(), 2);
        }
    }

    #[test]
    fn a_sound_server_and_a_single_microphone_are_taken_unheard() {
        let server = candidate("pulse:", MicrophoneKind::SoundServer, None);
        let with_server = board().into_iter().chain([server]).collect();
        let (all, listened) = ranked(with_server, &mut None, &[]);
        assert_eq!((all[0].device.as_str(), listened.len()), ("pulse:", 0));
        let single = vec![candidate("default", MicrophoneKind::Shared, None)];
        let (all, listened) = ranked(single, &mut None, &[]);
        assert_eq!((all.len(), listened.len()), (1, 0));
        assert_eq!(ranked(Vec::new(), &mut None, &[]).0, []);
    }

    fn element(name: &str, is_on: Option<bool>, is_up: Option<bool>) -> Capture {
        Capture {
            name: name.into(),
            is_on,
            is_up,
        }
    }

    #[test]
    fn a_card_is_deaf_where_its_capture_is_off_or_at_zero() {
        let off = Some("its capture is switched off");
        let zero = Some("its capture level is at zero");
        let usb = |is_on, is_up| deaf(&[element("Mic", Some(is_on), Some(is_up))]);
        assert_eq!(usb(true, true), None);
        assert_eq!(usb(false, true), off);
        assert_eq!(usb(true, false), zero);
        // Without a mixer, or one that only plays, nothing is known.
        assert_eq!(deaf(&[]), None);
        assert_eq!(deaf(&[element("Master", None, None)]), None);
        // Of several sources one is chosen.
        let line = element("Line", Some(false), None);
        let microphone = element("Mic", Some(true), None);
        assert_eq!(deaf(&[line.clone(), microphone.clone()]), None);
        assert_eq!(deaf(std::slice::from_ref(&line)), off);
        // The master is in the way of all of them.
        let master = |is_on, is_up| element("Capture", Some(is_on), Some(is_up));
        let through = [line, microphone];
        let behind = |master| deaf(&[&[master], &through[..]].concat());
        assert_eq!(behind(master(true, true)), None);
        assert_eq!(behind(master(false, true)), off);
        assert_eq!(behind(master(true, false)), zero);
        // A boost at zero is usual.
        let boost = element("Internal Mic Boost", None, Some(false));
        assert_eq!(deaf(&[master(true, true), boost]), None);
    }

    #[test]
    fn the_lowest_level_is_silence_unless_the_card_knows_better() {
        assert!(is_level(1, 0, None));
        assert!(!is_level(0, 0, None));
        assert!(!is_level(0, 0, Some(-99_999.99)));
        assert!(is_level(0, 0, Some(-17.25)), "HDA");
    }

    /// ALSA's own source of nothing; no card is needed.
    #[test]
    fn listening_is_a_real_try() {
        let _quiet = alsa::Output::local_error_handler();
        assert_eq!(listen("no-such-pcm"), Hearing::Unknown);
        assert_eq!(listen("null"), Hearing::Zeros);
        assert_eq!(deafness(i32::MAX), None);
    }
}
