//! The streams of a connection: started when there is a path, sent to a viewer
//! who is heard of and takes them.

use std::time::Instant;

use tracing::{Instrument, debug};

use super::Connection;
use crate::lock::lock;
use crate::media::stream::Stream;
use crate::peer::engine::{MIME_TYPE_RED, PLAYOUT_DELAY_URI};
use crate::peer::quality::Taken;
use crate::peer::rtp::capture_time;
use crate::peer::rtp::sender::{Parameters, Sending};
use crate::peer::stats;
use crate::sdp::Voice;

impl Connection {
    pub(super) fn reach(&mut self, reachable: bool) {
        let changed = std::mem::replace(&mut self.reachable, reachable) != reachable;
        if changed && reachable {
            self.path.moved(Instant::now());
        }
        self.open_or_close();
    }

    /// What the viewer says is let in, in the way of their last offer.
    pub(super) fn hear(&self, voice: Option<Voice>) {
        if let Some(talker) = &self.talker {
            talker.says(voice);
            if let Some(voice) = voice {
                let theirs = (talker.open(), talker.stream());
                lock(&self.guard).hears(voice.opus, theirs, Instant::now());
            }
        }
    }

    /// A stream is sent to a viewer who is heard of and takes it.
    pub(super) fn open_or_close(&self) {
        let sent = Taken {
            picture: self.reachable && self.taken.picture,
            sound: self.reachable && self.taken.sound,
        };
        self.seat.takes(sent);
        for outlet in &self.outlets {
            outlet.open.send_replace(match outlet.stream {
                Stream::Video(_) => sent.picture,
                Stream::Audio => sent.sound,
            });
        }
    }

    /// They may be here in a moment: where an encoder runs, a key frame is made
    /// for them.
    pub(super) fn expect(&self) {
        for outlet in &self.outlets {
            if let Stream::Video(_) = outlet.stream {
                match &self.guest {
                    Some(_) => self.shared.hub.expect_viewer(outlet.stream, false),
                    None => self.seat.is_expected(outlet.stream),
                }
            }
        }
    }

    /// Asks for the streams. Before an address has answered, an offer is
    /// anybody's words, and starts no camera and no encoder; now they start
    /// while DTLS is under way.
    pub(super) fn start_media(&mut self) {
        self.seat.is_there();
        // Before the picture: a camera that this opens is opened for their decoder.
        self.decodes();
        for outlet in &mut self.outlets {
            if outlet.watch.is_some() || outlet.task.is_some() {
                continue;
            }
            if let Stream::Video(encoding) = &mut outlet.stream {
                *encoding = self.seat.assigned().borrow().encoding;
            }
            outlet.watch = Some(self.shared.hub.watch(outlet.stream));
        }
    }

    /// They are there, with their decoder.
    pub(super) fn decodes(&mut self) {
        if self.decoder.is_none() {
            let profile = self.format.profile;
            self.decoder = profile.map(|profile| self.shared.hub.decoder(profile));
        }
    }

    pub(super) async fn start_sending(&mut self) {
        self.start_media();
        let with_sound = self.outlets.iter().any(|o| o.stream == Stream::Audio);
        if self.outlets.iter().all(|outlet| outlet.task.is_none()) {
            let log = stats::log(self.observer());
            self.tasks.spawn(log.in_current_span());
        }
        for outlet in &mut self.outlets {
            if outlet.task.is_some() {
                continue;
            }
            let Ok(negotiated) = outlet.sender.get_parameters().await else {
                continue;
            };
            let negotiated = negotiated.rtp_parameters;
            let Some(codec) = negotiated
                .codecs
                .iter()
                .find(|c| !c.rtp_codec.mime_type.to_ascii_lowercase().ends_with("/rtx"))
            else {
                debug!(stream = %outlet.stream, "the viewer's page took none of our codecs");
                continue;
            };
            let red = negotiated
                .codecs
                .iter()
                .find(|c| c.rtp_codec.mime_type.eq_ignore_ascii_case(MIME_TYPE_RED))
                .map(|c| c.payload_type);
            let extension = |uri: &str| {
                let extensions = &negotiated.header_extensions;
                let found = extensions.iter().find(|e| e.uri == uri);
                found.and_then(|e| u8::try_from(e.id).ok())
            };
            let parameters = Parameters {
                ssrc: outlet.ssrc,
                payload_type: codec.payload_type,
                red,
                playout_delay: extension(PLAYOUT_DELAY_URI)
                    .filter(|_| outlet.stream != Stream::Audio),
                with_sound,
                capture_time: extension(capture_time::URI),
            };
            let Some(watch) = outlet.watch.take() else {
                continue;
            };
            let sending = Sending {
                track: outlet.track.clone(),
                parameters,
                waiting: self.waiting.clone(),
                path: self.path.clone(),
                pace: self.pace.clone(),
                captured: self.captured.clone(),
                tally: self.tally.clone(),
                seat: (outlet.stream != Stream::Audio).then(|| self.seat.clone()),
                hub: self.shared.hub.clone(),
                reachable: outlet.open.subscribe(),
            };
            let send = sending.run(outlet.stream, watch).in_current_span();
            outlet.task = Some(tokio::spawn(send).abort_handle());
        }
    }
}
