//! The connection itself: made for an offer, it answers, trickles, and sends
//! once its path is up.

mod candidates;
mod doors;
mod streams;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rtc::rtp_transceiver::rtp_sender::RTCRtpCodec;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{Instrument, debug};
use webrtc::data_channel::DataChannel;
use webrtc::peer_connection::{PeerConnection, RTCPeerConnectionState, RTCSessionDescription};

use doors::Doors;

use super::assembly::{Outlet, Parts, add_track, connect};
use super::convoy::Convoy;
use super::engine;
use super::events::{HEARD, Handler, Heard, Told};
use super::interceptor::burst::Waiting;
use super::interceptor::clock::Captured;
use super::interceptor::feedback::Feedback;
use super::interceptor::pacer::Pace;
use super::interceptor::screen::Screen;
use super::path::known::Path;
use super::quality::{Seat, Taken};
use super::socket::batch::Batching;
use super::socket::guard::{Credentials, Guard};
use super::socket::roaming::Roaming;
use super::socket::runtime::Layered;
use super::stages::{Begins, Stage};
use super::stats::{Observer, Tally};
use super::talk::Talker;
use super::{PeerCommand, PeerError, Peers, channel, files, while_doing};
use crate::access::Guest;
use crate::agent::{PeerEvent, Person, SessionId};
use crate::lock::lock;
use crate::media::hub::Decoder;
use crate::media::stream::Stream;
use crate::network::Network;
use crate::reason::{Code, Reason};
use crate::sdp::{Offer, OfferError, VideoFormat};
use crate::secret::Secret;

/// When key frames are sent after a socket has moved, each counted from the one
/// before: what was lost on the way is asked for over the old path, until the
/// browser has given that up, which takes it 3 s and more. Until the first one it
/// has to hear of the new path.
const KEY_FRAMES_AFTER_MOVE: [Duration; 3] = [
    Duration::from_millis(700),
    Duration::from_millis(800),
    Duration::from_millis(1_500),
];
/// Data channels that a viewer may open in one call; our page opens one.
const MOST_CHANNELS: usize = 8;
/// The crate has nothing more to say.
const ENDED: Reason = Reason::fixed(Code::PathLost, "the connection ended by itself");
/// ICE or DTLS failed.
const LOST: Reason = Reason::fixed(Code::PathLost, "the media path was lost");

pub(super) struct Connection {
    shared: Arc<Peers>,
    session: SessionId,
    /// Its stages, until the first picture.
    begins: Begins,
    /// Who was invited.
    guest: Option<Arc<Guest>>,
    connection: Box<dyn PeerConnection>,
    heard: mpsc::Receiver<Heard>,
    outlets: Vec<Outlet>,
    waiting: Waiting,
    path: Path,
    pace: Pace,
    captured: Captured,
    tally: Tally,
    seat: Arc<Seat>,
    /// Where the viewer's RTCP comes from.
    address: Arc<Mutex<Option<IpAddr>>>,
    /// The caller's section that our candidates are of: mid and index.
    carrier: (Option<String>, u16),
    /// Of our candidates: our ICE user in the last answer, of which the crate says none.
    generation: Option<String>,
    network: watch::Receiver<Network>,
    /// Its sockets.
    roaming: Arc<Layered<Roaming>>,
    /// What passes them.
    guard: Arc<Mutex<Guard>>,
    /// Whether the viewer is heard of; nothing is sent to one who is not.
    reachable: bool,
    /// What the viewer takes of the streams, by their last offer.
    taken: Taken,
    /// Who may talk.
    talker: Option<Arc<Talker>>,
    /// What the picture is sent in, for as long as the call lasts.
    format: VideoFormat,
    /// Keeps a camera from passing through what the viewer cannot decode, once their
    /// path is up: an offer is anybody's words, and decides nothing for others.
    decoder: Option<Decoder>,
    /// One for each data channel, one that logs how the stream goes, and those
    /// that end by themselves.
    tasks: JoinSet<()>,
    doors: Doors,
}

/// The streams that a viewer takes at the moment.
fn taken(offer: &Offer) -> Taken {
    Taken {
        picture: offer.takes_picture(),
        sound: offer.takes_sound(),
    }
}

