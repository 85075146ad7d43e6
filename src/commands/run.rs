//! `camera-agent run`: the device, until it is told to stop.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::process::{block_on, shutdown};
use super::restarts::{self, Restarts};
use crate::cli;
use crate::config::{Config, ConfigError};
use crate::daemon::{self, Daemon, Supervision};
use crate::logging;
use crate::service::{self, Service};

/// A start takes no longer, a trial of each encoder included.
const START: Duration = Duration::from_secs(90);

/// Is the camera, or only says whether it could be.
pub(super) fn run(arguments: &cli::Run) -> anyhow::Result<()> {
    let config = arguments.configuration()?;
    if arguments.check {
        daemon::check(&config)?;
        println!("the configuration is valid");
        return Ok(());
    }
    let logging = logging::start(&config.log)?;
    let restarts = Restarts::count();
    block_on(async {
        let shutdown = shutdown()?;
        let reloads = reloads(arguments)?;
        if let Some(restarts) = &restarts {
            rest(restarts.bad_runs, &shutdown).await;
        }
        if !shutdown.is_cancelled() {
            let device = Daemon::new(&config)?;
            let supervision = Supervision {
                service: Service::from_environment(Instant::now()),
                observer: None,
                logging: Some(logging),
                reloads,
            };
            let run = device.supervised(shutdown.cancelled(), supervision);
            tokio::pin!(run);
            tokio::select! {
                () = &mut run => {}
                () = tokio::time::sleep(restarts::GOOD) => {
                    if let Some(restarts) = &restarts {
                        restarts.good();
                    }
                    run.await;
                }
            }
        }
        if let Some(restarts) = &restarts {
            restarts.good();
        }
        Ok(())
    })
}

/// Waits before a run that follows so many that did not last.
async fn rest(bad_runs: u32, shutdown: &CancellationToken) {
    let delay = restarts::delay(bad_runs);
    if delay.is_zero() {
        return;
    }
    let why = format!(
        "{bad_runs} runs in a row did not last; the next begins in {} s",
        delay.as_secs()
    );
    warn!("{why}");
    service::waiting(delay + START, &why);
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        () = shutdown.cancelled() => {}
    }
}

/// Reads the configuration again at each SIGHUP. Not on a terminal, where that
/// signal says that the terminal is gone.
fn reloads(arguments: &cli::Run) -> anyhow::Result<mpsc::Receiver<Result<Config, ConfigError>>> {
    let (read, reloads) = mpsc::channel(1);
    if arguments.config.is_some() && !std::io::stdin().is_terminal() {
        let mut hangup = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
        let arguments = arguments.clone();
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                if read.send(arguments.configuration()).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(reloads)
}
