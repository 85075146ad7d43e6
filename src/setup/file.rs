//! The configuration file as `camera-agent setup` changes it: the keys that were
//! answered, and nothing else; comments and order stay.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Table, value};

use super::SetupError;
use crate::config::{Config, ConfigError};

/// What was asked; `None` leaves a key as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    /// `server.url`
    pub server: Option<String>,
    /// `server.name`
    pub name: Option<String>,
    /// `server.ca_file`
    pub ca_file: Option<String>,
    /// `server.username`
    pub username: Option<String>,
    /// `server.password_file`
    pub password_file: Option<String>,
    /// `server.token_file`; a token takes the place of user and password.
    pub token_file: Option<String>,
    /// `server.proxy`
    pub proxy: Option<String>,
    /// `server.proxy_password_file`
    pub proxy_password_file: Option<String>,
    /// `access.page`
    pub page: Option<String>,
    /// `access.mode`
    pub mode: Option<String>,
    /// A node, `auto`, or `test`.
    pub camera: Option<String>,
    /// A PCM, `auto`, `test`, or `none`.
    pub microphone: Option<String>,
}

/// The text of a file that is not there yet: every key, with its meaning.
const TEMPLATE: &str = include_str!("../../systemd/camera-agent.toml");

/// The file as it was read.
#[derive(Debug)]
pub(crate) struct File {
    path: PathBuf,
    text: String,
}

impl File {
    /// Reads the file. Where there is none, it begins as the documented one
    /// that nobody filled in.
    pub(crate) fn open(path: &Path) -> Result<Self, SetupError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => unconfigured(),
            Err(error) => {
                return Err(ConfigError::Unreadable {
                    path: path.to_owned(),
                    error,
                }
                .into());
            }
        };
        Ok(Self {
            path: path.to_owned(),
            text,
        })
    }

    /// What it says now, filled in or not.
    pub(crate) fn config(&self) -> Result<Config, ConfigError> {
        Config::read(&self.text, &self.path)
    }

    /// Writes the answers: all of them or, on any error, none.
    pub(crate) fn write(&self, answers: &Answers) -> Result<Config, SetupError> {
        let text = edit(&self.text, answers).map_err(|problem| ConfigError::Syntax {
            path: self.path.clone(),
            line: 1,
            message: problem,
        })?;
        let config = Config::parse(&text, &self.path)?;
        replace(&self.path, &text).map_err(|error| SetupError::Write {
            path: self.path.clone(),
            error,
        })?;
        Ok(config)
    }
}

/// How the documented file shows that only invited people are let in, and how one
/// says so that does.
const INVITED: [&str; 2] = ["#:mode = \"invited\"", "mode = \"invited\""];

/// The documented file without a server and a name, and for invited people
/// alone: what the package installs.
pub(crate) fn unconfigured() -> String {
    let empty = Answers {
        server: Some(String::new()),
        name: Some(String::new()),
        ..Default::default()
    };
    let [shown, said] = INVITED;
    edit(&TEMPLATE.replacen(shown, said, 1), &empty).expect("a test reads the documented file")
}

fn edit(text: &str, answers: &Answers) -> Result<String, String> {
    let mut document: DocumentMut = text
        .parse()
        .map_err(|e| format!("{e}").replace('\n', " "))?;
    let mut set = |section: &str, key: &str, text: &str| {
        let table = document
            .entry(section)
            .or_insert_with(|| Item::Table(Table::new()));
        let table = table
            .as_table_like_mut()
            .ok_or_else(|| format!("\"{section}\" is not a section"))?;
        match table.get_mut(key).and_then(Item::as_value_mut) {
            Some(present) => {
                // Comments beside it stay.
                let decor = present.decor().clone();
                *present = text.into();
                *present.decor_mut() = decor;
            }
            None => {
                table.insert(key, value(text));
            }
        }
        Ok::<_, String>(())
    };
    for (key, answer) in [
        ("url", &answers.server),
        ("name", &answers.name),
        ("ca_file", &answers.ca_file),
        ("username", &answers.username),
        ("password_file", &answers.password_file),
        ("token_file", &answers.token_file),
        ("proxy", &answers.proxy),
        ("proxy_password_file", &answers.proxy_password_file),
    ] {
        if let Some(answer) = answer {
            set("server", key, answer)?;
        }
    }
    for (key, answer) in [("page", &answers.page), ("mode", &answers.mode)] {
        if let Some(answer) = answer {
            set("access", key, answer)?;
        }
    }
    match answers.camera.as_deref() {
        None => {}
        Some("test") => set("video", "source", "test")?,
        Some(device) => {
            set("video", "source", "v4l2")?;
            set("video", "device", device)?;
        }
    }
    match answers.microphone.as_deref() {
        None => {}
        Some(source @ ("none" | "test")) => set("audio", "source", source)?,
        Some(device) => {
            set("audio", "source", "alsa")?;
            set("audio", "device", device)?;
        }
    }
    // What takes the place of another takes it away.
    let gone: &[&str] = match (&answers.token_file, &answers.password_file) {
        (Some(_), None) => &["username", "password_file"],
        (None, Some(_)) => &["token_file"],
        _ => &[],
    };
    if let Some(server) = document.get_mut("server").and_then(Item::as_table_like_mut) {
        for key in gone {
            server.remove(key);
        }
    }
    Ok(document.to_string())
}

/// Puts the text where the file is in one step: who reads it sees the old text
/// or the new one. Owner and permissions stay.
pub(super) fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    // Through a link to the file itself.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    let mode = match std::fs::metadata(&path) {
        Ok(old) => {
            std::os::unix::fs::fchown(file.as_file(), Some(old.uid()), Some(old.gid()))?;
            old.mode()
        }
        // There is no secret in it, and the service's user reads it.
        Err(_) => 0o644,
    };
    file.as_file()
        .set_permissions(std::fs::Permissions::from_mode(mode & 0o7777))?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|e| e.error)?;
    Ok(())
}
