//! Listens to the kernel's news of interfaces, addresses and routes
//! (rtnetlink(7)).

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket,
};
use tokio::net::UnixDatagram;
use tokio::sync::watch;
use tracing::{debug, warn};

use super::Network;
use super::settling::Settling;

/// What is listened to.
const GROUPS: i32 = libc::RTMGRP_LINK
    | libc::RTMGRP_IPV4_IFADDR
    | libc::RTMGRP_IPV6_IFADDR
    | libc::RTMGRP_IPV4_ROUTE
    | libc::RTMGRP_IPV6_ROUTE;

/// Tells of changes until nobody listens. Where the kernel's news cannot be
/// heard, that is logged, and the network seems never to change.
pub(crate) async fn listen(tell: watch::Sender<Network>) {
    if let Err(error) = follow(&tell).await {
        warn!(
            %error,
            "changes of network are not seen, and calls recover from them late; \
             a service needs AF_NETLINK among its RestrictAddressFamilies"
        );
        tell.closed().await;
    }
}

async fn follow(tell: &watch::Sender<Network>) -> io::Result<()> {
    let news = subscribe()?;
    // What is news is looked up afterwards.
    let mut datagram = [0; 8192];
    // What changed before the subscription is seen here.
    let mut settling = Settling::new(tell.borrow().clone());
    settling.news(Instant::now());
    loop {
        let quiet = async {
            match settling.poll_timeout() {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tell.closed() => return Ok(()),
            ready = news.readable() => {
                ready?;
                match news.try_recv(&mut datagram) {
                    Ok(_) => settling.news(Instant::now()),
                    // Too many at once to keep: there are news all the same.
                    Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => {
                        settling.news(Instant::now());
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            () = quiet => {
                if let Some(network) = settling.settled(Network::now(), Instant::now()) {
                    debug!(?network, "the network changed");
                    tell.send_replace(network);
                }
            }
        }
    }
}

/// A netlink socket is read as a Unix datagram socket is, and tokio has the one
/// and not the other.
fn subscribe() -> io::Result<UnixDatagram> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        SockProtocol::NetlinkRoute,
    )?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUPS as u32))?;
    UnixDatagram::from_std(StdDatagram::from(socket))
}
