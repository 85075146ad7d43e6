//! Whether each STUN and TURN server answers, and TURN relays for us.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use rtc::crypto::RTCCrypto;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UdpSocket, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use webrtc::peer_connection::crypto;

use super::finding::{Check, Finding};
use super::stun::{Answer, Login, Request};
use crate::config::Config;
use crate::ice::{IceUrl, Transport};
use crate::servers::configured::IceServers;
use crate::servers::{self, Dial, DialError, Framing, Io};

const CHECK: Check = Check::IceServer;
pub(super) const LIMIT: Duration = Duration::from_secs(12);
/// A server has so long for one answer, repeats included.
const ANSWER: Duration = Duration::from_secs(3);
/// The first repeat; each further one waits twice as long (RFC 8489 §6.2.1).
const REPEAT: Duration = Duration::from_millis(500);

/// What a server said.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Address(SocketAddr),
    Relays(SocketAddr),
    /// TLS does not come about.
    Untrusted(String),
    NoSuchHost(String),
    Unreachable(String),
    Silent,
    BadCredentials,
    Refused(u16, String),
    Strange,
}

pub(super) async fn check(config: Config) -> Vec<Finding> {
    // A secret that cannot be read is the configuration's finding.
    let (Ok(servers), Ok(tls)) = (IceServers::load(&config.ice), servers::tls(&config.ice)) else {
        return Vec::new();
    };
    let tls = tls.as_ref();
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let servers = servers.at(now, "doctor");
    let tried = servers.iter().flat_map(|server| {
        server.urls.iter().map(move |url| async move {
            let said = ask(url, tls, &server.username, &server.credential).await;
            judge(url, &said)
        })
    });
    let findings = join_all(tried).await;
    if findings.is_empty() {
        return vec![Finding::ok(CHECK, "none by configuration")];
    }
    findings
}

/// How a server is spoken to.
enum Way {
    Datagrams(UdpSocket),
    Stream(Box<dyn Io>, Framing),
}

async fn ask(
    url: &IceUrl,
    tls: Option<&Arc<ClientConfig>>,
    username: &str,
    password: &str,
) -> Said {
    let lookup = timeout(ANSWER, lookup_host((url.host.to_string(), url.port)));
    let found: Vec<_> = match lookup.await {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(error)) => return Said::NoSuchHost(error.to_string()),
        Err(_) => return Said::NoSuchHost("no name server answers".into()),
    };
    let way = match url.transport {
        Transport::Udp => connect(&found).await.map(Way::Datagrams),
        Transport::Tcp | Transport::Tls => dial(url, tls, &found).await,
    };
    let mut way = match way {
        Ok(way) => way,
        Err(said) => return said,
    };
    let asked = match (url.turn, Request::binding()) {
        (true, _) => relay(&mut way, username, password).await,
        (false, Ok(request)) => exchange(&mut way, &request).await,
        (false, Err(_)) => return Said::Strange,
    };
    match asked {
        Ok(Answer::Mapped(address)) => Said::Address(address),
        Ok(Answer::Relayed(address)) => Said::Relays(address),
        Ok(Answer::Login { .. }) => Said::BadCredentials,
        Ok(Answer::Refused { code, reason }) => match code {
            // 401 without a realm, 441 Wrong Credentials.
            401 | 441 => Said::BadCredentials,
            _ => Said::Refused(code, reason),
        },
        Ok(Answer::Done) => Said::Strange,
        Err(said) => said,
    }
}

async fn dial(
    url: &IceUrl,
    tls: Option<&Arc<ClientConfig>>,
    found: &[SocketAddr],
) -> Result<Way, Said> {
    let dial = Dial::new(url, tls).ok_or(Said::Strange)?;
    let addresses: Vec<_> = found.iter().map(SocketAddr::ip).collect();
    match timeout(ANSWER, dial.connect(&addresses)).await {
        Ok(Ok(stream)) => Ok(Way::Stream(stream, Framing::default())),
        Ok(Err(DialError::Connect(error))) => Err(Said::Unreachable(error.to_string())),
        Ok(Err(DialError::Tls(error))) => Err(Said::Untrusted(error.to_string())),
        Err(_) => Err(Said::Silent),
    }
}

