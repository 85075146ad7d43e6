//! What a cipher sees of the packets that leave: never two things under one nonce.

use std::collections::HashMap;

use rtc::crypto::{AeadCipher, CryptoError};
use rtc::rtp;
use rtc::shared::marshal::{Marshal, MarshalSize};

use crate::peer::convoy::{Convoy, Name};

/// Of AES-GCM (RFC 7714 §8.1).
const NONCE: usize = 12;

/// Takes down what it is to encrypt under which nonce, and leaves it as it is.
#[derive(Default)]
pub(super) struct Ink(HashMap<Vec<u8>, Vec<u8>>);

impl AeadCipher for Ink {
    fn tag_len(&self) -> usize {
        0
    }

    fn seal_in_place(
        &mut self,
        nonce: &[u8],
        aad: &[u8],
        text: &mut [u8],
        _: &mut [u8],
    ) -> Result<(), CryptoError> {
        let whole = [aad, text].concat();
        let known = self
            .0
            .entry(nonce.to_vec())
            .or_insert_with(|| whole.clone());
        assert!(*known == whole, "two packets under one nonce: {nonce:?}");
        Ok(())
    }

    fn open_in_place(
        &mut self,
        _: &[u8],
        _: &[u8],
        _: &mut [u8],
        _: &[u8],
    ) -> Result<(), CryptoError> {
        Ok(())
    }
}

/// How the crate and the network treat a packet, as bits.
pub(super) mod fate {
    /// The crate drops it, for want of a path.
    pub(crate) const DROPPED: u8 = 1;
    /// It leaves through a relay.
    pub(crate) const WRAPPED: u8 = 2;
    /// The answer to a check leaves through a relay just before it.
    pub(crate) const CHECKED: u8 = 4;
}

/// Does with a packet what the crate does once interceptors have let it go: encrypts it
/// and hands it to the socket. What follows it there.
pub(super) fn passes(convoy: &Convoy, ink: &mut Ink, rtp: &rtp::Packet, fate: u8) -> usize {
    if fate & fate::DROPPED != 0 {
        return 0;
    }
    let mut datagram = vec![0; rtp.marshal_size()];
    rtp.marshal_to(&mut datagram).expect("it has room");
    // RFC 7714 §8.1, under no salt and a rollover counter of nothing.
    let mut nonce = [0; NONCE];
    nonce[2..6].copy_from_slice(&rtp.header.ssrc.to_be_bytes());
    nonce[10..].copy_from_slice(&rtp.header.sequence_number.to_be_bytes());
    let (header, text) = datagram.split_at_mut(rtp.header.marshal_size());
    ink.seal_in_place(&nonce, header, text, &mut [])
        .expect("it takes everything");
    if let Some(name) = Name::read(&datagram) {
        convoy.seal(name, &nonce, ink);
    }
    let wrapped = |inner: &[u8]| [&[0x40, 0x01, 0, 40], inner].concat();
    if fate & fate::CHECKED != 0 {
        assert!(convoy.behind(&wrapped(&[1, 1, 0, 0])).is_none());
    }
    if fate & fate::WRAPPED != 0 {
        assert!(convoy.behind(&wrapped(&datagram)).is_none());
        return 0;
    }
    let behind = convoy.behind(&datagram);
    behind.map_or(0, |all| {
        let mut last = Name::read(&datagram);
        all.iter()
            .map(|datagram| {
                last = last.and_then(Name::next);
                assert_eq!(Name::read(datagram), last, "in their order");
            })
            .count()
    })
}
