//! A real HTTP proxy on the way to the chat server.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::net::SocketAddr;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::ports::Port;
use super::{SOON, until};

/// tinyproxy; killed when dropped.
pub struct Tinyproxy {
    pub addr: SocketAddr,
    _held: Port,
    folder: TempDir,
    _child: Child,
}

impl Tinyproxy {
    /// For this user with this password, to any port.
    pub async fn start(user: &str, password: &str) -> Self {
        let (held, folder) = (Port::held(), tempfile::tempdir().expect("a folder"));
        let addr = held.addr;
        let log = folder.path().join("log").display().to_string();
        let config = format!(
            "Port {}\nListen {}\nTimeout 600\nMaxClients 20\nLogFile \"{log}\"\nLogLevel Connect\n\
             BasicAuth {user} {password}\n",
            addr.port(),
            addr.ip()
        );
        let file = folder.path().join("tinyproxy.conf");
        std::fs::write(&file, config).expect("written");
        let child = Command::new("tinyproxy")
            .args(["-d", "-c"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("tinyproxy is installed: apt-get install tinyproxy-bin");
        let connect = async || TcpStream::connect(addr).await.ok();
        until("tinyproxy listens", SOON, connect).await;
        Self {
            addr,
            _held: held,
            folder,
            _child: child,
        }
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}