async fn connect(found: &[SocketAddr]) -> Result<UdpSocket, Said> {
    let Some(server) = found.first() else {
        return Err(Said::NoSuchHost("it has no address".into()));
    };
    let failed = |e: std::io::Error| Said::Unreachable(e.to_string());
    let any: SocketAddr = if server.is_ipv6() {
        ([0_u16; 8], 0).into()
    } else {
        ([0_u8; 4], 0).into()
    };
    let socket = UdpSocket::bind(any).await.map_err(failed)?;
    socket.connect(server).await.map_err(failed)?;
    Ok(socket)
}

/// Allocates a relay and gives it back.
async fn relay(way: &mut Way, username: &str, password: &str) -> Result<Answer, Said> {
    let provider = crypto::default_provider().map_err(|_| Said::Strange)?;
    let crypto: &dyn RTCCrypto = provider.crypto();
    let built = |request: Result<Request, String>| request.map_err(|_| Said::Strange);
    let first = exchange(way, &built(Request::allocate(None))?).await?;
    let Answer::Login { realm, nonce } = first else {
        return Ok(first);
    };
    let login = Login {
        username: username.to_owned(),
        password: password.to_owned(),
        realm,
        nonce,
    };
    let request = built(Request::allocate(Some((&login, crypto))))?;
    let answer = exchange(way, &request).await?;
    if let Answer::Relayed(_) = answer {
        let request = built(Request::give_back(&login, crypto))?;
        // Unanswered, it ends by itself after ten minutes.
        let _ = exchange(way, &request).await;
    }
    Ok(answer)
}

async fn exchange(way: &mut Way, request: &Request) -> Result<Answer, Said> {
    match way {
        Way::Datagrams(socket) => repeat(socket, request).await,
        Way::Stream(stream, framing) => {
            let said = timeout(ANSWER, converse(stream, framing, request)).await;
            said.unwrap_or(Err(Said::Silent))
        }
    }
}

/// A stream needs no repeats.
async fn converse(
    stream: &mut Box<dyn Io>,
    framing: &mut Framing,
    request: &Request,
) -> Result<Answer, Said> {
    let failed = |e: std::io::Error| Said::Unreachable(e.to_string());
    stream.write_all(&request.bytes).await.map_err(failed)?;
    stream.flush().await.map_err(failed)?;
    loop {
        while let Some(message) = framing.next().map_err(|_| Said::Strange)? {
            if let Some(answer) = request.answer(&message) {
                return Ok(answer);
            }
        }
        if stream.read_buf(framing.buffer()).await.map_err(failed)? == 0 {
            return Err(Said::Unreachable("it closes the connection".into()));
        }
    }
}

/// Sends until it is answered.
async fn repeat(socket: &UdpSocket, request: &Request) -> Result<Answer, Said> {
    let failed = |e: std::io::Error| Said::Unreachable(e.to_string());
    let end = Instant::now() + ANSWER;
    let mut wait = REPEAT;
    let mut bytes = [0; 1500];
    while Instant::now() < end {
        socket.send(&request.bytes).await.map_err(failed)?;
        let repeat = end.min(Instant::now() + wait);
        wait *= 2;
        while let Ok(received) = timeout_at(repeat, socket.recv(&mut bytes)).await {
            let length = received.map_err(failed)?;
            if let Some(answer) = request.answer(&bytes[..length]) {
                return Ok(answer);
            }
        }
    }
    Err(Said::Silent)
}

