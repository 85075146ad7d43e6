//! How a connection is made: its settings, its servers, its tracks.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::dtls::cipher_suite::CipherSuiteId;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::transport::RTCIceServer;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RTCRtpRtxParameters,
    RtpCodecKind,
};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::debug;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, RTCConfigurationBuilder, Registry,
    SettingEngine, SettingEngineBuilder, SrtpProtectionProfile,
};
use webrtc::rtp_transceiver::RtpSender;

use super::convoy::Convoy;
use super::crypto::{self, Look};
use super::events::Handler;
use super::sctp::Sctp;
use super::socket::batch::Batching;
use super::socket::runtime::Layered;
use super::{Peers, channel};
use crate::media::hub::Watch;
use crate::media::stream::Stream;
use crate::sdp::Offer;

/// The stream id of both tracks: the original page shows the stream of the
/// last track it is told of.
const STREAM_ID: &str = "camera";
/// Between our own ends 40 ms connects several times as fast as the default
/// 200 ms, and costs a few small packets.
const ICE_CHECK_INTERVAL: Duration = Duration::from_millis(40);
/// Checks of a pair before it is given up; 6 s at the interval above.
const ICE_CHECKS: u16 = 150;
/// A viewer of whom nothing is heard for so long is not reachable, and is sent
/// no media. A browser checks at least every 2.5 s.
const UNREACHABLE: Duration = Duration::from_secs(4);
/// And after so long more ICE gives up, and no longer looks for them. The agent
/// ends their session before.
const ICE_GIVES_UP: Duration = Duration::from_secs(90);
/// How often a viewer is checked, and so the longest time until a path that is
/// back is used again: two small packets a second.
const ICE_KEEP_ALIVE: Duration = Duration::from_millis(500);
/// What a viewer may have on its way to us over data channels: far more than
/// the longest message of the protocol.
const RECEIVE_BUFFER: u32 = 128 * 1024;

/// For so long a name that ends in .local is asked for, once a second: who is on this
/// network answers at once.
const NAMES: Duration = Duration::from_millis(3_500);
/// Where it is spoken (RFC 6762 §3).
const MULTICAST_DNS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

/// A track of ours.
pub(super) struct Outlet {
    pub stream: Stream,
    pub track: Arc<TrackLocalStaticRTP>,
    pub sender: Arc<dyn RtpSender>,
    pub ssrc: u32,
    /// Whether it is sent at the moment.
    pub open: watch::Sender<bool>,
    /// From when the path is up until it is sent.
    pub watch: Option<Watch>,
    pub task: Option<AbortHandle>,
}

/// Whether names ending in .local, as browsers give to their addresses, can be
/// resolved. The crate finds out too, and logs it as an error at each call.
fn multicast_dns() -> MulticastDnsMode {
    let joined = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.join_multicast_v4(&MULTICAST_DNS, &Ipv4Addr::UNSPECIFIED)
    };
    match joined() {
        Ok(()) => MulticastDnsMode::QueryOnly,
        Err(error) => {
            debug!(%error, "no multicast DNS here");
            MulticastDnsMode::Disabled
        }
    }
}

/// What a connection is made of, besides what all share.
pub(super) struct Parts {
    pub servers: Vec<RTCIceServer>,
    pub engine: MediaEngine,
    pub interceptors: Registry,
    pub handler: Arc<Handler>,
    pub runtime: Layered<Batching>,
    pub convoy: Convoy,
    pub mdns: MulticastDnsMode,
}

/// Opens a connection's sockets.
///
/// Where somebody has multicast DNS's port for themselves, once more without:
/// such names cannot be resolved then, everything else can.
pub(super) async fn connect(
    shared: &Peers,
    parts: impl Fn(MulticastDnsMode) -> Parts,
) -> webrtc::error::Result<Box<dyn PeerConnection>> {
    match build(shared, parts(multicast_dns())).await {
        Ok(connection) => Ok(connection),
        Err(error) => {
            debug!(%error, "a connection without multicast DNS");
            build(shared, parts(MulticastDnsMode::Disabled)).await
        }
    }
}

