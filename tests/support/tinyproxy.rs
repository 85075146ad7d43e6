//! A real HTTP proxy on the way to the chat server.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::{SOON, until};

/// tinyproxy; killed when dropped.
pub struct Tinyproxy {
    pub addr: SocketAddr,
    folder: TempDir,
    _child: Child,
}

/// A port that nobody has now.
pub fn free() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    free.local_addr().expect("bound")
}

impl Tinyproxy {
    /// For this user with this password, to any port.
    pub async fn start(user: &str, password: &str) -> Self {
        let (addr, folder) = (free(), tempfile::tempdir().expect("a folder"));
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
            folder,
            _child: child,
        }
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}
