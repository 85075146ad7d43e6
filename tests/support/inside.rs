//! The device in the test's own process, with a recording for a camera: needs
//! no GStreamer.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use camera_agent::config::{AudioSource, Config, VideoSource};
use camera_agent::daemon::Daemon;
use camera_agent::media::error::MediaError;
use camera_agent::media::frame::profile_level_id;
use camera_agent::media::hub::source::{Output, Source};
use camera_agent::media::replay::Replay;
use camera_agent::media::stream::Stream;
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

/// A recording that counts how often it was opened.
struct Counted(Replay, Arc<AtomicUsize>);

impl Source for Counted {
    fn start(&mut self, stream: Stream, output: Output) -> Result<(), MediaError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.start(stream, output)
    }

    fn stop(&mut self, stream: Stream) {
        self.0.stop(stream);
    }

    fn force_key_frame(&mut self, stream: Stream) {
        self.0.force_key_frame(stream);
    }
}

/// A device in this process.
pub struct Device {
    url: String,
    opened: Arc<AtomicUsize>,
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

    /// One on the server at this address, with changes to its configuration.
    pub fn configured(url: String, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.server.url.clone_from(&url);
        config.video.source = VideoSource::Test;
        config.audio.source = AudioSource::Test;
        config.ice.loopback = true;
        change(&mut config);
        let opened = Arc::<AtomicUsize>::default();
        let replay = Box::new(Counted(Replay::new(CLIP, 30), opened.clone()));
        let device =
            Daemon::with_source(&config, replay, profile_level_id(CLIP)).expect("a device");
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let task = tokio::spawn(async move { device.run(stop.cancelled()).await });
        Self {
            url,
            opened,
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

    /// How often its camera or its microphone was opened.
    pub fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        timeout(Duration::from_secs(2), self.task)
            .await
            .expect("it stops within 2 s")
            .expect("it does not panic");
    }
}
