//! A caller whose call comes up as any, and who holds all of it in their own hands:
//! the socket, the keys, and what is said on the chat.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rtc::data_channel::RTCDataChannelId;
use rtc::dtls::cipher_suite::CipherSuiteId;
use rtc::interceptor::Registry;
use rtc::media_stream::MediaStreamTrackId;
use rtc::peer_connection::event::RTCPeerConnectionEvent;
use rtc::peer_connection::message::{RTCMessage, TaggedRTCMessage};
use rtc::peer_connection::state::RTCPeerConnectionState;
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::rtcp::raw_packet::RawPacket;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use rtc::sansio::Protocol;
use rtc::shared::{TaggedBytesMut, TransportContext};
use tokio::net::UdpSocket;
use tokio::time::{sleep_until, timeout};
use webrtc::peer_connection::{
    MediaEngine, RTCIceCandidateInit, RTCSessionDescription, SettingEngineBuilder,
};

use super::cipher::Keys;
use super::{Ground, Stranger};

/// The label that the device serves.
pub const LABEL: &str = "camera-agent";
/// Between two reports: who sends none is waited for when they have gone.
const ALIVE: Duration = Duration::from_secs(1);
/// How long a call may take to come up.
const SOON: Duration = Duration::from_secs(5);

pub struct Caller {
    pub stranger: Stranger,
    pub keys: Keys,
    /// `theirs:ours` of the checks, and what those are signed with.
    pub user: String,
    pub password: String,
    /// Where the device is.
    pub device: SocketAddr,
    ground: Ground,
    socket: UdpSocket,
    rtc: RTCPeerConnection,
    channel: RTCDataChannelId,
    state: RTCPeerConnectionState,
    /// Of the picture, by its first packet.
    pub ssrc: u32,
    /// When they last said that they are there.
    said: Instant,
}

fn host(address: SocketAddr) -> RTCIceCandidateInit {
    let (ip, port) = (address.ip(), address.port());
    RTCIceCandidateInit {
        candidate: format!("candidate:1 1 udp 2130706431 {ip} {port} typ host"),
        ..Default::default()
    }
}

/// A viewer, as far as the library has to do with it.
fn viewer(keys: &Keys) -> Option<(RTCPeerConnection, RTCDataChannelId)> {
    let mut engine = MediaEngine::default();
    engine.register_default_codecs().ok()?;
    let settings = SettingEngineBuilder::new()
        .with_crypto_provider(keys.provider())
        .with_dtls_cipher_suites(vec![CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256])
        .build();
    let mut rtc = RTCPeerConnectionBuilder::new()
        .with_setting_engine(settings)
        .with_media_engine(engine)
        .with_interceptor_registry(Registry::new())
        .build(Instant::now())
        .ok()?;
    for kind in [RtpCodecKind::Video, RtpCodecKind::Audio] {
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Recvonly,
            ..Default::default()
        };
        rtc.add_transceiver_from_kind(kind, Some(init)).ok()?;
    }
    let channel = rtc.create_data_channel(LABEL, None).ok()?.id();
    Some((rtc, channel))
}

fn line<'a>(sdp: &'a str, key: &str) -> Option<&'a str> {
    sdp.lines().find_map(|l| l.trim().strip_prefix(key))
}

impl Caller {
    /// Calls from address number `n`; gives itself back once the picture comes.
    pub async fn connect(ground: &Ground, n: u8, name: &str) -> Option<Self> {
        let socket = UdpSocket::bind((ground.address(n), 0)).await.ok()?;
        let own = socket.local_addr().ok()?;
        let mut stranger = Stranger::join(ground, n, name).await?;
        let keys = Keys::default();
        let (mut rtc, channel) = viewer(&keys)?;
        rtc.add_local_candidate(host(own)).ok()?;
        let offer = rtc.create_offer(None).ok()?;
        let ours = line(&offer.sdp, "a=ice-ufrag:")?.to_owned();
        stranger.offer(&offer.sdp).await?;
        rtc.set_local_description(Instant::now(), offer).ok()?;
        stranger.candidate(&host(own).candidate, &ours).await?;
        let answer = timeout(SOON, stranger.frame("video-answer")).await.ok()??;
        let answer = answer["sdp"]["sdp"].as_str()?.to_owned();
        let user = format!("{}:{ours}", line(&answer, "a=ice-ufrag:")?);
        let password = line(&answer, "a=ice-pwd:")?.to_owned();
        let answer = RTCSessionDescription::answer(answer).ok()?;
        rtc.set_remote_description(Instant::now(), answer).ok()?;
        let device = timeout(SOON, super::half_open::device(&mut stranger))
            .await
            .ok()??;
        rtc.add_remote_candidate(host(device)).ok()?;
        let mut caller = Self {
            stranger,
            keys,
            user,
            password,
            device,
            ground: ground.clone(),
            socket,
            rtc,
            channel,
            state: RTCPeerConnectionState::New,
            ssrc: 0,
            said: Instant::now(),
        };
        let began = Instant::now();
        while caller.ssrc == 0 || caller.keys.tsn() == 0 {
            caller.turn(Duration::from_millis(20)).await?;
            if began.elapsed() > SOON {
                return None;
            }
        }
        Some(caller)
    }

