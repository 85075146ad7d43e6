//! STUN as an attacker writes it (RFC 8489): checks and answers that hold, with
//! any words in them.

use std::net::SocketAddr;

use hmac::{Hmac, Mac};
use sha1::Sha1;

const COOKIE: u32 = 0x2112_a442;

pub struct Writer(Vec<u8>);

impl Writer {
    pub fn new(kind: u16, transaction: [u8; 12]) -> Self {
        let mut bytes = kind.to_be_bytes().to_vec();
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&COOKIE.to_be_bytes());
        bytes.extend_from_slice(&transaction);
        Self(bytes)
    }

    pub fn attribute(mut self, number: u16, value: &[u8]) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        let length = u16::try_from(value.len()).expect("short");
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn length(&mut self, more: usize) {
        let length = u16::try_from(self.0.len() - 20 + more).expect("short");
        self.0[2..4].copy_from_slice(&length.to_be_bytes());
    }

    /// With MESSAGE-INTEGRITY (§14.5) and FINGERPRINT (§14.7).
    pub fn signed(mut self, password: &str) -> Vec<u8> {
        self.length(24);
        let mut mac = Hmac::<Sha1>::new_from_slice(password.as_bytes()).expect("any length");
        mac.update(&self.0);
        let mut this = self.attribute(0x0008, &mac.finalize().into_bytes());
        this.length(8);
        let check = crc32(&this.0) ^ 0x5354_554e;
        this.attribute(0x8028, &check.to_be_bytes()).0
    }
}

/// A check by the controlling side.
pub fn check(user: &str, password: &str) -> Vec<u8> {
    Writer::new(0x0001, std::array::from_fn(|_| fastrand::u8(..)))
        .attribute(0x0006, user.as_bytes())
        .attribute(0x0024, &0x6eff_ffff_u32.to_be_bytes())
        .attribute(0x802a, &7_u64.to_be_bytes())
        .attribute(0x0025, &[])
        .signed(password)
}

/// The answer to a check of the device's.
pub fn answer(check: &[u8], from: SocketAddr, password: &str) -> Option<Vec<u8>> {
    let transaction = check.get(8..20)?.try_into().ok()?;
    let SocketAddr::V4(from) = from else {
        return None;
    };
    let mut mapped = vec![0, 1];
    mapped.extend_from_slice(&(from.port() ^ 0x2112).to_be_bytes());
    mapped.extend_from_slice(&(from.ip().to_bits() ^ COOKIE).to_be_bytes());
    let answer = Writer::new(0x0101, transaction).attribute(0x0020, &mapped);
    Some(answer.signed(password))
}

fn crc32(bytes: &[u8]) -> u32 {
    let of = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| {
            (c >> 1) ^ (0xedb8_8320 & (c & 1).wrapping_neg())
        })
    };
    !bytes.iter().fold(!0, of)
}
