//! The crate's cryptography, with a look at what DTLS carries: the one place where
//! a record is in the clear and not yet read. And where it encrypts a packet of RTP,
//! those [behind](super::convoy) it are encrypted, too.
//!
//! It is the crate's own provider. Only ciphers that authenticate what they
//! encrypt can tell what it is, so no other suite is offered
//! (`assembly::settings`).

use std::sync::{Arc, Mutex};
use std::time::Instant;

use rtc::crypto::{
    ActiveKeyExchange, AeadAlgorithm, AeadCipher, BlockCipherAlgorithm, CbcAlgorithm, CbcCipher,
    CryptoAlgorithm, CryptoError, HashAlgorithm, HmacAlgorithm, KeyExchangeAlgorithm, Mac,
    PublicKey, RTCCrypto, RTCCryptoProvider, RTCRandom, SignatureScheme, SigningKey, StreamCipher,
    StreamCipherAlgorithm, default_provider,
};

use super::convoy::{Convoy, Name};
use super::sctp::Sctp;
use crate::lock::lock;

/// Of a DTLS record: epoch and number, type, version, length (RFC 5246 §6.2.3.3).
/// What SRTP adds is a header of RTP or RTCP, which never has so many bytes.
const ADDED: usize = 13;
const APPLICATION_DATA: u8 = 23;
const ALERT: u8 = 21;
/// What the second byte of an alert says (RFC 5246 §7.2).
const CLOSE_NOTIFY: u8 = 0;

/// Who looks at what DTLS carries.
pub(super) trait Look: Send + 'static {
    /// A packet that is about to be encrypted.
    fn says(&mut self, packet: &mut [u8]);
    /// One that was decrypted; it is dropped where this is false.
    fn hears(&mut self, packet: &[u8]) -> bool;
    /// The other end has closed the connection.
    fn ends(&mut self) {}
}

impl Look for Sctp {
    fn says(&mut self, packet: &mut [u8]) {
        Sctp::says(self, packet);
    }

    fn hears(&mut self, packet: &[u8]) -> bool {
        Sctp::hears(self, packet, Instant::now())
    }
}

/// The crate's own provider, for one connection, with somebody who looks.
pub(super) fn with<L: Look>(
    look: L,
    convoy: Convoy,
) -> Result<Arc<dyn RTCCryptoProvider>, CryptoError> {
    let look = Arc::new(Mutex::new(look));
    wrapping_in(convoy.clone(), move |new| {
        Ok(Box::new(Cipher {
            inner: new()?,
            look: look.clone(),
            convoy: convoy.clone(),
        }))
    })
}

/// Makes one more cipher of the same key.
type NewCipher<'a> = &'a dyn Fn() -> Result<Box<dyn AeadCipher>, CryptoError>;

