//! A viewer who was invited: what they prove, and what is proven to them.

use super::*;

/// An invitation, as a browser keeps it.
#[derive(Clone)]
pub struct Held {
    /// The camera's name in the link.
    pub camera: String,
    pub id: KeyId,
    pub key: Key,
}

impl Held {
    pub fn of(link: &Link) -> Self {
        Self {
            camera: link.camera.clone(),
            id: link.invite.id(),
            key: link.invite.key(),
        }
    }

    /// What an offer carries.
    pub fn access(&self, sdp: &str) -> Value {
        let (fingerprint, ufrag) = author(sdp).expect("an offer of ours has both");
        let viewer = Side {
            fingerprint: &fingerprint,
            ufrag: &ufrag,
        };
        let call = self.call(viewer);
        json!({"id": self.id.to_string(), "proof": ProofKey::of(&self.key).offer(&call)})
    }

    fn call<'a>(&'a self, viewer: Side<'a>) -> Call<'a> {
        Call {
            camera: &self.camera,
            viewer,
            id: self.id,
        }
    }

    /// The answer to `offer` is the camera's.
    pub(super) fn verifies(&self, offer: &str, answer: &str, proof: &str) -> bool {
        let (Some((ours, our_ufrag)), Some((its, its_ufrag))) = (author(offer), author(answer))
        else {
            return false;
        };
        let side = |fingerprint, ufrag| Side { fingerprint, ufrag };
        let call = self.call(side(&ours, our_ufrag.as_str()));
        ProofKey::of(&self.key).is_of_answer(&call, side(&its, its_ufrag.as_str()), proof)
    }
}

/// The one fingerprint of a description, and its first ufrag.
pub(super) fn author(sdp: &str) -> Option<([u8; 32], String)> {
    let values = |key: &'static str| sdp.lines().filter_map(move |l| l.strip_prefix(key));
    let mut prints: Vec<_> = values("a=fingerprint:").collect();
    prints.dedup();
    let [print] = prints[..] else { return None };
    let mut bytes = [0; 32];
    let digits = print.strip_prefix("sha-256 ")?.trim().split(':');
    for (byte, digits) in bytes.iter_mut().zip(digits) {
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some((bytes, values("a=ice-ufrag:").next()?.trim().to_owned()))
}
