//! `[server]`: where the chat server is, and what it takes to get there.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use url::{Host, Url};

use super::ConfigError;
use crate::secret::{Secret, shown_address};

/// `[server]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// `ws://` or `wss://` address of the chat server, without credentials.
    pub url: String,
    /// The name that people click.
    pub name: String,
    /// PEM file with certificates to trust besides the system's: those of
    /// authorities, or the server's own.
    pub ca_file: Option<PathBuf>,
    /// User of a login in front of the server (Basic, RFC 7617).
    pub username: Option<String>,
    /// File with that user's password.
    pub password_file: Option<PathBuf>,
    /// File with a token in place of user and password (Bearer, RFC 6750).
    pub token_file: Option<PathBuf>,
    /// The HTTP proxy to the server: its address, `none`, or `auto` for the
    /// one that the environment names.
    pub proxy: ProxyConfig,
    /// File with the password of the user in `proxy`.
    pub proxy_password_file: Option<PathBuf>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            url: format!("ws://localhost:{}/", crate::wire::DEFAULT_PORT),
            name: "camera".into(),
            ca_file: None,
            username: None,
            password_file: None,
            token_file: None,
            proxy: ProxyConfig::Auto,
            proxy_password_file: None,
        }
    }
}

impl ServerConfig {
    /// Checks what the types cannot; reads no file.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let bad = |key, problem: String| Err(ConfigError::Value { key, problem });
        self.address()?;
        match (&self.username, &self.password_file, &self.token_file) {
            (None, None, _) | (Some(_), Some(_), None) => {}
            (Some(_), None, None) => {
                return bad(
                    "server.username",
                    "a user needs a password: name the file that holds it in \
                     server.password_file"
                        .into(),
                );
            }
            (None, Some(_), None) => {
                return bad(
                    "server.password_file",
                    "it is the password of server.username; set that too".into(),
                );
            }
            (_, _, Some(_)) => {
                return bad(
                    "server.token_file",
                    "a token takes the place of server.username and server.password_file; remove \
                     one or the other"
                        .into(),
                );
            }
        }
        if let Some(user) = &self.username
            && (user.is_empty() || user.contains(':') || user.contains(char::is_control))
        {
            return bad(
                "server.username",
                // What stands behind a colon is a password, most often.
                "it is no name for a login, which has a character and no colon; a password \
                 belongs in server.password_file"
                    .into(),
            );
        }
        match (&self.proxy, &self.proxy_password_file) {
            (_, None) => Ok(()),
            (ProxyConfig::At(proxy), Some(_))
                if proxy.user.is_some() && proxy.password.is_none() =>
            {
                Ok(())
            }
            (_, Some(_)) => bad(
                "server.proxy_password_file",
                "it is the password of a user who is named in server.proxy, as in \
                 \"http://USER@proxy.example:3128\""
                    .into(),
            ),
        }
    }

    /// The server's address, checked.
    pub fn address(&self) -> Result<ServerUrl, ConfigError> {
        ServerUrl::parse(&self.url).map_err(|problem| ConfigError::Value {
            key: "server.url",
            problem,
        })
    }
}

/// The chat server's address, as it is connected to. There is no user and no
/// password in it, so that it can be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl(Url);

impl ServerUrl {
    /// Reads one. The problem does not repeat what may be a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let shown = shown_address(text);
        let url = match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "ws" | "wss" | "http" | "https") => url,
            // The scheme is what is wrong; "host:6503" is read as one.
            Ok(_) | Err(url::ParseError::RelativeUrlWithoutBase) => {
                return Err(format!(
                    "\"{shown}\" is not a chat server's address, which begins with ws:// or wss://"
                ));
            }
            Err(error) => return Err(format!("\"{shown}\" is not an address: {error}")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!(
                "\"{shown}\" must not hold user and password, for addresses are shown and logged: \
                 set server.username, put the password in a file of its own, name that in \
                 server.password_file, and write \"{}\"",
                Self::of_web(&url)
            ));
        }
        if url.scheme().starts_with("http") {
            return Err(format!(
                "\"{}\" is the address of a page; the chat server's begins with ws:// or wss://: \
                 write \"{}\"",
                show(&url),
                Self::of_web(&url)
            ));
        }
        let mut url = url;
        url.set_fragment(None);
        Ok(Self(url))
    }

    /// The chat server's address where a page's is `url`.
    pub(crate) fn of_web(url: &Url) -> String {
        let scheme = match url.scheme() {
            "http" | "ws" => "ws",
            _ => "wss",
        };
        let shown = show(url);
        let rest = shown.split_once("://").map_or("", |(_, rest)| rest);
        format!("{scheme}://{rest}")
    }

    /// Over TLS.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.0.scheme() == "wss"
    }

    /// The host: a name in ASCII, or an address without brackets.
    pub fn host(&self) -> String {
        match self.0.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => ip.to_string(),
            None => String::new(),
        }
    }

    /// The port, or the scheme's.
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(80)
    }

    /// Host and port as in `Host` and `CONNECT`.
    pub(crate) fn authority(&self) -> String {
        format!("{}:{}", self.0.host_str().unwrap_or_default(), self.port())
    }

    /// The path, from its "/".
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// This very machine: nothing is on the way.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        let name = host.trim_end_matches('.');
        name == "localhost"
            || name.ends_with(".localhost")
            || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// The whole, with a query that may hold secrets; not to be shown.
    pub(crate) fn whole(&self) -> &str {
        self.0.as_str()
    }

    /// Where `location` leads from here (RFC 9110 §10.2.2).
    pub(crate) fn join(&self, location: &str) -> Option<Url> {
        self.0.join(location).ok()
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show(&self.0))
    }
}

