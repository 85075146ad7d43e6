//! What the device sends.

use serde_json::json;

use super::{Candidate, ClientId, UserName};
use crate::reason::Reason;

/// What the device sends. There is no way to build a frame from these that the
/// original server cannot take: `Username` needs the id that the server gave on
/// this very connection, and everything has a `target`.
#[derive(Debug, Clone, PartialEq)]
pub enum Outgoing {
    /// Claims or changes this connection's name. It goes out with
    /// `device: true` (an extension; the originals ignore it), so that a page
    /// can call without asking for the person's own camera.
    Username {
        /// The server's number for this connection.
        id: ClientId,
        /// The name wanted.
        name: UserName,
    },
    /// The same, with the key of this client's last connection to this very
    /// server: the name is its own, whoever has it now.
    UsernameAgain {
        /// The server's number for this connection.
        id: ClientId,
        /// The name wanted.
        name: UserName,
        /// The key that came with the last connection's number.
        key: String,
    },
    /// Answers a call.
    VideoAnswer {
        /// This side's name.
        name: UserName,
        /// The caller.
        target: UserName,
        /// The answer, SDP text.
        sdp: String,
        /// The first ufrag of the offer that is answered, for a page that has
        /// sent another since (an extension; the originals ignore it).
        ufrag: String,
        /// The proof that this is the camera that invited the caller (an
        /// extension; the originals ignore it).
        proof: Option<String>,
    },
    /// One candidate of this side.
    NewIceCandidate {
        /// This side's name (an extension; the originals ignore it).
        name: UserName,
        /// The caller.
        target: UserName,
        /// The candidate.
        candidate: Candidate,
    },
    /// Asks the caller's page to restart ICE (an extension; the originals ignore
    /// it). Their browser may be content: it reaches this side by another path,
    /// and only an offer of theirs can move this side to that.
    RestartIce {
        /// This side's name.
        name: UserName,
        /// The caller.
        target: UserName,
    },
    /// Ends or refuses a call.
    HangUp {
        /// This side's name.
        name: UserName,
        /// The caller.
        target: UserName,
        /// Why (an extension; the originals ignore it).
        reason: Reason,
    },
}

impl Outgoing {
    /// The frame's text. `date` is the wall clock in ms since 1970.
    pub fn to_text(&self, date: u64) -> String {
        match self {
            Self::Username { id, name } => {
                json!({"type": "username", "name": name, "id": id, "date": date, "device": true})
            }
            Self::UsernameAgain { id, name, key } => json!({
                "type": "username", "name": name, "id": id, "date": date, "device": true,
                "key": key,
            }),
            Self::VideoAnswer {
                name,
                target,
                sdp,
                ufrag,
                proof,
            } => {
                let mut frame = json!({
                    "type": "video-answer", "name": name, "target": target,
                    "sdp": {"type": "answer", "sdp": sdp}, "ufrag": ufrag,
                });
                if let Some(proof) = proof {
                    frame["access"] = json!({"proof": proof});
                }
                frame
            }
            Self::NewIceCandidate {
                name,
                target,
                candidate,
            } => json!({
                "type": "new-ice-candidate", "name": name, "target": target,
                "candidate": candidate,
            }),
            Self::RestartIce { name, target } => json!({
                "type": "restart-ice", "name": name, "target": target,
            }),
            Self::HangUp {
                name,
                target,
                reason,
            } => {
                let mut frame = json!({
                    "type": "hang-up", "name": name, "target": target,
                    "reason": reason.words, "why": reason.code,
                });
                if reason.code.is_uninvited() {
                    frame["code"] = "uninvited".into();
                }
                frame
            }
        }
        .to_string()
    }
}
