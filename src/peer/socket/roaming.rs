//! Sockets that outlive the address they were made on.
//!
//! The crate makes one socket for each of the machine's addresses and keeps to
//! them until ICE is restarted. When such an address goes, the socket is bound
//! anew under the crate, to the wildcard address and the same port, and the
//! kernel chooses the source of what it sends. For the crate the pair is the
//! one that it was; the viewer's browser sees checks with the right password
//! come from another address, which ICE calls a peer-reflexive candidate
//! (RFC 8445 §7.3.1.3), and follows. So a call goes on without a word of
//! signaling, and over an address that comes back.
//!
//! Also, a packet that finds no network is lost here as it would be on the way:
//! it is no error of the connection's.

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::Handle;
use tracing::{debug, warn};
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Runtime, TokioRuntime, Transmit};

use super::batch::MULTICAST_DNS;
use super::runtime::{Boxed, Layer, Layered};
use super::wake::Wake;
use crate::lock::lock;
use crate::network::Network;
use crate::servers::Sockets;

/// tokio's runtime, for one connection, whose UDP sockets roam and whose driver
/// can be woken.
#[derive(Debug)]
pub(in crate::peer) struct Roaming {
    tokio: TokioRuntime,
    servers: Arc<Sockets>,
    wake: Wake,
    sockets: Mutex<Vec<Weak<Socket>>>,
}

impl Roaming {
    /// From these sockets `servers` are reached.
    pub(crate) fn new(servers: Arc<Sockets>) -> Layered<Self> {
        let layer = Self {
            tokio: TokioRuntime,
            servers,
            wake: Wake::default(),
            sockets: Mutex::default(),
        };
        Layered { layer }
    }

    /// Wakes the driver.
    pub(crate) fn wake(&self) -> Wake {
        self.wake.clone()
    }

    /// How many there are of IPv4 and of IPv6.
    pub(crate) fn families(&self) -> [usize; 2] {
        let sockets = lock(&self.sockets);
        let mut families = [0, 0];
        for socket in sockets.iter().filter_map(Weak::upgrade) {
            // Of calls, and not of names.
            if socket.local.port() != MULTICAST_DNS {
                families[usize::from(socket.local.is_ipv6())] += 1;
            }
        }
        families
    }

    /// Sockets whose address is gone are bound anew. Returns where all of those
    /// are that ever were: any address of the family, and a port.
    pub(crate) fn follow(&self, network: &Network) -> Vec<SocketAddr> {
        let mut sockets = lock(&self.sockets);
        sockets.retain(|socket| socket.strong_count() > 0);
        let live = sockets.iter().filter_map(Weak::upgrade);
        live.filter_map(|socket| socket.follow(network)).collect()
    }
}

impl Layer for Roaming {
    const NAME: &str = "tokio";

    fn below(&self) -> &dyn Runtime {
        &self.tokio
    }

    fn wrap(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let local = socket.local_addr()?;
        let socket = Arc::new(Socket {
            local,
            reactor: Handle::try_current().map_err(io::Error::other)?,
            bound: RwLock::new(Some(Bound {
                socket: self.tokio.wrap_udp_socket(socket)?,
                address: local,
            })),
            reader: Mutex::default(),
        });
        lock(&self.sockets).push(Arc::downgrade(&socket));
        Ok(self.servers.over(socket))
    }

    fn resolve<'a>(&'a self, host: &'a str) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(std::future::ready(self.servers.resolve(host)))
    }

    /// It may end early: the driver then looks again how long to sleep.
    fn sleep(&self, duration: Duration) -> Boxed<'static, ()> {
        let (sleep, wake) = (self.tokio.sleep(duration), self.wake.clone());
        Box::pin(async move {
            tokio::select! {
                () = sleep => {}
                () = wake.woken() => {}
            }
        })
    }
}

/// What the kernel has of a socket.
#[derive(Debug)]
struct Bound {
    socket: Arc<dyn AsyncUdpSocket>,
    address: SocketAddr,
}

#[derive(Debug)]
struct Socket {
    /// As the crate knows it, for as long as it lives.
    local: SocketAddr,
    /// Where the crate made it.
    reactor: Handle,
    /// Nothing, while it cannot be bound anew.
    bound: RwLock<Option<Bound>>,
    /// Who waits for packets.
    reader: Mutex<Option<Waker>>,
}

