//! What a login in front of the chat server is told, or a proxy.
//!
//! Files are read for each connection, so that a password or token that was
//! changed is taken as soon as the old one is refused.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::config::{ConfigError, ServerConfig, read_secret};
use crate::secret::Secret;

/// How the device says who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    /// It does not.
    None,
    /// Basic (RFC 7617).
    Basic { user: String, password: PathBuf },
    /// Bearer (RFC 6750).
    Bearer { token: PathBuf },
}

impl Credentials {
    /// Those of a configuration that was checked.
    pub(super) fn of(config: &ServerConfig) -> Self {
        match (&config.username, &config.password_file, &config.token_file) {
            (Some(user), Some(password), _) => Self::Basic {
                user: user.clone(),
                password: password.clone(),
            },
            (_, _, Some(token)) => Self::Bearer {
                token: token.clone(),
            },
            _ => Self::None,
        }
    }

    /// The value of `Authorization`, from the files as they are now.
    pub(super) fn header(&self) -> Result<Option<HeaderValue>, ConfigError> {
        match self {
            Self::None => Ok(None),
            Self::Basic { user, password } => {
                let password = Secret::new(read_secret("server.password_file", password)?);
                basic(user, &password).map(Some)
            }
            Self::Bearer { token } => {
                let path = token;
                let token = Secret::new(read_secret("server.token_file", path)?);
                let header = hidden(format!("Bearer {}", token.expose()));
                header.map(Some).ok_or_else(|| ConfigError::Secret {
                    key: "server.token_file",
                    path: path.clone(),
                    problem: "a token is one line of plain characters".into(),
                })
            }
        }
    }
}

/// Basic credentials.
pub(super) fn basic(user: &str, password: &Secret) -> Result<HeaderValue, ConfigError> {
    let pair = format!("{user}:{}", password.expose());
    let header = hidden(format!("Basic {}", STANDARD.encode(pair)));
    Ok(header.expect("base64 has plain characters alone"))
}

/// A header's value that `Debug` does not show.
fn hidden(text: String) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    // What is not ASCII may go into a header, and is no token.
    value.to_str().ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        file
    }

    fn bearer(path: &Path) -> Credentials {
        Credentials::Bearer {
            token: path.to_owned(),
        }
    }

    /// RFC 7617 §2 and §2.1 have the two values.
    #[test]
    fn basic_is_that_of_the_standard() {
        for (user, password, expected) in [
            (
                "Aladdin",
                "open sesame",
                "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            ),
            ("test", "123\u{a3}", "Basic dGVzdDoxMjPCow=="),
        ] {
            let header = basic(user, &Secret::new(password)).expect("a header");
            assert_eq!(header.as_bytes(), expected.as_bytes());
            assert_eq!(format!("{header:?}"), "Sensitive");
        }
    }

    #[test]
    fn a_file_that_was_changed_is_read_again() {
        let token = file("north\n");
        let credentials = bearer(token.path());
        let header = || {
            credentials
                .header()
                .expect("readable")
                .expect("there is one")
        };
        assert_eq!(header().as_bytes(), b"Bearer north");
        std::fs::write(token.path(), "south").expect("written");
        assert_eq!(header().as_bytes(), b"Bearer south");
    }

    #[test]
    fn a_token_that_no_header_can_hold_is_told_and_not_shown() {
        for text in ["no\nrth", "n\u{f6}rth", "nor\u{0}th"] {
            let token = file(text);
            let error = bearer(token.path()).header().expect_err("refused");
            let message = format!("{error} {error:?}");
            assert!(message.contains("server.token_file"), "{message}");
            assert!(!message.contains("rth"), "{message}");
        }
    }
}