    /// Lives on as a viewer does, for so long. `None` where the call is over.
    pub async fn live(&mut self, time: Duration) -> Option<()> {
        let end = Instant::now() + time;
        if self.said.elapsed() > ALIVE {
            self.said = Instant::now();
            // An empty receiver report (RFC 3550 §6.4.2).
            self.report(&[0x80, 201, 0, 1, 0, 0, 0, 1]).await?;
        }
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.turn(left).await?;
        }
        Some(())
    }

    async fn turn(&mut self, most: Duration) -> Option<()> {
        self.flush().await?;
        let due = self.rtc.poll_timeout();
        let until = Instant::now() + most;
        let until = due.map_or(until, |due| until.min(due));
        let mut buffer = [0; 2_048];
        tokio::select! {
            read = self.socket.recv_from(&mut buffer) => {
                let (length, from) = read.ok()?;
                self.comes(&buffer[..length], from)?;
                // What came meanwhile, too.
                for _ in 0..64 {
                    let Ok((length, from)) = self.socket.try_recv_from(&mut buffer) else { break };
                    self.comes(&buffer[..length], from)?;
                }
            }
            () = sleep_until(until.into()) => {
                let now = Instant::now();
                let _ = self.rtc.handle_timeout(now);
            }
            () = self.stranger.over() => return None,
        }
        self.flush().await
    }

    fn comes(&mut self, datagram: &[u8], from: SocketAddr) -> Option<()> {
        if datagram.len() > 12 && datagram[0] & 0xc0 == 0x80 && !(192..=223).contains(&datagram[1])
        {
            let bytes = datagram[8..12].try_into().ok()?;
            // The larger ones are the picture's.
            if self.ssrc == 0 && datagram.len() > 500 {
                self.ssrc = u32::from_be_bytes(bytes);
            }
        }
        let _ = self.rtc.handle_read(TaggedBytesMut {
            now: Instant::now(),
            transport: TransportContext {
                local_addr: self.socket.local_addr().ok()?,
                peer_addr: from,
                ..Default::default()
            },
            message: BytesMut::from(datagram),
        });
        Some(())
    }

    async fn flush(&mut self) -> Option<()> {
        while let Some(out) = self.rtc.poll_write() {
            let _ = self
                .socket
                .send_to(&out.message, out.transport.peer_addr)
                .await;
        }
        while let Some(event) = self.rtc.poll_event() {
            if let RTCPeerConnectionEvent::OnConnectionStateChangeEvent(state) = event {
                self.state = state;
            }
        }
        while self.rtc.poll_read().is_some() {}
        let over = [
            RTCPeerConnectionState::Failed,
            RTCPeerConnectionState::Closed,
        ];
        (!over.contains(&self.state)).then_some(())
    }

    /// A datagram of any kind, over the path of the call.
    pub async fn throw(&self, datagram: &[u8]) {
        self.ground.spent(datagram.len());
        let _ = self.socket.send_to(datagram, self.device).await;
    }

    /// A packet of SCTP, over the call's own DTLS.
    pub async fn sctp(&self, chunks: &[Vec<u8>]) {
        if let Some(datagram) = self.keys.sctp(chunks) {
            self.throw(&datagram).await;
        }
    }

    /// RTCP, encrypted as it has to be.
    pub async fn report(&mut self, parts: &[u8]) -> Option<()> {
        let raw = RawPacket(Bytes::copy_from_slice(parts));
        let _ = self.rtc.handle_write(TaggedRTCMessage {
            now: Instant::now(),
            message: RTCMessage::RtcpPacket(MediaStreamTrackId::default(), vec![Box::new(raw)]),
        });
        self.ground.spent(parts.len());
        self.flush().await
    }

    /// Says something over the data channel.
    pub async fn say(&mut self, text: &str) -> Option<()> {
        if let Some(mut channel) = self.rtc.data_channel(self.channel) {
            let _ = channel.send_text(Instant::now(), text.to_owned());
        }
        self.ground.spent(text.len());
        self.flush().await
    }

    /// One more data channel.
    pub async fn open(&mut self, label: &str) -> Option<()> {
        let _ = self.rtc.create_data_channel(label, None);
        self.flush().await
    }

    /// Offers again, with a path of their own or not.
    pub async fn restart(&mut self) -> Option<()> {
        self.rtc.restart_ice();
        let offer = self.rtc.create_offer(None).ok()?;
        self.stranger.offer(&offer.sdp).await
    }
}
