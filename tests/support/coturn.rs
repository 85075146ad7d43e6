//! A real TURN server.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::net::UdpSocket;
use std::process::Stdio;

use tokio::process::{Child, Command};

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
        Self {
            port,
            _child: child,
        }
    }
}
