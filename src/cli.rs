//! The command line: what can be typed, and how it changes the configuration.

pub mod chat;
pub mod chat_user;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::access::May;
use crate::chat::allowed_origin;
use crate::config::{Config, ConfigError, LogFormat, SERVICE, VideoSource};
use crate::media::probe::child::COMMAND as PROBE;
use crate::secret::shown_address;
use crate::state;
pub use chat::Chat;

/// The command that prints the hardware that was found, as JSON.
pub(crate) const LOOK: &str = "setup-look";

/// The command that is the camera for a test call; its configuration comes on
/// standard input.
pub(crate) const TEST_CALL: &str = "setup-test-call";

/// Answers WebRTC video calls from a chat page with this board's camera and
/// microphone.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Reads what was typed. Where it is wrong, says so and ends the process.
    pub fn read() -> Self {
        Self::try_parse().unwrap_or_else(|error| without_credentials(error).exit())
    }
}

/// An address that is refused is shown without the password in it: a service's
/// errors are in the journal.
fn without_credentials(mut error: clap::Error) -> clap::Error {
    if let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue)
        && value.contains('@')
    {
        let shown = ContextValue::String(shown_address(value));
        error.insert(ContextKind::InvalidValue, shown);
    }
    error
}

/// The sub-commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The device: registers on the chat server, answers calls, streams.
    Run(Run),
    /// The chat server and its web page.
    Chat(Chat),
    /// Who may sign in to the chat server: passwords and tokens.
    ChatUser(chat_user::ChatUser),
    /// Both in one process on this machine, with the first camera and
    /// microphone found, else a test picture and a tone.
    Demo(Demo),
    /// Writes the page as files for any web server, so that who runs the chat
    /// server does not decide what the page does.
    Page(Page),
    /// Tries everything a call needs on this machine, says what is wrong and
    /// how to mend it. Exit code: 0 ready, 3 not everything works, 4 it will
    /// not work.
    Doctor(Doctor),
    /// The first configuration: server, name, camera, microphone, test call.
    Setup(Setup),
    /// Writes what a package holds besides the binary.
    #[command(hide = true)]
    PackageFiles {
        /// Folder to write to.
        folder: PathBuf,
    },
    /// Makes a fixture of a report that somebody sent.
    #[command(hide = true)]
    Fixture {
        /// What `doctor --report` wrote.
        report: PathBuf,
        /// Folder to write to.
        folder: PathBuf,
    },
    /// Tries one encoder out: a job as JSON on standard input, reports on
    /// standard output. The agent runs it on itself.
    #[command(name = PROBE, hide = true)]
    ProbeEncoder,
    /// What `setup` has to choose from, as JSON. It runs this as the service's
    /// user.
    #[command(name = LOOK, hide = true)]
    SetupLook,
    /// The test call of `setup`, likewise; the configuration comes on standard
    /// input.
    #[command(name = TEST_CALL, hide = true)]
    SetupTestCall {
        /// The file that it is of.
        config: PathBuf,
    },
    /// Lists cameras, microphones and encoders, best first, and says why.
    Devices(Devices),
    /// Invites somebody to this camera: a link, its QR code, and a code to type.
    /// A camera that runs takes it at once.
    Invite(Invite),
    /// Who was invited, to what, and who watches now.
    Viewers(Viewers),
    /// Closes camera and microphone, of a camera that runs at once, until they are
    /// let on again; viewers see a slate that says so. Without "on" or "off" it
    /// says how it is.
    Privacy(Privacy),
    /// Takes an invitation back; calls of theirs end within a second.
    Revoke(Revoke),
}

/// `camera-agent invite`
#[derive(Debug, Args)]
pub struct Invite {
    /// What you call them: "alice", "grandmother's tablet".
    pub label: String,
    /// What they may, of watch, listen, talk, control, recordings.
    #[arg(long, value_name = "RIGHTS", default_value = "watch,listen", value_parser = May::parse)]
    pub may: May,
    /// When it ends: with a day (2026-12-31), or after a time (30m, 12h, 7d).
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
    /// For everybody who has the link, instead of the first browser that opens
    /// it.
    #[arg(long)]
    pub shared: bool,
    /// Write the QR code as a picture, too.
    #[arg(long, value_name = "FILE")]
    pub png: Option<PathBuf>,
    /// The camera's configuration.
    #[command(flatten)]
    pub of: Of,
}

