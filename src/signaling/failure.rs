//! How far the device came on its way to the chat server.

use rustls::CertificateError;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::http::{HeaderMap, StatusCode, header};

/// How far it went.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Failure {
    /// A file or a variable cannot be used; the whole sentence.
    Unusable(String),
    NoSuchHost(String),
    Unreachable(String),
    /// No address answered within so many seconds.
    Silent(u64),
    Refused,
    /// TLS with the proxy failed.
    ProxyTls(String),
    /// The proxy does not do what one does.
    NoProxy(String),
    /// The proxy's answer to `CONNECT`.
    ProxyStatus(u16),
    /// TLS failed otherwise than over the certificate.
    NoTls(String),
    /// It speaks TLS, and agrees to nothing that this device has to offer.
    NothingInCommon(String),
    Certificate(CertificateError),
    /// Connected, and no answer to the handshake within so many seconds.
    Mute(u64),
    NoWebSocket(String),
    /// An answer of HTTP that opens no WebSocket.
    Status(Answer),
    /// A WebSocket without the subprotocol.
    OtherProtocol,
}

/// What counts of an answer of HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub code: u16,
    /// Where it sends one, whole.
    pub location: Option<String>,
    /// How it wants to be logged in to, all of them.
    pub challenge: String,
}

impl Answer {
    pub(super) fn of(status: StatusCode, headers: &HeaderMap) -> Self {
        let text = |value: &tokio_tungstenite::tungstenite::http::HeaderValue| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        let challenges = headers.get_all(header::WWW_AUTHENTICATE).iter().map(text);
        Self {
            code: status.as_u16(),
            location: headers.get(header::LOCATION).map(text),
            challenge: challenges.collect::<Vec<_>>().join(", "),
        }
    }
}

impl Failure {
    /// How near it is to success: of two addresses that failed, the one that
    /// came nearer says more.
    pub(super) fn progress(&self) -> u8 {
        match self {
            Self::Unusable(_) | Self::NoSuchHost(_) => 0,
            Self::Unreachable(_) => 1,
            Self::Silent(_) => 2,
            Self::Refused => 3,
            Self::ProxyTls(_) | Self::NoProxy(_) => 4,
            Self::ProxyStatus(_) => 5,
            Self::NoTls(_) | Self::NothingInCommon(_) => 6,
            Self::Certificate(_) => 7,
            Self::Mute(_) | Self::NoWebSocket(_) => 8,
            Self::Status(_) | Self::OtherProtocol => 9,
        }
    }

    /// From an error of TLS.
    pub(super) fn of_tls(error: &std::io::Error) -> Self {
        let tls = error
            .get_ref()
            .and_then(|e| e.downcast_ref::<rustls::Error>());
        match tls {
            Some(rustls::Error::InvalidCertificate(why)) => Self::Certificate(why.clone()),
            // An alert is TLS (RFC 8446 §6).
            Some(alert @ rustls::Error::AlertReceived(_)) => {
                Self::NothingInCommon(alert.to_string())
            }
            Some(other) => Self::NoTls(other.to_string()),
            None => Self::NoTls(error.to_string()),
        }
    }

    /// From an error of the WebSocket's handshake.
    pub(super) fn of_handshake(error: Error) -> Self {
        match error {
            Error::Http(response) => {
                Self::Status(Answer::of(response.status(), response.headers()))
            }
            Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(_)) => Self::OtherProtocol,
            other => Self::NoWebSocket(other.to_string()),
        }
    }
}