fn judge(url: &IceUrl, said: &Said) -> Finding {
    let warning =
        |what: &str, remedy: &str| Finding::warning(CHECK, format!("{url} {what}"), remedy);
    match said {
        Said::Address(address) => Finding::ok(
            CHECK,
            format!("{url} answers and sees this device as {address}"),
        ),
        Said::Relays(address) => Finding::ok(CHECK, format!("{url} relays at {address}")),
        Said::Untrusted(error) => warning(
            &format!("is reached, but not over TLS: {error}"),
            "see that the port is the one for TLS, that the certificate is for this very name, and \
             set ice.ca_file where an authority of your own has signed it",
        ),
        Said::NoSuchHost(error) => warning(
            &format!("has a host that is not found: {error}"),
            "correct the host in ice.servers, or see that name resolution works: `getent hosts`",
        ),
        Said::Unreachable(error) => warning(
            &format!("is not reached: {error}"),
            "see that the server runs on that port and that this device has a way to it",
        ),
        Said::Silent => warning(
            &format!("does not answer within {} s", ANSWER.as_secs()),
            match url.transport {
                Transport::Udp => {
                    "see that the server runs and that no firewall keeps UDP to its port away; \
                     turns: passes most"
                }
                _ => "see that the server runs and that no firewall keeps TCP to its port away",
            },
        ),
        Said::BadCredentials => warning(
            "does not take the credentials",
            "compare the secret or password with the server's (coturn: static-auth-secret, user), \
             and this device's clock with its",
        ),
        Said::Refused(code, reason) => warning(
            &format!("refuses with {code} {reason}"),
            "its operator can say why; 486 and 508 mean that it relays for too many already",
        ),
        Said::Strange => warning(
            "answers what no STUN or TURN server should",
            "see that address and port are those of a STUN or TURN server",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    fn url(text: &str) -> IceUrl {
        text.parse().expect("an address")
    }

    #[test]
    fn each_answer_has_its_own_words_and_what_is_not_ok_a_remedy() {
        let address = "192.0.2.1:99".parse().expect("an address");
        let all = [
            Said::Address(address),
            Said::Relays(address),
            Said::Untrusted("x".into()),
            Said::NoSuchHost("x".into()),
            Said::Unreachable("x".into()),
            Said::Silent,
            Said::BadCredentials,
            Said::Refused(486, "quota".into()),
            Said::Strange,
        ]
        .map(|said| judge(&url("turn:t"), &said));
        let mut words: Vec<_> = all.iter().map(|f| f.what.clone()).collect();
        words.sort();
        words.dedup();
        assert_eq!(words.len(), all.len());
        assert!(all.iter().all(|f| f.what.starts_with("turn:t ")));
        for finding in &all[2..] {
            assert!(finding.severity > Severity::Ok && finding.remedy.is_some());
        }
        assert!(all[7].what.contains("486 quota"));
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_not_reached_or_silent() {
        let free = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let free_url = url(&format!("stun:{}", free.local_addr().expect("bound")));
        drop(free);
        let said = ask(&free_url, None, "", "").await;
        assert!(matches!(said, Said::Unreachable(_)), "{said:?}");
        let closed = url(&format!("turn:127.0.0.1:{}?transport=tcp", free_url.port));
        let said = ask(&closed, None, "", "").await;
        assert!(matches!(said, Said::Unreachable(_)), "{said:?}");
    }

    /// What listens on the port is a web server, or one that says nothing.
    #[tokio::test]
    async fn a_stream_of_something_else_is_strange_or_silent() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let server = tokio::spawn(async move {
            let (mut web, _) = listener.accept().await.expect("a connection");
            let page = b"\x15\x03\x03\x00\x02\x02\x28 no";
            web.write_all(page).await.expect("written");
            let mute = listener.accept().await.expect("another");
            std::future::pending::<()>().await;
            drop(mute);
        });
        let url = url(&format!("turn:127.0.0.1:{port}?transport=tcp"));
        assert_eq!(ask(&url, None, "", "").await, Said::Strange);
        assert_eq!(ask(&url, None, "", "").await, Said::Silent);
        server.abort();
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_silent() {
        let mute = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let mute_url = url(&format!("stun:{}", mute.local_addr().expect("bound")));
        assert_eq!(ask(&mute_url, None, "", "").await, Said::Silent);
    }
}
