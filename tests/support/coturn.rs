//! A real TURN server.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::net::UdpSocket;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{SOON, until};

/// A real coturn, relaying on the loopback.
pub struct Coturn {
    pub port: u16,
    _child: Child,
}

impl Coturn {
    /// With further arguments, for the credentials.
    pub async fn start(extra: &[&str]) -> Self {
        let free = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("bound").port();
        drop(free);
        let child = Command::new("turnserver")
            .args([
                "-n",
                "--no-cli",
                "--no-tls",
                "--no-dtls",
                "--log-file=stdout",
            ])
            .args(["--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1"])
            .args(["--allow-loopback-peers", "--realm=lab", "--pidfile="])
            .arg(format!("--listening-port={port}"))
            .args(extra)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("coturn is installed: apt-get install coturn");
        let this = Self {
            port,
            _child: child,
        };
        until("coturn answers", SOON, async || this.answers().await).await;
        this
    }

    /// A STUN binding request (RFC 8489 §5: type, length, cookie, transaction).
    async fn answers(&self) -> Option<()> {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.ok()?;
        socket.connect(("127.0.0.1", self.port)).await.ok()?;
        let mut request = [7; 20];
        request[..8].copy_from_slice(&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
        socket.send(&request).await.ok()?;
        let mut answer = [0; 500];
        let answered = timeout(Duration::from_millis(300), socket.recv(&mut answer));
        answered.await.ok()?.ok().map(drop)
    }
}
