//! Sound servers, PCMs that programs can share, and cards.
//!
//! A sound server that runs owns the cards: opening one behind its back is
//! refused, or silences it. So a server comes first, then a PCM that ALSA
//! lets several programs open, then the card itself.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use alsa::pcm::PCM;
use alsa::{Direction, Output};
use gstreamer as gst;

use super::{Microphone, MicrophoneKind};

/// Every sound source, best first. GStreamer must have been started.
///
/// Shared PCMs are opened for a moment to see that they work.
pub fn microphones() -> Vec<Microphone> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let has = |element: &str| gst::ElementFactory::find(element).is_some();
    let mut found: Vec<_> = server(runtime.as_deref(), has).into_iter().collect();
    // alsa-lib explains on standard error why a PCM does not open; here that
    // is an answer and no event.
    let _quiet = Output::local_error_handler();
    let cards = cards();
    found.extend(shared(&cards, opens));
    found.extend(cards);
    found
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
        })
}

/// Those of `default` and each card's `dsnoop` that open.
fn shared(cards: &[Microphone], opens: impl Fn(&str) -> bool) -> Vec<Microphone> {
    let default = Microphone {
        device: "default".into(),
        kind: MicrophoneKind::Shared,
        name: "ALSA's default".into(),
    };
    let snoops = cards.iter().filter_map(|card| {
        let pcm = card.device.strip_prefix("plughw:")?;
        Some(Microphone {
            device: format!("plug:'dsnoop:{pcm}'"),
            kind: MicrophoneKind::Shared,
            name: card.name.clone(),
        })
    });
    std::iter::once(default)
        .chain(snoops)
        .filter(|m| opens(&m.device))
        .collect()
}

/// `default` may be a card without a microphone, and `dsnoop` wants 48 kHz
/// stereo of a card that may not have it: only a try tells.
fn opens(pcm: &str) -> bool {
    PCM::new(pcm, Direction::Capture, true).is_ok()
}

/// The PCMs of every card that can capture, by names that stay when card
/// numbers change.
fn cards() -> Vec<Microphone> {
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
            found.push(Microphone {
                device: format!("plughw:CARD={id},DEV={device}"),
                kind: MicrophoneKind::Card,
                name,
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

    fn card(device: &str) -> Microphone {
        Microphone {
            device: device.into(),
            kind: MicrophoneKind::Card,
            name: "USB Mic".into(),
        }
    }

    #[test]
    fn shared_pcms_are_those_that_open() {
        let cards = [card("plughw:CARD=Mic,DEV=0")];
        let devices = |opens: fn(&str) -> bool| -> Vec<_> {
            shared(&cards, opens)
                .into_iter()
                .map(|m| m.device)
                .collect()
        };
        assert_eq!(
            devices(|_| true),
            ["default", "plug:'dsnoop:CARD=Mic,DEV=0'"]
        );
        assert_eq!(devices(|pcm| pcm != "default").len(), 1);
        assert_eq!(devices(|_| false).len(), 0);
        assert_eq!(shared(&[], |_| false), []);
    }

    #[test]
    fn the_list_is_in_order_of_kind() {
        gst::init().expect("GStreamer is installed");
        let found = microphones();
        assert!(found.is_sorted_by_key(|m| m.kind), "{found:?}");
    }

    /// A PCM that is defined opens, one that is not does not.
    #[test]
    fn opening_is_a_real_try() {
        let _quiet = Output::local_error_handler();
        assert!(opens("null"));
        assert!(!opens("no-such-pcm"));
    }
}
