//! Calls over bad networks: a device and viewers in Rust, with a relay between
//! them that loses, delays and caps.

mod support;

use std::sync::Arc;
use std::time::Duration;

use camera_agent::config::{AudioSource, Config, VideoSource};
use camera_agent::daemon::Daemon;
use camera_agent::media::frame::profile_level_id;
use camera_agent::media::replay::Replay;
use support::Chat;
use support::relay::{Conditions, Relay};
use support::viewer::Viewer;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// A second of video at 300 kbit/s; see `tests/calls.rs`.
const CLIP: &[u8] = include_bytes!("fixtures/clip.h264");

/// A device in this process.
struct Device {
    url: String,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Device {
    fn replay(chat: &Chat) -> Self {
        let mut config = Self::config(chat);
        config.video.bitrate_kbps = 300;
        let replay = Box::new(Replay::new(CLIP, 30));
        let device = Daemon::with_source(&config, replay, profile_level_id(CLIP));
        Self::run(&config, device.expect("a device"))
    }

    fn config(chat: &Chat) -> Config {
        let mut config = Config::default();
        config.server.url = format!("ws://{}/", chat.addr);
        config.video.source = VideoSource::Test;
        config.audio.source = AudioSource::Test;
        config.ice.loopback = true;
        config
    }

    fn run(config: &Config, device: Daemon) -> Self {
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let task = tokio::spawn(async move { device.run(stop.cancelled()).await });
        Self {
            url: config.server.url.clone(),
            shutdown,
            task,
        }
    }

    /// A viewer behind a relay with these conditions from the device to him.
    async fn viewer(&self, name: &str, toward: Conditions) -> (Viewer, Arc<Relay>) {
        let back = Conditions {
            delay: toward.delay,
            ..Conditions::default()
        };
        let relay = Arc::new(Relay::start(toward, back, 7).await);
        let mut viewer = Viewer::join(&self.url, name, "camera").await;
        viewer.go_through(relay.clone());
        (viewer, relay)
    }

    async fn stop(self) {
        self.shutdown.cancel();
        timeout(Duration::from_secs(2), self.task)
            .await
            .expect("it stops within 2 s")
            .expect("it does not panic");
    }
}

#[tokio::test]
async fn media_comes_through_the_relay_and_only_through_it() {
    let chat = Chat::start().await;
    let device = Device::replay(&chat);
    let delayed = Conditions {
        delay: Duration::from_millis(20),
        ..Conditions::default()
    };
    let (mut viewer, relay) = device.viewer("viewer", delayed).await;
    viewer.call().await;
    viewer.watch(30).await;
    let counts = relay.inward();
    let packets = viewer.received(|r| r.video.packets + r.audio.packets);
    assert!(counts.packets >= packets, "{counts:?}, {packets}");
    relay.set_inward(|c| c.loss = 1.0);
    sleep(Duration::from_millis(200)).await;
    let before = viewer.received(|r| r.video.packets);
    sleep(Duration::from_millis(300)).await;
    assert_eq!(viewer.received(|r| r.video.packets), before);
    assert!(relay.inward().lost > 5);
    relay.set_inward(|c| c.loss = 0.0);
    viewer.watch(30).await;
    device.stop().await;
    chat.stop().await;
}
