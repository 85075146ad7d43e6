//! Passwords that were tried a while ago, right or wrong, so that a program which
//! connects again and again costs one trial.
//!
//! They are kept under a key of this process (HMAC-SHA256), for the address that
//! they came from alone: what one address proved says nothing to another.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ring::hmac;

use super::{Credential, random};
use crate::room::Source;
use crate::secret::Secret;
use crate::wire::UserName;

/// How long a right one is remembered after it was used, and a wrong one.
const RIGHT: Duration = Duration::from_secs(3600);
const WRONG: Duration = Duration::from_secs(600);
/// How many of each.
const MOST: usize = 256;

/// An address, a name and a password, without any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Guess([u8; 32]);

/// What was tried.
#[derive(Debug)]
pub struct Remembered {
    key: hmac::Key,
    right: HashMap<Guess, (Credential, Instant)>,
    wrong: HashMap<Guess, Instant>,
}

impl Default for Remembered {
    fn default() -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &random::<32>()),
            right: HashMap::new(),
            wrong: HashMap::new(),
        }
    }
}

impl Remembered {
    /// What a password is remembered by.
    pub fn guess(&self, name: &UserName, password: &Secret, source: Source) -> Guess {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [name.as_str(), &source.to_string(), password.expose()] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let tag = context.sign();
        Guess(tag.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// A number that goes with a name, and that nobody else can work out.
    pub fn pick(&self, name: &UserName) -> u64 {
        let tag = hmac::sign(&self.key, name.as_str().as_bytes());
        let first = tag.as_ref().first_chunk().expect("32 bytes are there");
        u64::from_be_bytes(*first)
    }

    /// It was right a while ago. Only for who has passed the brakes: to ask here
    /// is to guess.
    pub fn right(&mut self, guess: &Guess, now: Instant) -> Option<Credential> {
        let (credential, at) = self.right.get_mut(guess)?;
        if now.saturating_duration_since(*at) >= RIGHT {
            self.right.remove(guess);
            return None;
        }
        *at = now;
        Some(*credential)
    }

    /// It was wrong a while ago: to say so again tells nothing new.
    pub fn is_wrong(&self, guess: &Guess, now: Instant) -> bool {
        let at = self.wrong.get(guess);
        at.is_some_and(|at| now.saturating_duration_since(*at) < WRONG)
    }

    /// It was tried; `right` is what it is the password of.
    pub fn tried(&mut self, guess: Guess, right: Option<Credential>, now: Instant) {
        match right {
            Some(credential) => {
                bound(&mut self.right, |(_, at)| *at);
                self.right.insert(guess, (credential, now));
            }
            None => {
                bound(&mut self.wrong, |at| *at);
                self.wrong.insert(guess, now);
            }
        }
    }

    /// The file is another: nothing of before counts.
    pub fn clear(&mut self) {
        self.right.clear();
        self.wrong.clear();
    }
}

/// Makes place for one more; the oldest goes.
fn bound<V>(map: &mut HashMap<Guess, V>, at: impl Fn(&V) -> Instant) {
    if map.len() < MOST {
        return;
    }
    if let Some(oldest) = map
        .iter()
        .min_by_key(|(_, value)| at(value))
        .map(|(key, _)| *key)
    {
        map.remove(&oldest);
    }
}
