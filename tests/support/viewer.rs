//! A viewer that is no browser: calls a device through a chat server and
//! counts what comes. It decodes nothing, so that many fit in one process.
//!
//! It stands alone: the bench includes this file by its path.

// By their paths: benches take this file by its own.
#[path = "viewer/formats.rs"]
mod formats;
#[path = "viewer/hearing.rs"]
mod hearing;
#[path = "viewer/invited.rs"]
mod invited;
#[path = "viewer/talking.rs"]
mod talking;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use camera_agent::access::{Call, Key, KeyId, Link, ProofKey, Side};
use futures_util::{SinkExt, StreamExt};
use rtc::interceptor::{ReceiverReportBuilder, Slot, TwccReceiverBuilder};
use rtc::peer_connection::configuration::RTCOfferOptions;
use rtc::peer_connection::configuration::media_engine::{
    MIME_TYPE_H264, MIME_TYPE_OPUS, MIME_TYPE_RTX,
};
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionCapability, RtpCodecKind,
};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use webrtc::data_channel::{DataChannel, DataChannelEvent};
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler,
    RTCIceCandidateInit, RTCPeerConnectionIceEvent, RTCPeerConnectionState, RTCSessionDescription,
    Registry, SettingEngineBuilder,
};

use formats::{ALL, offered};
#[allow(unused_imports, reason = "each binary uses its part of it")]
pub use formats::{H264, OPUS, RTX, codecs, media_engine};
use hearing::{Handler, hear};
#[allow(unused_imports, reason = "each binary uses its part of it")]
pub use hearing::{Heard, Times};
#[allow(unused_imports, reason = "each binary uses its part of it")]
pub use invited::Held;
#[allow(unused_imports, reason = "each binary uses its part of it")]
pub use talking::VOICE;
use talking::{Mouth, Voice};

use super::cuttable::Cuttable;
use super::meter::{Meter, Received};
use super::relay::Relay;

#[derive(Default)]
struct Shared {
    held: Mutex<Option<Held>>,
    /// The offers that may be answered, with what they were made with, by their
    /// ufrag.
    offers: Mutex<Vec<(String, Held)>>,
    heard: Mutex<Heard>,
    received: Arc<Mutex<Received>>,
    mouth: Mouth,
    connection: Mutex<Option<Arc<dyn PeerConnection>>>,
    tracks: Mutex<Vec<Arc<dyn TrackRemote>>>,
    channels: Mutex<Vec<Arc<dyn DataChannel>>>,
    /// Held until an offer that was sent is the local description: the answer may
    /// be there before.
    offering: tokio::sync::Mutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics with it")
}

/// A person at a page.
pub struct Viewer {
    pub name: String,
    camera: String,
    frames: mpsc::UnboundedSender<Value>,
    shared: Arc<Shared>,
    socket: JoinHandle<()>,
    tasks: Arc<Cuttable>,
    relay: Option<Arc<Relay>>,
    /// Of what they say when it arrives, by transport-cc.
    reported: &'static [RtpCodecKind],
    from: Ipv4Addr,
}

impl Viewer {
    /// Connects to the chat server at `url`, registers, and waits until
    /// `camera` is in the user list.
    pub async fn join(url: &str, name: &str, camera: &str) -> Self {
        Self::join_from(url, name, camera, Ipv4Addr::LOCALHOST).await
    }

