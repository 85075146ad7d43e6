//! The secret of an invitation, and the one form in which people get it: 28
//! characters, as they stand in a link, in its QR code, and on a slip of paper.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hkdf};

/// The digits: Crockford's base32, without I, L, O and U.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of a code: 140 bits, of which 128 are the secret.
const CHARACTERS: usize = 28;
/// Characters between two hyphens.
const GROUP: usize = 4;
/// Longest text that is read as a code or a link, in bytes.
const LONGEST: usize = 4096;
/// What stands in a fragment as it is (RFC 3986 §2.3, unreserved).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Why something is no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// A character that no code has.
    #[error("a code has no such character: {0:?}")]
    Character(char),
    /// Too few or too many characters.
    #[error("a code has {CHARACTERS} letters and digits, this one has {0}")]
    Length(usize),
    /// It does not agree with itself.
    #[error("this code has a mistake in it; compare it with the one that you were given")]
    Check,
    /// A link without what an invitation needs.
    #[error("this link is no invitation: it has no \"{0}\" behind its \"#\"")]
    Missing(&'static str),
}

/// Names a key on the wire, and in the log: 8 bytes, nothing secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 8]);

impl KeyId {
    /// Any.
    pub fn random() -> Self {
        Self(random())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl FromStr for KeyId {
    type Err = ();

    /// Exactly 11 characters of base64url (RFC 4648 §5), no padding.
    fn from_str(text: &str) -> Result<Self, ()> {
        decode(text).map(Self).ok_or(())
    }
}

/// What an invited browser holds: 32 bytes. It is shown by nothing but
/// [`expose`](Self::expose).
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// Any.
    pub fn random() -> Self {
        Self(random())
    }

    /// The one of these bytes.
    #[cfg(any(test, fuzzing))]
    pub fn of(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// 43 characters of base64url, no padding.
    pub fn parse(text: &str) -> Option<Self> {
        decode(text).map(Self)
    }

    /// The same characters, for the file or the browser that is to have them.
    pub fn expose(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// The secret of an invitation, from which its key and that key's id follow.
#[derive(Clone, PartialEq, Eq)]
pub struct Invite([u8; 16]);

impl Invite {
    /// A new one.
    pub fn random() -> Self {
        Self(random())
    }

    /// The one of these bytes.
    pub fn of(secret: [u8; 16]) -> Self {
        Self(secret)
    }

    /// The name of its key.
    pub fn id(&self) -> KeyId {
        KeyId(derive(&self.0, "camera-agent invite id v1"))
    }

    /// Its key.
    pub fn key(&self) -> Key {
        Key(derive(&self.0, "camera-agent invite key v1"))
    }

    /// As people are given it: seven groups of four characters.
    pub fn code(&self) -> String {
        let (mut bits, mut held) = (0u32, 0);
        let mut code = String::with_capacity(CHARACTERS + CHARACTERS / GROUP);
        let mut characters = 0;
        let check = check(&self.0);
        let all = self.0.iter().copied().chain(check);
        for byte in all {
            bits = (bits << 8) | u32::from(byte);
            held += 8;
            while held >= 5 && characters < CHARACTERS {
                held -= 5;
                if characters > 0 && characters % GROUP == 0 {
                    code.push('-');
                }
                code.push(DIGITS[(bits >> held) as usize & 31].into());
                characters += 1;
            }
        }
        code
    }

    /// Reads what somebody typed: small letters, spaces and hyphens anywhere or
    /// nowhere, O for 0, I and L for 1.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for who typed it.
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        let mut digits = Vec::with_capacity(CHARACTERS);
        let characters = text.chars().take(LONGEST);
        for c in characters.filter(|c| !c.is_whitespace() && *c != '-') {
            let digit = match c.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            let value = DIGITS.iter().position(|d| char::from(*d) == digit);
            digits.push(value.ok_or(CodeError::Character(c))? as u8);
        }
        if digits.len() != CHARACTERS {
            return Err(CodeError::Length(digits.len()));
        }
        let mut bytes = [0u8; 18];
        for (i, digit) in digits.iter().enumerate() {
            for bit in 0..5 {
                let at = i * 5 + bit;
                bytes[at / 8] |= (digit >> (4 - bit) & 1) << (7 - at % 8);
            }
        }
        let (secret, rest) = bytes.split_at(16);
        let secret = secret.try_into().map_err(|_| CodeError::Check)?;
        let expected = check(&secret);
        if rest == [expected[0], expected[1] & 0xf0] {
            Ok(Self(secret))
        } else {
            Err(CodeError::Check)
        }
    }
}

impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invite(…)")
    }
}

/// What an invited person opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The page's address, without a fragment.
    pub page: String,
    /// The camera's name.
    pub camera: String,
    /// The secret.
    pub invite: Invite,
}

impl Link {
    /// The whole of it. Browsers send nothing of what follows the `#`.
    pub fn text(&self) -> String {
        let camera = utf8_percent_encode(&self.camera, ESCAPED);
        format!(
            "{}#camera={camera}&invite={}",
            self.page,
            self.invite.code()
        )
    }

    /// Reads a link as a page does. Parts that it does not know are passed over.
    ///
    /// # Errors
    ///
    /// It is no invitation.
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        let text = text.get(..LONGEST).unwrap_or(text);
        let (page, fragment) = text.split_once('#').unwrap_or((text, ""));
        let part = |name: &'static str| {
            let found = fragment.split('&').find_map(|part| {
                let (key, value) = part.split_once('=')?;
                (key == name).then_some(value)
            });
            found.ok_or(CodeError::Missing(name))
        };
        let camera = percent_decode_str(part("camera")?).decode_utf8();
        Ok(Self {
            page: page.to_owned(),
            camera: camera
                .map_err(|_| CodeError::Missing("camera"))?
                .into_owned(),
            invite: Invite::parse(part("invite")?)?,
        })
    }
}

/// 12 bits that follow from the secret, in the first bits of two bytes: by them
/// a mistake is found before it is somebody's failed call.
fn check(secret: &[u8; 16]) -> [u8; 2] {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(b"camera-agent invite check v1");
    hash.update(secret);
    let hash = hash.finish();
    [hash.as_ref()[0], hash.as_ref()[1]]
}

/// HKDF-SHA256 (RFC 5869) without a salt.
pub(super) fn derive<const N: usize>(input: &[u8], info: &str) -> [u8; N] {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut output = [0; N];
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]);
    let info = [info.as_bytes()];
    let pseudorandom = salt.extract(input);
    let filled = pseudorandom
        .expand(&info, Length(N))
        .and_then(|okm| okm.fill(&mut output));
    filled.expect("it is short enough for HKDF");
    output
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the system gives random bytes");
    bytes
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != (N * 4).div_ceil(3) {
        return None;
    }
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}
