//! What an offer and an answer carry to say that who wrote them holds a key.
//!
//! DTLS proves that the other end holds the certificate whose fingerprint stands
//! in its description; a proof, that this very fingerprint is of somebody who
//! has the key. Whoever carries the descriptions can change neither.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use super::invite::{Key, KeyId, derive};

/// What both ends prove with: it follows from a [`Key`].
#[derive(Clone)]
pub struct ProofKey(hmac::Key);

/// One side of a call, as its description says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side<'a> {
    /// SHA-256 of its DTLS certificate.
    pub fingerprint: &'a [u8; 32],
    /// The first ICE user in its description's text.
    pub ufrag: &'a str,
}

/// What is proven.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The camera's configured name.
    pub camera: &'a str,
    /// Who calls.
    pub viewer: Side<'a>,
    /// The name of the key.
    pub id: KeyId,
}

impl ProofKey {
    /// The one that follows from this key.
    pub fn of(key: &Key) -> Self {
        let bytes: [u8; 32] = derive(key.bytes(), "camera-agent access v1");
        Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
    }

    /// The proof of an offer, as it stands on the wire.
    pub fn offer(&self, call: &Call<'_>) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, &offer_fields(call)))
    }

    /// True for the one proof of this offer; in a time that says nothing of how
    /// wrong another is.
    pub fn is_of_offer(&self, call: &Call<'_>, proof: &str) -> bool {
        is_tag(&self.0, &offer_fields(call), proof)
    }

    /// The proof of the answer to it by `device`.
    pub fn answer(&self, call: &Call<'_>, device: Side<'_>) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, &answer_fields(call, device)))
    }

    /// The same of an answer; this is the viewer's part.
    pub fn is_of_answer(&self, call: &Call<'_>, device: Side<'_>, proof: &str) -> bool {
        is_tag(&self.0, &answer_fields(call, device), proof)
    }
}

impl fmt::Debug for ProofKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProofKey(…)")
    }
}

fn is_tag(key: &hmac::Key, fields: &[u8], proof: &str) -> bool {
    // 32 bytes; a longer text is not decoded.
    proof.len() == 43
        && URL_SAFE_NO_PAD
            .decode(proof)
            .is_ok_and(|tag| hmac::verify(key, fields, &tag).is_ok())
}

fn offer_fields(call: &Call<'_>) -> Vec<u8> {
    fields(&[
        b"offer",
        call.camera.as_bytes(),
        call.viewer.fingerprint,
        call.viewer.ufrag.as_bytes(),
        call.id.to_string().as_bytes(),
    ])
}

fn answer_fields(call: &Call<'_>, device: Side<'_>) -> Vec<u8> {
    fields(&[
        b"answer",
        call.camera.as_bytes(),
        device.fingerprint,
        device.ufrag.as_bytes(),
        call.viewer.fingerprint,
        call.viewer.ufrag.as_bytes(),
        call.id.to_string().as_bytes(),
    ])
}

/// Each with its length before it, so that no two lists have the same bytes.
fn fields(fields: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    for field in fields {
        let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(field);
    }
    bytes
}