    /// The same from an address of this machine, over which the call goes, too.
    /// From the loopback the chat server is reached by any.
    pub async fn join_from(url: &str, name: &str, camera: &str, from: Ipv4Addr) -> Self {
        let mut request = url.into_client_request().expect("an address");
        let protocol = "json".parse().expect("a header");
        request
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", protocol);
        let host = request.uri().host().expect("a host").to_owned();
        let port = request.uri().port_u16().expect("a port");
        let tcp = TcpSocket::new_v4().expect("a socket");
        if !from.is_loopback() {
            tcp.bind((from, 0).into())
                .expect("an address of this machine");
        }
        let server = (host.parse::<IpAddr>().expect("an address"), port).into();
        let stream = tcp.connect(server).await.expect("a chat server");
        let (mut socket, _) = tokio_tungstenite::client_async(request, stream)
            .await
            .expect("a chat server");
        let shared = Arc::new(Shared::default());
        let (frames, mut outbox) = mpsc::unbounded_channel::<Value>();
        let (own, its) = (name.to_owned(), shared.clone());
        let socket = tokio::spawn(async move {
            loop {
                tokio::select! {
                    frame = outbox.recv() => {
                        let Some(frame) = frame else { return };
                        if socket.send(Message::text(frame.to_string())).await.is_err() { return }
                    }
                    message = socket.next() => match message {
                        Some(Ok(Message::Text(text))) => {
                            let frame: Value = serde_json::from_str(&text).expect("JSON");
                            if frame["type"] == "id" {
                                let claim = json!({"type": "username", "name": own,
                                    "id": frame["id"], "date": 0});
                                if socket.send(Message::text(claim.to_string())).await.is_err() { return }
                            }
                            hear(&its, &own, frame).await;
                        }
                        Some(Ok(_)) => {}
                        None | Some(Err(_)) => return,
                    }
                }
            }
        });
        let viewer = Self {
            name: name.to_owned(),
            camera: camera.to_owned(),
            frames,
            shared,
            socket,
            tasks: Arc::new(Cuttable::default()),
            relay: None,
            reported: ALL,
            from,
        };
        viewer
            .wait("the camera is in the list", |heard, _| {
                let has = |n: &str| heard.users.iter().any(|u| u == n);
                (has(camera) && has(name)).then_some(())
            })
            .await;
        viewer
    }

    /// From the next call on all media goes through `relay`: the device is told
    /// its address, and no candidate of the device is taken.
    pub fn go_through(&mut self, relay: Arc<Relay>) {
        lock(&self.shared.heard).deaf = true;
        self.relay = Some(relay);
    }

    /// From the next call on they offer no transport-cc, so that the device can
    /// adapt to nothing but what they say by [`Self::carries`].
    pub fn give_no_feedback(&mut self) {
        self.reported = &[];
    }

    /// From the next call on they offer transport-cc for the picture, and none
    /// for the sound, as Firefox does.
    pub fn give_feedback_of_the_picture_only(&mut self) {
        self.reported = &[RtpCodecKind::Video];
    }

    /// Calls, with a new connection. A call that was there is gone without a
    /// word, as by a reload of the page.
    pub async fn call(&mut self) {
        self.call_with(&[]).await;
    }

    /// The same, with data channels of these labels in the first offer.
    pub async fn call_with(&mut self, labels: &[&str]) {
        self.connect(labels).await;
        self.offer(None).await;
    }

    /// Calls, and writes something else than the own offer.
    pub async fn call_as(&mut self, change: impl Fn(&str) -> String) {
        self.connect(&[]).await;
        self.offer_as(None, change).await;
    }

    /// A new connection, which has not offered yet.
    async fn connect(&mut self, labels: &[&str]) {
        self.tasks.cut();
        lock(&self.shared.channels).clear();
        lock(&self.shared.tracks).clear();
        *lock(&self.shared.received) = Received::default();
        {
            let mut heard = lock(&self.shared.heard);
            let (users, id) = (std::mem::take(&mut heard.users), heard.id.take());
            let deaf = heard.deaf;
            *heard = Heard {
                users,
                id,
                deaf,
                ..Heard::default()
            };
        }
        self.tasks = Arc::new(Cuttable::new(self.shared.received.clone()));
        let connection = self.connection().await.expect("a connection");
        for label in labels {
            let channel = connection.create_data_channel(label, None).await;
            let channel = channel.expect("a data channel");
            lock(&self.shared.channels).push(channel.clone());
            let shared = Arc::downgrade(&self.shared);
            tokio::spawn(async move {
                while let Some(event) = channel.poll().await {
                    let Some(shared) = shared.upgrade() else {
                        return;
                    };
                    match event {
                        DataChannelEvent::OnMessage(message) => {
                            lock(&shared.heard).told(&message.data, message.is_string);
                        }
                        DataChannelEvent::OnOpen => lock(&shared.heard).channel_opened = true,
                        DataChannelEvent::OnClose => lock(&shared.heard).channel_closed = true,
                        _ => {}
                    }
                }
            });
        }
        *lock(&self.shared.connection) = Some(connection);
    }

