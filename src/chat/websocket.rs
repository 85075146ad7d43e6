//! The handshake of a WebSocket (RFC 6455 §4.2).

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::meter::Metered;
use crate::wire::{MAX_FRAME_BYTES, SUBPROTOCOL};

/// Bytes that may wait to be written of one connection: the longest user list and
/// the largest frame. Answers to pings wait here, too, and beyond it only the last.
const WRITE_BUFFER: usize = 256 * 1024;

/// A client's connection once it has been upgraded.
pub(super) type Socket = WebSocketStream<Metered<TokioIo<Upgraded>>>;

/// Whether a request asks for a WebSocket.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    has(headers, &header::UPGRADE, "websocket")
}

/// The answer that makes the request a WebSocket and what it becomes then, or
/// the answer that says what is wrong with it.
pub(super) fn accept(request: &mut Request) -> Result<(Response, OnUpgrade), Box<Response>> {
    let no = |status: StatusCode, why: &'static str| Box::new((status, why).into_response());
    let headers = request.headers();
    if request.method() != Method::GET {
        let why = "a WebSocket is asked for by GET\n";
        return Err(no(StatusCode::METHOD_NOT_ALLOWED, why));
    }
    if !has(headers, &header::CONNECTION, "upgrade") {
        return Err(no(StatusCode::BAD_REQUEST, "no Connection: Upgrade\n"));
    }
    if headers
        .get(header::SEC_WEBSOCKET_VERSION)
        .is_none_or(|v| v != "13")
    {
        let mut answer = no(
            StatusCode::UPGRADE_REQUIRED,
            "this is version 13 of WebSocket\n",
        );
        let version = header::HeaderValue::from_static("13");
        answer
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_VERSION, version);
        return Err(answer);
    }
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
        return Err(no(StatusCode::BAD_REQUEST, "no Sec-WebSocket-Key\n"));
    };
    if !has(headers, &header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        let why = "this WebSocket speaks the subprotocol \"json\": offer it in \
             Sec-WebSocket-Protocol\n";
        return Err(no(StatusCode::BAD_REQUEST, why));
    }
    let accepted = derive_accept_key(key.as_bytes());
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        let why = "this connection cannot become a WebSocket\n";
        return Err(no(StatusCode::UPGRADE_REQUIRED, why));
    };
    let headers = [
        (header::CONNECTION, "upgrade"),
        (header::UPGRADE, "websocket"),
        (header::SEC_WEBSOCKET_ACCEPT, &accepted),
        (header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL),
    ];
    let answer = (StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty());
    Ok((answer.into_response(), upgrade))
}

/// What is spoken on an upgraded connection.
pub(super) async fn over(stream: Metered<TokioIo<Upgraded>>) -> Socket {
    WebSocketStream::from_raw_socket(stream, Role::Server, Some(config())).await
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(MAX_FRAME_BYTES))
        .max_frame_size(Some(MAX_FRAME_BYTES))
        .read_buffer_size(8 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER)
}

/// Whether one of a header's comma-separated words is this one.
fn has(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter();
    let mut words = values
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','));
    words.any(|w| w.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::WebSocket;

    use super::*;
    use crate::signaling::deaf::Deaf;

    #[test]
    fn answers_to_pings_do_not_pile_up_where_nobody_reads() {
        let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[b'x'; 125]].concat();
        let peer = Deaf::sending(ping);
        let mut socket = WebSocket::from_raw_socket(peer, Role::Server, Some(config()));
        for _ in 0..10_000 {
            assert!(matches!(socket.read(), Ok(Message::Ping(_))));
        }
        let most = socket.get_ref().most;
        assert!((1..=WRITE_BUFFER).contains(&most), "{most} bytes wait");
    }
}
