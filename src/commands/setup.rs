//! `camera-agent setup`, and the two parts of it that run in processes of their
//! own, as `camera-agent setup-look` and `camera-agent setup-test-call`.

use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::process::{block_on, shutdown};
use crate::config::{AccessMode, Config};
use crate::daemon::{Daemon, Supervision};
use crate::device::led::Led;
use crate::media::gst;
use crate::service::Snapshot;
use crate::setup::{self, Hardware, board::Known};
use crate::{cli, logging, owner, state};

/// Writes the first configuration, and makes a test call if that is wanted.
pub(super) fn run(arguments: &cli::Setup) -> anyhow::Result<()> {
    if arguments.check {
        Config::load(&arguments.config)?.check(&arguments.config)?;
        println!("{} is filled in and valid", arguments.config.display());
        return Ok(());
    }
    let mut person = setup::person();
    let answers = person.as_mut().map(|p| p as &mut dyn BufRead);
    let is_asked = answers.is_some() && !arguments.test_call;
    let hardware = match &answers {
        Some(_) => {
            // As it is now, with or without its two keys.
            let led = Config::load(&arguments.config)
                .ok()
                .and_then(|c| c.led.path);
            let _lit = Led::new(led.as_deref())?.light()?;
            setup::apart::look()?
        }
        None => Hardware::default(),
    };
    let known = Known::look();
    let out = &mut std::io::stdout();
    let done = setup::run(arguments, &hardware, &known, answers, out)?;
    println!("{} is written", arguments.config.display());
    if let Some(board) = &done.board {
        match board.start()? {
            true => println!("The chat server runs, now and at each start"),
            false => println!("Now start the chat server: {}", board.command()),
        }
    }
    let call = match &mut person {
        Some(answers) if is_asked => setup::wants_test_call(answers, &mut std::io::stdout())?,
        _ => arguments.test_call,
    };
    if call {
        setup::apart::test_call(&arguments.config)?;
    }
    println!(
        "Now start the camera: systemctl restart {}",
        setup::unit(&arguments.config)
    );
    if is_asked || arguments.invite {
        first_invitation(&done.config, &arguments.config);
    }
    Ok(())
}

/// Ends a set-up, which filled in the configuration at `path`: the owner is the
/// first who is invited.
fn first_invitation(config: &Config, path: &Path) {
    println!();
    if let Err(error) = owner::invite_owner(config, state::of_service(path), &mut std::io::stdout())
    {
        println!("{error}\nTo watch, invite yourself: sudo camera-agent invite LABEL");
    }
}

/// What there is to choose from, for a set-up whose user this is not.
pub(super) fn look() -> anyhow::Result<()> {
    gst::init()?;
    println!("{}", serde_json::to_string(&Hardware::look())?);
    Ok(())
}

/// The test call, likewise.
pub(super) fn be_called(path: &Path) -> anyhow::Result<()> {
    let text = std::io::read_to_string(std::io::stdin()).context("reading the configuration")?;
    let mut config = Config::parse(&text, path)?;
    if config.access.is_invited() {
        // This user has no part in the list, and the owner is there.
        config.access.mode = Some(AccessMode::Open);
        println!("Until the test call is over, everybody on the chat server can call.");
    }
    logging::start(&config.log)?;
    block_on(async {
        let shutdown = shutdown()?;
        test_call(&config, &shutdown).await
    })
}

/// Is the camera until somebody has called and seen it.
async fn test_call(config: &Config, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let device = Daemon::new(config)?;
    let (observer, mut seen) = watch::channel(Snapshot::default());
    let supervision = Supervision {
        observer: Some(observer),
        ..Supervision::none(Instant::now())
    };
    println!(
        "Open the chat page and click \"{}\"; there are {} s for that.",
        config.server.name,
        setup::TEST_CALL.as_secs()
    );
    let call = setup::seen(&mut seen, config.video.fps);
    let mut result = Err(anyhow::anyhow!("the test call was broken off"));
    let end = async {
        tokio::select! {
            () = shutdown.cancelled() => {}
            outcome = call => result = outcome.map_err(Into::into),
        }
    };
    device.supervised(end, supervision).await;
    if result.is_ok() {
        println!("The call came, and the caller got a second of picture.");
    }
    result
}