    /// Sends a text over the first data channel, once it is open: the picture may be
    /// there before.
    pub async fn tell(&self, text: &str) -> webrtc::error::Result<()> {
        self.wait("its data channel is open", |heard, _| {
            (heard.channel_opened || heard.channel_closed).then_some(())
        })
        .await;
        let channel = lock(&self.shared.channels).first().cloned();
        channel.expect("it was opened").send_text(text).await
    }

    /// Waits for a message over the data channel.
    pub async fn told(&self, what: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        self.wait(what, |heard, _| {
            heard.messages.iter().find(|m| wanted(m)).cloned()
        })
        .await
    }

    /// Opens one more data channel in a call that has some.
    pub async fn open_channel(&self, label: &str) {
        let connection = self.present().expect("a call");
        let channel = connection.create_data_channel(label, None).await;
        lock(&self.shared.channels).push(channel.expect("a data channel"));
    }

    async fn connection(&self) -> webrtc::error::Result<Arc<dyn PeerConnection>> {
        let registry = Registry::new()
            .with(Slot::TwccReceiver, TwccReceiverBuilder::new().build())
            .with(Slot::ReceiverReport, ReceiverReportBuilder::new().build())
            .with(Slot::from(20_000), Meter::new(self.shared.received.clone()))
            .with(Slot::from(20_001), Voice::of(self.shared.mouth.clone()));
        let handler = Handler {
            name: self.name.clone(),
            camera: self.camera.clone(),
            frames: self.frames.clone(),
            relay: self.relay.clone(),
            shared: Arc::downgrade(&self.shared),
        };
        let connection = PeerConnectionBuilder::new()
            .with_media_engine(offered(self.reported)?)
            .with_interceptor_registry(registry)
            .with_setting_engine(
                SettingEngineBuilder::new()
                    .with_include_loopback_candidate(true)
                    .with_ice_connection_attempts(Some(Duration::from_millis(40)), Some(150))
                    .with_host_acceptance_min_wait(None)
                    .build(),
            )
            .with_handler(Arc::new(handler))
            .with_runtime(self.tasks.clone())
            .with_udp_addrs(vec![format!("{}:0", self.from)])
            .build()
            .await?;
        self.shared.mouth.open(&connection).await?;
        Ok(Arc::new(connection))
    }

    /// Offers again on the same connection.
    pub async fn renegotiate(&self) {
        self.offer(None).await;
    }

    /// The same with new ICE credentials.
    pub async fn restart_ice(&self) {
        self.offer(Some(RTCOfferOptions { ice_restart: true }))
            .await;
    }

    /// Offers again on the same connection, and writes something else.
    pub async fn renegotiate_as(&self, change: impl Fn(&str) -> String) {
        self.offer_as(None, change).await;
    }

    async fn offer(&self, options: Option<RTCOfferOptions>) {
        self.offer_as(options, str::to_owned).await;
    }

    async fn offer_as(&self, options: Option<RTCOfferOptions>, change: impl Fn(&str) -> String) {
        let connection = self.present().expect("a call");
        let offer = connection.create_offer(options).await.expect("an offer");
        let _offering = self.shared.offering.lock().await;
        lock(&self.shared.heard).times.offered = Some(Instant::now());
        self.send_offer(&change(&offer.sdp));
        connection
            .set_local_description(offer)
            .await
            .expect("the offer is our own");
    }

    /// From the next offer on they show this invitation, and take no answer that
    /// does not prove itself by it.
    pub fn holds(&self, held: Option<Held>) {
        *lock(&self.shared.held) = held;
    }

    /// The invitation that they hold.
    pub fn held(&self) -> Option<Held> {
        lock(&self.shared.held).clone()
    }