async fn build(shared: &Peers, parts: Parts) -> webrtc::error::Result<Box<dyn PeerConnection>> {
    let Parts {
        servers,
        engine,
        interceptors,
        handler,
        runtime,
        convoy,
        mdns,
    } = parts;
    let configuration = RTCConfigurationBuilder::new()
        .with_ice_servers(servers)
        .with_certificates(vec![shared.identity.certificate.clone()])
        .build();
    let look = handler.hearing_the_end(Sctp::new(Instant::now()));
    let connection = PeerConnectionBuilder::new()
        .with_configuration(configuration)
        .with_setting_engine(settings_for(mdns, look, convoy))
        .with_media_engine(engine)
        .with_interceptor_registry(interceptors)
        .with_handler(handler)
        .with_runtime(Arc::new(runtime))
        .with_udp_addrs(vec![shared.binding.clone()])
        .with_data_channel_send_buffer_limit(channel::SEND_BUFFER)
        .build()
        .await?;
    Ok(Box::new(connection))
}

/// What every connection is set to.
#[cfg(any(test, fuzzing))]
pub(super) fn settings(mdns: MulticastDnsMode) -> SettingEngine {
    settings_for(mdns, Sctp::new(Instant::now()), Convoy::default())
}

/// What every connection is set to, with who looks at what DTLS carries.
pub(super) fn settings_for(
    mdns: MulticastDnsMode,
    look: impl Look,
    convoy: Convoy,
) -> SettingEngine {
    let builder = match crypto::with(look, convoy) {
        Ok(provider) => SettingEngineBuilder::new().with_crypto_provider(provider),
        // The crate finds none either, and says so.
        Err(_) => SettingEngineBuilder::new(),
    };
    builder
        .with_multicast_dns_mode(mdns)
        .with_multicast_dns_timeout(Some(NAMES))
        // Those whose records can be looked at; browsers prefer the first.
        .with_dtls_cipher_suites(vec![
            CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
            CipherSuiteId::Tls_Ecdhe_Rsa_With_Aes_128_Gcm_Sha256,
            CipherSuiteId::Tls_Ecdhe_Ecdsa_With_ChaCha20_Poly1305_Sha256,
        ])
        .with_include_loopback_candidate(true)
        .with_ice_connection_attempts(Some(ICE_CHECK_INTERVAL), Some(ICE_CHECKS))
        .with_ice_timeouts(Some(UNREACHABLE), Some(ICE_GIVES_UP), Some(ICE_KEEP_ALIVE))
        // A viewer restarts ICE when the path is lost: their way to us may have
        // changed, or ours. So a restart looks for our addresses again.
        .with_discard_local_candidates_during_ice_restart(true)
        .with_host_acceptance_min_wait(None)
        .with_srflx_acceptance_min_wait(None)
        .with_prflx_acceptance_min_wait(None)
        .with_sctp_max_receive_buffer_size(RECEIVE_BUFFER)
        // AES-GCM goes through ring, which uses what the CPU has.
        .with_srtp_protection_profiles(vec![
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
        ])
        .build()
}

/// Adds a track of ours for a section of the offer.
pub(super) async fn add_track(
    connection: &dyn PeerConnection,
    stream: Stream,
    codec: RTCRtpCodec,
    offer: &Offer,
) -> webrtc::error::Result<Outlet> {
    let (track, init) = track(stream, codec, offer);
    let ssrc = track.ssrcs().next().unwrap_or_default();
    let track = Arc::new(TrackLocalStaticRTP::new(track));
    let transceiver = connection
        .add_transceiver_from_track(track.clone(), Some(init))
        .await?;
    let sender = transceiver
        .sender()
        .await?
        .ok_or(webrtc::error::Error::ErrRTPSenderNotExisted)?;
    Ok(Outlet {
        stream,
        track,
        sender,
        ssrc,
        open: watch::Sender::new(true),
        watch: None,
        task: None,
    })
}

/// A track of ours, and how it is sent.
pub(super) fn track(
    stream: Stream,
    codec: RTCRtpCodec,
    offer: &Offer,
) -> (MediaStreamTrack, RTCRtpTransceiverInit) {
    let (kind, rtx, label) = match stream {
        Stream::Video(_) => (
            RtpCodecKind::Video,
            offer.video.rtx.map(|_| RTCRtpRtxParameters {
                ssrc: fastrand::u32(1..),
            }),
            "video",
        ),
        Stream::Audio => (RtpCodecKind::Audio, None, "audio"),
    };
    let track = MediaStreamTrack::new(
        STREAM_ID.to_owned(),
        format!("{STREAM_ID}-{label}"),
        label.to_owned(),
        kind,
        vec![RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters {
                ssrc: Some(fastrand::u32(1..)),
                rtx,
                ..Default::default()
            },
            codec,
            ..Default::default()
        }],
    );
    let init = RTCRtpTransceiverInit {
        direction: RTCRtpTransceiverDirection::Sendonly,
        streams: vec![STREAM_ID.to_owned()],
        ..Default::default()
    };
    (track, init)
}