/// The offer, as far as this device can answer it, of somebody who `may_talk`.
fn of_device(shared: &Peers, may_talk: bool, offer: Box<Offer>) -> Box<Offer> {
    let offer = match shared.has_audio() {
        true => offer,
        false => Box::new(offer.without_sound()),
    };
    match may_talk {
        true => Box::new(offer.hearing()),
        false => offer,
    }
}

/// The same, where the camera makes its own H.264.
fn suited(shared: &Peers, offer: Box<Offer>) -> Box<Offer> {
    match shared.hub.own_h264() {
        Some(own) => Box::new(offer.suited(own.profile, own.passes && own.is_open)),
        None => offer,
    }
}

/// What may pass the sockets of a connection.
fn guard(shared: &Peers) -> Arc<Mutex<Guard>> {
    let guard = Guard::new(shared.together.clone(), Instant::now());
    Arc::new(Mutex::new(guard.may_be_here(shared.binding.loopback)))
}

/// What the viewer is sent, each with its codec.
fn streams(offer: &Offer, seat: &Seat) -> Vec<(Stream, RTCRtpCodec)> {
    let video = Stream::Video(seat.assigned().borrow().encoding);
    let sound = offer.sound.as_ref();
    let sound = sound.map(|sound| (Stream::Audio, engine::audio_codec(sound)));
    let picture = (video, engine::video_codec(offer));
    std::iter::once(picture).chain(sound).collect()
}

impl Connection {
    pub(super) async fn open(
        shared: &Arc<Peers>,
        session: SessionId,
        caller: (&str, Person),
        guest: Option<Arc<Guest>>,
        offer: Box<Offer>,
    ) -> Result<Self, PeerError> {
        let begins = Begins::new(session, Instant::now(), shared.begun.clone());
        let made = Self::make(shared, begins, caller, guest, offer).await;
        let (this, streams, offer) = made?;
        let this = this.answering(streams, &offer).await?;
        // An offer of others is anybody's words, which cost viewers no key frame.
        if this.guest.is_some() {
            this.expect();
        }
        Ok(this)
    }

    /// The connection, what it will send, and the offer as it is answered.
    async fn make(
        shared: &Arc<Peers>,
        begins: Begins,
        (user, person): (&str, Person),
        guest: Option<Arc<Guest>>,
        offer: Box<Offer>,
    ) -> Result<(Self, Vec<(Stream, RTCRtpCodec)>, Box<Offer>), PeerError> {
        let talk = shared.talk.as_ref();
        let caller = (user, person);
        let talker = talk.and_then(|talk| talk.join(begins.session(), caller, guest.as_deref()));
        let offer = suited(shared, of_device(shared, talker.is_some(), offer));
        let bounds = shared.bounds();
        let path = Path::new(bounds);
        let seat = Arc::new(shared.quality.join(&offer, path.clone()));
        let streams = streams(&offer, &seat);
        let (tell, heard) = mpsc::channel(HEARD);
        let servers = shared.servers.for_call(user);
        let roaming = Arc::new(Roaming::new(servers.clone()));
        let guard = guard(shared);
        let handler = Arc::new(Handler::new(tell, roaming.layer.wake(), guard.clone()));
        let waiting = Waiting::new(shared.hub.latency().clone());
        let engine = engine::media_engine(&offer).map_err(while_doing("preparing the codecs"))?;
        let (pace, captured) = (Pace::new(path.clone()), Captured::default());
        let (tally, address): (_, Arc<Mutex<_>>) = (Tally::of(begins.clone()), Arc::default());
        let convoy = Convoy::default();
        let interceptors = || {
            let told = Told::new((begins.session(), shared), &seat, &path, &address);
            let screen = Screen::new(Instant::now()).hearing(talker.clone());
            engine::interceptors(
                (screen, Feedback::new(Box::new(told)), convoy.clone()),
                waiting.clone(),
                bounds,
                &path,
                pace.clone(),
                captured.clone(),
                &tally,
            )
        };
        let connection = connect(shared, |mdns| Parts {
            servers: servers.for_the_crate(),
            engine: engine.clone(),
            interceptors: interceptors(),
            handler: handler.clone(),
            runtime: Batching::over(roaming.clone(), guard.clone(), convoy.clone()),
            convoy: convoy.clone(),
            mdns,
        })
        .await
        .map_err(while_doing("opening the connection's sockets"))?;

        let this = Self {
            shared: shared.clone(),
            session: begins.session(),
            begins,
            guest,
            connection,
            heard,
            outlets: Vec::new(),
            waiting,
            path,
            pace,
            captured,
            tally,
            seat,
            address,
            carrier: (None, 0),
            generation: None,
            network: shared.network.clone(),
            roaming,
            guard,
            reachable: true,
            taken: taken(&offer),
            talker,
            format: offer.video.clone(),
            decoder: None,
            tasks: JoinSet::new(),
            doors: Doors::default(),
        };
        Ok((this, streams, offer))
    }

