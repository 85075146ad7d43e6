//! The device's one loop: events in, commands out, until told to stop.

mod access;
pub(crate) mod begun;
mod changes;
mod media;
mod motion;
mod privacy;
mod reload;
mod running;
mod zones;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::access::Gate;
use crate::agent::{Agent, AgentConfig, PeerEvent, SessionId};
use crate::config::{AudioSource, Config, ConfigError};
use crate::device::hotplug::Hotplug;
use crate::device::led::Led;
use crate::hooks::Hooks;
use crate::logging::Logging;
use crate::media::error::MediaError;
use crate::media::hub::Hub;
use crate::media::hub::HubThread;
use crate::media::hub::source::Source;
use crate::media::probe::Encoders;
use crate::media::{element, gst};
use crate::network::{self, Network};
use crate::peer::{Identity, PeerError, Peers, Quality, TalkBack};
use crate::privacy::Key;
use crate::rate::Settings;
use crate::recorder::Recorder;
use crate::sdp::{ProfileLevelId, VideoCodec};
use crate::servers::Servers;
use crate::service::{Service, Snapshot};
use crate::signaling::{Server, SignalingError};
use access::Door;
use begun::Kept;

use media::{Media, media};
use privacy::Shutter;
use running::Running;
use zones::Drawing;

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
    pub(crate) fn is_configuration(&self) -> bool {
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
pub(crate) fn problems(config: &Config) -> Vec<StartError> {
    let gstreamer = || {
        element::init()?;
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
        Key::of(&config.privacy).err().map(StartError::from),
        Servers::load(&config.ice).err().map(StartError::from),
        server.and_then(Result::err).map(StartError::from),
        gstreamer().err().map(StartError::from),
    ]
    .into_iter()
    .flatten()
    .collect()
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
    shutter: Shutter,
    drawing: Drawing,
    recorder: Recorder,
}

impl Daemon {
    /// Makes everything ready ahead of the first call: the encoder is tried,
    /// the certificate made.
    pub fn new(config: &Config) -> Result<Self, StartError> {
        config.validate()?;
        element::init()?;
        gst::check_descriptions(&config.video, &config.audio)?;
        let led = Led::new(config.led.path.as_deref()).map_err(MediaError::from)?;
        let shutter = Shutter::new(config)?;
        let Media {
            source,
            profile,
            qualities,
        } = media(config, &led, &|| shutter.is_closed())?;
        let mut this = Self::assemble(config, shutter, source, profile, qualities)?;
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
        Self::assemble(config, Shutter::new(config)?, source, profile, qualities)
    }

    fn assemble(
        config: &Config,
        shutter: Shutter,
        source: Box<dyn Source>,
        profile: Option<ProfileLevelId>,
        qualities: Settings,
    ) -> Result<Self, StartError> {
        let name = config.name()?;
        let server = Server::new(&config.server)?;
        let servers = Servers::load(&config.ice)?;
        let door = Door::new(config)?;
        let drawing = Drawing::new(config);
        let identity = Identity::of_this_device()?;
        let fingerprint = identity.sha256();
        let (hub, media) = Hub::start_so(source, profile, shutter.is_closed());
        let (tell, events) = mpsc::channel(EVENTS);
        let network = watch::Sender::new(Network::now());
        let with_audio = config.audio.source != AudioSource::None;
        let viewer_controls = config.video.viewer_controls.clone();
        let recorder = Recorder::new(hub.clone(), shutter.privacy().subscribe());
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
        .giving_keys(door.desk())
        .with_privacy(shutter.privacy())
        .with_zones(drawing.zones())
        .with_speaker(TalkBack::new(&config.speaker, &hub, shutter.privacy()))
        .with_recordings(recorder.recordings());
        drawing.obey(&hub);
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
            shutter,
            drawing,
            recorder,
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
    pub(crate) async fn supervised(self, shutdown: impl Future<Output = ()>, by: Supervision) {
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
            mut shutter,
            drawing,
            mut recorder,
        } = self;
        shutter.listen();
        recorder.take(&config, privacy::folder(&config));
        let changes = network.subscribe();
        let listening = tokio::spawn(network::listen(network));
        let latency = hub.latency().clone();
        let listener = hub.clone();
        let hotplug = Hotplug::listen(move || listener.device_appeared());
        let mut running = Running {
            hooks: Hooks::new(config.hooks.clone()),
            begun: Kept::new(&config),
            moves: hub.moves().listen().1,
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
            shutter,
            drawing,
            recorder,
        };
        running.until_quit(events, by.reloads, shutdown).await;
        drop(hotplug);
        listening.abort();
        let goodbye = async {
            if let Some(link) = running.link.take() {
                link.close().await;
            }
            while running.closing.join_next().await.is_some() {}
            running.recorder.stop().await;
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

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
