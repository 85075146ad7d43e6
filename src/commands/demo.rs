//! `camera-agent demo`: the chat server and a camera in one process.

use anyhow::Context as _;

use super::chat::page_address;
use super::process::{block_on, shutdown};
use crate::config::{AudioSource, Config, VideoSource};
use crate::daemon::Daemon;
use crate::device::learned::Learned;
use crate::media::{element, gst};
use crate::{chat, cli, logging};

/// Shows this machine's camera, else a test picture, on a page of this machine.
pub(super) fn run(arguments: &cli::Demo) -> anyhow::Result<()> {
    let mut config = Config::default();
    config.server.name.clone_from(&arguments.name);
    // The browser is on this very machine.
    config.ice.loopback = true;
    logging::start(&config.log)?;
    element::init()?;
    if arguments.test || gst::plan_picture(&config.video, &[], &Learned::default()).is_err() {
        config.video.source = VideoSource::Test;
    }
    if arguments.test || gst::plan_sound(&config.audio).is_err() {
        config.audio.source = AudioSource::Test;
    }
    block_on(async {
        let shutdown = shutdown()?;
        let mut options = chat::Options::new(arguments.listen);
        options.allowed_origins.clone_from(&arguments.allow_origin);
        let server = chat::Server::bind(options).await?;
        let address = server.local_addr();
        config.server.url = format!("ws://{address}/");
        let server = tokio::spawn(server.run(shutdown.child_token()));
        let device = Daemon::new(&config)?;
        println!(
            "Open http://{}/ in a browser and click \"{}\". Ctrl-C ends the demo.",
            page_address(address),
            config.server.name
        );
        device.run(shutdown.cancelled()).await;
        server.await.context("the chat server")?;
        Ok(())
    })
}