    /// Sends any text as an offer.
    pub fn send_offer(&self, sdp: &str) {
        let mut frame = json!({"type": "video-offer", "name": self.name, "target": self.camera,
            "sdp": {"type": "offer", "sdp": sdp}});
        if let Some(held) = self.held() {
            frame["access"] = held.access(sdp);
            lock(&self.shared.offers).push((sdp.to_owned(), held));
        }
        self.send(frame);
    }

    /// Sends any frame.
    pub fn send(&self, frame: Value) {
        let _ = self.frames.send(frame);
    }

    fn present(&self) -> Option<Arc<dyn PeerConnection>> {
        lock(&self.shared.connection).clone()
    }

    pub async fn leave(&self) {
        lock(&self.shared.tracks).clear();
        lock(&self.shared.channels).clear();
        let connection = lock(&self.shared.connection).take();
        if let Some(connection) = connection {
            let _ = connection.close().await;
        }
    }

    /// Ends the call, as a page does it: a word, then the connection.
    pub async fn hang_up(&self) {
        self.send(json!({"type": "hang-up", "name": self.name, "target": self.camera}));
        self.leave().await;
    }

    /// Sockets and tasks are gone at once; nobody is told.
    pub fn vanish(&self) {
        self.socket.abort();
        self.tasks.cut();
    }

    async fn rtcp(&self, packet: impl FnOnce(u32) -> Box<dyn rtc::rtcp::Packet>) {
        let ssrc = lock(&self.shared.received).video.ssrc;
        let tracks = lock(&self.shared.tracks).clone();
        for track in tracks {
            if track.ssrcs().await.contains(&ssrc) {
                let _ = track.write_rtcp(vec![packet(ssrc)]).await;
                return;
            }
        }
        panic!("no video track");
    }

    /// Sends a PLI.
    pub async fn ask_for_key_frame(&self) {
        self.rtcp(|media_ssrc| {
            Box::new(PictureLossIndication {
                media_ssrc,
                ..Default::default()
            })
        })
        .await;
    }

    /// Says what their path carries, by a REMB.
    pub async fn carries(&self, bits_per_second: f32) {
        self.rtcp(|media_ssrc| {
            Box::new(ReceiverEstimatedMaximumBitrate {
                bitrate: bits_per_second,
                ssrcs: vec![media_ssrc],
                ..Default::default()
            })
        })
        .await;
    }

    /// Says that a video packet did not come.
    pub async fn nack(&self, sequence: u16) {
        self.rtcp(|media_ssrc| {
            Box::new(TransportLayerNack {
                media_ssrc,
                nacks: vec![NackPair {
                    packet_id: sequence,
                    lost_packets: 0,
                }],
                ..Default::default()
            })
        })
        .await;
    }

    /// Looks at, or changes, what came.
    pub fn received<T>(&self, look: impl FnOnce(&mut Received) -> T) -> T {
        look(&mut lock(&self.shared.received))
    }

    /// Looks at what was said.
    pub fn heard<T>(&self, look: impl FnOnce(&Heard) -> T) -> T {
        look(&lock(&self.shared.heard))
    }

    /// Waits until `probe` gives something; panics after half a minute.
    pub async fn wait<T>(
        &self,
        what: &str,
        mut probe: impl FnMut(&Heard, &Received) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(found) = probe(&lock(&self.shared.heard), &lock(&self.shared.received)) {
                return found;
            }
            assert!(
                Instant::now() < deadline,
                "{}: not in time: {what}; {:?} {:?}",
                self.name,
                lock(&self.shared.heard),
                lock(&self.shared.received).video,
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits for `frames` more whole pictures than there are now.
    pub async fn watch(&self, frames: u64) {
        let goal = self.received(|r| r.video.frames) + frames;
        let what = format!("{frames} more frames");
        self.wait(&what, |_, r| (r.video.frames >= goal).then_some(()))
            .await;
    }

    /// Waits until the device hangs up; its reason.
    pub async fn refusal(&self) -> String {
        self.wait("a hang-up", |heard, _| heard.hung_up.clone())
            .await
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.vanish();
    }
}