impl Socket {
    fn follow(&self, network: &Network) -> Option<SocketAddr> {
        let mut bound = self.bound.write().unwrap_or_else(PoisonError::into_inner);
        let stays = bound
            .as_ref()
            .is_some_and(|bound| network.carries(bound.address.ip()));
        if !stays {
            self.bind_anew(&mut bound);
        }
        let address = bound.as_ref()?.address;
        let has_roamed = address.ip().is_unspecified() && !self.local.ip().is_unspecified();
        has_roamed.then_some(address)
    }

    fn bind_anew(&self, bound: &mut Option<Bound>) {
        // The port is free again only when the old socket is gone.
        *bound = None;
        match self.anywhere() {
            Ok(anew) => {
                debug!(was = %self.local, now = %anew.address, "a socket follows the network");
                *bound = Some(anew);
            }
            Err(error) => {
                warn!(%error, "a viewer's socket cannot follow the network; it is tried again at the next change");
            }
        }
        if let Some(reader) = lock(&self.reader).take() {
            reader.wake();
        }
    }

    /// On every address: the same port where it is to be had.
    fn anywhere(&self) -> io::Result<Bound> {
        let any: IpAddr = match self.local {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let bind = |port| UdpSocket::bind(SocketAddr::new(any, port));
        let socket = bind(self.local.port()).or_else(|_| bind(0))?;
        let address = socket.local_addr()?;
        let _on = self.reactor.enter();
        Ok(Bound {
            socket: TokioRuntime.wrap_udp_socket(socket)?,
            address,
        })
    }
}

impl AsyncUdpSocket for Socket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn max_gso_segments(&self) -> usize {
        self.with(1, |socket| socket.max_gso_segments())
    }

