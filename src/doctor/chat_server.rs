//! Whether the chat server is there and speaks the protocol.
//!
//! It is connected to as the device would, waited on for its first word, and
//! left. No name is claimed and nothing is said: to the users there it is as
//! if a page had been opened and closed.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_tungstenite::client_async_tls_with_config;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError, TlsError};
use tokio_tungstenite::tungstenite::protocol::Message;

use super::{Check, Finding};
use crate::config::Config;
use crate::signaling::Server;
use crate::wire::{DEFAULT_PORT, Incoming};

const CHECK: Check = Check::ChatServer;
pub(super) const LIMIT: Duration = Duration::from_secs(16);
/// For TCP, and for TLS and the WebSocket after it.
const CONNECT: Duration = Duration::from_secs(5);
/// For the first frame.
const FIRST_FRAME: Duration = Duration::from_secs(5);

/// How far it went.
#[derive(Debug, PartialEq, Eq)]
enum Met {
    /// The server's first frame is the protocol's.
    Speaks,
    NoSuchHost(String),
    Refused,
    Unreachable(String),
    /// Connected, and no answer to the handshake.
    Mute,
    Certificate(String),
    /// TLS failed otherwise.
    NoTls(String),
    /// An answer of HTTP that opens no WebSocket.
    Http(u16),
    /// A WebSocket without the subprotocol.
    OtherProtocol,
    NoWebSocket(String),
    /// A WebSocket on which no `id` comes.
    Silent,
    /// A WebSocket on which something else comes.
    Strange(String),
    Hung(String),
}

pub(super) async fn check(config: Config) -> Vec<Finding> {
    // An address that is none is the configuration's finding.
    let Ok(server) = Server::new(&config.server.url, config.server.ca_file.as_ref()) else {
        return Vec::new();
    };
    let met = meet(&server).await;
    vec![judge(server.url(), &met)]
}

async fn meet(server: &Server) -> Met {
    let request = match server.request() {
        Ok(request) => request,
        Err(error) => return Met::NoWebSocket(error),
    };
    let uri = request.uri();
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
        Some("wss") => 443,
        _ => 80,
    });
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<_> = match lookup_host((host, port)).await {
        Ok(found) => found.collect(),
        Err(error) => return Met::NoSuchHost(error.to_string()),
    };
    let stream = match timeout(CONNECT, TcpStream::connect(&addresses[..])).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(e)) if e.kind() == std::io::ErrorKind::ConnectionRefused => return Met::Refused,
        Ok(Err(e)) => return Met::Unreachable(e.to_string()),
        Err(_) => return Met::Unreachable(format!("no answer within {} s", CONNECT.as_secs())),
    };
    let handshake = client_async_tls_with_config(
        request,
        stream,
        Some(Server::limits()),
        Some(server.connector()),
    );
    let mut socket = match timeout(CONNECT, handshake).await {
        Ok(Ok((socket, _))) => socket,
        Ok(Err(error)) => return handshake_failed(error),
        Err(_) => return Met::Mute,
    };
    let first = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    return match Incoming::parse(&text) {
                        Ok(Incoming::Id(_)) => Met::Speaks,
                        // A list can come first when somebody joins just now.
                        Ok(Incoming::UserList(_)) => continue,
                        Ok(_) => Met::Strange("another message than \"id\"".into()),
                        Err(error) => Met::Strange(error.to_string()),
                    };
                }
                Some(Ok(Message::Close(_))) | None => {
                    return Met::Hung("it closed the connection".into());
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Met::Hung(error.to_string()),
            }
        }
    };
    let met = timeout(FIRST_FRAME, first).await.unwrap_or(Met::Silent);
    let _ = timeout(Duration::from_millis(500), socket.close(None)).await;
    met
}

fn handshake_failed(error: Error) -> Met {
    match error {
        Error::Io(e) => match e.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
            Some(tls) => tls_failed(tls),
            None => Met::NoWebSocket(e.to_string()),
        },
        Error::Tls(TlsError::Rustls(tls)) => tls_failed(&tls),
        Error::Tls(error) => Met::NoTls(error.to_string()),
        Error::Http(response) => Met::Http(response.status().as_u16()),
        Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(_)) => Met::OtherProtocol,
        other => Met::NoWebSocket(other.to_string()),
    }
}

