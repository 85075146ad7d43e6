//! The device's one loop: events in, commands out, until told to stop.

mod access;
mod changes;
mod reload;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tracing::{debug, info, warn};

use crate::access::Gate;
use crate::agent::{Agent, AgentConfig, Command, Event, PeerEvent, SessionId};
use crate::config::{AudioSource, Config, ConfigError, VideoSource};
use crate::device::hotplug::Hotplug;
use crate::device::learned::Learned;
use crate::device::led::Led;
use crate::guestbook;
use crate::logging::Logging;
use crate::media::error::MediaError;
use crate::media::gst::{self, GstSource};
use crate::media::hub::Hub;
use crate::media::hub::HubThread;
use crate::media::hub::source::Source;
use crate::media::latency::Latency;
use crate::media::plan;
use crate::media::probe::Encoders;
use crate::network::{self, Network};
use crate::peer::{Identity, Peer, PeerError, Peers, Quality};
use crate::rate::Settings;
use crate::sdp::{ProfileLevelId, VideoCodec};
use crate::servers::Servers;
use crate::service::{Service, Snapshot};
use crate::signaling::{Link, Server, SignalingError, SignalingEvent};
use access::Door;
use reload::Prepared;

/// Events that wait for the loop.
const EVENTS: usize = 1024;
/// How often the log is told where the time of the frames goes.
const LATENCY: Duration = Duration::from_secs(60);
/// Goodbyes have this long; systemd and people expect less than 2 s.
const SHUTDOWN: Duration = Duration::from_millis(1_500);

/// Why the device cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The chat server's address or certificates.
    #[error(transparent)]
    Signaling(#[from] SignalingError),
    /// Picture or sound.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// WebRTC.
    #[error(transparent)]
    Peer(#[from] PeerError),
}

impl StartError {
    /// The configuration has to change before another start can go better.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Config(_) => true,
            Self::Signaling(error) => match error {
                SignalingError::Config(_) | SignalingError::Authority { .. } => true,
                SignalingError::Tls(_) => false,
            },
            Self::Media(error) => matches!(
                error,
                MediaError::UnknownEncoder { .. } | MediaError::Description { .. }
            ),
            Self::Peer(_) => false,
        }
    }
}

/// Checks all that can be checked without a camera and without a network.
pub fn check(config: &Config) -> Result<(), StartError> {
    if let Some(first) = problems(config).into_iter().next() {
        return Err(first);
    }
    Encoders::for_this_machine(config)?.best(VideoCodec::H264)?;
    Ok(())
}

/// Picture and sound for a configuration.
struct Media {
    source: Box<dyn Source>,
    /// What is known of the H.264 stream before it runs.
    profile: Option<ProfileLevelId>,
    qualities: Settings,
}

/// Makes them ready: the encoders are tried.
fn media(config: &Config, led: &Led) -> Result<Media, StartError> {
    let encoders = Arc::new(Encoders::for_this_machine(config)?);
    let found = encoders.best(VideoCodec::H264)?;
    let profile = found.report.profile();
    info!(
        encoder = %found.encoder.id, hardware = found.encoder.hardware,
        profile = %profile.map(|p| p.to_string()).unwrap_or_default(),
        "encoder"
    );
    let mut whole = config.video.shown_size();
    if config.video.source == VideoSource::V4l2 {
        // To look at a camera is to open its node.
        let plan = led.light().map_err(MediaError::from).and_then(|_lit| {
            gst::plan_picture(&config.video, &found.encoder.formats, &Learned::default())
        });
        match plan {
            Ok(plan) => {
                info!("{}: {}", plan.what, plan.reason);
                whole = plan.size;
            }
            Err(error) => warn!(%error, "callers will see no picture until this is mended"),
        }
    }
    let size = plan::tier_size(&config.video, whole, 1);
    let beside = encoders.beside_best(VideoCodec::H264, size);
    if let Err(error) = &beside {
        info!(%error, "there are no smaller pictures");
    }
    let floor = found.encoder.rate_range.0;
    let qualities = Settings::of(config, whole, floor, beside.is_ok());
    try_others(encoders.clone(), found.encoder.id.to_string());
    let source = GstSource::new(
        config.video.clone(),
        config.audio.clone(),
        found.encoder,
        encoders,
    );
    Ok(Media {
        source: Box::new(source.with_led(led.clone())),
        profile,
        qualities,
    })
}