/// `camera-agent viewers`
#[derive(Debug, Args)]
pub struct Viewers {
    /// JSON instead of a table.
    #[arg(long)]
    pub json: bool,
    /// The camera's configuration.
    #[command(flatten)]
    pub of: Of,
}

/// `camera-agent privacy`
#[derive(Debug, Args)]
pub struct Privacy {
    /// Closed, or not.
    #[arg(value_enum)]
    pub wanted: Option<Wanted>,
    /// The camera's configuration.
    #[command(flatten)]
    pub of: Of,
}

/// What the owner wants of privacy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Wanted {
    /// Camera and microphone are closed.
    On,
    /// They are opened when somebody watches.
    Off,
}

/// `camera-agent revoke`
#[derive(Debug, Args)]
pub struct Revoke {
    /// What you called them.
    pub label: String,
    /// The camera's configuration.
    #[command(flatten)]
    pub of: Of,
}

/// Which camera a command beside it is about.
#[derive(Debug, Args)]
pub struct Of {
    /// The camera's configuration (TOML) [default: that of the service, where
    /// there is one].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl Of {
    /// The configuration, checked, and the service's state folder, where it is
    /// one's.
    ///
    /// # Errors
    ///
    /// It cannot be read or used.
    pub fn configuration(&self) -> Result<(Config, Option<PathBuf>), ConfigError> {
        let service = || Some(PathBuf::from(SERVICE)).filter(|path| path.exists());
        let Some(path) = self.config.clone().or_else(service) else {
            return Ok((Config::default(), None));
        };
        let config = Config::load(&path)?;
        config.check(&path)?;
        Ok((config, state::of_service(&path)))
    }
}

/// `camera-agent run`
#[derive(Debug, Clone, Args)]
pub struct Run {
    /// Configuration file (TOML); without it every key has its default.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Chat server, ws:// or wss://; overrides server.url.
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// Name in the user list; overrides server.name.
    #[arg(long)]
    pub name: Option<String>,
    /// "v4l2", "test", "custom", or a camera's node such as /dev/video0;
    /// overrides video.source.
    #[arg(long)]
    pub source: Option<String>,
    /// Check the configuration and what it needs, and exit.
    #[arg(long)]
    pub check: bool,
    /// How log lines look; overrides log.format.
    #[arg(long, value_enum)]
    pub log_format: Option<LogFormat>,
}

impl Run {
    /// The configuration file with the flags laid over it.
    pub fn configuration(&self) -> Result<Config, ConfigError> {
        let mut config = match &self.config {
            Some(path) => Config::load(path)?,
            None => Config::default(),
        };
        if let Some(url) = &self.server {
            config.server.url.clone_from(url);
        }
        if let Some(name) = &self.name {
            config.server.name.clone_from(name);
        }
        if let Some(format) = self.log_format {
            config.log.format = format;
        }
        match self.source.as_deref() {
            None => {}
            Some("v4l2") => config.video.take(VideoSource::V4l2),
            Some("test") => config.video.take(VideoSource::Test),
            Some("custom") => config.video.source = VideoSource::Custom,
            Some(node) if node.starts_with('/') => {
                config.video.take(VideoSource::V4l2);
                node.clone_into(&mut config.video.device);
            }
            Some(other) => {
                return Err(ConfigError::Value {
                    key: "--source",
                    problem: format!(
                        "\"{other}\" is none of v4l2, test, custom, or a node such as /dev/video0"
                    ),
                });
            }
        }
        match &self.config {
            Some(path) => config.check(path)?,
            None => config.validate()?,
        }
        Ok(config)
    }
}

