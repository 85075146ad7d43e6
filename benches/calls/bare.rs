//! What the device is held against: the `webrtc` crate as it comes, with a
//! track of its own for each viewer, and just enough signaling to be called.

use std::collections::HashMap;
use std::sync::Arc;

use camera_agent::media::frame::{Frame, Packetizer};
use camera_agent::media::stream::{Encoding, Stream};
use futures_util::{SinkExt, StreamExt};
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceCandidateInit,
    RTCPeerConnectionIceEvent, RTCPeerConnectionState, RTCSessionDescription, Registry,
    SettingEngineBuilder, register_default_interceptors,
};

use crate::clip;
use crate::viewer::{H264, OPUS, media_engine};

const STREAMS: [Stream; 2] = [Stream::Video(Encoding::H264), Stream::Audio];

type Frames = [broadcast::Sender<Arc<Frame>>; 2];

struct Handler {
    target: String,
    out: mpsc::UnboundedSender<Value>,
    connected: mpsc::UnboundedSender<()>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        if let Ok(candidate) = event.candidate.to_json() {
            let _ = self.out.send(json!({
                "type": "new-ice-candidate", "name": "camera", "target": self.target,
                "candidate": {"candidate": candidate.candidate, "sdpMid": "0", "sdpMLineIndex": 0},
            }));
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        if state == RTCPeerConnectionState::Connected {
            let _ = self.connected.send(());
        }
    }
}

pub async fn run(url: &str, path: &str) {
    let frames: Frames = [(); 2].map(|()| broadcast::channel(16).0);
    let units = clip::load(path);
    for (stream, frames) in STREAMS.into_iter().zip(frames.clone()) {
        let units = units.clone();
        std::thread::spawn(move || {
            let mut packetizer = Packetizer::new(stream);
            let (_keep, stop) = std::sync::mpsc::channel();
            clip::play(stream, &stop, |number, at| {
                let unit = clip::unit(stream, &units, number, at);
                if let Some(frame) = packetizer.packetize(unit) {
                    let _ = frames.send(Arc::new(frame));
                }
            });
        });
    }

    let mut request = url.into_client_request().expect("an address");
    let protocol = "json".parse().expect("a header");
    request
        .headers_mut()
        .insert("Sec-WebSocket-Protocol", protocol);
    let (socket, _) = tokio_tungstenite::connect_async(request)
        .await
        .expect("a chat server");
    let (mut to_server, mut from_server) = socket.split();
    let (out, mut outbox) = mpsc::unbounded_channel::<Value>();
    tokio::spawn(async move {
        while let Some(frame) = outbox.recv().await {
            if to_server
                .send(Message::text(frame.to_string()))
                .await
                .is_err()
            {
                return;
            }
        }
    });
    let mut calls: HashMap<String, Arc<dyn PeerConnection>> = HashMap::new();
    while let Some(Ok(message)) = from_server.next().await {
        let Message::Text(text) = message else {
            continue;
        };
        let frame: Value = serde_json::from_str(&text).expect("JSON");
        let name = frame["name"].as_str().unwrap_or_default().to_owned();
        match frame["type"].as_str() {
            Some("id") => {
                let _ = out.send(json!({"type": "username", "name": "camera",
                    "id": frame["id"], "date": 0}));
            }
            Some("video-offer") => {
                let sdp = frame["sdp"]["sdp"].as_str().unwrap_or_default();
                let connection = answer(&name, sdp, &out, &frames).await.expect("a call");
                calls.insert(name, connection);
            }
            Some("new-ice-candidate") => {
                if let Some(connection) = calls.get(&name) {
                    let line = frame["candidate"]["candidate"].as_str().unwrap_or_default();
                    let candidate = RTCIceCandidateInit {
                        candidate: line.to_owned(),
                        sdp_mid: Some("0".to_owned()),
                        sdp_mline_index: Some(0),
                        ..Default::default()
                    };
                    let _ = connection.add_ice_candidate(candidate).await;
                }
            }
            Some("hang-up") => {
                if let Some(connection) = calls.remove(&name) {
                    let _ = connection.close().await;
                }
            }
            _ => {}
        }
    }
}

async fn answer(
    target: &str,
    sdp: &str,
    out: &mpsc::UnboundedSender<Value>,
    frames: &Frames,
) -> webrtc::error::Result<Arc<dyn PeerConnection>> {
    // The viewers' payload types, so that nothing is to be mapped.
    let mut engine = media_engine()?;
    let registry = register_default_interceptors(Registry::new(), &mut engine)?;
    let (connected, mut is_connected) = mpsc::unbounded_channel();
    let connection = PeerConnectionBuilder::new()
        .with_media_engine(engine.clone())
        .with_interceptor_registry(registry)
        .with_setting_engine(
            SettingEngineBuilder::new()
                .with_include_loopback_candidate(true)
                .build(),
        )
        .with_handler(Arc::new(Handler {
            target: target.to_owned(),
            out: out.clone(),
            connected,
        }))
        .with_udp_addrs(vec!["127.0.0.1:0".to_owned()])
        .build()
        .await?;
    let mut tracks = Vec::new();
    for (stream, kind, payload_type, label) in [
        (0, RtpCodecKind::Video, H264, "video"),
        (1, RtpCodecKind::Audio, OPUS, "audio"),
    ] {
        let codec = crate::viewer::codecs()
            .into_iter()
            .find(|(pt, _, _)| *pt == payload_type)
            .map(|(_, codec, _)| codec)
            .expect("it is in the list");
        let ssrc = fastrand::u32(1..);
        let track = Arc::new(TrackLocalStaticRTP::new(MediaStreamTrack::new(
            "bare".to_owned(),
            label.to_owned(),
            label.to_owned(),
            kind,
            vec![RTCRtpEncodingParameters {
                rtp_coding_parameters: RTCRtpCodingParameters {
                    ssrc: Some(ssrc),
                    ..Default::default()
                },
                codec,
                ..Default::default()
            }],
        )));
        connection.add_track(track.clone()).await?;
        tracks.push((track, frames[stream].clone(), ssrc, payload_type));
    }
    connection
        .set_remote_description(RTCSessionDescription::offer(sdp.to_owned())?)
        .await?;
    let answer = connection.create_answer(None).await?;
    let _ = out.send(
        json!({"type": "video-answer", "name": "camera", "target": target,
        "sdp": {"type": "answer", "sdp": answer.sdp}}),
    );
    connection.set_local_description(answer).await?;
    tokio::spawn(async move {
        if is_connected.recv().await.is_some() {
            for (track, frames, ssrc, payload_type) in tracks {
                tokio::spawn(send(track, frames.subscribe(), ssrc, payload_type));
            }
        }
    });
    Ok(Arc::new(connection))
}

async fn send(
    track: Arc<TrackLocalStaticRTP>,
    mut frames: broadcast::Receiver<Arc<Frame>>,
    ssrc: u32,
    payload_type: u8,
) {
    let mut sequence_number = 0_u16;
    while let Ok(frame) = frames.recv().await {
        let last = frame.payloads.len() - 1;
        for (i, payload) in frame.payloads.iter().enumerate() {
            let header = rtc::rtp::header::Header {
                version: 2,
                ssrc,
                payload_type,
                sequence_number,
                timestamp: frame.rtp_time,
                marker: i == last && payload_type == H264,
                ..Default::default()
            };
            sequence_number = sequence_number.wrapping_add(1);
            let packet = rtc::rtp::Packet {
                header,
                payload: payload.clone(),
            };
            if track.write_rtp(packet).await.is_err() {
                return;
            }
        }
    }
}
