//! A real proxy in front of the chat server.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::process::Stdio;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::ports::Port;
use super::{SOON, until};

/// nginx on a port of localhost; killed when dropped.
pub struct Nginx {
    pub port: u16,
    _held: Port,
    _child: Child,
    _folder: TempDir,
}

impl Nginx {
    /// With these directives in its one `server`. `PASS;` stands for what a
    /// WebSocket needs to come through, `HOST;` for the page's own Host.
    pub async fn start(directives: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let held = Port::held();
        let port = held.addr.port();
        let directives = directives
            .replace(
                "PASS;",
                "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
                 proxy_set_header Connection $connection_upgrade;",
            )
            .replace("HOST;", "proxy_set_header Host $http_host;");
        let w = folder.path().display();
        let text = format!(
            "daemon off; master_process off; error_log stderr; pid {w}/pid;
             events {{}}
             http {{
               access_log off;
               client_body_temp_path {w}/body; proxy_temp_path {w}/proxy;
               fastcgi_temp_path {w}/fastcgi; uwsgi_temp_path {w}/uwsgi; scgi_temp_path {w}/scgi;
               map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
               server {{ listen 127.0.0.1:{port}; {directives} }}
             }}"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, text).expect("written");
        // Debian has it where only root's PATH looks.
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let child = Command::new("nginx")
            .env("PATH", path)
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("nginx is installed: apt-get install nginx-light");
        until("nginx listens", SOON, async || {
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        Self {
            port,
            _held: held,
            _child: child,
            _folder: folder,
        }
    }
}
