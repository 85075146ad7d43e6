//! Sound servers, PCMs that programs can share, and cards.
//!
//! A sound server that runs owns the cards: opening one behind its back is
//! refused, or silences it. So a server comes first, then a PCM that ALSA
//! lets several programs open, then the card itself. Of those, one that
//! hears something comes first.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use alsa::device_name::HintIter;
use alsa::pcm::PCM;
use alsa::{Direction, Output};
use gstreamer as gst;

use super::audibility::{self, Candidate, Source};
use crate::device::{Microphone, MicrophoneKind};

/// What alsa-lib's own configuration has for everybody, beside what names a
/// card: nothing, other sound servers, and ways to convert `default`.
const NO_MICROPHONES: [&str; 15] = [
    "default",
    "sysdefault",
    "null",
    "pulse",
    "pipewire",
    "jack",
    "oss",
    "lavrate",
    "samplerate",
    "speex",
    "speexrate",
    "upmix",
    "vdownmix",
    "usbstream",
    "a52",
];

/// Every sound source, best first. GStreamer must have been started.
///
/// Shared PCMs are opened for a moment to see that they work, and where several
/// cards could be taken, listened to.
pub(crate) fn microphones() -> Vec<Microphone> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let has = |element: &str| gst::ElementFactory::find(element).is_some();
    // alsa-lib explains on standard error why a PCM does not open; here that
    // is an answer and no event.
    let _quiet = Output::local_error_handler();
    let server = server(runtime.as_deref(), has);
    let cards = cards();
    let mut found: Vec<_> = server
        .map(|microphone| Candidate {
            microphone,
            source: None,
        })
        .into_iter()
        .collect();
    found.extend(shared(&cards, &described(), source_of));
    found.extend(cards);
    for candidate in &mut found {
        let card = candidate.source.map(|(card, _)| card);
        candidate.microphone.trouble = card.and_then(audibility::deafness);
    }
    audibility::best_first(found)
}

/// The sound server of this user's session, where one answers and the
/// GStreamer element for it is installed.
///
/// PulseAudio's socket first: PipeWire has it as well, and its element is in
/// the plug-ins that are needed anyway.
fn server(runtime: Option<&Path>, has_element: impl Fn(&str) -> bool) -> Option<Microphone> {
    let runtime = runtime?;
    let servers = [
        (
            "pulse/native",
            "pulsesrc",
            "pulse:",
            "the sound server's microphone",
        ),
        (
            "pipewire-0",
            "pipewiresrc",
            "pipewire:",
            "PipeWire's microphone",
        ),
    ];
    servers
        .into_iter()
        // A socket whose server has ended is still there.
        .find(|(socket, element, ..)| {
            has_element(element) && UnixStream::connect(runtime.join(socket)).is_ok()
        })
        .map(|(_, _, device, name)| Microphone {
            device: device.to_owned(),
            kind: MicrophoneKind::SoundServer,
            name: name.to_owned(),
            trouble: None,
        })
}

/// Those of `default`, the `described` ones and each card's `dsnoop` that open:
/// `opened` says what is behind them.
fn shared(
    cards: &[Candidate],
    described: &[Microphone],
    opened: impl Fn(&str) -> Option<Option<Source>>,
) -> Vec<Candidate> {
    let default = Microphone {
        device: "default".into(),
        kind: MicrophoneKind::Shared,
        name: "ALSA's default".into(),
        trouble: None,
    };
    let snoops = cards.iter().filter_map(|card| {
        let pcm = card.microphone.device.strip_prefix("plughw:")?;
        Some(Microphone {
            device: format!("plug:'dsnoop:{pcm}'"),
            kind: MicrophoneKind::Shared,
            name: card.microphone.name.clone(),
            trouble: None,
        })
    });
    std::iter::once(default)
        .chain(described.iter().cloned())
        .chain(snoops)
        .filter_map(|microphone| {
            let source = opened(&microphone.device)?;
            Some(Candidate { microphone, source })
        })
        .collect()
}

/// What this machine's own ALSA configuration describes (a PCM with a `hint`).
fn described() -> Vec<Microphone> {
    let hints = HintIter::new_str(None, "pcm").into_iter().flatten();
    hints
        .filter(|hint| hint.direction != Some(Direction::Playback))
        .filter_map(|hint| {
            let device = hint.name?;
            let is_own = !device.contains(':') && !NO_MICROPHONES.contains(&&*device);
            let name = hint.desc.unwrap_or_default().replace('\n', ", ");
            is_own.then_some(Microphone {
                device,
                kind: MicrophoneKind::Shared,
                name,
                trouble: None,
            })
        })
        .collect()
}