/// An address as it may be shown: without credentials and without what a query
/// says.
pub(crate) fn show(url: &Url) -> String {
    let mut shown = url.clone();
    // Only an address without a host refuses, and that has neither.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_fragment(None);
    if shown.query().is_some() {
        shown.set_query(None);
        return format!("{shown}?…");
    }
    shown.to_string()
}

/// `server.proxy`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum ProxyConfig {
    /// What the environment says.
    Auto,
    /// None, whatever the environment says.
    None,
    /// This one.
    At(ProxyUrl),
}

impl TryFrom<String> for ProxyConfig {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            text => ProxyUrl::parse(text)
                .map(Self::At)
                .map_err(|problem| format!("server.proxy: {problem}")),
        }
    }
}

/// The address of an HTTP proxy. Shown without its user and password.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    /// It is spoken to over TLS.
    pub encrypted: bool,
    /// A name in ASCII, or an address without brackets.
    pub host: String,
    /// From 1.
    pub port: u16,
    /// Who logs in there.
    pub user: Option<String>,
    /// Their password, where the address held it.
    pub password: Option<Secret>,
}

impl ProxyUrl {
    /// Reads one; without a scheme it is `http://`, as curl has it. The problem
    /// does not repeat what may be a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let full = match text.contains("://") {
            true => text.to_owned(),
            false => format!("http://{text}"),
        };
        let shown = shown_address(&full);
        let wrong = |why: &str| {
            Err(format!(
                "\"{shown}\" is not the address of an HTTP proxy, such as \
                 \"http://proxy.example:3128\": {why}"
            ))
        };
        let url = match Url::parse(&full) {
            Ok(url) => url,
            Err(error) => return wrong(&error.to_string()),
        };
        if !matches!(url.scheme(), "http" | "https") {
            return wrong("it has to begin with http:// or https://; SOCKS is not spoken");
        }
        let host = match url.host() {
            // A scheme without slashes.
            Some(Host::Domain("socks" | "socks4" | "socks4a" | "socks5" | "socks5h")) => {
                return wrong("SOCKS is not spoken");
            }
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => ip.to_string(),
            None => return wrong("it has no host"),
        };
        let port = url.port_or_known_default().unwrap_or(80);
        if port == 0 {
            return wrong("0 is no port");
        }
        let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        Ok(Self {
            encrypted: url.scheme() == "https",
            host,
            port,
            user: Some(plain(url.username())).filter(|user| !user.is_empty()),
            password: url.password().map(|password| Secret::new(plain(password))),
        })
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.encrypted { "https" } else { "http" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::path::Path;

    #[test]
    fn an_address_is_taken_apart() {
        for (text, shown, host, port) in [
            ("ws://h/", "ws://h/", "h", 80),
            (
                "WSS://Cam.Example",
                "wss://cam.example/",
                "cam.example",
                443,
            ),
            ("ws://[::1]:6503/cam/", "ws://[::1]:6503/cam/", "::1", 6503),
            ("wss://h/cam/?key=north#x", "wss://h/cam/?…", "h", 443),
            ("ws://my_host:1/", "ws://my_host:1/", "my_host", 1),
        ] {
            let url = ServerUrl::parse(text).expect(text);
            assert_eq!(url.to_string(), shown);
            assert_eq!((url.host().as_str(), url.port()), (host, port));
        }
        let url = ServerUrl::parse("wss://h/cam/?key=north#x").expect("valid");
        assert_eq!(url.whole(), "wss://h/cam/?key=north");
        assert_eq!(url.authority(), "h:443");
    }

    #[test]
    fn what_is_no_address_is_told_and_the_right_spelling_with_it() {
        for (text, words) in [
            ("https://cam.example/x", "write \"wss://cam.example/x\""),
            (
                "http://cam.example:6503",
                "write \"ws://cam.example:6503/\"",
            ),
            ("cam.example:6503", "ws:// or wss://"),
            ("cam.example", "ws:// or wss://"),
            ("ftp://h/", "ws:// or wss://"),
            ("ws://bad host/", "bad host"),
            ("ws://h:99999/", "h:99999"),
            ("ws:///", "ws:///"),
            ("", "ws:// or wss://"),
        ] {
            let problem = ServerUrl::parse(text).expect_err(text);
            assert!(problem.contains(words), "{text}: {problem}");
        }
    }

    /// However the address is wrong, too.
    #[test]
    fn a_password_in_the_address_is_refused_and_not_repeated() {
        for text in [
            "wss://camera:north@h/",
            "https://camera:north@h/x",
            "wss://camera:north@h:99999/",
            "wss://camera:no/north@h/",
            "wss://camera:north@@h/",
            "ftp://camera:north@h/",
            "wss://north@h/",
            "wss://camera:north@bad host/",
        ] {
            let problem = ServerUrl::parse(text).expect_err(text);
            assert!(!problem.contains("north"), "{text}: {problem}");
            let toml = format!("[server]\nurl = \"{text}\"\nproxy = \"{text}\"");
            let message = Config::parse(&toml, Path::new("x"))
                .expect_err(text)
                .to_string();
            assert!(!message.contains("north"), "{text}: {message}");
        }
        let problem = ServerUrl::parse("wss://camera:north@h/cam/").expect_err("refused");
        for words in [
            "server.username",
            "server.password_file",
            "\"wss://h/cam/\"",
        ] {
            assert!(problem.contains(words), "{problem}");
        }
        // A whole section in the wrong place, as the parser of TOML quotes it.
        let error = Config::parse("server = \"wss://camera:north@h/\"", Path::new("x"));
        assert!(!error.expect_err("refused").to_string().contains("north"));
    }

    #[test]
    fn a_proxy_is_shown_without_its_login() {
        let proxy = ProxyUrl::parse("http://Camera:n%40rth%3A@proxy.example:3128/").expect("valid");
        assert_eq!(proxy.user.as_deref(), Some("Camera"));
        assert_eq!(proxy.password, Some(Secret::new("n@rth:")));
        for shown in [format!("{proxy}"), format!("{:?}", ProxyConfig::At(proxy))] {
            assert!(shown.contains("http://proxy.example:3128"), "{shown}");
            assert!(
                !shown.contains("rth") && !shown.contains("Camera"),
                "{shown}"
            );
        }
        let bare = ProxyUrl::parse("proxy.example:3128").expect("valid");
        assert_eq!(bare.to_string(), "http://proxy.example:3128");
        let v6 = ProxyUrl::parse("https://[::1]").expect("valid");
        assert_eq!(v6.to_string(), "https://[::1]:443");
        for (text, word) in [
            ("socks5://u:north@h:1080", "SOCKS"),
            ("socks5h:1080", "SOCKS"),
            ("http://u:north@h:99999", "port"),
            ("", "host"),
        ] {
            let problem = ProxyUrl::parse(text).expect_err(text);
            assert!(problem.contains(word), "{problem}");
            assert!(!problem.contains("north"), "{problem}");
        }
    }

    #[test]
    fn half_a_login_and_two_logins_are_refused() {
        let parse = |text: &str| {
            Config::parse(&format!("[server]\n{text}"), Path::new("x")).map_err(|e| e.to_string())
        };
        for (text, key) in [
            ("username = \"u\"", "server.username"),
            (
                "username = \"u:v\"\npassword_file = \"/p\"",
                "server.username",
            ),
            ("username = \"\"\npassword_file = \"/p\"", "server.username"),
            ("password_file = \"/p\"", "server.password_file"),
            (
                "username = \"u\"\npassword_file = \"/p\"\ntoken_file = \"/t\"",
                "server.token_file",
            ),
            ("proxy = \"socks5://h\"", "server.proxy"),
            ("proxy_password_file = \"/p\"", "server.proxy_password_file"),
            (
                "proxy = \"http://u:p@h\"\nproxy_password_file = \"/p\"",
                "server.proxy_password_file",
            ),
        ] {
            let message = parse(text).expect_err(text);
            assert!(message.contains(key), "{text}: {message}");
        }
        for text in [
            "username = \"u\"\npassword_file = \"/p\"",
            "token_file = \"credential:token\"",
            "proxy = \"none\"",
            "proxy = \"http://u@h:3128\"\nproxy_password_file = \"/p\"",
        ] {
            parse(text).expect(text);
        }
    }
}
