//! Calls over real sockets: a device, a chat server and viewers in Rust. No
//! camera, no GStreamer, no network.

mod support;

use std::time::Duration;

use camera_agent::config::{AudioSource, Config, VideoSource};
use camera_agent::daemon::Daemon;
use camera_agent::media::frame::profile_level_id;
use camera_agent::media::replay::Replay;
use support::Chat;
use support::viewer::Viewer;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// A second of a bouncing ball, 320×180 at 30 frames a second, the first one a
/// key frame, made by
/// `gst-launch-1.0 videotestsrc num-buffers=30 pattern=ball ! video/x-raw,width=320,height=180,framerate=30/1
/// ! x264enc tune=zerolatency speed-preset=ultrafast threads=1 bitrate=300 key-int-max=30
/// ! video/x-h264,profile=constrained-baseline,stream-format=byte-stream ! filesink location=clip.h264`.
const CLIP: &[u8] = include_bytes!("fixtures/clip.h264");

/// A device in this process.
struct Device {
    url: String,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Device {
    fn start(url: String, max_viewers: usize) -> Self {
        let mut config = Config::default();
        config.server.url.clone_from(&url);
        config.video.source = VideoSource::Test;
        config.audio.source = AudioSource::Test;
        config.viewers.max = max_viewers;
        config.ice.loopback = true;
        let replay = Box::new(Replay::new(CLIP, 30));
        let device =
            Daemon::with_source(&config, replay, profile_level_id(CLIP)).expect("a device");
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let task = tokio::spawn(async move { device.run(stop.cancelled()).await });
        Self {
            url,
            shutdown,
            task,
        }
    }

    fn of(chat: &Chat, max_viewers: usize) -> Self {
        Self::start(format!("ws://{}/", chat.addr), max_viewers)
    }

    async fn viewer(&self, name: &str) -> Viewer {
        Viewer::join(&self.url, name, "camera").await
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
async fn several_viewers_watch_at_once() {
    let chat = Chat::start().await;
    let device = Device::of(&chat, 8);
    let mut viewers = Vec::new();
    for i in 0..3 {
        let mut viewer = device.viewer(&format!("viewer {i}")).await;
        viewer.call().await;
        viewers.push(viewer);
    }
    for viewer in &viewers {
        viewer.watch(30).await;
        viewer
            .wait("sound", |_, r| (r.audio.packets > 10).then_some(()))
            .await;
        viewer.received(|r| {
            assert_eq!((r.video.gaps, r.audio.gaps, r.strangers), (0, 0, 0));
        });
    }
    device.stop().await;
    for viewer in &viewers {
        assert!(viewer.refusal().await.contains("shutting down"));
    }
    chat.stop().await;
}