    fn max_gro_segments(&self) -> usize {
        self.with(1, |socket| socket.max_gro_segments())
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let lost = Poll::Ready(Ok(transmit.contents.len()));
        match self.with(None, |socket| Some(socket.poll_send(cx, transmit))) {
            None => lost,
            Some(Poll::Ready(Err(error))) if is_lost(&error, transmit) => lost,
            Some(polled) => polled,
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        // Before the socket is asked: one that is bound anew in between wakes.
        let mut reader = lock(&self.reader);
        if !reader.as_ref().is_some_and(|r| r.will_wake(cx.waker())) {
            *reader = Some(cx.waker().clone());
        }
        drop(reader);
        self.with(Poll::Pending, |socket| socket.poll_recv(cx, bufs, meta))
    }
}

impl Socket {
    fn with<T>(&self, none: T, f: impl FnOnce(&dyn AsyncUdpSocket) -> T) -> T {
        let bound = self.bound.read().unwrap_or_else(PoisonError::into_inner);
        bound.as_ref().map_or(none, |bound| f(&*bound.socket))
    }
}

/// A packet that finds no network is lost. But EINVAL for several datagrams in
/// one call may as well say that they cannot be cut apart here (UDP GSO): who
/// sends them has to know, and sends each by itself.
fn is_lost(error: &io::Error, transmit: &Transmit<'_>) -> bool {
    let may_be_refused = transmit.segment_size.is_some() && error.kind() == ErrorKind::InvalidInput;
    is_no_network(error) && !may_be_refused
}

/// The address, the route or the interface is gone, for now.
fn is_no_network(error: &io::Error) -> bool {
    match error.kind() {
        ErrorKind::NetworkUnreachable
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::AddrNotAvailable
        // From a source that is no address of this machine any more.
        | ErrorKind::InvalidInput => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn local() -> UdpSocket {
        UdpSocket::bind("127.0.0.1:0").expect("a port")
    }

    #[tokio::test]
    async fn who_waits_for_packets_gets_those_of_the_new_socket() {
        let roaming = Roaming::new(Arc::default());
        let wrapped = roaming.wrap_udp_socket(local()).expect("wrapped");
        let at = wrapped.local_addr().expect("bound");
        let reader = wrapped.clone();
        let received = tokio::spawn(async move {
            let mut buffer = [0; 2_000];
            let (length, _) = reader.recv_from(&mut buffer).await.expect("a packet");
            buffer[..length].to_vec()
        });
        // It waits on the old one.
        tokio::task::yield_now().await;
        let socket = lock(&roaming.layer.sockets)[0].upgrade().expect("it lives");
        socket.bind_anew(&mut socket.bound.write().expect("no panic while held"));

        assert_eq!(
            wrapped.local_addr().expect("bound"),
            at,
            "as the crate knows it"
        );
        local().send_to(b"ping", at).expect("the port is the same");
        assert_eq!(received.await.expect("no panic"), b"ping");
        // And it sends from there.
        let peer = local();
        let sent = wrapped.send_to(b"pong", peer.local_addr().expect("bound"));
        assert_eq!(sent.await.expect("sent"), 4);
        let mut buffer = [0; 10];
        let (_, from) = peer.recv_from(&mut buffer).expect("received");
        assert_eq!(from, at);
        // It stays there, and is told of, whatever comes.
        let network = Network {
            addresses: BTreeSet::new(),
            outward: [None, None],
        };
        let anywhere: SocketAddr = (Ipv4Addr::UNSPECIFIED, at.port()).into();
        assert_eq!(roaming.layer.follow(&network), [anywhere]);
        drop((wrapped, socket));
        assert!(roaming.layer.follow(&network).is_empty(), "it is closed");
    }

    /// Nothing was sent until ICE's next check was due.
    #[tokio::test]
    async fn a_driver_is_woken_before_its_time() {
        let roaming = Roaming::new(Arc::default());
        let wake = roaming.layer.wake();
        let an_hour = Duration::from_secs(3_600);
        let sleep = tokio::spawn(roaming.sleep(an_hour));
        tokio::task::yield_now().await;
        wake.wake();
        sleep.await.expect("no panic");
        // Also where it does not sleep yet; once is enough for both.
        wake.wake();
        wake.wake();
        roaming.sleep(an_hour).await;
        tokio::select! {
            biased;
            () = roaming.sleep(an_hour) => panic!("nobody woke it"),
            () = std::future::ready(()) => {}
        }
        // It also ends by itself.
        roaming.sleep(Duration::from_millis(1)).await;
    }

    /// Takes datagrams only one by one, and says so as some kernels do.
    #[derive(Debug)]
    struct Plain(Mutex<Vec<usize>>);

    impl AsyncUdpSocket for Plain {
        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(([127, 0, 0, 1], 1).into())
        }

        fn poll_send(
            &self,
            _: &mut Context<'_>,
            transmit: &Transmit<'_>,
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(match transmit.segment_size {
                Some(_) => Err(io::Error::from_raw_os_error(libc::EINVAL)),
                None => {
                    lock(&self.0).push(transmit.contents.len());
                    Ok(transmit.contents.len())
                }
            })
        }

        fn poll_recv(
            &self,
            _: &mut Context<'_>,
            _: &mut [IoSliceMut<'_>],
            _: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn max_gso_segments(&self) -> usize {
            64
        }
    }

    /// The picture was lost with it: EINVAL is also what a source says that is
    /// no address any more.
    #[tokio::test]
    async fn datagrams_that_are_refused_together_are_sent_one_by_one() {
        let plain = Arc::new(Plain(Mutex::default()));
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let socket = Arc::new(Socket {
            local: address,
            reactor: Handle::current(),
            bound: RwLock::new(Some(Bound {
                socket: plain.clone(),
                address,
            })),
            reader: Mutex::default(),
        });
        let gathering = crate::peer::socket::batch::gathering(socket);
        for size in [1200, 1200, 700] {
            let contents = vec![0; size];
            let sent = gathering.send_to(&contents, address).await;
            assert_eq!(sent.expect("taken"), size);
        }
        drop(gathering);
        assert_eq!(*lock(&plain.0), [1200, 1200, 700]);
    }

    #[tokio::test]
    async fn a_socket_whose_address_stays_is_left_alone() {
        let roaming = Roaming::new(Arc::default());
        let _wrapped = roaming.wrap_udp_socket(local()).expect("wrapped");
        assert!(roaming.layer.follow(&Network::default()).is_empty());
    }

    #[test]
    fn a_packet_without_a_network_is_lost_and_others_fail() {
        for (errno, lost) in [
            (libc::ENETUNREACH, true),
            (libc::EHOSTUNREACH, true),
            (libc::ENETDOWN, true),
            (libc::EADDRNOTAVAIL, true),
            (libc::EINVAL, true),
            (libc::EBADF, false),
            (libc::EACCES, false),
            (libc::EMSGSIZE, false),
        ] {
            let error = io::Error::from_raw_os_error(errno);
            assert_eq!(is_no_network(&error), lost, "{error}");
        }
    }
}
