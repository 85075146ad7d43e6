//! The text of a users file: one line a password or a token, `name:$argon2id$…`
//! or `name:$sha256$…`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::password::Hash;
use super::{sha256, token};
use crate::wire::UserName;

/// Longest text that is read, in bytes.
pub(crate) const LONGEST: usize = 512 * 1024;
/// Users of one file.
pub(crate) const MOST_USERS: usize = 256;
/// Tokens of one user.
pub const MOST_TOKENS: usize = 8;

const HEAD: &str = "\
# Who may sign in to the chat server. Written by `camera-agent chat-user`.
# A line is a password's hash (argon2id) or a token's (SHA-256).
";
/// What the hash of a token begins with.
const OF_TOKEN: &str = "$sha256$";

/// What is wrong with a text, in one line without any of its hashes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Longer than [`LONGEST`].
    #[error("it has more than {LONGEST} bytes")]
    TooLong,
    /// A line, from 1, makes no sense.
    #[error("line {0}: {1}")]
    Line(usize, String),
    /// There are too many.
    #[error("there are more than {MOST_USERS} users")]
    TooMany,
}

/// Names a password or a token as it stands in the file: another one has another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Credential([u8; 32]);

/// A token as it is handed over, once.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub(super) String);

impl Token {
    /// The text itself: 43 letters, digits, `-` and `_`.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What somebody signs in with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// The hash of their password, where they have one.
    pub password: Option<Hash>,
    /// Hashes of their tokens.
    tokens: Vec<[u8; 32]>,
}

impl User {
    /// How many tokens they have.
    pub fn tokens(&self) -> usize {
        self.tokens.len()
    }
}

/// Who may sign in, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Users(BTreeMap<String, User>);

/// A name to sign in by: as [`UserName`] has it, without a colon, which would end
/// it in the file and in HTTP's Basic (RFC 7617 §2), and no comment.
///
/// # Errors
///
/// What is wrong with it, in words.
pub fn name(text: &str) -> Result<UserName, String> {
    let name = UserName::parse(text)?;
    if text.contains(':') || text.starts_with('#') {
        return Err("a name to sign in by holds no colon and does not begin with #".to_owned());
    }
    Ok(name)
}

