//! The chat server on this very board: its configuration, what that means for the
//! camera beside it and for telephones, and its unit.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{SetupError, file};
use crate::cli::chat::{SERVICE, Settings};

/// The unit that the package brings (systemd/chat/camera-agent-chat.service).
const UNIT: &str = "camera-agent-chat.service";
/// There while Avahi runs, or starts when it is asked.
const AVAHI: &str = "/run/avahi-daemon/socket";
/// An address elsewhere (RFC 5737), to ask by which of ours one gets out. Nothing
/// is sent.
const ELSEWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

/// What a configuration that is not there yet begins as: every key, with its
/// meaning.
pub(crate) const TEMPLATE: &str = include_str!("../../systemd/chat.toml");

/// By what this machine is known on its network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// By mDNS, `porch.local`.
    pub name: Option<String>,
    /// The address by which it reaches others.
    pub address: Option<IpAddr>,
}

impl Known {
    /// Looks.
    pub(crate) fn look() -> Self {
        let names = rustix::system::uname();
        let name = names.nodename().to_str().unwrap_or_default();
        let short = name.split('.').next().unwrap_or_default();
        let is_known = Path::new(AVAHI).exists() && !matches!(short, "" | "localhost");
        let address = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
            .and_then(|socket| socket.connect(ELSEWHERE).map(|()| socket))
            .and_then(|socket| socket.local_addr());
        Self {
            name: is_known.then(|| format!("{}.local", short.to_ascii_lowercase())),
            address: address.ok().map(|address| address.ip()),
        }
    }
}

/// The chat server of this board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Board {
    config: PathBuf,
    is_new: bool,
    /// Where the camera registers; `None` where there is a certificate, whose
    /// name only the owner knows.
    pub server: Option<String>,
    /// Where others on the network open the page; `None` where that is not known.
    pub page: Option<String>,
}

impl Board {
    /// As its configuration says, or as one that is not there yet will.
    pub(crate) fn read(config: &Path, known: &Known) -> Result<Self, SetupError> {
        let is_new = !config.exists();
        let settings = match is_new {
            true => Settings::default(),
            false => Settings::load(config)?,
        };
        let (server, page) = addresses(&settings, known);
        Ok(Self {
            config: config.to_owned(),
            is_new,
            server,
            page,
        })
    }

    /// Writes the configuration, where there is none.
    pub(crate) fn write(&self) -> Result<(), SetupError> {
        if !self.is_new {
            return Ok(());
        }
        file::replace(&self.config, TEMPLATE).map_err(|error| SetupError::Write {
            path: self.config.clone(),
            error,
        })
    }

    /// Has systemd start it, now and at each start of the board. False where the
    /// configuration is not that of the unit, and nothing was done.
    pub(crate) fn start(&self) -> Result<bool, SetupError> {
        if self.config != Path::new(SERVICE) {
            return Ok(false);
        }
        systemctl(&["--quiet", "enable", UNIT])?;
        // It is told of another configuration in this way, too.
        systemctl(&["restart", UNIT])?;
        Ok(true)
    }

    /// How it is started by hand.
    pub(crate) fn command(&self) -> String {
        format!("camera-agent chat --config {}", self.config.display())
    }
}

fn systemctl(words: &[&str]) -> Result<(), SetupError> {
    let failed = |error: String| SetupError::Unit {
        command: format!("systemctl {}", words.join(" ")),
        error,
    };
    let status = Command::new("systemctl")
        .args(words)
        .status()
        .map_err(|e| failed(e.to_string()))?;
    match status.success() {
        true => Ok(()),
        false => Err(failed(status.to_string())),
    }
}

/// Of a server with these settings: where the camera beside it registers, and
/// where others open the page.
fn addresses(settings: &Settings, known: &Known) -> (Option<String>, Option<String>) {
    if settings.cert.is_some() {
        return (None, None);
    }
    let listen = settings.listen();
    let (ip, port) = (listen.ip(), listen.port());
    let here = match ip.is_unspecified() {
        true => format!("localhost:{port}"),
        false => listen.to_string(),
    };
    let shown = match (&known.name, known.address) {
        _ if ip.is_loopback() => None,
        (Some(name), _) => Some(format!("{name}:{port}")),
        (None, _) if !ip.is_unspecified() => Some(listen.to_string()),
        (None, Some(address)) => Some(SocketAddr::new(address, port).to_string()),
        (None, None) => None,
    };
    let page = shown.map(|host| format!("http://{host}/"));
    (Some(format!("ws://{here}/")), page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_camera_takes_the_short_way_and_telephones_one_that_they_have() {
        let named = Known {
            name: Some("porch.local".into()),
            address: Some([192, 168, 1, 5].into()),
        };
        let unnamed = Known {
            name: None,
            ..named.clone()
        };
        for (listen, known, server, page) in [
            ("[::]:6503", &named, "localhost:6503", "porch.local:6503"),
            ("0.0.0.0:80", &named, "localhost:80", "porch.local:80"),
            ("[::]:6503", &unnamed, "localhost:6503", "192.168.1.5:6503"),
            ("10.0.0.2:1", &unnamed, "10.0.0.2:1", "10.0.0.2:1"),
            ("10.0.0.2:1", &named, "10.0.0.2:1", "porch.local:1"),
            ("[fd00::2]:1", &unnamed, "[fd00::2]:1", "[fd00::2]:1"),
            ("127.0.0.1:1", &named, "127.0.0.1:1", ""),
            ("[::]:6503", &Known::default(), "localhost:6503", ""),
        ] {
            let settings = Settings {
                listen: Some(listen.parse().expect("an address")),
                ..Settings::default()
            };
            let page = Some(page)
                .filter(|page| !page.is_empty())
                .map(|page| format!("http://{page}/"));
            let expected = (Some(format!("ws://{server}/")), page);
            assert_eq!(addresses(&settings, known), expected, "{listen}");
        }
        let secure = Settings {
            cert: Some("/c".into()),
            key: Some("/k".into()),
            ..Settings::default()
        };
        assert_eq!(addresses(&secure, &named), (None, None));
    }
}