/// Who watches over a device while it runs.
pub struct Supervision {
    /// The service manager.
    pub service: Service,
    /// Who wants to see what the service manager is told.
    pub observer: Option<watch::Sender<Snapshot>>,
    /// Whose level a new configuration may change.
    pub logging: Option<Logging>,
    /// Configurations to take over, each as it was read, or why it could not
    /// be.
    pub reloads: mpsc::Receiver<Result<Config, ConfigError>>,
}

impl Supervision {
    /// Nobody does.
    pub fn none(now: Instant) -> Self {
        Self {
            service: Service::none(now),
            observer: None,
            logging: None,
            reloads: mpsc::channel(1).1,
        }
    }
}

/// Everything that is wrong with a configuration, but for its encoder: that is
/// found out by encoding.
pub fn problems(config: &Config) -> Vec<StartError> {
    let gstreamer = || {
        gst::init()?;
        gst::check_descriptions(&config.video, &config.audio)
    };
    // What is wrong with its keys is said once.
    let server = config
        .server
        .validate()
        .is_ok()
        .then(|| Server::new(&config.server));
    [
        config.validate().err().map(StartError::from),
        Servers::load(&config.ice).err().map(StartError::from),
        server.and_then(Result::err).map(StartError::from),
        gstreamer().err().map(StartError::from),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Tries the encoders that will be needed when the first one fails, or for a
/// browser without H.264, before anybody waits for them.
fn try_others(encoders: Arc<Encoders>, first: String) {
    let others = move || {
        let next = encoders.after(&first);
        let vp8 = encoders.best(VideoCodec::Vp8);
        debug!(
            next = next.map(|f| f.encoder.id.to_string()),
            vp8 = vp8.map(|f| f.encoder.id.to_string()).ok(),
            "other encoders"
        );
    };
    let thread = std::thread::Builder::new().name("encoder-trial".into());
    if let Err(error) = thread.spawn(others) {
        warn!(%error, "other encoders are tried when they are needed");
    }
}

/// A device, ready to run.
pub struct Daemon {
    config: Config,
    led: Led,
    agent: Agent,
    server: Server,
    peers: Arc<Peers>,
    media: HubThread,
    hub: Hub,
    network: watch::Sender<Network>,
    tell: mpsc::Sender<(SessionId, PeerEvent)>,
    events: mpsc::Receiver<(SessionId, PeerEvent)>,
    door: Door,
}

impl Daemon {
    /// Makes everything ready ahead of the first call: the encoder is tried,
    /// the certificate made.
    pub fn new(config: &Config) -> Result<Self, StartError> {
        config.validate()?;
        gst::init()?;
        gst::check_descriptions(&config.video, &config.audio)?;
        let led = Led::new(config.led.path.as_deref()).map_err(MediaError::from)?;
        let Media {
            source,
            profile,
            qualities,
        } = media(config, &led)?;
        let mut this = Self::assemble(config, source, profile, qualities)?;
        this.led = led;
        Ok(this)
    }

    /// The same over another source, for tests and benches.
    pub fn with_source(
        config: &Config,
        source: Box<dyn Source>,
        profile: Option<ProfileLevelId>,
    ) -> Result<Self, StartError> {
        let qualities = Settings::of(config, config.video.shown_size(), 0, true);
        Self::assemble(config, source, profile, qualities)
    }

    fn assemble(
        config: &Config,
        source: Box<dyn Source>,
        profile: Option<ProfileLevelId>,
        qualities: Settings,
    ) -> Result<Self, StartError> {
        let name = config.name()?;
        let server = Server::new(&config.server)?;
        let servers = Servers::load(&config.ice)?;
        let door = Door::new(config)?;
        let identity = Identity::of_this_device()?;
        let fingerprint = identity.sha256();
        let (hub, media) = Hub::start(source, profile);
        let (tell, events) = mpsc::channel(EVENTS);
        let network = watch::Sender::new(Network::now());
        let with_audio = config.audio.source != AudioSource::None;
        let viewer_controls = config.video.viewer_controls.clone();
        let peers = Peers::new(
            hub.clone(),
            Quality::new(hub.clone(), qualities),
            with_audio,
            viewer_controls,
            servers,
            identity,
            tell.clone(),
        )
        .on(network.subscribe())
        .giving_keys(door.desk());
        let gate = Gate::new(access::mode(config), name.as_str(), fingerprint);
        let agent = Agent::new(
            AgentConfig {
                name,
                max_viewers: config.viewers.max,
                seed: fastrand::u64(..),
            },
            Instant::now(),
        )
        .behind(gate);
        Ok(Self {
            config: config.clone(),
            led: Led::default(),
            agent,
            server,
            peers: Arc::new(peers),
            media,
            hub,
            network,
            tell,
            events,
            door,
        })
    }

    /// Runs until `shutdown` is ready, then says goodbye to every viewer,
    /// closes every device and returns, all within 2 s.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let now = Instant::now();
        self.supervised(shutdown, Supervision::none(now)).await;
    }

    /// The same for a service manager that wants to be told how it goes, and
    /// for who hands in other configurations while it runs.
    pub async fn supervised(self, shutdown: impl Future<Output = ()>, by: Supervision) {
        let Self {
            config,
            led,
            agent,
            server,
            peers,
            media,
            hub,
            network,
            tell,
            events,
            door,
        } = self;
        let changes = network.subscribe();
        let listening = tokio::spawn(network::listen(network));
        let latency = hub.latency().clone();
        let listener = hub.clone();
        let hotplug = Hotplug::listen(move || listener.device_appeared());
        let mut running = Running {
            config,
            led,
            agent,
            server,
            peers,
            hub,
            network: changes,
            tell,
            live: HashMap::new(),
            closing: JoinSet::new(),
            link: None,
            generation: 0,
            away: None,
            service: by.service,
            observer: by.observer,
            logging: by.logging,
            preparing: JoinSet::new(),
            latency,
            door,
        };
        running.until_quit(events, by.reloads, shutdown).await;
        drop(hotplug);
        listening.abort();
        let goodbye = async {
            if let Some(link) = running.link.take() {
                link.close().await;
            }
            while running.closing.join_next().await.is_some() {}
        };
        if tokio::time::timeout(SHUTDOWN, goodbye).await.is_err() {
            warn!("some viewers could not be told goodbye in time");
        }
        // A camera's driver that hangs must not keep the process.
        let stopped = tokio::task::spawn_blocking(move || media.stop());
        if tokio::time::timeout(SHUTDOWN / 4, stopped).await.is_err() {
            warn!("the camera or the microphone did not close in time");
        }
        info!("stopped");
    }
}

struct Running {
    config: Config,
    led: Led,
    agent: Agent,
    server: Server,
    peers: Arc<Peers>,
    hub: Hub,
    network: watch::Receiver<Network>,
    /// Where connections report.
    tell: mpsc::Sender<(SessionId, PeerEvent)>,
    live: HashMap<SessionId, Peer>,
    closing: JoinSet<()>,
    link: Option<Link>,
    generation: u64,
    /// Why there is no chat server; its absence was logged.
    away: Option<String>,
    service: Service,
    observer: Option<watch::Sender<Snapshot>>,
    logging: Option<Logging>,
    /// A configuration that is being made ready.
    preparing: JoinSet<Result<Box<Prepared>, StartError>>,
    latency: Arc<Latency>,
    /// Who is let in, and what became of them.
    door: Door,
}

impl Running {
    async fn until_quit(
        &mut self,
        mut peer_events: mpsc::Receiver<(SessionId, PeerEvent)>,
        mut reloads: mpsc::Receiver<Result<Config, ConfigError>>,
        shutdown: impl Future<Output = ()>,
    ) {
        let (tell, mut frames) = mpsc::channel(EVENTS);
        tokio::pin!(shutdown);
        let mut stopping = false;
        let mut minute = tokio::time::interval(LATENCY);
        minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut owner = tokio::time::interval(guestbook::INTERVAL);
        owner.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.look_who_was_invited();
        self.door.say(self::access::mode(&self.config));
        loop {
            self.report();
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
                () = report => None,
                () = timeout => Some(Event::Timeout),
                _ = minute.tick() => {
                    self.log_latency(Instant::now());
                    None
                }
                _ = owner.tick() => {
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
    fn report(&mut self) {
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

    /// One line, while there are viewers.
    fn log_latency(&self, now: Instant) {
        let report = self.latency.report(now);
        if report.was_watched() {
            debug!(p50_p95_ms = %report, "latency");
        }
    }

    fn signaling(&mut self, generation: u64, event: SignalingEvent) -> Option<Event> {
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
    fn obey(&mut self, command: Command, frames: &mpsc::Sender<(u64, SignalingEvent)>) -> bool {
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
                offer,
            } => {
                let peer = self.peers.open(session, &caller, guest, offer);
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

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
