//! `camera-agent chat`: its flags, each of which is a key of a file as well.
//!
//! A new one is a field of [`Settings`] and its line in `over`; its lines in
//! `systemd/chat.toml`, where a test looks for it, say what it means.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use toml::de::DeTable;

use crate::chat::{self, Network};
use crate::config::{
    ConfigError, IceConfig, IceServerConfig, LogFormat, secret_file, syntax_error,
};
use crate::ice::IceUrl;
use crate::secret::shown_address;
use crate::servers::configured::IceServers;
use crate::wire::DEFAULT_PORT;

/// The configuration of the chat server that the package installs.
pub(crate) const SERVICE: &str = "/etc/camera-agent/chat.toml";

/// How wide an IPv6 network may count as one address.
const PREFIXES: RangeInclusive<u8> = 32..=128;
/// Of a text that is refused, what is said again: so many characters.
const QUOTED: usize = 80;

/// `camera-agent chat`
#[derive(Debug, Args)]
pub struct Chat {
    /// Configuration file (TOML) with a key for each flag; flags override it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The same as flags.
    #[command(flatten)]
    pub flags: Settings,
}

/// What can be said of a chat server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Address and port; without it port 6503 of every address of this machine.
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    #[serde(deserialize_with = "listen")]
    pub listen: Option<SocketAddr>,
    /// Certificate with its chain (PEM), for https and wss. Browsers give a
    /// page the camera only over https, or on localhost. Needs --key.
    #[arg(long, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// The certificate's private key (PEM).
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// STUN server for the page, stun:host:port; may be repeated.
    #[arg(long, value_name = "URL")]
    pub stun: Vec<String>,
    /// TURN server for the page, turn:host:port?transport=udp (or tcp), or
    /// turns:host:port; may be repeated. Needs --turn-secret-file.
    #[arg(long, value_name = "URL")]
    pub turn: Vec<String>,
    /// File with the secret shared with the TURN server (coturn's
    /// static-auth-secret).
    #[arg(long, value_name = "FILE")]
    pub turn_secret_file: Option<PathBuf>,
    /// Web origin (`https://example.org`) whose pages may connect besides this
    /// server's own; "*" for any; may be repeated.
    #[arg(long, value_name = "ORIGIN", value_parser = chat::allowed_origin)]
    #[serde(rename = "allow_origins", deserialize_with = "origins")]
    pub allow_origin: Vec<String>,
    /// Proxy before this server, an address or a network (10.0.0.0/8), that is
    /// believed for whom it asks (X-Forwarded-For); may be repeated. Limits by
    /// address need it.
    #[arg(long, value_name = "NETWORK")]
    #[serde(rename = "trusted_proxies", deserialize_with = "networks")]
    pub trusted_proxy: Vec<Network>,
    /// Chat connections at once [default: 256].
    #[arg(long, value_name = "NUMBER")]
    pub max_connections: Option<NonZeroUsize>,
    /// Chat connections at once from one address (IPv4) or network (IPv6)
    /// [default: 64].
    #[arg(long, value_name = "NUMBER")]
    pub max_per_address: Option<NonZeroUsize>,
    /// Bits of an IPv6 address that are one person's network: of these one counts as
    /// one address, 32 to 128. Less than the default where it is known that everybody
    /// has a wider one [default: 64].
    #[arg(long, value_name = "BITS", value_parser = prefix)]
    #[serde(deserialize_with = "prefix_of_file")]
    pub ipv6_prefix: Option<u8>,
    /// Web origin whose pages may show this page inside of them; "self" for this
    /// server's, "*" for any; may be repeated. Without it nobody may.
    #[arg(long, value_name = "ORIGIN", value_parser = chat::frame_ancestor)]
    #[serde(deserialize_with = "ancestors")]
    pub frame_ancestors: Vec<String>,
    /// Who may sign in (`camera-agent chat-user`): from then on nobody comes in
    /// without a name and a password, or a token.
    #[arg(long, value_name = "FILE")]
    pub users_file: Option<PathBuf>,
    /// Announce the page by mDNS (_http._tcp), where Avahi runs [default: false].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub announce: Option<bool>,
    /// How log lines look [default: human].
    #[arg(long, value_enum)]
    pub log_format: Option<LogFormat>,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = "it is no address with a port; it is written 0.0.0.0:6503 or [::]:6503";
    text.parse().map_err(|_| wrong.to_owned())
}

fn listen<'de, D: Deserializer<'de>>(file: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(file)?;
    address(&text)
        .map(Some)
        .map_err(|e| D::Error::custom(refusal(&text, &e)))
}

fn prefix(text: &str) -> Result<u8, String> {
    let bits = text.parse().ok().filter(|bits| PREFIXES.contains(bits));
    let (least, most) = PREFIXES.into_inner();
    bits.ok_or_else(|| format!("it is no number from {least} to {most}, such as 64 or 56"))
}

