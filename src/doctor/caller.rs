//! The other end of the doctor's call: a WebRTC receiver that counts what
//! comes, and decodes nothing.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::{ReceiverReportBuilder, Slot};
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_H264, MIME_TYPE_OPUS};
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RtpCodecKind,
};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use webrtc::error::Result;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler,
    RTCIceCandidateInit, RTCPeerConnectionIceEvent, RTCPeerConnectionState, RTCSessionDescription,
    Registry, SettingEngineBuilder,
};
use webrtc::runtime::TokioRuntime;

use crate::lock::lock;
use crate::wire::Candidate;

const H264: u8 = 102;
const OPUS: u8 = 111;
/// Candidates and states that wait to be looked at.
const HEARD: usize = 64;

/// What the receiver hears of its own end.
pub(super) enum Heard {
    /// One of its candidates, for the other end.
    Candidate(Candidate),
    /// The path is up.
    Connected,
}

/// What came.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Received {
    /// Pictures that ended; a picture ends with its marker (RFC 6184 §5.1).
    pub pictures: u32,
    pub first_picture: Option<Instant>,
    pub last_picture: Option<Instant>,
    /// Packets of sound.
    pub sounds: u32,
}

#[derive(Default)]
struct Shared {
    received: Mutex<Received>,
    readers: Mutex<JoinSet<()>>,
}

pub(super) struct Caller {
    connection: Box<dyn PeerConnection>,
    shared: Arc<Shared>,
}

impl Caller {
    /// A receiver of one picture and one sound, on the loopback.
    pub(super) async fn new() -> Result<(Self, mpsc::Receiver<Heard>)> {
        let (tell, heard) = mpsc::channel(HEARD);
        let shared = Arc::<Shared>::default();
        let handler = Handler {
            tell,
            shared: shared.clone(),
        };
        let settings = SettingEngineBuilder::new()
            // It fails on a machine without a multicast route, and the device
            // names its addresses.
            .with_multicast_dns_mode(MulticastDnsMode::Disabled)
            .with_include_loopback_candidate(true)
            .with_ice_connection_attempts(Some(Duration::from_millis(40)), Some(150))
            .with_host_acceptance_min_wait(None)
            .build();
        let connection = PeerConnectionBuilder::new()
            .with_media_engine(media_engine()?)
            .with_interceptor_registry(
                Registry::new().with(Slot::ReceiverReport, ReceiverReportBuilder::new().build()),
            )
            .with_setting_engine(settings)
            .with_handler(Arc::new(handler))
            .with_runtime(Arc::new(TokioRuntime))
            .with_udp_addrs(vec!["127.0.0.1:0".to_owned()])
            .build()
            .await?;
        for kind in [RtpCodecKind::Audio, RtpCodecKind::Video] {
            let receive = RTCRtpTransceiverInit {
                direction: RTCRtpTransceiverDirection::Recvonly,
                ..Default::default()
            };
            connection
                .add_transceiver_from_kind(kind, Some(receive))
                .await?;
        }
        let connection = Box::new(connection);
        Ok((Self { connection, shared }, heard))
    }

    /// The offer, SDP text.
    pub(super) async fn offer(&self) -> Result<String> {
        let offer = self.connection.create_offer(None).await?;
        let sdp = offer.sdp.clone();
        self.connection.set_local_description(offer).await?;
        Ok(sdp)
    }

    /// Takes the answer.
    pub(super) async fn answer(&self, sdp: String) -> Result<()> {
        let answer = RTCSessionDescription::answer(sdp)?;
        self.connection.set_remote_description(answer).await
    }

    /// Takes a candidate, once the answer was taken.
    pub(super) async fn candidate(&self, candidate: Candidate) -> Result<()> {
        let candidate = RTCIceCandidateInit {
            candidate: candidate.candidate,
            sdp_mid: candidate.sdp_mid,
            sdp_mline_index: candidate.sdp_mline_index,
            username_fragment: candidate.username_fragment,
            url: None,
        };
        self.connection.add_ice_candidate(candidate).await
    }

    /// What came so far.
    pub(super) fn received(&self) -> Received {
        *lock(&self.shared.received)
    }

    /// Closes its sockets.
    pub(super) async fn close(self) {
        let _ = self.connection.close().await;
        let mut readers = std::mem::take(&mut *lock(&self.shared.readers));
        readers.shutdown().await;
    }
}

struct Handler {
    tell: mpsc::Sender<Heard>,
    shared: Arc<Shared>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        if let Ok(candidate) = event.candidate.to_json() {
            let _ = self.tell.try_send(Heard::Candidate(Candidate {
                candidate: candidate.candidate,
                // One path carries everything.
                sdp_mid: Some("0".into()),
                sdp_mline_index: Some(0),
                username_fragment: candidate.username_fragment.filter(|u| !u.is_empty()),
            }));
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        if state == RTCPeerConnectionState::Connected {
            let _ = self.tell.try_send(Heard::Connected);
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let shared = Arc::downgrade(&self.shared);
        let count = async move {
            while let Some(event) = track.poll().await {
                let TrackRemoteEvent::OnRtpPacket(packet) = event else {
                    continue;
                };
                let Some(shared) = shared.upgrade() else {
                    return;
                };
                let mut received = lock(&shared.received);
                if packet.header.payload_type == OPUS {
                    received.sounds += 1;
                } else if packet.header.marker {
                    let now = Instant::now();
                    received.pictures += 1;
                    received.first_picture.get_or_insert(now);
                    received.last_picture = Some(now);
                }
            }
        };
        lock(&self.shared.readers).spawn(count);
    }
}

fn media_engine() -> Result<MediaEngine> {
    let video = RTCRtpCodec {
        mime_type: MIME_TYPE_H264.to_owned(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
            .to_owned(),
        rtcp_feedback: vec![RTCPFeedback {
            typ: "nack".to_owned(),
            parameter: "pli".to_owned(),
        }],
    };
    let audio = RTCRtpCodec {
        mime_type: MIME_TYPE_OPUS.to_owned(),
        clock_rate: 48_000,
        channels: 2,
        sdp_fmtp_line: "minptime=10;useinbandfec=1".to_owned(),
        rtcp_feedback: vec![],
    };
    let mut engine = MediaEngine::default();
    for (payload_type, rtp_codec, kind) in [
        (H264, video, RtpCodecKind::Video),
        (OPUS, audio, RtpCodecKind::Audio),
    ] {
        let parameters = RTCRtpCodecParameters {
            rtp_codec,
            payload_type,
        };
        engine.register_codec(parameters, kind)?;
    }
    Ok(engine)
}
