//! The sender under test: the device, over the clip or a real encoder.

use camera_agent::config::{AudioSource, Config, VideoSource};
use camera_agent::daemon::Daemon;
use camera_agent::media::frame::profile_level_id;
use camera_agent::media::hub::Hub;
use camera_agent::media::stream::{Encoding, Stream};

use crate::clip::{self, Clip};

fn config(url: &str) -> Config {
    let mut config = Config::default();
    config.server.url = url.to_owned();
    config.video.source = VideoSource::Custom;
    config.video.pipeline = Some(clip::PICTURE.to_owned());
    config.audio.source = AudioSource::Test;
    config.viewers.max = 100;
    config.ice.loopback = true;
    config
}

/// The device over the clip.
pub async fn clip(url: &str, path: &str) {
    let units = clip::load(path);
    let profile = profile_level_id(&units[0]);
    let device = Daemon::with_source(&config(url), Box::new(Clip::new(units)), profile);
    let device = device.expect("a device");
    device.run(std::future::pending()).await;
}

/// The device as it is, encoding 720p30 with x264.
pub async fn live(url: &str) {
    let device = Daemon::new(&config(url)).expect("a device");
    device.run(std::future::pending()).await;
}

/// The clip, watched by nobody on the network.
pub fn watch(path: &str) {
    let (hub, _thread) = Hub::start(Box::new(Clip::new(clip::load(path))), None);
    let video = hub.watch(Stream::Video(Encoding::H264));
    let audio = hub.watch(Stream::Audio);
    let _frames = (video.frames(), audio.frames());
    loop {
        std::thread::park();
    }
}
