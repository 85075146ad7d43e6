//! STUN and TURN servers with their credentials. Pure but for reading secrets
//! at start-up.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha1::Sha1;

use crate::config::{ConfigError, IceConfig, read_secret};
use crate::ice::IceUrl;

/// How long credentials made from a shared secret are good.
pub(crate) const CREDENTIAL_LIFETIME: Duration = Duration::from_secs(12 * 3600);

#[derive(Clone, PartialEq, Eq)]
enum Credentials {
    None,
    Fixed {
        username: String,
        password: String,
    },
    /// TURN REST API (draft-uberti-behave-turn-rest-00), coturn's
    /// `use-auth-secret`.
    Shared {
        secret: String,
    },
}

#[derive(Clone, PartialEq, Eq)]
struct Server {
    urls: Vec<IceUrl>,
    credentials: Credentials,
}

/// One server, ready to be given to a connection. `Debug` does not show the
/// credential.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct IceServer {
    /// STUN and TURN addresses.
    pub urls: Vec<IceUrl>,
    /// Empty for STUN.
    pub username: String,
    /// Empty for STUN.
    pub credential: String,
}

impl fmt::Debug for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServer")
            .field("urls", &self.urls)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// The servers of a configuration, secrets read.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct IceServers(Vec<Server>);

/// Without secrets.
impl fmt::Debug for IceServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.urls()).finish()
    }
}

impl IceServers {
    /// Reads the secrets that the configuration names.
    pub(crate) fn load(config: &IceConfig) -> Result<Self, ConfigError> {
        let servers = config.servers.iter().map(|server| {
            let credentials = match (
                &server.username,
                &server.credential_file,
                &server.secret_file,
            ) {
                (Some(username), Some(file), None) => Credentials::Fixed {
                    username: username.clone(),
                    password: read_secret("ice.servers.credential_file", file)?,
                },
                (None, None, Some(file)) => Credentials::Shared {
                    secret: read_secret("ice.servers.secret_file", file)?,
                },
                // `Config::validate` lets nothing else through.
                _ => Credentials::None,
            };
            Ok(Server {
                urls: server.urls.clone(),
                credentials,
            })
        });
        servers.collect::<Result<_, _>>().map(Self)
    }

    /// The addresses of all.
    pub(crate) fn urls(&self) -> impl Iterator<Item = &IceUrl> {
        self.0.iter().flat_map(|server| &server.urls)
    }

    /// The servers with credentials that are good from `now` (since 1970) for
    /// [`CREDENTIAL_LIFETIME`]; `user` is who asks, for the TURN server's log.
    pub(crate) fn at(&self, now: Duration, user: &str) -> Vec<IceServer> {
        self.0
            .iter()
            .map(|server| {
                let (username, credential) = match &server.credentials {
                    Credentials::None => Default::default(),
                    Credentials::Fixed { username, password } => {
                        (username.clone(), password.clone())
                    }
                    Credentials::Shared { secret } => {
                        time_limited(secret, now + CREDENTIAL_LIFETIME, user)
                    }
                };
                IceServer {
                    urls: server.urls.clone(),
                    username,
                    credential,
                }
            })
            .collect()
    }
}

/// As a browser takes it (`RTCIceServer`, W3C WebRTC §4.2.3).
pub(crate) fn to_json(servers: &[IceServer]) -> Value {
    servers
        .iter()
        .map(|s| match s.username.as_str() {
            "" => json!({"urls": s.urls}),
            user => json!({"urls": s.urls, "username": user, "credential": s.credential}),
        })
        .collect()
}

/// Characters of who asks that are named to a TURN server.
const MOST_OF_USER: usize = 64;

fn time_limited(secret: &str, expires: Duration, user: &str) -> (String, String) {
    // The colon separates the expiry from the name, and STUN has no room for
    // more than 508 bytes of both (RFC 8489 §14.3).
    let user: String = user.chars().take(MOST_OF_USER).collect();
    let user = user.replace(':', "_");
    let username = format!("{}:{user}", expires.as_secs());
    let mut mac =
        Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(username.as_bytes());
    let credential = STANDARD.encode(mac.finalize().into_bytes());
    (username, credential)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::io::Write;
    use std::path::Path;

    /// The value is what `openssl dgst -sha1 -hmac north` makes of the name,
    /// the way coturn's documentation has it.
    #[test]
    fn time_limited_credentials_are_those_of_coturn() {
        let (username, credential) =
            time_limited("north", Duration::from_secs(1_700_000_000), "camera");
        assert_eq!(username, "1700000000:camera");
        assert_eq!(credential, "EfyiBJnu93CKQ+iNE0UdAX9mVpY=");
    }

    #[test]
    fn secrets_come_from_files() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        writeln!(file, "north").expect("written");
        let text = format!(
            "[[ice.servers]]\nurls = [\"turn:t.example\"]\nsecret_file = {:?}\n\
             [[ice.servers]]\nurls = [\"stun:s.example\"]\n",
            file.path()
        );
        let config = Config::parse(&text, Path::new("x")).expect("valid");
        let servers = IceServers::load(&config.ice).expect("readable");
        let at = servers.at(Duration::from_secs(1), "a:b");
        assert_eq!(at[0].username, "43201:a_b");
        assert_eq!(
            to_json(&at)[1],
            serde_json::json!({"urls": ["stun:s.example"]})
        );
    }

    #[test]
    fn a_missing_secret_is_named_and_an_empty_one_too() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for path in [Path::new("/no/such/file"), file.path()] {
            let text =
                format!("[[ice.servers]]\nurls = [\"turn:t.example\"]\nsecret_file = {path:?}\n");
            let config = Config::parse(&text, Path::new("x")).expect("valid");
            let error = IceServers::load(&config.ice).expect_err("unusable");
            assert!(error.to_string().contains("ice.servers.secret_file"));
        }
    }
}
