//! Whether the chat server is there and speaks the protocol.
//!
//! It is connected to as the device would, waited on for its first word, and
//! left. No name is claimed and nothing is said: to the users there it is as
//! if a page had been opened and closed.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::Message;

use super::finding::{Check, Finding};
use crate::config::{Config, ServerUrl};
use crate::signaling::{Server, Trouble};
use crate::wire::Incoming;

const CHECK: Check = Check::ChatServer;
pub(super) const LIMIT: Duration = Duration::from_secs(18);
/// For the way there, and for the handshake after it.
const CONNECT: Duration = Duration::from_secs(5);
/// For the first frame.
const FIRST_FRAME: Duration = Duration::from_secs(5);

/// How far it went.
#[derive(Debug, PartialEq, Eq)]
enum Met {
    /// The server's first frame is the protocol's.
    Speaks,
    /// There is no WebSocket.
    Trouble(Trouble),
    /// A WebSocket on which no `id` comes.
    Silent,
    /// A WebSocket on which something else comes.
    Strange(String),
    Hung(String),
}

pub(super) async fn check(config: Config) -> Vec<Finding> {
    // What is wrong with the keys is the configuration's finding.
    let Ok(server) = Server::new(&config.server) else {
        return Vec::new();
    };
    let met = meet(&server).await;
    let mut findings = vec![judge(server.url(), &met)];
    if server.tells_a_secret_openly() {
        findings.push(openly(server.url()));
    }
    findings
}

/// Said of a login without TLS.
fn openly(url: &ServerUrl) -> Finding {
    Finding::hint(
        CHECK,
        format!("{url} is told a password or token that others on the way can read"),
        "let the server, or the proxy in front of it, have a certificate, and write wss:// in \
         server.url",
    )
}

async fn meet(server: &Server) -> Met {
    let mut socket = match server.open(CONNECT).await {
        Ok(opened) => opened.socket,
        Err(trouble) => return Met::Trouble(trouble),
    };
    let first = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    return match Incoming::parse(&text) {
                        Ok(Incoming::Id(_) | Incoming::Welcome { .. }) => Met::Speaks,
                        // A list can come first when somebody joins just now.
                        Ok(Incoming::UserList(_) | Incoming::Roll(_)) => continue,
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

fn judge(url: &ServerUrl, met: &Met) -> Finding {
    let error = |what: &str, remedy: &str| Finding::error(CHECK, format!("{url} {what}"), remedy);
    match met {
        Met::Speaks => Finding::ok(CHECK, format!("{url} answers and speaks the protocol")),
        Met::Trouble(trouble) => error(&trouble.what, &trouble.remedy),
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
        let url = ServerUrl::parse("ws://h/").expect("an address");
        let trouble = Trouble {
            what: "refuses the connection".into(),
            remedy: "start it".into(),
            lasting: false,
        };
        let all = [
            Met::Trouble(trouble),
            Met::Silent,
            Met::Strange("x".into()),
            Met::Hung("x".into()),
        ]
        .map(|met| judge(&url, &met));
        let mut words: Vec<_> = all.iter().map(|f| f.what.clone()).collect();
        words.sort();
        words.dedup();
        assert_eq!(words.len(), all.len());
        for finding in &all {
            assert_eq!(finding.severity, Severity::Error);
            assert!(finding.remedy.is_some());
        }
        assert_eq!(all[0].what, "ws://h/ refuses the connection");
        assert_eq!(judge(&url, &Met::Speaks).severity, Severity::Ok);
        assert_eq!(openly(&url).severity, Severity::Hint);
    }
}
