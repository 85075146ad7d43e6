//! The configuration file: one TOML file, unknown keys refused.
//!
//! Every key, with its default, is documented in `systemd/camera-agent.toml`;
//! a test holds the two together. Secrets are never in the file: it names
//! files that hold them.

mod encoders;
mod files;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod ice;
mod media;
mod motion;
mod ports;
mod recording;
mod server;
mod speaker;

use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use encoders::{EncoderCodec, EncoderConfig, EncoderRateUnit, Scalar};
pub(crate) use files::{read_secret, secret_file};
pub use ice::{IceConfig, IceServerConfig};
pub use media::{
    AudioConfig, AudioSource, ControlValue, Flip, TierConfig, VideoConfig, VideoSource,
};
pub use motion::{HookConfig, HookEvent, MotionConfig, ZoneConfig};
pub(crate) use motion::{ZoneWish, validate_zones};
pub use ports::PortRange;
pub(crate) use recording::LONGEST_PRE_ROLL_S;
pub use recording::{RecordWhen, RecordingConfig};
pub(crate) use server::show;
pub use server::{ProxyConfig, ProxyUrl, ServerConfig, ServerUrl};
pub use speaker::{Echo, SpeakerConfig};

use crate::secret::without_credentials;
use crate::wire::UserName;
use media::MOST_TIERS;

/// The service's configuration.
pub(crate) const SERVICE: &str = "/etc/camera-agent/camera-agent.toml";

/// Why a configuration cannot be used. Each names the key or the file, and
/// what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is not TOML of this shape.
    #[error("{path}, line {line}: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The parser's words.
        message: String,
    },
    /// A value is out of range or does not fit another.
    #[error("configuration: {key}: {}", for_people(problem))]
    Value {
        /// The key, dotted.
        key: &'static str,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// Nobody has said yet where to register, and as whom.
    #[error(
        "{path} does not say yet where to register: set server.url and server.name in it, or run \"camera-agent setup\""
    )]
    Unconfigured {
        /// The file.
        path: PathBuf,
    },
    /// A secret's file cannot be read or is empty.
    #[error("configuration: {key}: cannot use the secret in {path}: {problem}")]
    Secret {
        /// The key, dotted.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// What is wrong with the file at `path` of this text, `at` so many bytes from
/// its beginning.
pub(crate) fn syntax_error(path: &Path, text: &str, at: usize, message: &str) -> ConfigError {
    let before = &text.as_bytes()[..at.min(text.len())];
    ConfigError::Syntax {
        path: path.to_owned(),
        line: before.iter().filter(|b| **b == b'\n').count() + 1,
        message: without_credentials(&message.replace('\n', " ")),
    }
}

/// What may stand in a log: one line, without credentials.
fn for_people(problem: &str) -> String {
    without_credentials(problem).replace(char::is_control, " ")
}

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where and as whom to register.
    pub server: ServerConfig,
    /// The picture.
    pub video: VideoConfig,
    /// The sound.
    pub audio: AudioConfig,
    /// Where callers are heard.
    pub speaker: SpeakerConfig,
    /// Who may watch.
    pub viewers: ViewersConfig,
    /// The way to the viewers.
    pub ice: IceConfig,
    /// The camera's light.
    pub led: LedConfig,
    /// Who is let in.
    pub access: AccessConfig,
    /// When camera and microphone stay closed.
    pub privacy: PrivacyConfig,
    /// The log.
    pub log: LogConfig,
    /// What moves.
    pub motion: MotionConfig,
    /// What is kept of picture and sound.
    pub recording: RecordingConfig,
    /// What is run when something happens.
    pub hooks: Vec<HookConfig>,
    /// Rows for the encoder table, besides its own.
    pub encoders: Vec<EncoderConfig>,
}

/// `[viewers]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ViewersConfig {
    /// At the same time, 1 to 100; the next one is refused with a reason.
    pub max: usize,
}

