//! The cryptography of a caller who keeps the keys: after their handshake they seal
//! records of their own beside those of the library.

use std::sync::{Arc, Mutex, MutexGuard};

use camera_agent::peer::crypto::wrapping;
use rtc::crypto::{AeadCipher, CryptoError, RTCCryptoProvider};

/// What AES-GCM adds to a record of DTLS: epoch and number, type, version, length.
const ADDED: usize = 13;
const APPLICATION_DATA: u8 = 23;
/// A chunk of SCTP (RFC 9260 §3.3.6).
const HEARTBEAT_ACK: u8 = 5;

/// What is known of a call's DTLS and SCTP.
#[derive(Default)]
struct Known {
    /// Seals as the library does, with what its numbers begin with.
    cipher: Option<(Box<dyn AeadCipher>, [u8; 4])>,
    /// Of records of our own, far ahead of those of the library.
    number: u64,
    /// The other end's tag, and the number of our last DATA.
    tag: [u8; 4],
    tsn: u32,
    /// Heartbeats that were answered: the library sends none.
    answered: usize,
}

/// The keys of a call.
#[derive(Clone, Default)]
pub struct Keys(Arc<Mutex<Known>>);

impl Keys {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().expect("nobody panics with it")
    }

    /// The number of the last DATA.
    pub fn tsn(&self) -> u32 {
        self.lock().tsn
    }

    /// Whether anything that we sealed ourselves was understood.
    pub fn is_heard(&self) -> bool {
        self.lock().answered > 0
    }

    /// A whole datagram with a record of any text.
    pub fn seal(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut known = self.lock();
        known.number += 1;
        let number = ((1_u64 << 48) | (1 << 40) | known.number).to_be_bytes();
        let (cipher, prefix) = known.cipher.as_mut()?;
        let length = u16::try_from(text.len()).ok()?;
        let kind = [APPLICATION_DATA, 0xfe, 0xfd];
        let added = [&number[..], &kind, &length.to_be_bytes()].concat();
        let nonce = [&prefix[..], &number].concat();
        let (mut sealed, mut tag) = (text.to_vec(), [0; 16]);
        cipher
            .seal_in_place(&nonce, &added, &mut sealed, &mut tag)
            .ok()?;
        let whole = (length + 24).to_be_bytes();
        Some([&kind[..], &number, &whole, &number, &sealed, &tag].concat())
    }

    /// The same with a packet of SCTP.
    pub fn sctp(&self, chunks: &[Vec<u8>]) -> Option<Vec<u8>> {
        let tag = self.lock().tag;
        let mut packet = [&[0x13, 0x88, 0x13, 0x88][..], &tag, &[0; 4]].concat();
        packet.extend(chunks.concat());
        let sum = crc32c(&packet).to_le_bytes();
        packet[8..12].copy_from_slice(&sum);
        self.seal(&packet)
    }

    /// The library's own cryptography, with an eye on it.
    pub fn provider(&self) -> Arc<dyn RTCCryptoProvider> {
        let keys = self.clone();
        let kept = wrapping(move |new| {
            Ok(Box::new(Cipher {
                inner: new()?,
                spare: Some(new()?),
                keys: keys.clone(),
            }))
        });
        kept.expect("the library has one")
    }
}

/// A chunk of SCTP, with its padding.
pub fn chunk(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).expect("short");
    let mut out = [&[kind, flags][..], &length.to_be_bytes(), value].concat();
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// RFC 9260, appendix A; by a table, for an attacker has time for nothing else.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (sum >> 8) ^ TABLE[usize::from((sum as u8) ^ byte)]
    })
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut sum, mut bit) = (byte as u32, 0);
        while bit < 8 {
            sum = (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg());
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
};

struct Cipher {
    inner: Box<dyn AeadCipher>,
    spare: Option<Box<dyn AeadCipher>>,
    keys: Keys,
}

impl AeadCipher for Cipher {
    fn tag_len(&self) -> usize {
        self.inner.tag_len()
    }

    fn seal_in_place(
        &mut self,
        nonce: &[u8],
        added: &[u8],
        text: &mut [u8],
        tag: &mut [u8],
    ) -> Result<(), CryptoError> {
        if added.len() == ADDED && added[8] == APPLICATION_DATA {
            let mut known = self.keys.lock();
            if let Some(spare) = self.spare.take() {
                let prefix = nonce.first_chunk().copied().unwrap_or_default();
                known.cipher = Some((spare, prefix));
            }
            if let Some(tag) = text.get(4..8).filter(|tag| **tag != [0; 4]) {
                known.tag.copy_from_slice(tag);
            }
            if let Some([0, _, _, _, a, b, c, d]) = text.get(12..20) {
                known.tsn = u32::from_be_bytes([*a, *b, *c, *d]);
            }
        }
        self.inner.seal_in_place(nonce, added, text, tag)
    }

    fn open_in_place(
        &mut self,
        nonce: &[u8],
        added: &[u8],
        text: &mut [u8],
        tag: &[u8],
    ) -> Result<(), CryptoError> {
        self.inner.open_in_place(nonce, added, text, tag)?;
        if added.len() == ADDED && text.get(12) == Some(&HEARTBEAT_ACK) {
            self.keys.lock().answered += 1;
        }
        Ok(())
    }
}
