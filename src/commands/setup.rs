//! `camera-agent setup`, and the two parts of it that run in processes of their
//! own, as `camera-agent setup-look` and `camera-agent setup-test-call`.

use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::process::{block_on, shutdown};
use crate::config::Config;
use crate::daemon::{Daemon, Supervision};
use crate::device::led::Led;
use crate::media::element;
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
    let is_asked = answers.is_some();
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
    let begun = begin(&done, arguments, &mut person);
    if begun.is_ok() {
        println!(
            "Now start the camera: systemctl restart {}",
            setup::unit(&arguments.config)
        );
    }
    // The configuration is there, whatever came of the rest.
    if is_asked || arguments.invite {
        first_invitation(&done.config, &arguments.config);
    }
    begun
}

/// What follows from the configuration: the chat server, and a test call if that
/// is wanted.
fn begin(
    done: &setup::Done,
    arguments: &cli::Setup,
    person: &mut Option<impl BufRead>,
) -> anyhow::Result<()> {
    if let Some(board) = &done.board {
        match board.start()? {
            true => println!("The chat server runs, now and at each start"),
            false => println!("Now start the chat server: {}", board.command()),
        }
    }
    let call = match person {
        Some(answers) if !arguments.test_call => {
            setup::wants_test_call(answers, &mut std::io::stdout())?
        }
        _ => arguments.test_call,
    };
    if call {
        setup::apart::test_call(&arguments.config)?;
    }
    Ok(())
}

/// Ends a set-up, which filled in the configuration at `path`: the owner is the
/// first who is invited.
fn first_invitation(config: &Config, path: &Path) {
    println!();
    match owner::invite_owner(config, state::of_service(path), &mut std::io::stdout()) {
        Ok(true) => {}
        Ok(false) if config.access.is_invited() => println!(
            "Somebody was invited already (sudo camera-agent viewers); for one more: sudo \
             camera-agent invite LABEL"
        ),
        Ok(false) => println!(
            "This camera is open: everybody who reaches the chat server sees it. For people alone \
             whom you invite, set access.mode = \"invited\"."
        ),
        Err(error) => {
            println!("{error}\nTo watch, invite yourself: sudo camera-agent invite LABEL");
        }
    }
}

/// What there is to choose from, for a set-up whose user this is not.
pub(super) fn look() -> anyhow::Result<()> {
    element::init()?;
    println!("{}", serde_json::to_string(&Hardware::look())?);
    Ok(())
}

/// The test call, likewise.
pub(super) fn be_called(path: &Path) -> anyhow::Result<()> {
    let text = std::io::read_to_string(std::io::stdin()).context("reading the configuration")?;
    let mut config = Config::parse(&text, path)?;
    // This user has no part in the list of invited people.
    let visit = match config.access.is_invited() {
        true => Some(owner::Visit::of(&mut config, &mut std::io::stdout())?),
        false => None,
    };
    logging::start(&config.log)?;
    block_on(async {
        let shutdown = shutdown()?;
        test_call(&config, visit.is_some(), &shutdown).await
    })
}

/// Is the camera until somebody has called and seen it.
async fn test_call(
    config: &Config,
    is_visit: bool,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let device = Daemon::new(config)?;
    let (observer, mut seen) = watch::channel(Snapshot::default());
    let supervision = Supervision {
        observer: Some(observer),
        ..Supervision::none(Instant::now())
    };
    let seconds = setup::TEST_CALL.as_secs();
    match is_visit {
        true => println!("Open this link; there are {seconds} s for that."),
        false => println!(
            "Open the chat page and click \"{}\"; there are {seconds} s for that.",
            config.server.name
        ),
    }
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