    async fn answering(
        mut self,
        streams: Vec<(Stream, RTCRtpCodec)>,
        offer: &Offer,
    ) -> Result<Self, PeerError> {
        match self.first_answer(streams, offer).await {
            Ok(()) => Ok(self),
            Err(error) => {
                // Dropped without this, its driver would keep the sockets.
                let _ = self.connection.close().await;
                Err(error)
            }
        }
    }

    async fn first_answer(
        &mut self,
        streams: Vec<(Stream, RTCRtpCodec)>,
        offer: &Offer,
    ) -> Result<(), PeerError> {
        for (stream, codec) in streams {
            let outlet = add_track(&*self.connection, stream, codec, offer)
                .await
                .map_err(while_doing("adding a track"))?;
            self.outlets.push(outlet);
        }
        self.answer(offer).await
    }

    async fn answer(&mut self, offer: &Offer) -> Result<(), PeerError> {
        lock(&self.guard).words(offer.length);
        let connection = &self.connection;
        // Sections that only receive: the caller's own camera and microphone
        // are not wanted.
        let description = RTCSessionDescription::offer(offer.for_crate())
            .map_err(while_doing("reading the offer"))?;
        connection
            .set_remote_description(description)
            .await
            .map_err(while_doing("applying the offer"))?;
        let answer = connection
            .create_answer(None)
            .await
            .map_err(while_doing("making the answer"))?;
        let hub = &self.shared.hub;
        let text = offer
            .answer(&answer.sdp, hub.profile_level_id(self.format.profile))
            .map_err(while_doing("making the answer"))?;
        connection
            .set_local_description(answer)
            .await
            .map_err(while_doing("applying the answer"))?;
        self.generation = self.ufrag().await;
        if let Some(ufrag) = self.generation.clone() {
            let (theirs, password) = offer.credentials();
            let mut guard = lock(&self.guard);
            guard.signs_with(Credentials {
                username: format!("{theirs}:{ufrag}"),
                password: Secret::new(password),
            });
            guard.username(ufrag);
        }
        let (mid, index) = offer.carrier();
        let index = u16::try_from(index).unwrap_or_default();
        self.carrier = (mid.map(str::to_owned), index);
        self.taken = taken(offer);
        self.hear(offer.voice());
        self.open_or_close();
        self.tell(PeerEvent::Answered { sdp: text }).await;
        self.begins.end(Stage::Answer, Instant::now());
        Ok(())
    }

    async fn tell(&self, event: PeerEvent) {
        let _ = self.shared.events.send((self.session, event)).await;
    }