/// The crate's own provider, whose authenticating ciphers are those that `wrap` makes
/// of its own.
pub fn wrapping<W>(wrap: W) -> Result<Arc<dyn RTCCryptoProvider>, CryptoError>
where
    W: Fn(NewCipher<'_>) -> Result<Box<dyn AeadCipher>, CryptoError> + Send + Sync + 'static,
{
    wrapping_in(Convoy::default(), wrap)
}

fn wrapping_in<W>(convoy: Convoy, wrap: W) -> Result<Arc<dyn RTCCryptoProvider>, CryptoError>
where
    W: Fn(NewCipher<'_>) -> Result<Box<dyn AeadCipher>, CryptoError> + Send + Sync + 'static,
{
    Ok(Arc::new(Wrapping {
        inner: default_provider()?,
        wrap,
        convoy,
    }))
}

struct Wrapping<W> {
    inner: Arc<dyn RTCCryptoProvider>,
    wrap: W,
    convoy: Convoy,
}

impl<W> RTCCryptoProvider for Wrapping<W>
where
    W: Fn(NewCipher<'_>) -> Result<Box<dyn AeadCipher>, CryptoError> + Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn crypto(&self) -> &dyn RTCCrypto {
        self
    }

    fn random(&self) -> &dyn RTCRandom {
        self.inner.random()
    }
}

impl<W> RTCCrypto for Wrapping<W>
where
    W: Fn(NewCipher<'_>) -> Result<Box<dyn AeadCipher>, CryptoError> + Send + Sync + 'static,
{
    fn new_aead(
        &self,
        algorithm: AeadAlgorithm,
        key: &[u8],
    ) -> Result<Box<dyn AeadCipher>, CryptoError> {
        (self.wrap)(&|| self.inner.crypto().new_aead(algorithm, key))
    }

    fn supports(&self, algorithm: CryptoAlgorithm) -> bool {
        self.inner.crypto().supports(algorithm)
    }

    fn hash(&self, algorithm: HashAlgorithm, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.inner.crypto().hash(algorithm, data)
    }

    fn block_encrypt(
        &self,
        algorithm: BlockCipherAlgorithm,
        key: &[u8],
        block: &mut [u8],
    ) -> Result<(), CryptoError> {
        self.inner.crypto().block_encrypt(algorithm, key, block)
    }

    fn new_hmac(&self, algorithm: HmacAlgorithm, key: &[u8]) -> Result<Box<dyn Mac>, CryptoError> {
        self.inner.crypto().new_hmac(algorithm, key)
    }

    fn new_stream_cipher(
        &self,
        algorithm: StreamCipherAlgorithm,
        key: &[u8],
    ) -> Result<Box<dyn StreamCipher>, CryptoError> {
        // DTLS has none here: media is encrypted by AES in counter mode.
        self.convoy.is_barred();
        self.inner.crypto().new_stream_cipher(algorithm, key)
    }

    fn new_cbc(
        &self,
        algorithm: CbcAlgorithm,
        key: &[u8],
    ) -> Result<Box<dyn CbcCipher>, CryptoError> {
        self.inner.crypto().new_cbc(algorithm, key)
    }

    fn start_key_exchange(
        &self,
        algorithm: KeyExchangeAlgorithm,
    ) -> Result<Box<dyn ActiveKeyExchange>, CryptoError> {
        self.inner.crypto().start_key_exchange(algorithm)
    }

    fn generate_signing_key(
        &self,
        scheme: SignatureScheme,
    ) -> Result<Arc<dyn SigningKey>, CryptoError> {
        self.inner.crypto().generate_signing_key(scheme)
    }

    fn import_signing_key(
        &self,
        scheme: SignatureScheme,
        key: &[u8],
    ) -> Result<Arc<dyn SigningKey>, CryptoError> {
        self.inner.crypto().import_signing_key(scheme, key)
    }

    fn verify_signature(
        &self,
        scheme: SignatureScheme,
        key: PublicKey<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        let crypto = self.inner.crypto();
        crypto.verify_signature(scheme, key, message, signature)
    }
}

struct Cipher<L> {
    inner: Box<dyn AeadCipher>,
    look: Arc<Mutex<L>>,
    convoy: Convoy,
}

fn is_of(content: u8, added: &[u8]) -> bool {
    added.len() == ADDED && added[8] == content
}

impl<L: Look> AeadCipher for Cipher<L> {
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
        if is_of(APPLICATION_DATA, added) {
            lock(&self.look).says(text);
        }
        self.inner.seal_in_place(nonce, added, text, tag)?;
        if let Some(first) = Name::read(added) {
            self.convoy.seal(first, nonce, &mut *self.inner);
        }
        Ok(())
    }

    fn open_in_place(
        &mut self,
        nonce: &[u8],
        added: &[u8],
        text: &mut [u8],
        tag: &[u8],
    ) -> Result<(), CryptoError> {
        self.inner.open_in_place(nonce, added, text, tag)?;
        if is_of(ALERT, added) && text.get(1) == Some(&CLOSE_NOTIFY) {
            lock(&self.look).ends();
        }
        match is_of(APPLICATION_DATA, added) && !lock(&self.look).hears(text) {
            // The crate drops such a record, and nothing else (RFC 6347 §4.1.2.7).
            true => Err(CryptoError::AuthenticationFailed),
            false => Ok(()),
        }
    }
}
