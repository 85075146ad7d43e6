//! Shell: what is read from files, the configuration and the secrets that it
//! names.

use std::path::{Path, PathBuf};

use super::{Config, ConfigError};

impl Config {
    /// Reads a file. Values are not checked yet: flags may be laid over them,
    /// and then comes [`check`](Self::check).
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
            path: path.to_owned(),
            error,
        })?;
        Self::read(&text, path)
    }
}

/// What a path begins with that names a credential of the service manager's.
const CREDENTIAL: &str = "credential:";

/// Reads a secret: the file's text without the line break at its end.
///
/// `credential:NAME` is the credential that systemd was told to load under this
/// name (systemd.exec(5), `LoadCredential=`), whose file only this service can
/// read.
pub(crate) fn read_secret(key: &'static str, path: &Path) -> Result<String, ConfigError> {
    secret(key, path, credentials().as_deref())
}

/// The file that holds a secret, which may be such a credential.
///
/// # Errors
///
/// systemd passed no credentials, or that is no name of one.
pub(crate) fn secret_file(key: &'static str, path: &Path) -> Result<PathBuf, ConfigError> {
    file(key, path, credentials().as_deref())
}

fn credentials() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

fn unusable(key: &'static str, path: &Path, problem: String) -> ConfigError {
    ConfigError::Secret {
        key,
        path: path.to_owned(),
        problem,
    }
}

fn file(
    key: &'static str,
    path: &Path,
    credentials: Option<&Path>,
) -> Result<PathBuf, ConfigError> {
    let failed = |problem: String| Err(unusable(key, path, problem));
    let name = path.to_str().and_then(|p| p.strip_prefix(CREDENTIAL));
    match (name, credentials) {
        (None, _) => Ok(path.to_owned()),
        (Some(name), Some(folder)) if !name.is_empty() && !name.contains('/') => {
            Ok(folder.join(name))
        }
        (Some(_), Some(_)) => failed("that is no name of a credential".to_owned()),
        (Some(name), None) => failed(format!(
            "systemd passed no credentials; add LoadCredential={name}:FILE to the unit \
             (systemctl edit camera-agent, or camera-agent-chat)"
        )),
    }
}

pub(super) fn secret(
    key: &'static str,
    path: &Path,
    credentials: Option<&Path>,
) -> Result<String, ConfigError> {
    let failed = |problem: String| unusable(key, path, problem);
    let file = file(key, path, credentials)?;
    let text = std::fs::read_to_string(&file).map_err(|e| failed(e.to_string()))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(failed("the file is empty".into()));
    }
    Ok(secret.to_owned())
}
