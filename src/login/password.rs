//! Passwords and their hashes: argon2id (RFC 9106), as PHC strings.

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};

use super::random;
use crate::secret::Secret;

/// Bytes of a password at the least, as NIST SP 800-63B §5.1.1 has it.
pub(crate) const SHORTEST_PASSWORD: usize = 8;
/// Bytes of a password at the most.
pub(crate) const LONGEST_PASSWORD: usize = 1024;

/// What one trial of a hash of another's making may cost, so that a file cannot
/// ask for more than a small board has: KiB of memory, passes, lanes.
const MOST_MEMORY: u32 = 64 * 1024;
const MOST_PASSES: u32 = 10;
const MOST_LANES: u32 = 4;
/// Bytes of such a string; ours have 97.
const LONGEST_HASH: usize = 256;

/// A password's hash, checked to be one that can be tried here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hash(String);

impl Hash {
    /// Reads a PHC string.
    ///
    /// # Errors
    ///
    /// What is wrong with it, without any of it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST_HASH {
            return Err("its hash is too long".to_owned());
        }
        let damaged = || "its hash is no whole $argon2id$ string".to_owned();
        let hash = PasswordHash::new(text).map_err(|_| damaged())?;
        if Algorithm::try_from(hash.algorithm) != Ok(Algorithm::Argon2id) {
            return Err("its hash is of another kind than argon2id".to_owned());
        }
        if hash.salt.is_none() || hash.hash.is_none() {
            return Err(damaged());
        }
        let params = Params::try_from(&hash).map_err(|_| damaged())?;
        if params.m_cost() > MOST_MEMORY
            || params.t_cost() > MOST_PASSES
            || params.p_cost() > MOST_LANES
        {
            return Err(format!(
                "its hash costs more than m={MOST_MEMORY},t={MOST_PASSES},p={MOST_LANES}"
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// One that no password is of, and that costs what a real one does.
    pub(crate) fn decoy() -> Self {
        made(&random::<32>(), Params::default())
    }

    /// The PHC string.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the password. It takes as long as the hash costs: some 20
    /// MB and some 30 to 300 ms, by the machine; not for a thread that others
    /// wait for.
    pub fn is_of(&self, password: &Secret) -> bool {
        let hash = PasswordHash::new(&self.0).expect("it was checked");
        // The parameters are the string's own.
        Argon2::default()
            .verify_password(password.expose().as_bytes(), &hash)
            .is_ok()
    }
}

/// Hashes a password with a salt of its own: m = 19 MiB, t = 2, p = 1 (OWASP
/// Password Storage Cheat Sheet), which a small board can pay.
///
/// # Errors
///
/// It is too short or too long.
pub fn hash(password: &Secret) -> Result<Hash, String> {
    let bytes = password.expose().as_bytes();
    if bytes.len() < SHORTEST_PASSWORD {
        return Err(format!(
            "a password has at least {SHORTEST_PASSWORD} characters"
        ));
    }
    if bytes.len() > LONGEST_PASSWORD {
        return Err(format!("a password has at most {LONGEST_PASSWORD} bytes"));
    }
    Ok(made(bytes, Params::default()))
}

fn made(password: &[u8], params: Params) -> Hash {
    let salt = SaltString::encode_b64(&random::<16>()).expect("16 bytes are a salt");
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon.hash_password(password, &salt);
    Hash(hash.expect("salt and costs are in range").to_string())
}
