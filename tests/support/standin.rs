//! Somebody in the chat with a browser's WebRTC and their own idea of what to
//! answer: a camera that invites, or one who means to pass for it.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::net::SocketAddr;

use camera_agent::access::{Call, Invite, KeyId, ProofKey, Side};
use serde_json::{Value, json};

use super::browser::{Browser, Person};
use super::{Chat, SOON, User, until};

/// One end of a call, with a moving picture; all candidates are in its SDP.
const ENGINE: &str = "
    globalThis.begin = () => {
        globalThis.pc?.close();
        globalThis.told = [];
        globalThis.pc = new RTCPeerConnection();
        pc.ondatachannel = ({ channel }) => {
            globalThis.channel = channel;
            channel.onmessage = ({ data }) => told.push(JSON.parse(data));
        };
    };
    const whole = async (description) => {
        await pc.setLocalDescription(description);
        if (pc.iceGatheringState !== 'complete') {
            await new Promise((done) => {
                pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && done();
            });
        }
        return pc.localDescription.sdp;
    };
    const picture = () => {
        const canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [320, 180];
        const context = canvas.getContext('2d');
        let turn = 0;
        setInterval(() => {
            context.fillStyle = `hsl(${turn += 7} 80% 50%)`;
            context.fillRect(turn % 300, 0, 40, 180);
        }, 40);
        return canvas.captureStream(25).getTracks()[0];
    };
    globalThis.answer = async (sdp) => {
        if (!globalThis.pc || pc.signalingState === 'closed') begin();
        await pc.setRemoteDescription({ type: 'offer', sdp });
        for (const each of pc.getTransceivers()) {
            if (each.receiver.track.kind !== 'video' || each.sender.track) continue;
            each.direction = 'sendrecv';
            await each.sender.replaceTrack(picture());
        }
        return whole(await pc.createAnswer());
    };
    globalThis.offer = async () => {
        begin();
        globalThis.channel = pc.createDataChannel('camera-agent');
        channel.onmessage = ({ data }) => told.push(JSON.parse(data));
        for (const kind of ['audio', 'video']) pc.addTransceiver(kind, { direction: 'recvonly' });
        return whole(await pc.createOffer());
    };
    globalThis.answered = (sdp) => pc.setRemoteDescription({ type: 'answer', sdp });
    globalThis.received = async () => {
        const found = { packets: 0, frames: 0 };
        for (const each of (await globalThis.pc?.getStats())?.values() ?? []) {
            if (each.type !== 'inbound-rtp') continue;
            found.packets += each.packetsReceived;
            found.frames += each.framesDecoded ?? 0;
        }
        return found;
    };
";

/// A browser that is one end of a call and nothing else.
pub struct Engine(pub Browser);

impl Engine {
    pub async fn start() -> Self {
        let browser = Browser::start(Person {
            plain_addresses: true,
            ..Person::default()
        })
        .await;
        browser.before_each_page(ENGINE).await;
        browser.client.goto("about:blank").await.expect("a page");
        Self(browser)
    }

    /// Forgets the call.
    pub async fn anew(&self) {
        self.0.js("(begin(), null)").await;
    }

    /// The answer to an offer, of the same connection as before where there is one.
    pub async fn answer(&self, offer: &str) -> String {
        let made = self.0.promise(&format!("answer({})", json!(offer))).await;
        made.as_str().expect("an answer").to_owned()
    }

    /// An offer to see and hear, of a new connection.
    pub async fn offer(&self) -> String {
        let made = self.0.promise("offer()").await;
        made.as_str().expect("an offer").to_owned()
    }

    /// Takes the answer to its offer; false where it cannot.
    pub async fn answered(&self, sdp: &str) -> bool {
        let applied = format!("answered({}).then(() => true, () => false)", json!(sdp));
        self.0.promise(&applied).await == json!(true)
    }

    /// Takes a candidate as a frame has it.
    pub async fn takes(&self, frame: &Value) {
        let added = format!("pc.addIceCandidate({})", frame["candidate"]);
        self.0.promise(&added).await;
    }

    /// Packets of media that came, and frames that were decoded.
    pub async fn received(&self) -> (u64, u64) {
        let found = self.0.promise("received()").await;
        let number = |key: &str| found[key].as_u64().expect("a number");
        (number("packets"), number("frames"))
    }
}