impl Users {
    /// Reads a text.
    ///
    /// # Errors
    ///
    /// It is damaged; nothing of it is to be used.
    pub fn read(text: &str) -> Result<Self, TextError> {
        if text.len() > LONGEST {
            return Err(TextError::TooLong);
        }
        let mut users = Self::default();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = |problem: String| TextError::Line(at + 1, problem);
            let (who, secret) = line
                .split_once(':')
                .ok_or_else(|| bad("it is no name, a colon and a hash".to_owned()))?;
            let who = name(who).map_err(bad)?;
            users.take(&who, secret).map_err(bad)?;
            if users.0.len() > MOST_USERS {
                return Err(TextError::TooMany);
            }
        }
        Ok(users)
    }

    fn take(&mut self, who: &UserName, secret: &str) -> Result<(), String> {
        let user = self.0.entry(who.as_str().to_owned()).or_default();
        let Some(of_token) = secret.strip_prefix(OF_TOKEN) else {
            return match user.password.replace(Hash::parse(secret)?) {
                None => Ok(()),
                Some(_) => Err("there is another password of this name before it".to_owned()),
            };
        };
        let hash = URL_SAFE_NO_PAD.decode(of_token).ok();
        let hash = hash.and_then(|bytes| bytes.try_into().ok());
        user.keep(hash.ok_or("its hash of a token is damaged")?)
    }

    /// Writes a text that [`read`](Self::read) reads as the same.
    pub fn write(&self) -> String {
        let mut text = HEAD.to_owned();
        for (name, user) in &self.0 {
            if let Some(hash) = &user.password {
                let _ = writeln!(text, "{name}:{}", hash.as_str());
            }
            for token in &user.tokens {
                let _ = writeln!(text, "{name}:{OF_TOKEN}{}", URL_SAFE_NO_PAD.encode(token));
            }
        }
        text
    }

    /// Whether nobody may sign in.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everybody, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &User)> {
        self.0.iter().map(|(name, user)| (name.as_str(), user))
    }

    /// Who has this name.
    pub fn get(&self, name: &UserName) -> Option<&User> {
        self.0.get(name.as_str())
    }

    /// Gives somebody a password, in place of the one they had; says whether
    /// they had one.
    ///
    /// # Errors
    ///
    /// There are too many users.
    pub fn set_password(&mut self, name: &UserName, hash: Hash) -> Result<bool, String> {
        Ok(self.of(name)?.password.replace(hash).is_some())
    }

    /// Makes somebody a token; it is nowhere else.
    ///
    /// # Errors
    ///
    /// There are too many users, or they have too many tokens.
    pub fn add_token(&mut self, name: &UserName) -> Result<Token, String> {
        let (text, hash) = token();
        self.of(name)?.keep(hash)?;
        Ok(Token(text))
    }

    /// Takes somebody away, with all they sign in with.
    pub fn remove(&mut self, name: &UserName) -> bool {
        self.0.remove(name.as_str()).is_some()
    }

    /// Takes somebody's tokens away, and them where they have no password; says
    /// how many there were.
    pub(crate) fn remove_tokens(&mut self, name: &UserName) -> Option<usize> {
        let user = self.0.get_mut(name.as_str())?;
        let tokens = std::mem::take(&mut user.tokens).len();
        if user.password.is_none() {
            self.0.remove(name.as_str());
        }
        Some(tokens)
    }

    fn of(&mut self, name: &UserName) -> Result<&mut User, String> {
        if !self.0.contains_key(name.as_str()) && self.0.len() >= MOST_USERS {
            return Err(TextError::TooMany.to_string());
        }
        Ok(self.0.entry(name.as_str().to_owned()).or_default())
    }

    /// Whose token it is.
    pub fn token(&self, text: &str) -> Option<(UserName, Credential)> {
        let hash = sha256(&[text.as_bytes()]);
        let (name, _) = self.iter().find(|(_, user)| user.tokens.contains(&hash))?;
        let who = UserName::parse(name).ok()?;
        let credential = credential(name, &hash);
        Some((who, credential))
    }

    /// The hash to try a password of `name` against, and what a right one is;
    /// where there is no such name, or they have no password, somebody else's,
    /// so that it takes as long, with `None`. `pick` is any number that goes with
    /// the name.
    pub fn to_try(&self, name: &UserName, pick: u64) -> Option<(Hash, Option<Credential>)> {
        if let Some(hash) = self.get(name).and_then(|user| user.password.as_ref()) {
            let credential = credential(name.as_str(), hash.as_str().as_bytes());
            return Some((hash.clone(), Some(credential)));
        }
        let hashes: Vec<_> = self
            .0
            .values()
            .filter_map(|u| u.password.as_ref())
            .collect();
        let at = usize::try_from(pick % (hashes.len().max(1) as u64)).unwrap_or(0);
        hashes.get(at).map(|hash| ((*hash).clone(), None))
    }

    /// Whether it is still in force.
    pub fn has(&self, name: &UserName, credential: &Credential) -> bool {
        let Some(user) = self.get(name) else {
            return false;
        };
        let of = |secret: &[u8]| self::credential(name.as_str(), secret) == *credential;
        user.password
            .as_ref()
            .is_some_and(|hash| of(hash.as_str().as_bytes()))
            || user.tokens.iter().any(|token| of(token))
    }
}

impl User {
    fn keep(&mut self, token: [u8; 32]) -> Result<(), String> {
        if self.tokens.len() >= MOST_TOKENS {
            return Err(format!("nobody has more than {MOST_TOKENS} tokens"));
        }
        self.tokens.push(token);
        Ok(())
    }
}

fn credential(name: &str, secret: &[u8]) -> Credential {
    // A name has no colon.
    Credential(sha256(&[name.as_bytes(), b":", secret]))
}
