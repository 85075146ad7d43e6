//! WebDriver's programs, each for one browser, and plain requests to them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpSocket;
use tokio::process::{Child, ChildStdout, Command};

/// As the Makefile makes it: `make test-packages`.
const GECKODRIVER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/target/tools/geckodriver-0.37.1/bin/geckodriver"
);

/// A driver, killed when dropped; its browser lives on.
pub struct Driver {
    /// Of 127.0.0.1.
    pub port: u16,
    _program: Child,
}

impl Driver {
    /// chromedriver on a port of its own.
    pub async fn chromium() -> Self {
        let port = HeldPort::find();
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={}", port.number));
        let install = "apt-get install chromium chromium-driver";
        let (program, _) = start(command, "started successfully on port ", install).await;
        Self {
            port: port.number,
            _program: program,
        }
    }

    /// geckodriver, which finds all its ports itself.
    pub async fn firefox() -> Self {
        let mut command = Command::new(GECKODRIVER);
        command.args(["--port=0", "--websocket-port=0", "--binary=firefox-esr"]);
        let install = "make test-packages";
        let (program, at) = start(command, "Listening on 127.0.0.1:", install).await;
        Self {
            port: at.parse().expect("a port"),
            _program: program,
        }
    }
}

/// Starts a driver; with what follows `words` in what it says.
async fn start(mut command: Command, words: &str, install: &str) -> (Child, String) {
    let mut program = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}; install it: {install}"));
    let stdout = program.stdout.take().expect("it is piped");
    let rest = said(stdout, words).await;
    (program, rest)
}

/// What follows `words` in the first line that has them.
async fn said(stdout: ChildStdout, words: &str) -> String {
    let mut lines = BufReader::new(stdout).lines();
    let mut all = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some((_, rest)) = line.split_once(words) {
            // Somebody has to read on, or it blocks.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return rest.trim_end_matches('.').to_owned();
        }
        all = format!("{all}\n{line}");
    }
    panic!("the driver did not start; it said:{all}");
}

/// A port that is free for IPv4 and for IPv6, and stays so while it is held.
///
/// chromedriver wants the same number for both. Asked to choose (`--port=0`), it
/// takes one that is free for IPv6 and ends where somebody, another test's server
/// say, has that number for IPv4. A socket that does not listen keeps a number
/// from everybody but those who ask for just this one with SO_REUSEADDR, as
/// chromedriver does.
struct HeldPort {
    number: u16,
    _sockets: [Option<TcpSocket>; 2],
}

impl HeldPort {
    fn find() -> Self {
        loop {
            let first = bound((Ipv4Addr::LOCALHOST, 0).into()).expect("a port is free");
            let number = first.local_addr().expect("it is bound").port();
            match bound((Ipv6Addr::LOCALHOST, number).into()) {
                Err(e) if e.kind() == ErrorKind::AddrInUse => {}
                // A machine need not have IPv6.
                second => {
                    return Self {
                        number,
                        _sockets: [Some(first), second.ok()],
                    };
                }
            }
        }
    }
}

fn bound(to: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = match to {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(to)?;
    Ok(socket)
}

/// One HTTP request to a driver, blocking: also usable while dropping.
pub fn request(port: u16, method: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    // It may keep the connection open: the length says when it is all.
    loop {
        let read = stream.read(&mut part)?;
        answer.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length:")?
                        .trim()
                        .parse()
                        .ok()
                })
                .unwrap_or(0);
            if body.len() >= length || read == 0 {
                return Ok(body.to_owned());
            }
        } else if read == 0 {
            return Ok(String::new());
        }
    }
}
