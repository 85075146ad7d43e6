//! What a viewer hears, from the chat server and from the connection.

use super::invited::author;
use super::*;

/// When the steps of the last call happened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    pub offered: Option<Instant>,
    pub answered: Option<Instant>,
    pub connected: Option<Instant>,
}

/// What was heard from the chat server and the connection.
#[derive(Debug, Default)]
pub struct Heard {
    pub users: Vec<String>,
    pub id: Option<Value>,
    /// Answers to this connection's offers, SDP text, oldest first.
    pub answers: Vec<String>,
    /// Candidates as they stood on the wire.
    pub candidates: Vec<Value>,
    /// The reason of a hang-up.
    pub hung_up: Option<String>,
    pub state: Option<RTCPeerConnectionState>,
    /// What came over the data channel.
    pub messages: Vec<Value>,
    /// What came over it that is no text.
    pub bytes: Vec<u8>,
    /// It was opened.
    pub channel_opened: bool,
    /// It was closed.
    pub channel_closed: bool,
    pub times: Times,
    /// Answers to an invited viewer that did not prove who gave them; nothing of
    /// them was used.
    pub impostors: usize,
    /// The code of a hang-up.
    pub code: Option<String>,
    /// The device's candidates are not used.
    pub(super) deaf: bool,
    /// Candidates that came before their answer.
    pub(super) early: VecDeque<RTCIceCandidateInit>,
}

impl Heard {
    /// Something came over a data channel.
    pub(super) fn told(&mut self, data: &[u8], is_text: bool) {
        match is_text {
            true => self
                .messages
                .push(serde_json::from_slice(data).expect("JSON")),
            false => self.bytes.extend_from_slice(data),
        }
    }
}

pub(super) async fn hear(shared: &Shared, name: &str, mut frame: Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match frame["type"].as_str() {
        Some("id") => lock(&shared.heard).id = Some(frame["id"].take()),
        Some("userlist") => {
            let users = frame["users"].as_array().cloned().unwrap_or_default();
            lock(&shared.heard).users = users.iter().map(text).collect();
        }
        Some("hang-up") if frame["target"] == name => {
            let mut heard = lock(&shared.heard);
            heard.code = frame["code"].as_str().map(str::to_owned);
            heard.hung_up = Some(text(&frame["reason"]));
        }
        // What is for everybody is for nobody.
        Some("video-answer") if frame["target"] == name => {
            let sdp = text(&frame["sdp"]["sdp"]);
            if lock(&shared.held).is_some() && !is_verified(shared, &frame, &sdp) {
                lock(&shared.heard).impostors += 1;
                return;
            }
            let early = {
                let mut heard = lock(&shared.heard);
                heard.times.answered = Some(Instant::now());
                heard.answers.push(sdp.clone());
                std::mem::take(&mut heard.early)
            };
            let connection = lock(&shared.connection).clone();
            if let Some(connection) = connection {
                let answer = RTCSessionDescription::answer(known(&sdp)).expect("an answer");
                let _offered = shared.offering.lock().await;
                connection
                    .set_remote_description(answer)
                    .await
                    .expect("the answer fits");
                for candidate in early {
                    let _ = connection.add_ice_candidate(candidate).await;
                }
            }
        }
        Some("new-ice-candidate") => {
            let value = frame["candidate"].take();
            let candidate = RTCIceCandidateInit {
                candidate: text(&value["candidate"]),
                sdp_mid: value["sdpMid"].as_str().map(str::to_owned),
                sdp_mline_index: value["sdpMLineIndex"].as_u64().map(|i| i as u16),
                username_fragment: value["usernameFragment"].as_str().map(str::to_owned),
                url: None,
            };
            let answered = {
                let mut heard = lock(&shared.heard);
                heard.candidates.push(value);
                if heard.deaf {
                    return;
                }
                if heard.answers.is_empty() {
                    heard.early.push_back(candidate.clone());
                }
                !heard.answers.is_empty()
            };
            let connection = lock(&shared.connection).clone();
            if let Some(connection) = connection.filter(|_| answered) {
                let _ = connection.add_ice_candidate(candidate).await;
            }
        }
        _ => {}
    }
}

/// An answer to an invited viewer proves that it is of the camera.
fn is_verified(shared: &Shared, frame: &Value, sdp: &str) -> bool {
    let ufrag = frame["ufrag"].as_str().unwrap_or_default();
    let proof = frame["access"]["proof"].as_str().unwrap_or_default();
    let offers = lock(&shared.offers);
    let asked = |(offer, _): &&(String, Held)| author(offer).is_some_and(|(_, u)| u == ufrag);
    let offer = offers.iter().rev().find(asked);
    offer.is_some_and(|(offer, held)| held.verifies(offer, sdp, proof))
}

/// An answer without what was written into the offer: the connection knows of
/// no sections but those of its own kinds.
fn known(sdp: &str) -> String {
    let mut is_known = true;
    let lines = sdp.split_inclusive('\n').filter(|line| {
        if let Some(section) = line.strip_prefix("m=") {
            is_known = section.starts_with("audio ")
                || section.starts_with("video ")
                || section.contains("webrtc-datachannel");
        }
        is_known
    });
    lines.collect()
}

pub(super) struct Handler {
    pub(super) name: String,
    pub(super) camera: String,
    pub(super) frames: mpsc::UnboundedSender<Value>,
    pub(super) relay: Option<Arc<Relay>>,
    /// The connection, which owns this, is in there.
    pub(super) shared: std::sync::Weak<Shared>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        let Ok(candidate) = event.candidate.to_json() else {
            return;
        };
        let text = match &self.relay {
            Some(relay) => through(&candidate.candidate, relay),
            None => candidate.candidate,
        };
        let _ = self.frames.send(json!({
            "type": "new-ice-candidate", "name": self.name, "target": self.camera,
            "candidate": {"candidate": text, "sdpMid": "0", "sdpMLineIndex": 0,
                "usernameFragment": candidate.username_fragment},
        }));
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        if let Some(shared) = self.shared.upgrade() {
            let mut heard = lock(&shared.heard);
            heard.state = Some(state);
            if state == RTCPeerConnectionState::Connected {
                heard.times.connected.get_or_insert_with(Instant::now);
            }
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        if let Some(shared) = self.shared.upgrade() {
            lock(&shared.tracks).push(track);
        }
    }
}

/// A candidate with the relay's address for its own (RFC 8839 §5.1: the fifth
/// and sixth fields).
fn through(candidate: &str, relay: &Relay) -> String {
    let mut fields: Vec<_> = candidate.split(' ').map(str::to_owned).collect();
    if let [_, _, _, _, address, port, ..] = fields.as_mut_slice() {
        if let (Ok(ip), Ok(number)) = (address.parse(), port.parse()) {
            relay.lead_to(SocketAddr::new(ip, number));
        }
        *address = relay.front().ip().to_string();
        *port = relay.front().port().to_string();
    }
    fields.join(" ")
}
