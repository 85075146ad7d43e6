//! The configuration file: one TOML file, unknown keys refused.
//!
//! Every key, with its default, is documented in `systemd/camera-agent.toml`;
//! a test holds the two together. Secrets are never in the file: it names
//! files that hold them.

mod encoders;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod ports;
mod server;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use encoders::{EncoderCodec, EncoderConfig, EncoderRateUnit, Scalar};
pub use ports::PortRange;
pub(crate) use server::show;
pub use server::{ProxyConfig, ProxyUrl, ServerConfig, ServerUrl};

use crate::ice::IceUrl;
use crate::secret::without_credentials;
use crate::wire::UserName;

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
    /// Who may watch.
    pub viewers: ViewersConfig,
    /// The way to the viewers.
    pub ice: IceConfig,
    /// The camera's light.
    pub led: LedConfig,
    /// Who is let in.
    pub access: AccessConfig,
    /// The log.
    pub log: LogConfig,
    /// Rows for the encoder table, besides its own.
    pub encoders: Vec<EncoderConfig>,
}

/// Tiers besides the whole picture.
const MOST_TIERS: usize = 2;

/// Where the picture comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VideoSource {
    /// A camera through Video4Linux.
    V4l2,
    /// A generated picture with a running clock and a frame counter.
    Test,
    /// A GStreamer description of yours.
    Custom,
}

/// How a picture is mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flip {
    /// It is not.
    #[default]
    None,
    /// Left is right, as in a mirror.
    Horizontal,
    /// Up is down.
    Vertical,
}

/// What a control of the camera is to be set to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a whole number, true or false, or the label of a menu's item"
)]
pub enum ControlValue {
    /// Of a control that is on or off.
    Switch(bool),
    /// A number; of a menu, the number of its item.
    Number(i64),
    /// The label of a menu's item.
    Label(String),
}

impl fmt::Display for ControlValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch(on) => write!(f, "{on}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Label(label) => write!(f, "{label:?}"),
        }
    }
}

/// `[video]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VideoConfig {
    /// Which of the three.
    pub source: VideoSource,
    /// The camera's node or libcamera id; `auto` takes the best there is.
    pub device: String,
    /// The camera's pixel format, as V4L2 names it (`YUYV`, `MJPG`); `auto`
    /// takes what costs least.
    pub format: String,
    /// For `custom`: elements that end in raw video.
    pub pipeline: Option<String>,
    /// Picture width in pixels, even, 160 to 3840.
    pub width: u32,
    /// Picture height in pixels, even, 120 to 2160.
    pub height: u32,
    /// Frames a second, 1 to 60.
    pub fps: u32,
    /// Degrees that the picture is turned clockwise: 0, 90, 180 or 270. Width
    /// and height are those of before.
    pub rotate: u32,
    /// How it is mirrored, when it is turned.
    pub flip: Flip,
    /// Encoder target, 100 to 20000 kbit/s.
    pub bitrate_kbps: u32,
    /// Id of a row of the encoder table, or `auto`.
    pub encoder: String,
    /// What the camera's controls are set to when it is opened.
    pub controls: BTreeMap<String, ControlValue>,
    /// The controls that viewers may set; `*` stands for all.
    pub viewer_controls: Vec<String>,
    /// Smaller pictures for viewers whose path does not carry the whole one,
    /// the largest first, at most two. Empty for none.
    pub tiers: Vec<TierConfig>,
}

/// `[[video.tiers]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierConfig {
    /// Picture height in pixels, even, 90 to 2160; the width follows from the
    /// picture's shape. Of an upright picture it is the width. A tier that is
    /// not clearly smaller than the picture is left out.
    pub height: u32,
    /// The most that its encoder aims at, 100 to 20000 kbit/s.
    pub bitrate_kbps: u32,
}

impl Default for VideoConfig {
    fn default() -> Self {
        Self {
            source: VideoSource::V4l2,
            device: "auto".into(),
            format: "auto".into(),
            pipeline: None,
            width: 1280,
            height: 720,
            fps: 30,
            rotate: 0,
            flip: Flip::None,
            bitrate_kbps: 2000,
            encoder: "auto".into(),
            controls: BTreeMap::new(),
            viewer_controls: Vec::new(),
            tiers: vec![TierConfig {
                height: 360,
                bitrate_kbps: 700,
            }],
        }
    }
}

impl VideoConfig {
    /// The tiers that are clearly smaller than a picture of so many lines.
    pub fn smaller_tiers(&self, height: u32) -> impl Iterator<Item = &TierConfig> {
        self.tiers
            .iter()
            .filter(move |tier| tier.height * 5 <= height * 4)
    }

    /// Width and height of a picture of this size when it is turned.
    pub fn turned(&self, (width, height): (u32, u32)) -> (u32, u32) {
        match self.rotate {
            90 | 270 => (height, width),
            _ => (width, height),
        }
    }

    /// Width and height of what viewers see, where the source has the
    /// configured size.
    pub fn shown_size(&self) -> (u32, u32) {
        self.turned((self.width, self.height))
    }

    /// Takes another source than the file's; a description goes with its own.
    pub fn take(&mut self, source: VideoSource) {
        self.source = source;
        if source != VideoSource::Custom {
            self.pipeline = None;
        }
    }
}

/// Where the sound comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AudioSource {
    /// A microphone through ALSA.
    Alsa,
    /// A soft tone.
    Test,
    /// A GStreamer description of yours.
    Custom,
    /// No sound.
    None,
}

