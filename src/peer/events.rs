//! What a connection is told: by the crate's handlers, and by its viewer's RTCP.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::mpsc;
use tracing::debug;
use webrtc::data_channel::DataChannel;
use webrtc::peer_connection::{
    PeerConnectionEventHandler, RTCIceCandidateInit, RTCIceConnectionState,
    RTCPeerConnectionIceEvent, RTCPeerConnectionState,
};

use super::Peers;
use super::crypto::Look;
use super::interceptor::feedback::Listener;
use super::path::known::Path;
use super::quality::Seat;
use super::socket::guard::Guard;
use super::socket::wake::Wake;
use crate::agent::{PeerEvent, SessionId};
use crate::lock::lock;

/// What a connection's handlers have heard and its task not yet taken.
pub(super) const HEARD: usize = 256;

/// What a connection's handlers hear.
pub(super) enum Heard {
    Candidate(RTCIceCandidateInit),
    State(RTCPeerConnectionState),
    /// ICE has a pair; DTLS is next.
    Paired,
    Channel(Arc<dyn DataChannel>),
    /// The viewer's end is closed.
    Closed,
}

/// The crate's driver calls it, and sleeps after that.
pub(super) struct Handler {
    tell: mpsc::Sender<Heard>,
    wake: Wake,
    guard: Arc<Mutex<Guard>>,
}

impl Handler {
    pub(super) fn new(tell: mpsc::Sender<Heard>, wake: Wake, guard: Arc<Mutex<Guard>>) -> Self {
        Self { tell, wake, guard }
    }

    /// Looks at what DTLS carries as `inner` does, and tells when the viewer has closed
    /// it: the crate notes that, and says nothing.
    pub(super) fn hearing_the_end<L: Look>(&self, inner: L) -> Closing<L> {
        Closing {
            inner,
            tell: self.tell.clone(),
        }
    }
}

/// Hears the end of a connection.
pub(super) struct Closing<L> {
    inner: L,
    tell: mpsc::Sender<Heard>,
}

impl<L: Look> Look for Closing<L> {
    fn says(&mut self, packet: &mut [u8]) {
        self.inner.says(packet);
    }

    fn hears(&mut self, packet: &[u8]) -> bool {
        self.inner.hears(packet)
    }

    fn ends(&mut self) {
        let _ = self.tell.try_send(Heard::Closed);
    }
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        if let Ok(candidate) = event.candidate.to_json() {
            let _ = self.tell.try_send(Heard::Candidate(candidate));
        }
    }

    async fn on_ice_connection_state_change(&self, state: RTCIceConnectionState) {
        if state == RTCIceConnectionState::Connected {
            lock(&self.guard).has_path();
            // DTLS's first flight lies there by now.
            self.wake.wake();
            let _ = self.tell.try_send(Heard::Paired);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let _ = self.tell.try_send(Heard::State(state));
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        let _ = self.tell.try_send(Heard::Channel(channel));
    }
}

/// What a viewer says by RTCP goes to the agent, to the encoder and to what is
/// known of their path.
pub(super) struct Told {
    session: SessionId,
    shared: Arc<Peers>,
    seat: Arc<Seat>,
    path: Path,
    /// Where their RTCP comes from.
    address: Arc<Mutex<Option<IpAddr>>>,
}

impl Told {
    pub(super) fn new(
        (session, shared): (SessionId, &Arc<Peers>),
        seat: &Arc<Seat>,
        path: &Path,
        address: &Arc<Mutex<Option<IpAddr>>>,
    ) -> Self {
        Self {
            session,
            shared: shared.clone(),
            seat: seat.clone(),
            path: path.clone(),
            address: address.clone(),
        }
    }
}

impl Listener for Told {
    fn alive(&self) {
        let events = &self.shared.events;
        let _ = events.try_send((self.session, PeerEvent::Rtcp));
    }

    fn key_frame(&self) {
        debug!(session = %self.session, "the viewer asks for a key frame");
        self.seat.request_key_frame();
    }

    fn address(&self, address: IpAddr) {
        *lock(&self.address) = Some(address);
        let remembered = lock(&self.shared.memory).get(address, Instant::now());
        self.path.is_at_address(remembered);
    }

    fn remb(&self, bits_per_second: u32, now: Instant) {
        self.path.remb(bits_per_second, self.shared.bounds(), now);
    }

    fn sound_lost(&self, fraction: f64, now: Instant) {
        self.path.sound_lost(fraction, now);
    }
}
