//! Who may sign in to the chat server: names, passwords and tokens, brakes on
//! guessing, sessions. Pure: texts and times in, decisions out.
//!
//! [`crate::chat`] is the shell around it: it reads the file, has passwords
//! tried on threads of their own, and speaks HTTP.
//!
//! # What it promises
//!
//! * A password is tried at most so often: by [`Brakes`] for each address and
//!   each name, whoever guesses.
//! * Nobody is kept out by what others guess: who signed in from an address
//!   before has a count of their own there, a wait ends by itself, and a token
//!   meets no brakes.
//! * All tables are bounded, whatever strangers send.

mod brakes;
mod password;
mod remembered;
mod sessions;
mod users;

pub use brakes::{Attempt, Brakes, MOST_WAIT};
pub(crate) use password::LONGEST_PASSWORD;
pub use password::{Hash, hash};
pub use remembered::{Guess, Remembered};
pub use sessions::{Found, MOST_OF_ONE, SESSION, SessionNumber, Sessions};
pub(crate) use users::LONGEST;
pub use users::{Credential, MOST_TOKENS, TextError, Token, User, Users, name};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};

/// Random bytes of the system.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the system has random numbers");
    bytes
}

/// SHA-256.
fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let digest = context.finish();
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// 256 random bits as text, and what is kept of them.
fn token() -> (String, [u8; 32]) {
    let text = URL_SAFE_NO_PAD.encode(random::<32>());
    let kept = sha256(&[text.as_bytes()]);
    (text, kept)
}
