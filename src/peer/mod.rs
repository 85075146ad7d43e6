//! One viewer's WebRTC connection, over webrtc-rs.
//!
//! A [`Peer`] is a task that owns the connection: it answers offers, takes
//! candidates and reports what happens as [`PeerEvent`]s. It decides nothing:
//! that is the [agent](crate::agent)'s part.
//!
//! The crate's event handlers run on the task that drives ICE, DTLS and SRTP,
//! so they only put what they hear into a channel.
//!
//! A viewer who opens the data channel [`messages::LABEL`] is told how picture
//! and sound are; one who opens none is sent media alone. One for [`files`] is for
//! recordings.

mod assembly;
mod channel;
mod connection;
mod controls;
mod convoy;
pub mod crypto;
mod engine;
mod events;
mod files;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod identity;
mod interceptor;
pub(crate) mod messages;
mod path;
mod quality;
#[cfg(any(test, fuzzing))]
pub(crate) mod rehearsal;
mod rtp;
mod sctp;
mod socket;
pub(crate) mod stages;
mod stats;
pub(crate) mod talk;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{Instrument, debug, info_span, warn};

use crate::access::Guest;
use crate::agent::{PeerEvent, Person, SessionId};
use crate::guestbook::Desk;
use crate::media::hub::Hub;
use crate::network::Network;
use crate::privacy::Privacy;
use crate::reason::{Code, Reason};
use crate::recorder::Recordings;
use crate::sdp::{Offer, OfferError, RemoteCandidate};
use crate::servers::Servers;
use crate::wire::UserName;
use crate::zones::Zones;
use connection::Connection;
use controls::ViewerControls;
pub(crate) use identity::Identity;
use path::known::Bounds;
use path::memory::Memory;
pub(crate) use quality::Quality;
use socket::binding::{Binding, PortLines};
use socket::guard::Together;
use stages::Begun;
pub(crate) use talk::TalkBack;

/// Offers and candidates that wait for a connection.
const COMMANDS: usize = 256;
/// Characters of the crate's words that are repeated.
const MOST_WORDS: usize = 200;

/// Why a connection could not be made or a description not be applied.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The DTLS certificate could not be made.
    #[error("cannot make a DTLS certificate: {0}")]
    Certificate(String),
    /// webrtc-rs refused.
    #[error("{doing}: {error}")]
    Webrtc {
        /// What was being done.
        doing: &'static str,
        /// The crate's words.
        error: String,
    },
    /// A later offer does not go on with what was agreed.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// A viewer opens one data channel after another.
    #[error("the page opened more than {0} data channels")]
    Channels(usize),
}

impl PeerError {
    /// As the caller is told.
    fn reason(&self) -> Reason {
        let code = match self {
            Self::Certificate(_) | Self::Webrtc { .. } => Code::CameraFault,
            Self::Offer(error) => error.code(),
            Self::Channels(_) => Code::TooManyChannels,
        };
        Reason::new(code, self.to_string())
    }
}

fn while_doing<E: std::fmt::Display>(doing: &'static str) -> impl FnOnce(E) -> PeerError {
    move |error| PeerError::Webrtc {
        doing,
        // It goes to the caller.
        error: error.to_string().chars().take(MOST_WORDS).collect(),
    }
}

/// What every connection shares.
pub(crate) struct Peers {
    hub: Hub,
    with_audio: bool,
    identity: Identity,
    servers: Arc<Servers>,
    binding: Binding,
    quality: Arc<Quality>,
    memory: Mutex<Memory>,
    network: watch::Receiver<Network>,
    controls: ViewerControls,
    together: Together,
    /// How the last calls began.
    begun: Begun,
    /// Where browsers get keys of their own.
    desk: Option<Desk>,
    /// What those who may control the camera may switch.
    privacy: Option<Privacy>,
    /// Where motion is looked for, which they may draw.
    zones: Option<Zones>,
    /// Where those are heard who may talk.
    talk: Option<Arc<TalkBack>>,
    /// What those who may see it are shown of the time before.
    recordings: Recordings,
    /// One picture is made at a time.
    still: files::still::Newest,
    /// What strangers' files have together.
    strangers_files: files::pace::Together,
    events: mpsc::Sender<(SessionId, PeerEvent)>,
}

/// A viewer's connection; it closes when this is dropped.
pub(crate) struct Peer {
    commands: mpsc::Sender<PeerCommand>,
    task: JoinHandle<()>,
}

enum PeerCommand {
    Offer(Box<Offer>),
    Candidate(RemoteCandidate),
}

