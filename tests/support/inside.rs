//! The device in the test's own process, with a recording for a camera: needs
//! no GStreamer.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::time::Duration;

use camera_agent::config::{AudioSource, Config, VideoSource};
use camera_agent::daemon::Daemon;
use camera_agent::media::frame::profile_level_id;
use camera_agent::media::replay::Replay;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Chat;
use super::viewer::Viewer;

/// A second of a bouncing ball, 320×180 at 30 frames a second, the first one a
/// key frame, made by
/// `gst-launch-1.0 videotestsrc num-buffers=30 pattern=ball ! video/x-raw,width=320,height=180,framerate=30/1
/// ! x264enc tune=zerolatency speed-preset=ultrafast threads=1 bitrate=300 key-int-max=30
/// ! video/x-h264,profile=constrained-baseline,stream-format=byte-stream ! filesink location=clip.h264`.
pub const CLIP: &[u8] = include_bytes!("../fixtures/clip.h264");

/// A device in this process.
pub struct Device {
    url: String,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Device {
    pub fn start(url: String, max_viewers: usize) -> Self {
        Self::configured(url, |config| config.viewers.max = max_viewers)
    }

    /// One on this server, with changes to its configuration.
    pub fn with(chat: &Chat, change: impl FnOnce(&mut Config)) -> Self {
        Self::configured(format!("ws://{}/", chat.addr), change)
    }

    fn configured(url: String, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.server.url.clone_from(&url);
        config.video.source = VideoSource::Test;
        config.audio.source = AudioSource::Test;
        config.ice.loopback = true;
        change(&mut config);
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

    pub fn of(chat: &Chat, max_viewers: usize) -> Self {
        Self::start(format!("ws://{}/", chat.addr), max_viewers)
    }

    pub async fn viewer(&self, name: &str) -> Viewer {
        Viewer::join(&self.url, name, "camera").await
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        timeout(Duration::from_secs(2), self.task)
            .await
            .expect("it stops within 2 s")
            .expect("it does not panic");
    }
}