/// `[audio]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AudioConfig {
    /// Which of the four.
    pub source: AudioSource,
    /// The ALSA PCM, or `pulse:` or `pipewire:` and a source; `auto` takes the
    /// best there is.
    pub device: String,
    /// For `custom`: elements that end in raw audio.
    pub pipeline: Option<String>,
    /// Opus target, 6 to 256 kbit/s.
    pub bitrate_kbps: u32,
}

impl Default for AudioConfig {
    fn default() -> Self {
        Self {
            source: AudioSource::Alsa,
            device: "auto".into(),
            pipeline: None,
            bitrate_kbps: 40,
        }
    }
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

/// `[ice]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IceConfig {
    /// STUN and TURN servers.
    pub servers: Vec<IceServerConfig>,
    /// Offer loopback addresses too, for a browser on this very machine.
    pub loopback: bool,
    /// PEM file with a certificate authority to trust, besides the system's,
    /// for servers that are reached over TLS.
    pub ca_file: Option<PathBuf>,
    /// The UDP ports that calls use, `"50000-50100"`; any that is free without.
    pub ports: Option<PortRange>,
    /// Addresses by which viewers reach this device's ports from outside.
    pub public_addresses: Vec<IpAddr>,
}

/// `[[ice.servers]]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IceServerConfig {
    /// `stun:host:port`, `turn:host:port?transport=udp` or `=tcp`,
    /// `turns:host:port`.
    pub urls: Vec<IceUrl>,
    /// TURN user, for static credentials.
    pub username: Option<String>,
    /// File with that user's password.
    pub credential_file: Option<PathBuf>,
    /// File with the secret shared with the TURN server (coturn's
    /// `static-auth-secret`), for credentials that expire.
    pub secret_file: Option<PathBuf>,
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
    pub fn is_invited(&self) -> bool {
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
    /// Reads a file. Values are not checked yet: flags may be laid over them,
    /// and then comes [`check`](Self::check).
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
            path: path.to_owned(),
            error,
        })?;
        Self::read(&text, path)
    }

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
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            ConfigError::Syntax {
                path: path.to_owned(),
                line: text.as_bytes()[..start]
                    .iter()
                    .filter(|b| **b == b'\n')
                    .count()
                    + 1,
                message: without_credentials(&error.message().replace('\n', " ")),
            }
        })
    }

    /// Checks what the types cannot.
    pub fn validate(&self) -> Result<(), ConfigError> {
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

/// Addresses that are announced besides the device's own.
const MOST_PUBLIC_ADDRESSES: usize = 4;

impl IceConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        let bad = |problem: String| {
            Err(ConfigError::Value {
                key: "ice.public_addresses",
                problem,
            })
        };
        if self.public_addresses.len() > MOST_PUBLIC_ADDRESSES {
            return bad(format!(
                "{} are more than {MOST_PUBLIC_ADDRESSES}",
                self.public_addresses.len()
            ));
        }
        for ip in &self.public_addresses {
            let no_unicast = match ip {
                IpAddr::V4(v4) => v4.is_broadcast() || v4.is_link_local(),
                IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some(),
            };
            if no_unicast || ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() {
                return bad(format!(
                    "{ip} is no address by which a viewer reaches this device"
                ));
            }
        }
        self.servers.iter().try_for_each(IceServerConfig::validate)
    }
}

impl IceServerConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        let bad = |problem: String| {
            Err(ConfigError::Value {
                key: "ice.servers",
                problem,
            })
        };
        if self.urls.is_empty() {
            return bad("a server needs at least one address in urls".into());
        }
        let turn = self.urls.iter().any(|url| url.turn);
        match (&self.username, &self.credential_file, &self.secret_file) {
            (None, None, Some(_)) if turn => Ok(()),
            (Some(_), Some(_), None) if turn => Ok(()),
            (None, None, None) if !turn => Ok(()),
            _ if turn => bad(format!(
                "{}: TURN needs either username and credential_file, or secret_file",
                self.urls[0]
            )),
            _ => bad(format!("{}: STUN takes no credentials", self.urls[0])),
        }
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

/// What a path begins with that names a credential of the service manager's.
const CREDENTIAL: &str = "credential:";

/// Reads a secret: the file's text without the line break at its end.
///
/// `credential:NAME` is the credential that systemd was told to load under this
/// name (systemd.exec(5), `LoadCredential=`), whose file only this service can
/// read.
pub fn read_secret(key: &'static str, path: &Path) -> Result<String, ConfigError> {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY");
    secret(key, path, folder.as_deref().map(Path::new))
}

fn secret(
    key: &'static str,
    path: &Path,
    credentials: Option<&Path>,
) -> Result<String, ConfigError> {
    let failed = |problem: String| ConfigError::Secret {
        key,
        path: path.to_owned(),
        problem,
    };
    let name = path.to_str().and_then(|p| p.strip_prefix(CREDENTIAL));
    let file = match (name, credentials) {
        (None, _) => path.to_owned(),
        (Some(name), Some(folder)) if !name.is_empty() && !name.contains('/') => folder.join(name),
        (Some(_), Some(_)) => {
            return Err(failed("that is no name of a credential".to_owned()));
        }
        (Some(name), None) => {
            return Err(failed(format!(
                "systemd passed no credentials; add LoadCredential={name}:FILE to the unit \
                 (systemctl edit camera-agent)"
            )));
        }
    };
    let text = std::fs::read_to_string(&file).map_err(|e| failed(e.to_string()))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(failed("the file is empty".into()));
    }
    Ok(secret.to_owned())
}

#[cfg(test)]
mod tests;