fn tls_failed(error: &rustls::Error) -> Met {
    match error {
        rustls::Error::InvalidCertificate(why) => Met::Certificate(format!("{why}")),
        other => Met::NoTls(other.to_string()),
    }
}

fn judge(url: &str, met: &Met) -> Finding {
    let error = |what: &str, remedy: &str| Finding::error(CHECK, format!("{url} {what}"), remedy);
    match met {
        Met::Speaks => Finding::ok(CHECK, format!("{url} answers and speaks the protocol")),
        Met::NoSuchHost(why) => error(
            &format!("has a host that is not found: {why}"),
            "correct the host in server.url, or see that name resolution works: `getent hosts`",
        ),
        Met::Refused => error(
            "refuses the connection: nobody listens there",
            &format!(
                "start the chat server (`camera-agent chat`), or correct host and port in \
                 server.url; the usual port is {DEFAULT_PORT}"
            ),
        ),
        Met::Unreachable(why) => error(
            &format!("is not reached: {why}"),
            "see that this device has a network and that no firewall is in the way",
        ),
        Met::Mute => error(
            "accepts the connection and says nothing",
            "what listens there is no chat server, or it hangs; for a server with a certificate \
             write wss:// in server.url",
        ),
        Met::Certificate(why) => error(
            &format!("has a certificate that is not trusted: {why}"),
            "name the authority that signed it in server.ca_file, call the server by the name that \
             is in its certificate, and see that this device's clock is right",
        ),
        Met::NoTls(why) => error(
            &format!("does not speak TLS: {why}"),
            "write ws:// in server.url for a server without a certificate",
        ),
        Met::Http(status) => error(
            &format!("answers {status} instead of opening a WebSocket"),
            "it is another web server, or a proxy that does not pass WebSockets on: correct \
             server.url or the proxy",
        ),
        Met::OtherProtocol => error(
            "opens a WebSocket without the subprotocol \"json\"",
            "it is no webrtc-from-chat server: correct server.url",
        ),
        Met::NoWebSocket(why) => error(
            &format!("does not speak WebSocket: {why}"),
            "it is no chat server: correct host and port in server.url; for a server with a \
             certificate write wss://",
        ),
        Met::Silent => error(
            &format!(
                "opens a WebSocket and sends no \"id\" within {} s",
                FIRST_FRAME.as_secs()
            ),
            "it is no webrtc-from-chat server, or it hangs: restart it or correct server.url",
        ),
        Met::Strange(why) => error(
            &format!("opens a WebSocket and begins with something else: {why}"),
            "it is no webrtc-from-chat server: correct server.url",
        ),
        Met::Hung(why) => error(
            &format!("opens a WebSocket and drops it: {why}"),
            "see the chat server's log",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    #[test]
    fn each_failure_has_its_own_words_and_a_remedy() {
        let all = [
            Met::NoSuchHost("x".into()),
            Met::Refused,
            Met::Unreachable("x".into()),
            Met::Mute,
            Met::Certificate("x".into()),
            Met::NoTls("x".into()),
            Met::Http(404),
            Met::OtherProtocol,
            Met::NoWebSocket("x".into()),
            Met::Silent,
            Met::Strange("x".into()),
            Met::Hung("x".into()),
        ]
        .map(|met| judge("ws://h/", &met));
        let mut words: Vec<_> = all.iter().map(|f| f.what.clone()).collect();
        words.sort();
        words.dedup();
        assert_eq!(words.len(), all.len());
        for finding in all {
            assert_eq!(finding.severity, Severity::Error);
            assert!(finding.remedy.is_some());
        }
        assert_eq!(judge("ws://h/", &Met::Speaks).severity, Severity::Ok);
    }

    #[test]
    fn a_certificate_is_told_apart_from_other_tls() {
        let wrapped = |tls: rustls::Error| {
            handshake_failed(Error::Io(std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                tls,
            )))
        };
        let certificate = wrapped(rustls::Error::InvalidCertificate(
            rustls::CertificateError::Expired,
        ));
        assert!(
            matches!(certificate, Met::Certificate(_)),
            "{certificate:?}"
        );
        let other = wrapped(rustls::Error::HandshakeNotComplete);
        assert!(matches!(other, Met::NoTls(_)), "{other:?}");
    }
}
