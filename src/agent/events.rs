//! What the agent is told, and what it wants done.

use std::sync::Arc;

use super::payer::Person;
use super::session::SessionId;
use crate::access::{Guest, KeyId};
use crate::reason::Reason;
use crate::sdp::{Offer, RemoteCandidate};
use crate::wire::{Candidate, Incoming, Outgoing, UserName};

/// What the agent has to know about its device.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// The name to register.
    pub name: UserName,
    /// Sessions with a media path at the same time, at least 1.
    pub max_viewers: usize,
    /// Seeds the jitter of reconnects.
    pub seed: u64,
}

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// The WebSocket is open.
    SignalingOpen,
    /// The WebSocket could not be opened, or closed.
    SignalingClosed,
    /// A frame came.
    Message(Incoming),
    /// A peer connection reports.
    Peer(SessionId, PeerEvent),
    /// This machine has other addresses or routes than before.
    NetworkChanged,
    /// [`poll_timeout`](super::Agent::poll_timeout) passed.
    Timeout,
    /// Say goodbye to everybody.
    Shutdown,
}

/// What a peer connection reports of itself.
#[derive(Debug)]
pub enum PeerEvent {
    /// The answer to the last offer.
    Answered {
        /// SDP text.
        sdp: String,
    },
    /// A candidate of ours, with its real mid.
    Candidate(Candidate),
    /// The media path is up.
    Connected,
    /// RTCP came from the viewer.
    Rtcp,
    /// Nothing has come from the viewer for some seconds. [`Self::Connected`]
    /// tells that they are back.
    Interrupted,
    /// The viewer's page has kept the key of this name that it was handed.
    KeyKept(KeyId),
    /// The viewer closed it.
    Left,
    /// It failed, and why.
    Failed(Reason),
}

/// Something to do.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// Open the WebSocket.
    Connect,
    /// Close the WebSocket; that it closed need not be reported.
    Disconnect,
    /// Find out at once whether the WebSocket still carries anything; if not, it
    /// is to be reported closed.
    Probe,
    /// Send a frame.
    Send(Outgoing),
    /// Make a peer connection for this offer and report its answer.
    Open {
        /// Its session.
        session: SessionId,
        /// Who calls.
        caller: UserName,
        /// Who invited them, where they showed it: what they may.
        guest: Option<Arc<Guest>>,
        /// Whose call it is.
        person: Person,
        /// The offer.
        offer: Box<Offer>,
    },
    /// Answer a new offer on the peer connection that is there.
    Renegotiate {
        /// Its session.
        session: SessionId,
        /// The offer.
        offer: Box<Offer>,
    },
    /// Give a candidate to a peer connection.
    AddCandidate {
        /// Its session.
        session: SessionId,
        /// The candidate.
        candidate: RemoteCandidate,
    },
    /// Close a peer connection.
    Close {
        /// Its session; nothing more is said of it.
        session: SessionId,
    },
    /// A browser has the key of this name: it takes the place of its link's.
    KeepKey {
        /// The name.
        id: KeyId,
    },
    /// Everybody is told; end the process.
    Quit,
}