fn prefix_of_file<'de, D: Deserializer<'de>>(file: D) -> Result<Option<u8>, D::Error> {
    let number = i64::deserialize(file)?.to_string();
    prefix(&number)
        .map(Some)
        .map_err(|e| D::Error::custom(refusal(&number, &e)))
}

/// A list of texts, as the flag reads each.
fn each<'de, D, T>(file: D, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
{
    let texts = Vec::<String>::deserialize(file)?;
    let read = |text: &String| read(text).map_err(|e| D::Error::custom(refusal(text, &e)));
    texts.iter().map(read).collect()
}

fn origins<'de, D: Deserializer<'de>>(file: D) -> Result<Vec<String>, D::Error> {
    each(file, chat::allowed_origin)
}

fn ancestors<'de, D: Deserializer<'de>>(file: D) -> Result<Vec<String>, D::Error> {
    each(file, chat::frame_ancestor)
}

fn networks<'de, D: Deserializer<'de>>(file: D) -> Result<Vec<Network>, D::Error> {
    each(file, str::parse)
}

fn refusal(text: &str, why: &str) -> String {
    let said: String = shown_address(text).chars().take(QUOTED).collect();
    format!("{said:?}: {why}")
}

/// What does not go together, or is no address.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    key: &'static str,
    flag: &'static str,
    text: String,
}

impl Problem {
    fn of<T>(key: &'static str, flag: &'static str, text: impl Into<String>) -> Result<T, Self> {
        let text = text.into();
        Err(Self { key, flag, text })
    }
}

/// A file, as it was read.
struct File {
    path: PathBuf,
    text: String,
    settings: Settings,
}

impl File {
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let path = path.to_owned();
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(path, text),
            Err(error) => Err(ConfigError::Unreadable { path, error }),
        }
    }

    fn parse(path: PathBuf, text: String) -> Result<Self, ConfigError> {
        match toml::from_str(&text) {
            Ok(settings) => Ok(Self {
                path,
                text,
                settings,
            }),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                let message = match key_at(&text, at) {
                    Some(key) if !error.message().contains(&format!("`{key}`")) => {
                        format!("{key}: {}", error.message())
                    }
                    Some(_) | None => error.message().to_owned(),
                };
                Err(syntax_error(&path, &text, at, &message))
            }
        }
    }

    fn error(&self, problem: &Problem) -> ConfigError {
        let table = DeTable::parse(&self.text);
        let keys = table.iter().flat_map(|table| table.get_ref().keys());
        let at = keys
            .filter(|key| key.get_ref() == problem.key)
            .map(|key| key.span().start)
            .next();
        let message = format!("{}: {}", problem.key, problem.text);
        syntax_error(&self.path, &self.text, at.unwrap_or(0), &message)
    }
}

/// The key whose value has this place in the text, in bytes.
fn key_at(text: &str, at: usize) -> Option<String> {
    let table = DeTable::parse(text).ok()?;
    let mut entries = table.get_ref().iter();
    entries
        .find(|(_, value)| value.span().contains(&at))
        .map(|(key, _)| key.get_ref().clone().into_owned())
}

impl Chat {
    /// The file's settings with the flags laid over them, checked.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or there is something wrong in it or with a flag.
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        let file = self.config.as_deref().map(File::read).transpose()?;
        let from_file = file.as_ref().map(|file| file.settings.clone());
        let settings = self.flags.clone().over(from_file.unwrap_or_default());
        match (settings.check(), file) {
            (Ok(()), _) => Ok(settings),
            // Wrong without the flags, too.
            (Err(problem), Some(file)) if file.settings.check().as_ref() == Err(&problem) => {
                Err(file.error(&problem))
            }
            (Err(problem), _) => Err(ConfigError::Value {
                key: problem.flag,
                problem: problem.text,
            }),
        }
    }
}

