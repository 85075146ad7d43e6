//! The loop itself.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior};
use tracing::{debug, info, warn};

use super::access::Door;
use super::begun::Kept;
use super::privacy::Shutter;
use super::reload::Prepared;
use super::zones::Drawing;
use super::{EVENTS, LATENCY, StartError, sleep_until};
use crate::agent::{Agent, Command, Event, PeerEvent, SessionId};
use crate::config::{Config, ConfigError};
use crate::device::led::Led;
use crate::guestbook;
use crate::hooks::Hooks;
use crate::logging::Logging;
use crate::media::hub::Hub;
use crate::media::latency::Latency;
use crate::media::moved::Moved;
use crate::network::Network;
use crate::peer::{Peer, Peers};
use crate::recorder::Recorder;
use crate::service::{Service, Snapshot};
use crate::signaling::{Link, Server, SignalingEvent};

pub(super) struct Running {
    pub(super) config: Config,
    pub(super) led: Led,
    pub(super) agent: Agent,
    pub(super) server: Server,
    pub(super) peers: Arc<Peers>,
    pub(super) hub: Hub,
    pub(super) network: watch::Receiver<Network>,
    /// Where connections report.
    pub(super) tell: mpsc::Sender<(SessionId, PeerEvent)>,
    pub(super) live: HashMap<SessionId, Peer>,
    pub(super) closing: JoinSet<()>,
    pub(super) link: Option<Link>,
    pub(super) generation: u64,
    /// Why there is no chat server; its absence was logged.
    pub(super) away: Option<String>,
    pub(super) service: Service,
    pub(super) observer: Option<watch::Sender<Snapshot>>,
    pub(super) logging: Option<Logging>,
    /// A configuration that is being made ready.
    pub(super) preparing: JoinSet<Result<Box<Prepared>, StartError>>,
    pub(super) latency: Arc<Latency>,
    /// Who is let in, and what became of them.
    pub(super) door: Door,
    /// When camera and microphone stay closed.
    pub(super) shutter: Shutter,
    /// Where motion is looked for.
    pub(super) drawing: Drawing,
    /// What moves.
    pub(super) moves: broadcast::Receiver<Moved>,
    /// What is run then.
    pub(super) hooks: Hooks,
    /// How calls begin, where it is written down.
    pub(super) begun: Kept,
    /// What is kept of picture and sound.
    pub(super) recorder: Recorder,
}