impl Default for ViewersConfig {
    fn default() -> Self {
        Self { max: 8 }
    }
}

/// `[led]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LedConfig {
    /// A folder under `/sys/class/leds`: on exactly while the camera's device
    /// is open.
    pub path: Option<PathBuf>,
}

/// `[access]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessConfig {
    /// Who is let in; without it everybody, and each start says so.
    pub mode: Option<AccessMode>,
    /// Where invited people open the page, where that is not the chat server's
    /// own; `https://` or `http://`.
    pub page: Option<String>,
    /// Where invitations are kept; without it in the device's state folder.
    pub folder: Option<PathBuf>,
    /// A file with a line for each call that was answered, refused or ended.
    pub log: Option<PathBuf>,
}

/// Who is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessMode {
    /// Everybody who reaches the chat server.
    Open,
    /// Who was invited, and shows it.
    Invited,
}

impl AccessConfig {
    /// Invited people are let in, and nobody else.
    pub(crate) fn is_invited(&self) -> bool {
        self.mode == Some(AccessMode::Invited)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let bad = |key, problem: &str| {
            Err(ConfigError::Value {
                key,
                problem: problem.to_owned(),
            })
        };
        if let Some(page) = &self.page {
            match url::Url::parse(page) {
                Ok(url) if !matches!(url.scheme(), "https" | "http") || !url.has_host() => {
                    return bad(
                        "access.page",
                        "it is no address of a page: https://example.org/",
                    );
                }
                Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                    return bad(
                        "access.page",
                        "leave user and password out: links are passed on",
                    );
                }
                Ok(url) if url.fragment().is_some() => {
                    return bad("access.page", "leave out what follows the \"#\"");
                }
                Ok(_) => {}
                Err(_) => {
                    return bad(
                        "access.page",
                        "it is no address of a page: https://example.org/",
                    );
                }
            }
        }
        match &self.folder {
            Some(folder) if !folder.is_absolute() => {
                return bad(
                    "access.folder",
                    "name it from the root on: /var/lib/camera-agent",
                );
            }
            Some(_) | None => {}
        }
        match &self.log {
            Some(log) if !log.is_absolute() => bad(
                "access.log",
                "name the file from the root on: /var/log/camera-agent/calls.log",
            ),
            Some(_) | None => Ok(()),
        }
    }
}

/// `[privacy]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrivacyConfig {
    /// Camera and microphone stay closed, whatever else switches them.
    pub always: bool,
    /// The input device with the owner's key, under `/dev/input`.
    pub device: Option<PathBuf>,
    /// Its key or switch, by the kernel's name (`linux/input-event-codes.h`): a
    /// `KEY_` or `BTN_` toggles, a `SW_` is privacy while it is closed.
    pub key: Option<String>,
}

impl PrivacyConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        let bad = |key, problem: &str| {
            Err(ConfigError::Value {
                key,
                problem: problem.to_owned(),
            })
        };
        match (&self.device, &self.key) {
            (Some(device), _) if !device.is_absolute() => bad(
                "privacy.device",
                "name it from the root on: /dev/input/by-path/platform-gpio-keys-event",
            ),
            (Some(_), None) => bad("privacy.key", "which key of privacy.device: KEY_CAMERA"),
            (None, Some(_)) => bad(
                "privacy.device",
                "which device has privacy.key: /dev/input/by-path/platform-gpio-keys-event",
            ),
            (Some(_), Some(_)) | (None, None) => Ok(()),
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a tracing filter.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info".into(),
            format: LogFormat::Human,
        }
    }
}

