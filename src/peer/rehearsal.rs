//! Calls without a network: the crate alone, told an offer as a connection tells
//! it, and what it answers. No socket, no media, nothing that waits.
//!
//! For tests that try many offers, and for a fuzzer.

pub(crate) mod fuzzing;

use std::time::Instant;

use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::configuration::RTCConfigurationBuilder;
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use webrtc::peer_connection::{RTCIceCandidateInit, RTCSessionDescription, Registry};

use super::assembly::{settings, track};
use super::{Identity, PeerError, engine, while_doing};
use crate::media::stream::{Encoding, Stream};
use crate::sdp::Offer;

/// Makes calls that go nowhere.
pub(crate) struct Rehearsal {
    identity: Identity,
}

/// One of them.
pub(crate) struct Call {
    pub(super) connection: RTCPeerConnection,
}

impl Rehearsal {
    /// Makes a certificate for all of them.
    pub(crate) fn new() -> Result<Self, PeerError> {
        Ok(Self {
            identity: Identity::new()?,
        })
    }

    pub(super) fn certificate(&self) -> rtc::peer_connection::certificate::RTCCertificate {
        self.identity.certificate.clone()
    }

    /// A connection made for this offer, which it has not been told yet.
    pub(crate) fn call(&self, offer: &Offer, now: Instant) -> Result<Call, PeerError> {
        self.call_through(offer, Registry::new(), now)
    }

    /// The same, with something between it and the wire.
    pub(super) fn call_through(
        &self,
        offer: &Offer,
        interceptors: Registry,
        now: Instant,
    ) -> Result<Call, PeerError> {
        let engine = engine::media_engine(offer).map_err(while_doing("preparing the codecs"))?;
        let configuration = RTCConfigurationBuilder::new()
            .with_certificates(vec![self.identity.certificate.clone()])
            .build();
        let mut connection = RTCPeerConnectionBuilder::new()
            .with_configuration(configuration)
            .with_setting_engine(settings(MulticastDnsMode::Disabled))
            .with_media_engine(engine)
            .with_interceptor_registry(interceptors)
            .build(now)
            .map_err(while_doing("making a connection"))?;
        let video = Stream::Video(Encoding {
            codec: offer.video.codec,
            tier: 0,
        });
        let mut streams = vec![(video, engine::video_codec(offer))];
        if let Some(sound) = &offer.sound {
            streams.push((Stream::Audio, engine::audio_codec(sound)));
        }
        for (stream, codec) in streams {
            let (track, init) = track(stream, codec, offer);
            connection
                .add_transceiver_from_track(track, Some(init))
                .map_err(while_doing("adding a track"))?;
        }
        Ok(Call { connection })
    }
}

impl Call {
    /// The answer as the caller would get it, of a stream not yet known.
    pub(crate) fn answer(&mut self, offer: &Offer, now: Instant) -> Result<String, PeerError> {
        let description = RTCSessionDescription::offer(offer.for_crate())
            .map_err(while_doing("reading the offer"))?;
        let connection = &mut self.connection;
        connection
            .set_remote_description(now, description)
            .map_err(while_doing("applying the offer"))?;
        let answer = connection
            .create_answer(None)
            .map_err(while_doing("making the answer"))?;
        let text = offer
            .answer(&answer.sdp, None)
            .map_err(while_doing("making the answer"))?;
        connection
            .set_local_description(now, answer)
            .map_err(while_doing("applying the answer"))?;
        for candidate in &offer.candidates {
            let candidate = RTCIceCandidateInit {
                candidate: candidate.to_string(),
                ..Default::default()
            };
            connection
                .add_remote_candidate(candidate)
                .map_err(while_doing("adding a candidate"))?;
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod written;
