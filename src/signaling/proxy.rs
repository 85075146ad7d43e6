//! The HTTP proxy on the way to the chat server: which one, and the tunnel
//! through it (`CONNECT`, RFC 9110 §9.3.6).

use hyper_util::client::proxy::matcher::Matcher;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri};

use super::USER_AGENT;
use super::credentials::basic;
use super::failure::Failure;
use crate::config::{ConfigError, ProxyConfig, ProxyUrl, ServerConfig, ServerUrl, read_secret};
use crate::secret::Secret;

/// The longest head of an answer that is read.
const MOST_HEAD: usize = 16 * 1024;

/// A proxy, and who said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    pub url: ProxyUrl,
    /// `server.proxy`, or the variable of the environment.
    pub source: &'static str,
}

/// The proxy to a server, if there is to be one.
///
/// `server.proxy` goes before the environment, whose variables are curl's:
/// `https_proxy` for `wss://`, `http_proxy` for `ws://`, else `all_proxy`, in
/// small letters or capitals, and `no_proxy` for hosts that are reached
/// directly. This very machine always is.
pub(super) fn choose(
    config: &ProxyConfig,
    server: &ServerUrl,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>, ConfigError> {
    match config {
        ProxyConfig::None => return Ok(None),
        ProxyConfig::At(url) => {
            return Ok(Some(Proxy {
                url: url.clone(),
                source: "server.proxy",
            }));
        }
        ProxyConfig::Auto => {}
    }
    let names = match server.is_encrypted() {
        true => ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        false => ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"],
    };
    let set = |name: &&'static str| {
        let text = environment(name)?.trim().to_owned();
        (!text.is_empty()).then_some((*name, text))
    };
    let Some((source, text)) = names.iter().find_map(set) else {
        return Ok(None);
    };
    let excepted = ["no_proxy", "NO_PROXY"].iter().find_map(set);
    if server.is_loopback() || excepted.is_some_and(|(_, list)| excepts(&list, server)) {
        return Ok(None);
    }
    match ProxyUrl::parse(&text) {
        Ok(url) => Ok(Some(Proxy { url, source })),
        Err(problem) => Err(ConfigError::Value {
            key: source,
            problem: format!(
                "{problem}; correct it, or set server.proxy to a proxy's address or to \"none\""
            ),
        }),
    }
}

/// The server is among those that need no proxy, by curl's rules: names with
/// all under them, addresses, networks, or "*".
fn excepts(list: &str, server: &ServerUrl) -> bool {
    // Blanks separate as commas do.
    let list = list.split_whitespace().collect::<Vec<_>>().join(",");
    let host = match server.host() {
        host if host.contains(':') => format!("[{host}]"),
        host => host.trim_end_matches('.').to_owned(),
    };
    let uri = Uri::builder()
        .scheme("http")
        .authority(host)
        .path_and_query("/")
        .build();
    let matcher = Matcher::builder().all("http://proxy").no(list).build();
    uri.is_ok_and(|uri| matcher.intercept(&uri).is_none())
}

/// The value of `Proxy-Authorization`, from the file as it is now.
pub(super) fn authorization(
    proxy: &Proxy,
    config: &ServerConfig,
) -> Result<Option<HeaderValue>, ConfigError> {
    let key = "server.proxy_password_file";
    let Some(user) = &proxy.url.user else {
        return Ok(None);
    };
    let password = match (&proxy.url.password, &config.proxy_password_file) {
        (Some(password), _) => password.clone(),
        (None, Some(file)) => Secret::new(read_secret(key, file)?),
        (None, None) => Secret::new(""),
    };
    basic(user, &password).map(Some)
}

/// Asks the proxy at the other end of `stream` for a way to the server. What
/// is read and written afterwards is the server's.
pub(super) async fn tunnel<S>(
    stream: &mut S,
    to: &str,
    authorization: Option<&HeaderValue>,
) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request =
        format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nUser-Agent: {USER_AGENT}\r\n").into_bytes();
    if let Some(value) = authorization {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(value.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    let broken = |error: std::io::Error| Failure::NoProxy(error.to_string());
    stream.write_all(&request).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && !head.ends_with(b"\n\n") {
        if head.len() == MOST_HEAD {
            return Err(Failure::NoProxy("its answer has no end".into()));
        }
        // Byte by byte: what follows is not ours.
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(Failure::NoProxy("it closed the connection".into()));
            }
            Err(error) => return Err(broken(error)),
        }
        if head.len() == 5 && head != b"HTTP/" {
            return Err(Failure::NoProxy("it does not speak HTTP".into()));
        }
    }
    match status(&head) {
        Some(200..=299) => Ok(()),
        Some(status) => Err(Failure::ProxyStatus(status)),
        None => Err(Failure::NoProxy("it does not speak HTTP".into())),
    }
}

