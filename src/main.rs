//! The command line.

use camera_agent::config::{AudioSource, Config, VideoSource};
use camera_agent::daemon::Daemon;
use camera_agent::logging;

fn main() {
    let mut config = Config::default();
    config.video.source = VideoSource::Test;
    config.audio.source = AudioSource::Test;
    config.ice.loopback = true;
    logging::start(&config.log).unwrap();
    let rt = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    rt.block_on(async {
        Daemon::new(&config)
            .unwrap()
            .run(async {
                let _ = tokio::signal::ctrl_c().await;
            })
            .await
    });
}
