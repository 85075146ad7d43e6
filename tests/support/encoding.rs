//! The device in the test's own process, with encoders that make what they are
//! asked for, or cannot.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::sync::Arc;
use std::time::Duration;

use camera_agent::config::{AudioSource, Config, TierConfig, VideoSource};
use camera_agent::daemon::Daemon;
use camera_agent::media::element;
use camera_agent::media::encoder::Encoder;
use camera_agent::media::frame::profile_level_id;
use camera_agent::media::gst::GstSource;
use camera_agent::media::probe::cache::Cache;
use camera_agent::media::probe::{Encoders, Prober};
use camera_agent::media::replay::Replay;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Chat;
use super::inside::CLIP;
use super::relay::{Conditions, Relay};
use super::viewer::Viewer;

/// A device in this process.
pub struct Device {
    pub url: String,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Device {
    pub fn replay(chat: &Chat) -> Self {
        Self::replay_as(chat, 300)
    }

    /// The recording, which is always the same size, in the place of a picture
    /// that may have so much.
    pub fn replay_as(chat: &Chat, kbps: u32) -> Self {
        let mut config = Self::config(chat);
        config.video.bitrate_kbps = kbps;
        let replay = Box::new(Replay::new(CLIP, 30));
        let device = Daemon::with_source(&config, replay, profile_level_id(CLIP));
        Self::run(&config, device.expect("a device"))
    }

    /// A real encoder over noise, which is as large as it is allowed to be: up
    /// to 2 Mbit/s, and 500 kbit/s in the smaller tier.
    pub fn noise(chat: &Chat) -> Self {
        Self::noise_of(chat, Config::default().video.bitrate_kbps)
    }

    pub fn noise_of(chat: &Chat, kbps: u32) -> Self {
        element::init().expect("GStreamer is installed");
        let mut config = Self::config(chat);
        config.video.source = VideoSource::Custom;
        config.video.pipeline = Some(
            "videotestsrc is-live=true pattern=snow ! \
             video/x-raw,format=I420,width=480,height=270,framerate=30/1"
                .to_owned(),
        );
        config.video.bitrate_kbps = kbps;
        (config.video.width, config.video.height) = (480, 270);
        config.video.tiers = vec![TierConfig {
            height: 134,
            bitrate_kbps: 500,
        }];
        let row = Encoder::row("x264").expect("a row");
        Self::encoding(&config, row)
    }

    /// A small picture of noise for an encoder that cannot make less than some
    /// megabit of 30 frames, and is asked for 300 kbit/s.
    pub fn stubborn(chat: &Chat) -> Self {
        Self::stubborn_of(chat, (160, 90), 300)
    }

    pub fn stubborn_of(chat: &Chat, (width, height): (u32, u32), kbps: u32) -> Self {
        element::init().expect("GStreamer is installed");
        let mut config = Self::config(chat);
        config.video.source = VideoSource::Custom;
        config.video.pipeline = Some(format!(
            "videotestsrc is-live=true pattern=snow ! \
             video/x-raw,format=I420,width={width},height={height},framerate=30/1"
        ));
        (config.video.width, config.video.height) = (width, height);
        config.video.bitrate_kbps = kbps;
        config.video.tiers = Vec::new();
        let mut row = (*Encoder::row("x264").expect("a row")).clone();
        row.properties.push(("qp-max".into(), "40".into()));
        Self::encoding(&config, Arc::new(row))
    }

    fn encoding(config: &Config, row: Arc<Encoder>) -> Self {
        let encoders = Encoders::new(config, Prober::InProcess, Cache::none());
        let source = GstSource::new(
            config.video.clone(),
            config.audio.clone(),
            row,
            Arc::new(encoders.expect("the table")),
        );
        let device = Daemon::with_source(config, Box::new(source), None);
        Self::run(config, device.expect("a device"))
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

    /// A viewer behind a relay with these conditions from the device to them.
    pub async fn viewer(&self, name: &str, toward: Conditions) -> (Viewer, Arc<Relay>) {
        let back = Conditions {
            delay: toward.delay,
            ..Conditions::default()
        };
        let relay = Arc::new(Relay::start(toward, back, 7).await);
        let mut viewer = Viewer::join(&self.url, name, "camera").await;
        viewer.go_through(relay.clone());
        (viewer, relay)
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        timeout(Duration::from_secs(2), self.task)
            .await
            .expect("it stops within 2 s")
            .expect("it does not panic");
    }
}
