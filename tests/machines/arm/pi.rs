//! A Raspberry Pi 4 but for its silicon: the encoder's node behaves as the Pi's
//! driver does (tests/shims/personality.c), and the camera's as a webcam's;
//! GStreamer's own elements for the Pi's processor drive both.

use super::{Board, PATIENCE, assert_emulated};
use crate::support::browser::{Browser, Person};
use crate::support::codec::{self, FakeCodec};
use crate::support::device::Device;
use crate::support::picture::{assert_bars, difference, row};
use crate::support::shims::{FakeCamera, Format};
use crate::support::{Chat, User, until};
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the emulated processor: make test-arm64"]
async fn the_pi_s_encoder_is_chosen_and_a_webcam_s_picture_goes_through_it() {
    let board = Board::new();
    let chat = Chat::start().await;
    // As they are, but in /tmp, which the ARM machine sees.
    let camera = FakeCamera::new(Format::Mjpg422, 320, 240, 10).damaged(|_, _| {});
    let compiler = std::env::var("CAMERA_AGENT_ARM_CC").expect("run.sh names it");
    let registry = board.root.join("var/cache/gst-registry.bin");
    let codec = FakeCodec::for_machine(&compiler, &registry, codec::Board::RaspberryPi);
    let toml = format!(
        "[server]\nurl = \"ws://{}/\"\nname = \"board\"\n[video]\nsource = \"v4l2\"\n\
         device = {:?}\nwidth = 320\nheight = 240\nfps = 10\nbitrate_kbps = 400\ntiers = []\n\
         [audio]\nsource = \"test\"\n[ice]\nloopback = true\n",
        chat.addr,
        camera.node()
    );
    let device = Device::run(board.with(&codec, &camera), &toml).await;
    let mut user = User::connect(chat.addr).await;
    user.claim("user").await;
    timeout(PATIENCE, user.list_with("board"))
        .await
        .expect("it registers in time");
    assert_emulated(&device);
    assert_eq!(codec.chosen(&device).await, "raspberry-pi");
    println!("the probe: {}", codec.report("raspberry-pi"));

    let alice = Browser::start(Person::default()).await;
    alice.open(&chat.page("alice")).await;
    let probed = codec.counts();
    alice.call("board").await;
    until("thirty frames", PATIENCE, || async {
        (alice.frames_decoded().await >= 30.0).then_some(())
    })
    .await;
    assert_eq!(alice.inbound("video", "frameHeight").await, Some(240.0));
    assert_bars(&row(&alice).await);
    let before = row(&alice).await;
    until("another picture", PATIENCE, || async {
        (difference(&before, &row(&alice).await) > 5.0).then_some(())
    })
    .await;
    let counts = codec.counts();
    println!("{probed:?}, then {counts:?}");
    assert!(counts.frames_coded >= probed.frames_coded + 30);
    assert_eq!(device.logged("another encoder takes over"), 0);
    alice.click("#hangup").await;
    alice.state("idle").await;
    device.logs("hung up", 1, PATIENCE).await;
    chat.stop().await;
}

impl Board {
    /// The agent on the ARM machine, with this encoder and this camera.
    fn with(&self, codec: &FakeCodec, camera: &FakeCamera) -> tokio::process::Command {
        let mut env = camera.env();
        env.retain(|(name, _)| name != "LD_PRELOAD");
        let mut command = codec.program(super::ENTER, &env);
        // Only what the ARM machine runs has it under its C library.
        command.env_remove("LD_PRELOAD").arg(&self.root);
        let library = codec.library().display();
        command.args(["/usr/bin/env", &format!("LD_PRELOAD={library}")]);
        command.arg("/usr/bin/camera-agent").kill_on_drop(true);
        command
    }
}
