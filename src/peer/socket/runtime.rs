//! The half of a runtime that all of ours have in common: what is not theirs,
//! the runtime below does.

use std::fmt::Debug;
use std::future::{Future, ready};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime,
};

pub(in crate::peer) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a runtime does; whatever it does not say, the one below does.
pub(in crate::peer) trait Layer: Debug + Send + Sync + 'static {
    /// What the crate calls it in its log.
    const NAME: &str;

    /// The runtime below.
    fn below(&self) -> &dyn Runtime;

    /// A socket as the crate sees it.
    fn wrap(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>>;

    /// The addresses of a server, `host:port`.
    fn resolve<'a>(&'a self, host: &'a str) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        self.below().resolve_host(host)
    }

    /// Lets time pass.
    fn sleep(&self, duration: Duration) -> Boxed<'static, ()> {
        self.below().sleep(duration)
    }
}

/// The runtime of a [`Layer`]. It knows no TCP: the crate would connect to
/// wherever a caller says.
#[derive(Debug)]
pub(in crate::peer) struct Layered<L> {
    pub layer: L,
}

fn no_tcp() -> io::Error {
    io::Error::new(ErrorKind::Unsupported, "calls go over UDP")
}

impl<L: Layer> Runtime for Layered<L> {
    fn spawn(&self, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        self.layer.below().spawn(future)
    }

    fn spawn_reactor(&self, most: usize, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        self.layer.below().spawn_reactor(most, future)
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        self.layer.wrap(socket)
    }

    fn wrap_tcp_listener(&self, _: TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        Err(no_tcp())
    }

    fn connect_tcp<'a>(&'a self, _: SocketAddr) -> Boxed<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        Box::pin(ready(Err(no_tcp())))
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        self.layer.resolve(host)
    }

    fn now(&self) -> Instant {
        self.layer.below().now()
    }

    fn sleep(&self, duration: Duration) -> Boxed<'static, ()> {
        self.layer.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        self.layer.below().interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        self.layer.below().block_on(future);
    }

    fn yield_now(&self) -> Boxed<'static, ()> {
        self.layer.below().yield_now()
    }

    fn name(&self) -> &'static str {
        L::NAME
    }
}
