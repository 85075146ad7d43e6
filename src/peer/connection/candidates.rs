//! Where both ends are: candidates, and sockets that follow the machine.

use std::time::Instant;

use tracing::debug;
use webrtc::peer_connection::RTCIceCandidateInit;

use super::{Connection, KEY_FRAMES_AFTER_MOVE};
use crate::agent::PeerEvent;
use crate::lock::lock;
use crate::peer::socket::candidate::{host_candidates, public_candidates, says_something};
use crate::sdp::RemoteCandidate;
use crate::wire::Candidate;

impl Connection {
    /// The machine's addresses have changed: the sockets follow, and the viewer
    /// is told where they are, for one behind a NAT has to send first.
    pub(super) async fn roam(&mut self) {
        let network = self.network.borrow_and_update().clone();
        let anywhere = self.roaming.layer.follow(&network);
        if anywhere.is_empty() || network.addresses.is_empty() {
            return;
        }
        self.path.moved(Instant::now());
        let seat = self.seat.clone();
        self.tasks.spawn(async move {
            for wait in KEY_FRAMES_AFTER_MOVE {
                tokio::time::sleep(wait).await;
                seat.request_key_frame();
            }
        });
        let Some(ufrag) = self.generation.clone() else {
            return;
        };
        for candidate in host_candidates(&anywhere, &network.addresses, &ufrag) {
            let candidate = RTCIceCandidateInit {
                candidate,
                ..Default::default()
            };
            self.local_candidate(candidate).await;
        }
    }

    /// Of this ICE generation (RFC 8839 §5.4).
    pub(super) async fn ufrag(&self) -> Option<String> {
        let description = self.connection.local_description().await?;
        let ufrag = description
            .sdp
            .lines()
            .find_map(|line| line.strip_prefix("a=ice-ufrag:"))?;
        Some(ufrag.trim().to_owned())
    }

    pub(super) async fn local_candidate(&self, candidate: RTCIceCandidateInit) {
        if !says_something(&candidate.candidate) {
            return;
        }
        let public = &self.shared.servers.config().public_addresses;
        let public = public_candidates(&candidate.candidate, public);
        let more = public.into_iter().map(|line| RTCIceCandidateInit {
            candidate: line,
            ..candidate.clone()
        });
        let more: Vec<_> = more.collect();
        self.tell_candidate(candidate).await;
        for candidate in more {
            self.tell_candidate(candidate).await;
        }
    }

    pub(super) async fn tell_candidate(&self, candidate: RTCIceCandidateInit) {
        let (mid, index) = &self.carrier;
        let candidate = Candidate {
            candidate: candidate.candidate,
            sdp_mid: mid.clone(),
            sdp_mline_index: Some(*index),
            // Who gets it before the answer that it belongs to would take it for one
            // of the generation before.
            username_fragment: self.generation.clone(),
        };
        self.tell(PeerEvent::Candidate(candidate)).await;
    }

    pub(super) async fn add_candidate(&self, candidate: RemoteCandidate) {
        if let Err(why) = candidate.check(self.shared.binding.loopback) {
            debug!(%why, "a candidate of the viewer was passed over");
            return;
        }
        {
            let mut guard = lock(&self.guard);
            guard.words(candidate.length());
            guard.has_sockets(self.roaming.layer.families());
            if !guard.names(&candidate) {
                debug!("one more candidate of the viewer, which is not checked");
                return;
            }
            if let Some(relay) = candidate.relay() {
                guard.is_relay(relay);
            }
        }
        let candidate = RTCIceCandidateInit {
            candidate: candidate.to_string(),
            ..Default::default()
        };
        if let Err(error) = self.connection.add_ice_candidate(candidate).await {
            debug!(%error, "a candidate of the viewer was not taken");
        }
        // It is checked at once.
        self.roaming.layer.wake().wake();
    }
}
