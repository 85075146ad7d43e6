//! Talking at the camera, by callers in Rust: what honest ones say is heard, and what
//! others send in its place costs nobody anything.

mod hostile;

use std::time::Duration;

use bytes::Bytes;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;
use rtc::rtp;
use serde_json::{Value, json};
use tokio::time::interval;

use crate::support::Chat;
use crate::support::device::Device;
use crate::support::shims::FakeMicrophone;
use crate::support::speaker::{FakeSpeaker, seconds_of};
use crate::support::viewer::{OPUS, VOICE, Viewer};
use crate::support::{SOON, until};

const PICTURE: &str = "[video]\nsource = \"test\"\nwidth = 320\nheight = 180\n\
                       bitrate_kbps = 300\n[ice]\nloopback = true\n";
/// What the honest say.
const TONE: u32 = 600;
/// A packet of Opus.
const PACKET: Duration = Duration::from_millis(20);
/// Of the clock of Opus's RTP (RFC 7587 §4.1).
const TICKS: u32 = 960;

/// A camera with a microphone, and a speaker that it does not hear.
struct Camera {
    chat: Chat,
    device: Device,
    speaker: FakeSpeaker,
    _microphone: FakeMicrophone,
}

impl Camera {
    async fn start() -> Self {
        let chat = Chat::start().await;
        let microphone = FakeMicrophone::tone(440);
        let speaker = FakeSpeaker::beside(&microphone);
        let toml = format!("{PICTURE}{}{}", FakeMicrophone::toml(), FakeSpeaker::toml());
        let device = Device::start_with_env(chat.addr, &toml, &microphone.env()).await;
        device.registered().await;
        Self {
            chat,
            device,
            speaker,
            _microphone: microphone,
        }
    }

    /// Somebody with a microphone, and a button where `labels` name the channel for it.
    async fn caller(&self, name: &str, labels: &[&str]) -> Viewer {
        let url = format!("ws://{}/", self.chat.addr);
        let mut viewer = Viewer::join(&url, name, "camera").await;
        viewer.has_a_microphone();
        viewer.call_with(labels).await;
        viewer.watch(5).await;
        viewer
    }

    /// Half a second of the tone comes out of the speaker, from now on.
    async fn is_heard(&self, viewer: &Viewer, voice: &mut Says) {
        let before = self.speaker.played().len();
        let heard = until("the tone", SOON, async || {
            let played = self.speaker.played();
            let new = played.get(before..).unwrap_or_default();
            (seconds_of(f64::from(TONE), new) >= 0.5).then_some(())
        });
        tokio::select! {
            () = heard => {}
            () = voice.to(viewer) => {}
        }
    }
}

/// Somebody's voice, over all of their turns.
struct Says {
    packets: Vec<Bytes>,
    said: u32,
}

impl Says {
    /// The tone.
    fn tone() -> Self {
        camera_agent::media::element::init().expect("GStreamer is installed");
        let description = format!(
            "audiotestsrc num-buffers=200 samplesperbuffer={TICKS} freq={TONE} volume=0.5 ! \
             audio/x-raw,rate=48000,channels=1 ! opusenc ! appsink name=out sync=false"
        );
        let pipeline = gstreamer::parse::launch(&description).expect("a pipeline");
        let pipeline = pipeline.downcast::<gstreamer::Pipeline>().expect("one");
        let sink = pipeline.by_name("out").and_then(|e| e.downcast().ok());
        let sink: AppSink = sink.expect("a sink");
        pipeline
            .set_state(gstreamer::State::Playing)
            .expect("it runs");
        let mut packets = Vec::new();
        while let Ok(sample) = sink.pull_sample() {
            let buffer = sample.buffer().expect("a packet");
            packets.push(Bytes::copy_from_slice(
                &buffer.map_readable().expect("memory"),
            ));
        }
        pipeline
            .set_state(gstreamer::State::Null)
            .expect("it stops");
        assert!(packets.len() > 150, "{}", packets.len());
        Self { packets, said: 0 }
    }

    /// The next packet, as a browser has it.
    fn next(&mut self) -> rtp::Packet {
        let payload = self.packets[self.said as usize % self.packets.len()].clone();
        self.said += 1;
        let header = rtp::Header {
            version: 2,
            payload_type: OPUS,
            ssrc: VOICE,
            sequence_number: self.said as u16,
            timestamp: self.said * TICKS,
            ..Default::default()
        };
        rtp::Packet { header, payload }
    }

    /// Speaks, and never ends.
    async fn to(&mut self, viewer: &Viewer) {
        // What is late is said at once: their card has its own pace.
        let mut pace = interval(PACKET);
        loop {
            pace.tick().await;
            viewer.says([self.next()]).await;
        }
    }
}

/// Where this viewer stands with the floor, by what they were told last.
async fn stands(viewer: &Viewer, place: &str) {
    let of_floor = |m: &&Value| m["type"] == "floor";
    viewer
        .wait(place, |heard, _| {
            let last = heard.messages.iter().rev().find(of_floor)?;
            (last["you"] == place).then_some(())
        })
        .await;
}

async fn asks(viewer: &Viewer, on: bool) {
    let ask = json!({"type": "talk", "on": on, "wait": true}).to_string();
    viewer.tell(&ask).await.expect("a channel");
    stands(viewer, if on { "talks" } else { "listens" }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_in_rust_is_heard_while_it_is_their_turn_and_not_before() {
    let camera = Camera::start().await;
    let alice = camera.caller("alice", &["camera-agent"]).await;
    let mut voice = Says::tone();
    stands(&alice, "listens").await;
    let before = tokio::time::timeout(Duration::from_secs(2), voice.to(&alice)).await;
    assert!(before.is_err(), "they speak on and on");
    assert_eq!(camera.speaker.starts(), [], "nobody was given the floor");
    asks(&alice, true).await;
    camera.is_heard(&alice, &mut voice).await;
    asks(&alice, false).await;
    let Camera { chat, .. } = camera;
    chat.stop().await;
}

/// The thread that plays has all that a turn needs, the card too.
#[tokio::test(flavor = "multi_thread")]
async fn a_speaker_costs_no_thread_and_no_card_while_nobody_talks() {
    let camera = Camera::start().await;
    let has_thread = || camera.device.thread_names().contains(&"speaker".to_owned());
    let alice = camera.caller("alice", &["camera-agent"]).await;
    let mut voice = Says::tone();
    stands(&alice, "listens").await;
    assert!(!has_thread() && camera.speaker.starts().is_empty());
    for _ in 0..2 {
        asks(&alice, true).await;
        camera.is_heard(&alice, &mut voice).await;
        assert!(has_thread());
        asks(&alice, false).await;
        until("no thread", SOON, async || (!has_thread()).then_some(())).await;
    }
    let Camera { chat, .. } = camera;
    chat.stop().await;
}
