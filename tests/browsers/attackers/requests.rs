//! Requests and frames that no browser writes.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::{Ground, again};

/// How long an answer is read, or waited for.
const PATIENCE: Duration = Duration::from_millis(300);

async fn connect(ground: &Ground) -> Option<TcpStream> {
    let tcp = TcpSocket::new_v4().ok()?;
    tcp.set_reuseaddr(true).ok()?;
    tcp.bind((ground.address(54), 0).into()).ok()?;
    tcp.connect(ground.chat).await.ok()
}

/// Whole requests, or as much as there is of them.
fn requests(host: &str) -> Vec<Vec<u8>> {
    let get = format!("GET / HTTP/1.1\r\nHost: {host}\r\n");
    let many: String = (0..5_000).map(|n| format!("x-{n}: {n}\r\n")).collect();
    let lies: String = (0..300)
        .map(|n| format!("X-Forwarded-For: 10.1.{n}.1, 192.0.2.{}\r\n", n % 256))
        .collect();
    [
        format!("{get}{many}\r\n"),
        format!("{get}x: {}\r\n\r\n", "y".repeat(300_000)),
        format!("{get}{lies}\r\n"),
        format!("GET /{} HTTP/1.1\r\nHost: {host}\r\n\r\n", "a/../".repeat(20_000)),
        format!("{get}\r\n").repeat(300),
        format!("POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n{}", "fff\r\n".repeat(20_000)),
        format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99999999999\r\nTransfer-Encoding: chunked\r\n\r\n{}", "z".repeat(200_000)),
        format!("OPTIONS * HTTP/1.1\r\nHost: {}\r\n\r\n", "h".repeat(60_000)),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}\0".repeat(10_000),
    ]
    .map(String::into_bytes)
    .into()
}

/// A frame of a WebSocket with any first two bytes, length and mask (RFC 6455 §5.2).
fn frame(first: u8, second: u8, more: &[u8]) -> Vec<u8> {
    [&[first, second][..], more].concat()
}

/// Frames that break a rule each.
fn frames() -> Vec<Vec<u8>> {
    let mask = [0; 4];
    vec![
        // Compressed, though that was not agreed.
        frame(0xc1, 0x85, &[&mask[..], b"hello"].concat()),
        // Longer than there are bytes in the world.
        frame(
            0x81,
            0xff,
            &[&[0x7f; 8][..], &mask, &[b'x'; 60_000]].concat(),
        ),
        // A ping that is too long.
        frame(
            0x89,
            0xfe,
            &[&[0xff, 0xff][..], &mask, &[b'x'; 65_535]].concat(),
        ),
        // Without a mask.
        frame(0x81, 0x05, b"hello"),
        // No text.
        frame(0x81, 0x84, &[&mask[..], &[0xff, 0xfe, 0xc0, 0x80]].concat()),
        // The end of what never began, and what never ends.
        frame(0x80, 0x81, &[&mask[..], b"x"].concat()),
        frame(0x01, 0x80, &mask).repeat(2_000),
        // A kind that there is not.
        frame(0x8b, 0x80, &mask),
        // A close with one byte, and one with a long word.
        frame(0x88, 0x81, &[&mask[..], b"x"].concat()),
        frame(0x88, 0xfd, &[&mask[..], &[3, 232], &[b'x'; 123]].concat()),
        frame(0x89, 0x80, &mask).repeat(10_000),
    ]
}

async fn try_one(ground: &Ground, first: Option<&[u8]>, then: &[u8]) -> Option<()> {
    let mut stream = connect(ground).await?;
    if let Some(first) = first {
        ground.spent(first.len());
        stream.write_all(first).await.ok()?;
        let mut answer = [0; 1_024];
        timeout(PATIENCE, stream.read(&mut answer))
            .await
            .ok()?
            .ok()?;
    }
    ground.spent(then.len());
    // Who is not read waits no longer than this.
    let _ = timeout(PATIENCE, stream.write_all(then)).await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.take(1 << 20).read_to_end(&mut answer)).await;
    Some(())
}

/// Twenty sockets of one address, each with another request or frame all the time.
pub async fn of_every_shape(ground: Ground) {
    let host = ground.chat.to_string();
    let upgrade = |lie: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
             Sec-WebSocket-Protocol: json\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\
             X-Forwarded-For: 192.0.2.{}\r\nForwarded: for=192.0.2.{}\r\n\r\n",
            lie % 256,
            lie % 199,
        )
    };
    let (requests, frames) = (requests(&host), frames());
    let one = |n: usize| {
        let (ground, requests, frames, upgrade) = (ground.clone(), &requests, &frames, &upgrade);
        async move {
            let mut turn = n;
            again(async || {
                turn += 7;
                match turn % 2 {
                    0 => try_one(&ground, None, &requests[turn / 2 % requests.len()]).await,
                    _ => {
                        let upgrade = upgrade(turn).into_bytes();
                        try_one(&ground, Some(&upgrade), &frames[turn / 2 % frames.len()]).await
                    }
                };
            })
            .await;
        }
    };
    futures_util::future::join_all((0..20).map(one)).await;
}