/// The fingerprint and the ICE user of a description, as they are proven.
pub fn side(sdp: &str) -> ([u8; 32], String) {
    let value = |name: &str| {
        let (_, rest) = sdp.split_once(name).expect(name);
        rest.lines().next().expect("a line").trim().to_owned()
    };
    let printed = value("a=fingerprint:sha-256 ");
    let bytes: Vec<u8> = printed
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).expect("two digits"))
        .collect();
    (bytes.try_into().expect("32 bytes"), value("a=ice-ufrag:"))
}

/// What a camera holds of an invitation, or of a browser's own key.
#[derive(Clone)]
pub struct Held {
    pub id: KeyId,
    pub key: ProofKey,
}

impl Held {
    pub fn of(invite: &Invite) -> Self {
        Self {
            id: invite.id(),
            key: ProofKey::of(&invite.key()),
        }
    }

    /// Whether an offer to `camera` is of who holds it, too.
    pub fn is_of_offer(&self, camera: &str, offer: &Value) -> bool {
        let (fingerprint, ufrag) = side(sdp_of(offer));
        let viewer = Side {
            fingerprint: &fingerprint,
            ufrag: &ufrag,
        };
        let id = self.id;
        let call = Call { camera, viewer, id };
        let proof = offer["access"]["proof"].as_str().unwrap_or_default();
        offer["access"]["id"] == id.to_string() && self.key.is_of_offer(&call, proof)
    }

    /// The proof of an answer to it.
    pub fn answer(&self, camera: &str, offer: &str, answer: &str) -> String {
        let (viewer, device) = (side(offer), side(answer));
        let viewer = Side {
            fingerprint: &viewer.0,
            ufrag: &viewer.1,
        };
        let device = Side {
            fingerprint: &device.0,
            ufrag: &device.1,
        };
        let id = self.id;
        self.key.answer(&Call { camera, viewer, id }, device)
    }
}

/// The SDP of an offer's or an answer's frame.
pub fn sdp_of(frame: &Value) -> &str {
    frame["sdp"]["sdp"].as_str().expect("an SDP")
}

/// A camera that invites.
pub struct StandIn {
    pub user: User,
    pub engine: Engine,
    pub name: String,
    pub held: Held,
}

impl StandIn {
    /// In the chat, as a device.
    pub async fn join(chat: &Chat, name: &str, invite: &Invite) -> Self {
        Self::join_at(chat.addr, name, invite).await
    }

    /// The same on the server at `addr`.
    pub async fn join_at(addr: SocketAddr, name: &str, invite: &Invite) -> Self {
        let engine = Engine::start().await;
        let mut user = User::connect(addr).await;
        let id = user.id.clone();
        user.send(json!({"type": "username", "name": name, "id": id, "device": true}))
            .await;
        user.list_with(name).await;
        Self {
            user,
            engine,
            name: name.to_owned(),
            held: Held::of(invite),
        }
    }

    /// The next offer. No candidate came with it: its sender does not know yet
    /// whom it is for.
    pub async fn offered(&mut self) -> Value {
        let frame = self.user.frame("video-offer").await;
        assert!(!sdp_of(&frame).contains("a=candidate"), "{frame}");
        frame
    }

    /// What a camera answers to an offer whose proof is right.
    pub async fn answer(&self, offer: &Value) -> Value {
        assert!(self.held.is_of_offer(&self.name, offer), "{offer}");
        let answer = self.engine.answer(sdp_of(offer)).await;
        let proof = self.held.answer(&self.name, sdp_of(offer), &answer);
        json!({
            "type": "video-answer",
            "target": offer["name"],
            "sdp": {"type": "answer", "sdp": answer},
            "ufrag": side(sdp_of(offer)).1,
            "access": {"proof": proof},
        })
    }

    /// Takes the next offer and answers it.
    pub async fn takes(&mut self) -> Value {
        let offer = self.offered().await;
        let answer = self.answer(&offer).await;
        self.user.send(answer).await;
        offer
    }

    /// Says something over the data channel, once that is open.
    pub async fn tell(&self, message: Value) {
        let open = "globalThis.channel?.readyState === 'open'";
        self.engine.0.until_js("a data channel", open).await;
        let said = format!("(channel.send({}), null)", json!(message.to_string()));
        self.engine.0.js(&said).await;
    }

    /// Waits until the page said something of this type; the message.
    pub async fn told(&self, kind: &str) -> Value {
        let found = format!("told.find((m) => m.type === '{kind}') ?? null");
        until(kind, SOON, async || {
            Some(self.engine.0.js(&found).await).filter(|m| !m.is_null())
        })
        .await
    }
}