/// `camera-agent setup`
///
/// Asks on a terminal for what the flags leave out; elsewhere it takes the
/// flags alone.
#[derive(Debug, Args)]
pub struct Setup {
    /// Configuration file; keys that are not asked for, and comments, stay.
    #[arg(
        long,
        value_name = "FILE",
        default_value = SERVICE
    )]
    pub config: PathBuf,
    /// Chat server, ws:// or wss://.
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// This board runs the chat server, too: writes its configuration where there
    /// is none, starts its service, and has the camera register there.
    #[arg(long)]
    pub chat_server: bool,
    /// Configuration file of that chat server.
    #[arg(long, value_name = "FILE", default_value = chat::SERVICE)]
    pub chat_config: PathBuf,
    /// Where invited people open the page; it is what links begin with.
    #[arg(long, value_name = "URL")]
    pub page: Option<String>,
    /// Name in the user list.
    #[arg(long)]
    pub name: Option<String>,
    /// What it takes to get to the server.
    #[command(flatten)]
    pub way: Way,
    /// A camera's node such as /dev/video0; "auto" for the first; "test" for a
    /// generated picture.
    #[arg(long, value_name = "NODE")]
    pub camera: Option<String>,
    /// An ALSA PCM; "auto" for the first; "test" for a tone; "none" for no
    /// sound.
    #[arg(long, value_name = "PCM")]
    pub microphone: Option<String>,
    /// Then be that camera until somebody has called and seen it.
    #[arg(long)]
    pub test_call: bool,
    /// Invite the owner, where nobody is invited yet, and show the link, its QR
    /// code and a code to type, which are the key: for your eyes, not for a log.
    /// On a terminal that is done in any case.
    #[arg(long)]
    pub invite: bool,
    /// Only say whether the file is filled in and valid.
    #[arg(long, conflicts_with_all = ["server", "chat_server", "page", "invite", "name", "Way", "camera", "microphone", "test_call"])]
    pub check: bool,
}

/// What it takes to get to the chat server. Nobody is asked for it.
#[derive(Debug, Default, Args)]
pub struct Way {
    /// PEM file with the server's own certificate, or that of the authority
    /// that signed it.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<String>,
    /// User of a login in front of the server.
    #[arg(long, value_name = "USER")]
    pub username: Option<String>,
    /// File with that user's password, or credential:NAME for one that systemd
    /// loads.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<String>,
    /// File with a token in place of user and password, or credential:NAME.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["username", "password_file"])]
    pub token_file: Option<String>,
    /// HTTP proxy to the server, `http://USER@HOST:PORT`; "none" for none;
    /// "auto" for that of the environment.
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// File with the password of the user in --proxy, or credential:NAME.
    #[arg(long, value_name = "FILE")]
    pub proxy_password_file: Option<String>,
}

/// `camera-agent page`
#[derive(Debug, Args)]
pub struct Page {
    /// Folder to write to; it is made where it is missing.
    pub folder: PathBuf,
    /// The chat server, wss:// or ws://. A page of https reaches only wss.
    #[arg(long, value_name = "URL")]
    pub server: String,
    /// What the page, and its icon on a telephone, is called.
    #[arg(long)]
    pub name: Option<String>,
}

/// `camera-agent demo`
#[derive(Debug, Args)]
pub struct Demo {
    /// Address and port of the page.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:6503")]
    pub listen: SocketAddr,
    /// The camera's name in the user list.
    #[arg(long, default_value = "camera")]
    pub name: String,
    /// Web origin (`https://example.org`) whose pages may connect besides this
    /// server's own; "*" for any; may be repeated.
    #[arg(long, value_name = "ORIGIN", value_parser = allowed_origin)]
    pub allow_origin: Vec<String>,
    /// Take the test picture and tone even where there is a camera.
    #[arg(long)]
    pub test: bool,
}

/// `camera-agent doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// Configuration file (TOML); without it every key has its default.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Write the findings as JSON.
    #[arg(long)]
    pub json: bool,
    /// Open neither camera nor microphone; the call to itself is made with the
    /// test picture.
    #[arg(long)]
    pub quick: bool,
    /// Write a report to send into this new file: devices, plan, encoders,
    /// versions, findings, and the service's log where this user may read it.
    /// Names, secrets, addresses and serial numbers are replaced in it; read it
    /// before you send it.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// `camera-agent devices`
#[derive(Debug, Args)]
pub struct Devices {
    /// Configuration file (TOML): what is wanted of a camera.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A camera's node to ask, whether or not it is listed; overrides
    /// video.device.
    #[arg(long, value_name = "NODE")]
    pub device: Option<String>,
    /// JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

impl Devices {
    /// The configuration file with the flags laid over it.
    pub fn configuration(&self) -> Result<Config, ConfigError> {
        let mut config = match &self.config {
            Some(path) => Config::load(path)?,
            None => Config::default(),
        };
        if let Some(device) = &self.device {
            config.video.take(VideoSource::V4l2);
            config.video.device.clone_from(device);
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests;
