//! What commands that go on share: a runtime, and signals that end it.

use std::future::Future;
use std::time::Instant;

use anyhow::Context as _;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::device::led;
use crate::ending::{Ending, Response, Signal};

/// One thread: the encoder has threads of its own, and frames of all viewers
/// leave in the order in which they came.
pub(super) fn block_on<T>(run: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the asynchronous runtime")?;
    let result = runtime.block_on(run);
    // A camera's driver that does not let go must not keep the process.
    runtime.shutdown_background();
    led::off_at_exit();
    result
}

/// Cancelled by the first SIGTERM or SIGINT; another one ends the process at
/// once, as [`Ending`] judges.
pub(super) fn shutdown() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        let mut ending = Ending::default();
        loop {
            let signal = tokio::select! {
                _ = terminate.recv() => Signal::Terminate,
                _ = interrupt.recv() => Signal::Interrupt,
            };
            match ending.on(signal, Instant::now()) {
                Response::Stop => stop.cancel(),
                Response::Nothing => {}
                Response::Exit => {
                    error!("ended by a second signal");
                    led::off_at_exit();
                    #[expect(
                        clippy::disallowed_methods,
                        reason = "who signals twice does not wait; the light is off"
                    )]
                    std::process::exit(1);
                }
            }
        }
    });
    Ok(token)
}
