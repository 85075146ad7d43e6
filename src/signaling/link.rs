//! A connection as its owner holds it, and the task that carries its frames.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::{SinkExt, StreamExt};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tracing::{debug, trace, warn};

use super::SignalingEvent;
use super::open::{Opened, Socket};
use crate::network::Network;
use crate::wire::{Incoming, MAX_FRAME_BYTES, Outgoing, WireError};

/// A silent server is pinged then, and given up at twice that. The original
/// server pings every 20 s, so this seldom happens.
const SILENCE: Duration = Duration::from_secs(25);
/// The same where there is reason to doubt that the server is there.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// Time to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// A connection, open or being opened.
pub(crate) struct Link {
    pub(super) frames: mpsc::Sender<Outgoing>,
    pub(super) doubt: Arc<Notify>,
    pub(super) task: JoinHandle<()>,
}

impl Link {
    /// Queues a frame. A server that does not take them for so long that the
    /// queue is full loses the rest; the connection is about to be given up.
    pub(crate) fn send(&self, frame: Outgoing) {
        if self.frames.try_send(frame).is_err() {
            debug!("the chat server does not take frames; one was dropped");
        }
    }

    /// Finds out soon whether the server is still there: the network may have
    /// been lost. One that is being connected to is tried anew.
    pub(crate) fn probe(&self) {
        self.doubt.notify_one();
    }

    /// Sends what is queued, says goodbye, and waits for a short time.
    pub(crate) async fn close(self) {
        drop(self.frames);
        let mut task = self.task;
        if timeout(CLOSE_TIMEOUT * 2, &mut task).await.is_err() {
            task.abort();
        }
    }

    /// Drops the connection without a word.
    pub(crate) fn abort(self) {
        self.task.abort();
    }
}

pub(super) async fn carry(
    opened: Opened,
    mut outbox: mpsc::Receiver<Outgoing>,
    doubted: &Notify,
    generation: u64,
    events: &mpsc::Sender<(u64, SignalingEvent)>,
) -> String {
    let Opened { mut socket, local } = opened;
    let mut heard = Instant::now();
    let mut pinged = false;
    // An answer to a probe is due by then.
    let mut probed: Option<Instant> = None;
    let mut bad_frames = 0_u32;
    loop {
        let silent_at = probed.unwrap_or(heard + if pinged { SILENCE * 2 } else { SILENCE });
        tokio::select! {
            frame = outbox.recv() => {
                let Some(frame) = frame else {
                    let _ = timeout(CLOSE_TIMEOUT, socket.close(None)).await;
                    return "closed by us".into();
                };
                if let Err(end) = send(&mut socket, &frame).await {
                    return end;
                }
            }
            message = socket.next() => {
                heard = Instant::now();
                pinged = false;
                probed = None;
                let text = match message {
                    Some(Ok(Message::Text(text))) => text,
                    Some(Ok(Message::Close(_))) | None => return "it closed the connection".into(),
                    Some(Ok(_)) => continue,
                    Some(Err(error)) => return format!("it broke the connection: {error}"),
                };
                trace!(%text, "received");
                match Incoming::parse(&text) {
                    Ok(frame) => {
                        if events.send((generation, SignalingEvent::Frame(frame))).await.is_err() {
                            return "closed by us".into();
                        }
                    }
                    Err(error) => {
                        bad_frames += 1;
                        log_bad(&error, bad_frames);
                    }
                }
            }
            () = doubted.notified() => {
                if local.is_some_and(|ip| !Network::now().carries(ip)) {
                    return "this machine has another address now".into();
                }
                if probed.is_none() {
                    let until = Instant::now() + PROBE_TIMEOUT;
                    probed = Some(until);
                    let ping = socket.send(Message::Ping(Default::default()));
                    if timeout_at(until, ping).await.is_err() {
                        return "it takes no data".into();
                    }
                }
            }
            _ = tokio::time::sleep_until(silent_at) => {
                if probed.is_some() {
                    return format!("it was silent for {} s", PROBE_TIMEOUT.as_secs());
                }
                if pinged {
                    return format!("it was silent for {} s", (SILENCE * 2).as_secs());
                }
                pinged = true;
                let ping = socket.send(Message::Ping(Default::default()));
                if timeout_at(silent_at + SILENCE, ping).await.is_err() {
                    return "it takes no data".into();
                }
            }
        }
    }
}

/// Sends a frame; why the connection is over, where it is.
async fn send(socket: &mut Socket, frame: &Outgoing) -> Result<(), String> {
    let text = frame.to_text(milliseconds());
    if text.len() > MAX_FRAME_BYTES {
        warn!(
            bytes = text.len(),
            "a frame too long for the chat server was not sent"
        );
        return Ok(());
    }
    trace!(%text, "sent");
    match timeout(SILENCE, socket.send(Message::text(text))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("it broke the connection: {error}")),
        Err(_) => Err("it takes no data".into()),
    }
}

/// The first one says that there may be more.
fn log_bad(error: &WireError, number: u32) {
    if number == 1 {
        warn!(%error, "a frame was not understood and is ignored; more are logged at DEBUG");
    } else {
        debug!(%error, "a frame was not understood");
    }
}

/// The wall clock in ms since 1970, as the protocol's `date`.
fn milliseconds() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |d| d.as_millis() as u64)
}