impl Settings {
    /// Those of a file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or there is something wrong in it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let file = File::read(path)?;
        match file.settings.check() {
            Ok(()) => Ok(file.settings),
            Err(problem) => Err(file.error(&problem)),
        }
    }

    /// These, and what they do not say from the other.
    fn over(self, file: Self) -> Self {
        fn list<T>(flags: Vec<T>, file: Vec<T>) -> Vec<T> {
            if flags.is_empty() { file } else { flags }
        }
        Self {
            listen: self.listen.or(file.listen),
            cert: self.cert.or(file.cert),
            key: self.key.or(file.key),
            stun: list(self.stun, file.stun),
            turn: list(self.turn, file.turn),
            turn_secret_file: self.turn_secret_file.or(file.turn_secret_file),
            allow_origin: list(self.allow_origin, file.allow_origin),
            trusted_proxy: list(self.trusted_proxy, file.trusted_proxy),
            max_connections: self.max_connections.or(file.max_connections),
            max_per_address: self.max_per_address.or(file.max_per_address),
            ipv6_prefix: self.ipv6_prefix.or(file.ipv6_prefix),
            frame_ancestors: list(self.frame_ancestors, file.frame_ancestors),
            users_file: self.users_file.or(file.users_file),
            announce: self.announce.or(file.announce),
            log_format: self.log_format.or(file.log_format),
        }
    }

    fn check(&self) -> Result<(), Problem> {
        match (&self.cert, &self.key) {
            (Some(_), None) => {
                return Problem::of("cert", "--cert", "it needs the key that belongs to it: key");
            }
            (None, Some(_)) => {
                return Problem::of("key", "--key", "it needs its certificate: cert");
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        urls("stun", "--stun", &self.stun, false)?;
        urls("turn", "--turn", &self.turn, true)?;
        match &self.turn_secret_file {
            None if !self.turn.is_empty() => Problem::of(
                "turn",
                "--turn",
                "it needs the file with the secret shared with that server: turn_secret_file",
            ),
            Some(_) if self.turn.is_empty() => Problem::of(
                "turn_secret_file",
                "--turn-secret-file",
                "it needs the server that it is shared with: turn",
            ),
            Some(_) | None => Ok(()),
        }
    }

    /// Where to listen: by default all addresses, of IPv4 alone where the
    /// machine has no IPv6.
    pub fn listen(&self) -> SocketAddr {
        self.listen.unwrap_or_else(|| {
            let address: IpAddr = match UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)) {
                Ok(_) => Ipv6Addr::UNSPECIFIED.into(),
                Err(_) => Ipv4Addr::UNSPECIFIED.into(),
            };
            (address, DEFAULT_PORT).into()
        })
    }

    /// The servers that the page is told of, the secret read.
    ///
    /// # Errors
    ///
    /// The secret cannot be read.
    pub(crate) fn ice_servers(&self) -> Result<IceServers, ConfigError> {
        IceServers::load(&self.ice()).map_err(|error| match error {
            ConfigError::Secret { path, problem, .. } => ConfigError::Secret {
                key: "turn_secret_file",
                path,
                problem,
            },
            error => error,
        })
    }

    /// The same in the form of a camera's configuration.
    fn ice(&self) -> IceConfig {
        // They were checked.
        let urls = |texts: &[String]| texts.iter().flat_map(|text| text.parse()).collect();
        let servers = [
            (&self.stun, None),
            (&self.turn, self.turn_secret_file.clone()),
        ];
        let servers = servers.into_iter().filter(|(texts, _)| !texts.is_empty());
        IceConfig {
            servers: servers
                .map(|(texts, secret_file)| IceServerConfig {
                    urls: urls(texts),
                    username: None,
                    credential_file: None,
                    secret_file,
                })
                .collect(),
            ..IceConfig::default()
        }
    }

    /// How the server is set up, but for the ICE servers.
    ///
    /// # Errors
    ///
    /// A credential that systemd did not pass.
    pub fn options(&self) -> Result<chat::Options, ConfigError> {
        let mut options = chat::Options::new(self.listen());
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            options.tls = Some(chat::Tls {
                cert: secret_file("cert", cert)?,
                key: secret_file("key", key)?,
            });
        }
        options.allowed_origins.clone_from(&self.allow_origin);
        options.frame_ancestors.clone_from(&self.frame_ancestors);
        options.trusted_proxies.clone_from(&self.trusted_proxy);
        options.users = self.users_file.as_ref().map(chat::UsersFile::new);
        if let Some(most) = self.max_connections {
            options.limits.connections = most.get();
        }
        if let Some(most) = self.max_per_address {
            options.limits.per_source = most.get();
        }
        if let Some(bits) = self.ipv6_prefix {
            options.ipv6_prefix = bits;
        }
        Ok(options)
    }
}

/// Looks at addresses of one kind of server. Not read by clap, which says a bad
/// one again with the password that may be in it.
fn urls(
    key: &'static str,
    flag: &'static str,
    texts: &[String],
    turn: bool,
) -> Result<(), Problem> {
    for text in texts {
        match text.parse::<IceUrl>() {
            Ok(url) if url.turn == turn => {}
            Ok(url) if url.turn => {
                return Problem::of(
                    key,
                    flag,
                    format!("{url} is a TURN server, which turn is for"),
                );
            }
            Ok(url) => {
                return Problem::of(
                    key,
                    flag,
                    format!("{url} is a STUN server, which stun is for"),
                );
            }
            Err(error) => return Problem::of(key, flag, error.to_string()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