impl Peers {
    /// For connections to come. Viewers may set the camera's `viewer_controls`. Events
    /// of all connections go to `events`.
    pub(crate) fn new(
        hub: Hub,
        quality: Arc<Quality>,
        with_audio: bool,
        viewer_controls: Vec<String>,
        servers: Servers,
        identity: Identity,
        events: mpsc::Sender<(SessionId, PeerEvent)>,
    ) -> Self {
        // One socket for each address of the family, made anew for each call
        // and each ICE restart. In between, sockets roam.
        let ice = servers.config();
        let binding = Binding {
            loopback: ice.loopback,
            ports: ice.ports,
            next: Arc::default(),
            lines: PortLines::new(Instant::now()),
        };
        servers.resolve_ahead();
        Self {
            controls: ViewerControls::new(hub.clone(), viewer_controls),
            hub,
            with_audio,
            identity,
            servers: Arc::new(servers),
            binding,
            quality,
            memory: Mutex::default(),
            network: watch::channel(Network::default()).1,
            together: Together::new(Instant::now()),
            begun: Begun::default(),
            desk: None,
            privacy: None,
            zones: None,
            talk: None,
            recordings: Recordings::default(),
            still: Arc::default(),
            strangers_files: files::pace::Together::new(Instant::now()),
            events,
        }
    }

    /// The network that calls are to follow; without it they stay where they
    /// began.
    pub(crate) fn on(mut self, network: watch::Receiver<Network>) -> Self {
        self.servers.on(network.clone());
        self.network = network;
        self
    }

    /// Adds to what is known of how calls begin.
    pub(crate) fn counting(mut self, begun: Begun) -> Self {
        self.begun = begun;
        self
    }

    /// Gives browsers that come by a link keys of their own, at this desk.
    pub(crate) fn giving_keys(mut self, desk: Option<Desk>) -> Self {
        self.desk = desk;
        self
    }

    /// Lets those who were invited to control the camera switch privacy.
    pub(crate) fn with_privacy(mut self, privacy: Privacy) -> Self {
        self.privacy = Some(privacy);
        self
    }

    /// Tells viewers where motion is looked for, and lets those who were invited to
    /// control the camera draw it.
    pub(crate) fn with_zones(mut self, zones: Zones) -> Self {
        self.zones = Some(zones);
        self
    }

    /// Where motion is looked for, where it is.
    fn watched_zones(&self) -> Option<&Zones> {
        self.zones.as_ref().filter(|zones| zones.are_watched())
    }

    /// Plays what those say who may talk.
    pub(crate) fn with_speaker(mut self, talk: Option<Arc<TalkBack>>) -> Self {
        self.talk = talk;
        self
    }

    /// Where they are heard.
    pub(crate) fn talk(&self) -> Option<&Arc<TalkBack>> {
        self.talk.as_ref()
    }

    /// Shows recordings to those who were invited to see them.
    pub(crate) fn with_recordings(mut self, recordings: Recordings) -> Self {
        self.recordings = recordings;
        self
    }

    /// Whether viewers are sent sound: it is wanted, and the source that runs
    /// has it.
    fn has_audio(&self) -> bool {
        self.with_audio && self.quality.has_sound()
    }

    /// The qualities, for the connections that follow on these.
    pub(crate) fn quality(&self) -> Arc<Quality> {
        self.quality.clone()
    }

    /// How the last calls began.
    pub(crate) fn begun(&self) -> &Begun {
        &self.begun
    }

    /// By what viewers know this device.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// STUN and TURN servers, with their secrets.
    pub(crate) fn servers(&self) -> &Servers {
        &self.servers
    }

    /// What a viewer's path may be taken to carry.
    fn bounds(&self) -> Bounds {
        Bounds::up_to(self.quality.most())
    }

    /// Starts a connection that answers the `offer` of this person. A `guest` may what they were
    /// invited to; without one, everything.
    pub(crate) fn open(
        self: &Arc<Self>,
        session: SessionId,
        (caller, person): (&UserName, Person),
        guest: Option<Arc<Guest>>,
        offer: Box<Offer>,
    ) -> Peer {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let shared = self.clone();
        let span = info_span!("viewer", %caller, %session);
        let user = caller.to_string();
        let run = async move {
            let caller = (user.as_str(), person);
            let end = match Connection::open(&shared, session, caller, guest, offer).await {
                Ok(connection) => connection.run(inbox).await,
                Err(error) => Some(PeerEvent::Failed(error.reason())),
            };
            if let Some(end) = end {
                let _ = shared.events.send((session, end)).await;
            }
        };
        Peer {
            commands,
            task: tokio::spawn(run.instrument(span)),
        }
    }
}

impl Peer {
    /// Answers another offer on this connection.
    pub(crate) fn renegotiate(&self, offer: Box<Offer>) {
        self.command(PeerCommand::Offer(offer));
    }

    /// Gives the connection a candidate of the viewer.
    pub(crate) fn add_candidate(&self, candidate: RemoteCandidate) {
        self.command(PeerCommand::Candidate(candidate));
    }

    fn command(&self, command: PeerCommand) {
        if self.commands.try_send(command).is_err() {
            debug!("a connection is over or does not keep up; a message to it was dropped");
        }
    }

    /// Ends the connection and waits until its sockets are closed.
    pub(crate) async fn close(self) {
        drop(self.commands);
        if self.task.await.is_err() {
            warn!("a viewer's task panicked");
        }
    }
}