impl Config {
    /// Reads and checks text; `path` is for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let config = Self::read(text, path)?;
        config.check(path)?;
        Ok(config)
    }

    /// Checks what came from the file at `path`, which nobody may have filled
    /// in yet.
    pub fn check(&self, path: &Path) -> Result<(), ConfigError> {
        if self.server.url.is_empty() && self.server.name.is_empty() {
            return Err(ConfigError::Unconfigured {
                path: path.to_owned(),
            });
        }
        self.validate()
    }

    /// Reads text without checking the values; `path` is for messages.
    pub fn read(text: &str, path: &Path) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            syntax_error(path, text, at, error.message())
        })
    }

    /// Checks what the types cannot.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let bad = |key, problem: String| Err(ConfigError::Value { key, problem });
        let range = |key, value: u32, low: u32, high: u32| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(ConfigError::Value {
                    key,
                    problem: format!("{value} is not between {low} and {high}"),
                })
            }
        };
        self.name()?;
        self.server.validate()?;
        self.privacy.validate()?;
        let video = &self.video;
        range("video.width", video.width, 160, 3840)?;
        range("video.height", video.height, 120, 2160)?;
        if !video.width.is_multiple_of(2) || !video.height.is_multiple_of(2) {
            return bad(
                "video.width",
                "width and height must be even numbers".into(),
            );
        }
        if video.format != "auto" && (video.format.len() != 4 || !video.format.is_ascii()) {
            return bad(
                "video.format",
                format!(
                    "\"{}\" is neither \"auto\" nor a pixel format's four characters, as \
                     \"camera-agent devices\" lists them",
                    video.format
                ),
            );
        }
        range("video.fps", video.fps, 1, 60)?;
        if ![0, 90, 180, 270].contains(&video.rotate) {
            let problem = format!("{} is none of 0, 90, 180 and 270 degrees", video.rotate);
            return bad("video.rotate", problem);
        }
        range("video.bitrate_kbps", video.bitrate_kbps, 100, 20_000)?;
        if video.tiers.len() > MOST_TIERS {
            return bad(
                "video.tiers",
                format!("{} are more than {MOST_TIERS}", video.tiers.len()),
            );
        }
        for tier in &video.tiers {
            range("video.tiers.height", tier.height, 90, 2160)?;
            range("video.tiers.bitrate_kbps", tier.bitrate_kbps, 100, 20_000)?;
            if !tier.height.is_multiple_of(2) {
                return bad("video.tiers.height", "it must be an even number".into());
            }
        }
        if video.tiers.windows(2).any(|t| t[0].height <= t[1].height) {
            return bad("video.tiers.height", "the largest comes first".into());
        }
        range("audio.bitrate_kbps", self.audio.bitrate_kbps, 6, 256)?;
        let viewers = u32::try_from(self.viewers.max).unwrap_or(u32::MAX);
        range("viewers.max", viewers, 1, 100)?;
        custom(
            "video.pipeline",
            video.source == VideoSource::Custom,
            video.pipeline.as_deref(),
        )?;
        custom(
            "audio.pipeline",
            self.audio.source == AudioSource::Custom,
            self.audio.pipeline.as_deref(),
        )?;
        self.ice.validate()?;
        self.access.validate()?;
        self.speaker.validate()?;
        self.motion.validate()?;
        self.recording.validate(self.motion.enabled)?;
        motion::validate_hooks(&self.hooks)?;
        encoders::validate(&self.encoders)
    }

    /// The device's name.
    pub fn name(&self) -> Result<UserName, ConfigError> {
        UserName::parse(&self.server.name).map_err(|problem| ConfigError::Value {
            key: "server.name",
            problem,
        })
    }
}

fn custom(key: &'static str, wanted: bool, pipeline: Option<&str>) -> Result<(), ConfigError> {
    let problem = match (wanted, pipeline) {
        (true, None | Some("")) => "source = \"custom\" needs a GStreamer description here",
        (false, Some(_)) => "is only used with source = \"custom\"; set that or remove this key",
        _ => return Ok(()),
    };
    Err(ConfigError::Value {
        key,
        problem: problem.into(),
    })
}

#[cfg(test)]
mod tests;