    /// Runs until the agent lets go of it, or it ends by itself; then says how.
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<PeerCommand>) -> Option<PeerEvent> {
        let end = loop {
            let result = tokio::select! {
                command = inbox.recv() => match command {
                    None => break None,
                    Some(PeerCommand::Offer(offer)) => {
                        let offer = of_device(&self.shared, self.talker.is_some(), offer);
                        match offer.sending(&self.format) {
                            Some(offer) => self.answer(&offer).await,
                            None => Err(PeerError::Offer(OfferError::OtherFormats)),
                        }
                    }
                    Some(PeerCommand::Candidate(candidate)) => {
                        self.add_candidate(candidate).await;
                        Ok(())
                    }
                },
                heard = self.heard.recv() => match heard {
                    None => break Some(PeerEvent::Failed(ENDED)),
                    Some(Heard::Candidate(candidate)) => {
                        self.local_candidate(candidate).await;
                        Ok(())
                    }
                    Some(Heard::Paired) => {
                        self.begins.end(Stage::Path, Instant::now());
                        // Of an invited caller DTLS has to prove that it is
                        // them: who holds a copy of their words wakes no camera.
                        if self.guest.is_none() {
                            self.start_media();
                            self.expect();
                        }
                        Ok(())
                    }
                    Some(Heard::Channel(channel)) => self.serve(channel),
                    Some(Heard::Closed) => break Some(PeerEvent::Left),
                    Some(Heard::State(state)) => match self.state(state).await {
                        Some(end) => break Some(end),
                        None => Ok(()),
                    },
                },
                Some(_) = self.tasks.join_next() => Ok(()),
                Ok(()) = self.network.changed() => {
                    self.roam().await;
                    Ok(())
                }
            };
            if let Err(error) = result {
                break Some(PeerEvent::Failed(error.reason()));
            }
        };
        for outlet in &mut self.outlets {
            if let Some(task) = outlet.task.take() {
                task.abort();
            }
        }
        self.tasks.shutdown().await;
        if let Some(talker) = &self.talker {
            talker.leave();
        }
        if let Err(error) = self.connection.close().await {
            debug!(%error, "closing");
        }
        let dropped = lock(&self.guard).dropped();
        if dropped > 0 {
            debug!(dropped, "datagrams that no call has");
        }
        self.remember();
        end
    }

    /// Their next call begins with what this one ended with.
    fn remember(&self) {
        let Some(address) = *lock(&self.address) else {
            return;
        };
        if self.path.is_measured() {
            let estimate = self.path.estimate();
            debug!(?estimate, "the path at the end");
            let mut memory = lock(&self.shared.memory);
            memory.put(address, estimate.bits_per_second, Instant::now());
        }
    }

    fn serve(&mut self, channel: Arc<dyn DataChannel>) -> Result<(), PeerError> {
        self.doors.opened += 1;
        if self.doors.opened > MOST_CHANNELS {
            return Err(PeerError::Channels(MOST_CHANNELS));
        }
        let (shared, guest) = (self.shared.clone(), self.guest.clone());
        let (seat, observer) = (self.seat.clone(), self.observer());
        let session = self.session;
        let talk = (self.shared.talk.clone(), self.talker.clone());
        let doors = self.doors.clone();
        let serve = async move {
            let Some(entered) = doors.enter(&channel).await else {
                return;
            };
            match entered.label {
                files::messages::LABEL => files::serve(channel, shared, guest).await,
                _ => channel::serve(channel, shared, seat, observer, (session, guest), talk).await,
            }
        };
        self.tasks.spawn(serve.in_current_span());
        Ok(())
    }

    fn observer(&self) -> Observer {
        let (tally, path, seat) = (self.tally.clone(), self.path.clone(), self.seat.clone());
        Observer::new(tally, path, seat, Instant::now())
    }

    async fn state(&mut self, state: RTCPeerConnectionState) -> Option<PeerEvent> {
        debug!(%state, "connection");
        match state {
            RTCPeerConnectionState::Connected => {
                self.begins.end(Stage::Handshake, Instant::now());
                let carries = {
                    let mut guard = lock(&self.guard);
                    guard.connected();
                    guard.carries()
                };
                debug!(?carries, "what the path takes at once, in bit/s at least");
                if let Some(bits_per_second) = carries {
                    self.path.takes_at_once(bits_per_second);
                }
                // Before it is told: recordings ask who watches H.264.
                self.decodes();
                self.tell(PeerEvent::Connected).await;
                self.start_sending().await;
                self.reach(true);
                None
            }
            RTCPeerConnectionState::Disconnected => {
                self.reach(false);
                self.tell(PeerEvent::Interrupted).await;
                None
            }
            RTCPeerConnectionState::Failed => Some(PeerEvent::Failed(LOST)),
            RTCPeerConnectionState::Closed => Some(PeerEvent::Left),
            _ => None,
        }
    }
}
