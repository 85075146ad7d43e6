//! Ports of this machine for programs that are told theirs.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// A port of 127.0.0.1 on which nobody listens, and which nobody else is given while this
/// is there: a socket keeps it that does not listen. Who knocks is refused. Whoever asks
/// for just this one with SO_REUSEADDR gets it, as servers do.
pub struct Port {
    pub addr: SocketAddr,
    _socket: TcpSocket,
}

impl Port {
    pub fn held() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option");
        socket
            .bind(([127, 0, 0, 1], 0).into())
            .expect("a port is free");
        Self {
            addr: socket.local_addr().expect("it is bound"),
            _socket: socket,
        }
    }
}