/// What is behind a PCM that opens.
///
/// `default` may be a card without a microphone, and `dsnoop` wants 48 kHz
/// stereo of a card that may not have it: only a try tells.
fn source_of(pcm: &str) -> Option<Option<Source>> {
    let pcm = PCM::new(pcm, Direction::Capture, true).ok()?;
    let source = pcm.info().ok().map(|i| (i.get_card(), i.get_device()));
    Some(source.filter(|(card, _)| *card >= 0))
}

/// The PCMs of every card that can capture, by names that stay when card
/// numbers change.
fn cards() -> Vec<Candidate> {
    let mut found = Vec::new();
    for card in alsa::card::Iter::new().flatten() {
        let Ok(control) = alsa::Ctl::from_card(&card, false) else {
            continue;
        };
        let Ok(info) = control.card_info() else {
            continue;
        };
        let Ok(id) = info.get_id() else { continue };
        let card_name = info.get_name().unwrap_or(id).to_owned();
        for device in alsa::ctl::DeviceIter::new(&control) {
            let Ok(device) = u32::try_from(device) else {
                continue;
            };
            let Ok(pcm) = control.pcm_info(device, 0, Direction::Capture) else {
                continue;
            };
            let name = match pcm.get_name() {
                Ok(name) if !name.is_empty() => format!("{card_name}, {name}"),
                _ => card_name.clone(),
            };
            found.push(Candidate {
                microphone: Microphone {
                    device: format!("plughw:CARD={id},DEV={device}"),
                    kind: MicrophoneKind::Card,
                    name,
                    trouble: None,
                },
                source: Some((card.get_index(), device)),
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_server_is_taken_only_where_it_answers_and_its_element_is_there() {
        let runtime = tempfile::tempdir().expect("a folder");
        let path = runtime.path();
        let device = |has: fn(&str) -> bool| server(Some(path), has).map(|m| m.device);
        assert_eq!(device(|_| true), None, "no socket");
        assert_eq!(server(None, |_| true), None);

        let pipewire = UnixListener::bind(path.join("pipewire-0")).expect("bound");
        assert_eq!(device(|_| true).as_deref(), Some("pipewire:"));
        assert_eq!(device(|element| element == "pulsesrc"), None);

        std::fs::create_dir(path.join("pulse")).expect("made");
        let _pulse = UnixListener::bind(path.join("pulse/native")).expect("bound");
        assert_eq!(device(|_| true).as_deref(), Some("pulse:"));

        drop(pipewire);
        let left = device(|element| element == "pipewiresrc");
        assert_eq!(
            left, None,
            "the server has ended, its socket is still there"
        );
    }

    fn microphone(device: &str, kind: MicrophoneKind) -> Microphone {
        Microphone {
            device: device.into(),
            kind,
            name: "USB Mic".into(),
            trouble: None,
        }
    }

    #[test]
    fn shared_pcms_are_those_that_open() {
        let cards = [Candidate {
            microphone: microphone("plughw:CARD=Mic,DEV=0", MicrophoneKind::Card),
            source: Some((1, 0)),
        }];
        let described = [microphone("desk", MicrophoneKind::Shared)];
        let devices = |opens: fn(&str) -> bool| -> Vec<_> {
            shared(&cards, &described, |pcm| opens(pcm).then_some(None))
                .into_iter()
                .map(|c| c.microphone.device)
                .collect()
        };
        assert_eq!(
            devices(|_| true),
            ["default", "desk", "plug:'dsnoop:CARD=Mic,DEV=0'"]
        );
        assert_eq!(devices(|pcm| pcm != "default").len(), 2);
        assert_eq!(devices(|_| false).len(), 0);
        assert!(shared(&[], &[], |_| None).is_empty());
    }

    #[test]
    fn the_list_is_in_order_of_kind() {
        gst::init().expect("GStreamer is installed");
        let found = microphones();
        let order = |m: &Microphone| (m.trouble.is_some(), m.kind);
        assert!(found.is_sorted_by_key(order), "{found:?}");
    }

    /// A PCM that is defined opens, one that is not does not.
    #[test]
    fn opening_is_a_real_try() {
        let _quiet = Output::local_error_handler();
        assert_eq!(source_of("null"), Some(None));
        assert_eq!(source_of("no-such-pcm"), None);
    }
}