/// The status of an answer's first line (RFC 9112 §4).
fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|b| *b == b'\r' || *b == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let version = words.next()?;
    let code = words.next()?;
    let good = version.starts_with("HTTP/1.") && code.len() == 3;
    good.then(|| code.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(server: &str, environment: &[(&str, &str)]) -> Result<Option<String>, String> {
        let server = ServerUrl::parse(server).expect("an address");
        choose(&ProxyConfig::Auto, &server, |name| {
            let found = environment.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| (*value).to_owned())
        })
        .map(|proxy| proxy.map(|p| format!("{} {}", p.source, p.url)))
        .map_err(|e| e.to_string())
    }

    #[test]
    fn the_environment_is_read_as_curl_does() {
        let https = ("HTTPS_PROXY", "http://u:north@s:1");
        let http = ("http_proxy", "p:2");
        let all = ("ALL_PROXY", "http://a");
        for (server, environment, expected) in [
            (
                "wss://h/",
                &[https, http][..],
                Some("HTTPS_PROXY http://s:1"),
            ),
            ("ws://h/", &[https, http], Some("http_proxy http://p:2")),
            ("ws://h/", &[https, all], Some("ALL_PROXY http://a:80")),
            ("ws://h/", &[https], None),
            (
                "wss://h/",
                &[https, ("https_proxy", "l:3")],
                Some("https_proxy http://l:3"),
            ),
            ("wss://h/", &[("HTTPS_PROXY", " ")], None),
            ("wss://localhost/", &[https], None),
            ("wss://127.0.0.9/", &[https], None),
            ("wss://[::1]/", &[https], None),
        ] {
            let found = chosen(server, environment).expect("usable");
            assert_eq!(found.as_deref(), expected, "{server} {environment:?}");
        }
    }

    #[test]
    fn hosts_that_need_no_proxy_are_reached_directly() {
        for (server, list, direct) in [
            ("wss://cam.example/", "cam.example", true),
            ("wss://cam.example./", "cam.example", true),
            ("wss://CAM.example:6503/", "other, cam.example", true),
            ("wss://a.cam.example/", "cam.example", true),
            ("wss://a.cam.example/", ".cam.example", true),
            ("wss://webcam.example/", "cam.example", false),
            ("wss://cam.example/", "a b\tcam.example", true),
            ("wss://cam.example/", "*", true),
            ("wss://cam.example/", "", false),
            ("wss://192.168.3.4/", "192.168.0.0/16", true),
            ("wss://192.168.3.4/", "192.168.3.4", true),
            ("wss://192.169.3.4/", "192.168.0.0/16", false),
            ("wss://[2001:db8::7]/", "2001:db8::/32", true),
            ("wss://[2001:db8::7]/", "2001:db8::8", false),
        ] {
            let environment = [("HTTPS_PROXY", "http://s:1"), ("NO_PROXY", list)];
            let found = chosen(server, &environment).expect("usable");
            assert_eq!(found.is_none(), direct, "{server} {list}");
        }
    }

    #[test]
    fn a_variable_that_names_no_http_proxy_is_named() {
        let message = chosen("wss://h/", &[("ALL_PROXY", "socks5://u:north@s")]);
        let message = message.expect_err("refused");
        for words in ["ALL_PROXY", "SOCKS", "server.proxy"] {
            assert!(message.contains(words), "{message}");
        }
        assert!(!message.contains("north"), "{message}");
    }

    #[test]
    fn the_configuration_goes_before_the_environment() {
        let server = ServerUrl::parse("wss://localhost/").expect("an address");
        let environment = |_: &str| Some("http://env".to_owned());
        let url = ProxyUrl::parse("p:1").expect("an address");
        let found = choose(&ProxyConfig::At(url), &server, environment).expect("usable");
        assert_eq!(
            found.map(|p| p.url.to_string()).as_deref(),
            Some("http://p:1")
        );
        let found = choose(&ProxyConfig::None, &server, environment).expect("usable");
        assert_eq!(found, None);
    }

    /// What comes of a proxy that answers so, and what it was asked.
    async fn answered(answer: &str) -> (Result<(), Failure>, String) {
        let (mut ours, mut theirs) = tokio::io::duplex(64 * 1024);
        theirs.write_all(answer.as_bytes()).await.expect("written");
        let header = basic("u", &Secret::new("north")).expect("a header");
        let result = tunnel(&mut ours, "h:443", Some(&header)).await;
        if result.is_ok() {
            let mut rest = [0; 4];
            ours.read_exact(&mut rest).await.expect("left alone");
            assert_eq!(&rest, b"rest");
        }
        drop(ours);
        let mut asked = String::new();
        theirs.read_to_string(&mut asked).await.expect("text");
        (result, asked)
    }

    #[tokio::test]
    async fn a_tunnel_is_asked_for_and_what_follows_is_left_alone() {
        let (result, asked) = answered("HTTP/1.1 200 Established\r\nVia: x\r\n\r\nrest").await;
        assert_eq!(result, Ok(()));
        assert_eq!(
            asked,
            format!(
                "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\nUser-Agent: {USER_AGENT}\r\n\
                 Proxy-Authorization: Basic dTpub3J0aA==\r\n\r\n"
            )
        );
        let (result, _) = answered("HTTP/1.0 407 Who?\r\n\r\n").await;
        assert_eq!(result, Err(Failure::ProxyStatus(407)));
        for nonsense in [
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 2000 x\r\n\r\n",
            "HTTP/1.1\r\n\r\n",
        ] {
            let (result, _) = answered(nonsense).await;
            assert!(matches!(result, Err(Failure::NoProxy(_))), "{nonsense}");
        }
        let endless = format!("HTTP/1.1 200 x\r\nx: {}", "y".repeat(MOST_HEAD));
        let (result, _) = answered(&endless).await;
        assert!(matches!(result, Err(Failure::NoProxy(_))), "{result:?}");
    }
}
