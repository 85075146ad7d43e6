//! A chat server that does what it likes with what it carries: it stands before
//! an honest one.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

/// What becomes of a frame on its way to somebody: the frames that they get.
pub type Change = Arc<dyn Fn(Value) -> Vec<Value> + Send + Sync>;

pub struct Meddler {
    pub addr: SocketAddr,
    change: Arc<Mutex<Change>>,
    task: JoinHandle<()>,
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Meddler {
    /// Before the server at `honest`; it changes nothing yet.
    pub async fn before(honest: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("it is bound");
        let nothing: Change = Arc::new(|frame| vec![frame]);
        let change = Arc::new(Mutex::new(nothing));
        let of_all = change.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carry(stream, honest, of_all.clone()));
            }
        });
        Self { addr, change, task }
    }

    pub fn url(&self) -> String {
        format!("ws://{}/", self.addr)
    }

    /// From now on every frame that a client is sent goes through this.
    pub fn meddles(&self, change: impl Fn(Value) -> Vec<Value> + Send + Sync + 'static) {
        *self.change.lock().expect("no panic") = Arc::new(change);
    }
}

#[allow(clippy::result_large_err, reason = "the library's own type")]
async fn carry(stream: TcpStream, honest: SocketAddr, change: Arc<Mutex<Change>>) {
    let answer = |_: &Request, mut response: Response| {
        let protocol = "json".parse().expect("a header");
        let headers = response.headers_mut();
        headers.insert("Sec-WebSocket-Protocol", protocol);
        Ok(response)
    };
    let Ok(mut client) = tokio_tungstenite::accept_hdr_async(stream, answer).await else {
        return;
    };
    let mut request = format!("ws://{honest}/")
        .into_client_request()
        .expect("an address");
    let headers = request.headers_mut();
    headers.insert("Sec-WebSocket-Protocol", "json".parse().expect("a header"));
    let (mut server, _) = tokio_tungstenite::connect_async(request)
        .await
        .expect("the honest server");
    loop {
        tokio::select! {
            message = client.next() => match message {
                Some(Ok(message)) => if server.send(message).await.is_err() { return },
                _ => return,
            },
            message = server.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let frame = serde_json::from_str(&text).expect("JSON");
                    let change = change.lock().expect("no panic").clone();
                    for frame in change(frame) {
                        let sent = client.send(Message::text(frame.to_string())).await;
                        if sent.is_err() { return }
                    }
                }
                Some(Ok(message)) => if client.send(message).await.is_err() { return },
                _ => return,
            },
        }
    }
}