/// Not several at once after the loop was held up.
fn every(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

impl Running {
    pub(super) async fn until_quit(
        &mut self,
        mut peer_events: mpsc::Receiver<(SessionId, PeerEvent)>,
        mut reloads: mpsc::Receiver<Result<Config, ConfigError>>,
        shutdown: impl Future<Output = ()>,
    ) {
        let (tell, mut frames) = mpsc::channel(EVENTS);
        tokio::pin!(shutdown);
        let mut stopping = false;
        let (mut minute, mut owner) = (every(LATENCY), every(guestbook::INTERVAL));
        self.look_who_was_invited();
        self.door.say(super::access::mode(&self.config));
        loop {
            self.report();
            self.recorder.watched(self.agent.watchers(Instant::now()));
            let timeout = sleep_until(self.agent.poll_timeout());
            let report = sleep_until(self.service.poll_timeout());
            let event = tokio::select! {
                () = &mut shutdown, if !stopping => {
                    stopping = true;
                    info!("stopping");
                    self.service.stopping();
                    Some(Event::Shutdown)
                }
                Some((session, event)) = peer_events.recv() => Some(Event::Peer(session, event)),
                Some((generation, event)) = frames.recv() => self.signaling(generation, event),
                Some(_) = self.closing.join_next() => None,
                Some(read) = reloads.recv(), if self.preparing.is_empty() => {
                    self.reload(read);
                    None
                }
                Some(prepared) = self.preparing.join_next() => {
                    self.reloaded(prepared);
                    None
                }
                Ok(()) = self.network.changed() => {
                    self.network.mark_unchanged();
                    Some(Event::NetworkChanged)
                }
                private = self.shutter.changed() => {
                    self.set_private(private);
                    None
                }
                () = self.drawing.changed() => {
                    self.drawing.obey(&self.hub);
                    None
                }
                moved = self.moves.recv() => {
                    self.moved(moved);
                    None
                }
                () = report => None,
                () = timeout => Some(Event::Timeout),
                _ = minute.tick() => {
                    self.log_latency(Instant::now());
                    None
                }
                _ = owner.tick() => {
                    self.shutter.look();
                    self.begun.look(self.peers.begun(), Instant::now());
                    self.look_who_was_invited();
                    None
                }
            };
            // Who has just been given a key may use it already.
            if self.door.is_dirty() {
                self.look_who_was_invited();
            }
            if let Some(event) = event {
                self.agent.handle(event, Instant::now());
            }
            while let Some(command) = self.agent.next_command() {
                if !self.obey(command, &tell) {
                    self.write_down();
                    return;
                }
            }
            self.write_down();
        }
    }

    /// Tells the service manager how it goes.
    pub(super) fn report(&mut self) {
        if !self.service.is_supervised() && self.observer.is_none() {
            return;
        }
        let snapshot = Snapshot {
            name: self.agent.name().map(ToString::to_string),
            away: self.away.clone(),
            viewers: self.agent.viewers(),
            connected: self.agent.connected(),
            picture: self.hub.status().borrow().video.clone(),
            progress: self.hub.progress(),
        };
        self.service
            .turn(Instant::now(), &snapshot, || self.hub.nudge());
        if let Some(observer) = &self.observer {
            observer.send_replace(snapshot);
        }
    }

    /// One line, while there are viewers, and one while the echo canceller has work.
    pub(super) fn log_latency(&self, now: Instant) {
        let report = self.latency.report(now);
        if report.was_watched() {
            debug!(p50_p95_ms = %report, "latency");
        }
        if let Some(report) = self.hub.played().report() {
            debug!(%report, "what the echo canceller did");
        }
    }

    pub(super) fn signaling(&mut self, generation: u64, event: SignalingEvent) -> Option<Event> {
        if generation != self.generation {
            return None;
        }
        Some(match event {
            SignalingEvent::Open => {
                self.away = None;
                info!(server = %self.server.url(), "connected to the chat server");
                Event::SignalingOpen
            }
            SignalingEvent::Frame(frame) => Event::Message(frame),
            SignalingEvent::Closed(reason) => {
                self.link = None;
                // Once when it goes away; each further try would repeat it.
                if self.away.is_some() {
                    debug!(%reason, "the chat server is still away");
                } else {
                    warn!(server = %self.server.url(), %reason, "no chat server");
                }
                self.away = Some(reason);
                Event::SignalingClosed
            }
        })
    }

    /// Carries a command out; false for the one that ends the loop.
    pub(super) fn obey(
        &mut self,
        command: Command,
        frames: &mpsc::Sender<(u64, SignalingEvent)>,
    ) -> bool {
        match command {
            Command::Connect => {
                self.generation += 1;
                self.link = Some(self.server.connect(self.generation, frames.clone()));
            }
            Command::Disconnect => {
                if let Some(link) = self.link.take() {
                    link.abort();
                }
                self.generation += 1;
            }
            Command::Probe => {
                if let Some(link) = &self.link {
                    link.probe();
                }
            }
            Command::Send(frame) => {
                if let Some(link) = &self.link {
                    link.send(frame);
                }
            }
            Command::Open {
                session,
                caller,
                guest,
                person,
                offer,
            } => {
                let peer = self.peers.open(session, (&caller, person), guest, offer);
                self.live.insert(session, peer);
            }
            Command::Renegotiate { session, offer } => {
                if let Some(peer) = self.live.get(&session) {
                    peer.renegotiate(offer);
                }
            }
            Command::AddCandidate { session, candidate } => {
                if let Some(peer) = self.live.get(&session) {
                    peer.add_candidate(candidate);
                }
            }
            Command::Close { session } => {
                if let Some(peer) = self.live.remove(&session) {
                    self.closing.spawn(peer.close());
                }
            }
            Command::KeepKey { id } => {
                if let Some(desk) = self.door.desk() {
                    self.closing.spawn(async move { desk.keep(id).await });
                }
            }
            Command::Quit => return false,
        }
        true
    }
}
