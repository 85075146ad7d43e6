//! A viewer who talks: what they say goes out as it was written, header and all, under
//! the call's own DTLS-SRTP. No browser can be made to say most of it.

#![allow(dead_code, reason = "each binary uses its part of it")]

use rtc::interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp;
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodingParameters, RTCRtpEncodingParameters};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;

use super::*;

/// The stream that a call's voice is offered as.
pub const VOICE: u32 = 0x7a1c_0001;

/// What somebody says; clones are the same.
#[derive(Clone, Default)]
pub(super) struct Mouth {
    is_wanted: Arc<Mutex<bool>>,
    track: Arc<Mutex<Option<Arc<TrackLocalStaticRTP>>>>,
    waiting: Arc<Mutex<VecDeque<rtp::Packet>>>,
}

impl Mouth {
    /// Adds what a call has: the picture comes, and the sound, which goes as well where
    /// they talk.
    pub(super) async fn open(&self, connection: &dyn PeerConnection) -> webrtc::error::Result<()> {
        *lock(&self.track) = None;
        let talks = *lock(&self.is_wanted);
        for kind in [RtpCodecKind::Audio, RtpCodecKind::Video] {
            let direction = match (talks, kind) {
                (true, RtpCodecKind::Audio) => RTCRtpTransceiverDirection::Sendrecv,
                _ => RTCRtpTransceiverDirection::Recvonly,
            };
            let init = RTCRtpTransceiverInit {
                direction,
                ..Default::default()
            };
            if direction == RTCRtpTransceiverDirection::Recvonly {
                connection
                    .add_transceiver_from_kind(kind, Some(init))
                    .await?;
                continue;
            }
            let track = Arc::new(TrackLocalStaticRTP::new(voice()));
            connection
                .add_transceiver_from_track(track.clone(), Some(init))
                .await?;
            *lock(&self.track) = Some(track);
        }
        Ok(())
    }
}

fn voice() -> MediaStreamTrack {
    let [.., (_, codec, kind)] = codecs();
    let coding = RTCRtpCodingParameters {
        ssrc: Some(VOICE),
        ..Default::default()
    };
    let encoding = RTCRtpEncodingParameters {
        rtp_coding_parameters: coding,
        codec,
        ..Default::default()
    };
    let name = || "voice".to_owned();
    MediaStreamTrack::new(name(), name(), name(), kind, vec![encoding])
}

impl Viewer {
    /// From the next call on they offer to talk.
    pub fn has_a_microphone(&self) {
        *lock(&self.shared.mouth.is_wanted) = true;
    }

    /// Says all of this now, each packet as it is.
    pub async fn says(&self, packets: impl IntoIterator<Item = rtp::Packet>) {
        lock(&self.shared.mouth.waiting).extend(packets);
        let track = lock(&self.shared.mouth.track).clone();
        let header = rtp::Header {
            version: 2,
            payload_type: OPUS,
            ssrc: VOICE,
            ..Default::default()
        };
        // In its place goes what waits.
        let packet = rtp::Packet {
            header,
            ..Default::default()
        };
        let track = track.expect("they have a microphone");
        track.write_rtp(packet).await.expect("a call");
    }
}

/// The interceptor.
pub(super) struct Voice {
    mouth: Mouth,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

impl Voice {
    pub(super) fn of(mouth: Mouth) -> Self {
        Self {
            mouth,
            reads: VecDeque::new(),
            writes: VecDeque::new(),
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Voice {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.reads.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        if !matches!(packet.message.packet, Packet::Rtp(_)) {
            self.writes.push_back(packet);
            return Ok(());
        }
        let said = lock(&self.mouth.waiting).drain(..).collect::<Vec<_>>();
        self.writes
            .extend(said.into_iter().map(|said| TaggedPacket {
                now: packet.now,
                transport: packet.transport,
                message: AttributedPacket::new(Packet::Rtp(said)),
            }));
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }
}

impl Interceptor for Voice {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
