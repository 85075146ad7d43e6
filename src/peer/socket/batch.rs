//! The datagrams of one turn of a connection's driver in as few system calls
//! as the kernel takes them in.
//!
//! A picture leaves as packets of one size and a shorter last one, which the
//! kernel takes in one call (UDP GSO). The crate's driver does so from sixteen
//! on, and a picture of 2 Mbit/s has eight. Here a socket gathers what the
//! driver gives it one by one. The driver says nowhere that a turn is over; but
//! it then goes to sleep, and [`Runtime::sleep`] is ours too.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use tracing::debug;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Runtime, Transmit};

use super::apart::Apart;
use super::guard::{Guard, Guarded, Multicast};
use super::runtime::{Boxed, Layer, Layered};
use crate::lock::lock;
use crate::peer::convoy::{Convoy, Datagrams};

/// The port of multicast DNS (RFC 6762 §3), whose packets are no call's.
pub(super) const MULTICAST_DNS: u16 = 5353;
/// Bytes of one call: under what an IPv4 datagram's length can say.
const MOST_BYTES: usize = 60_000;
/// Datagrams of one call: what the kernel takes.
const MOST_DATAGRAMS: usize = 64;

/// For one connection: its sockets are guarded and gather what they send.
#[derive(Debug)]
pub(in crate::peer) struct Batching {
    inner: Arc<dyn Runtime>,
    sockets: Arc<Mutex<Vec<Weak<Gathering>>>>,
    guard: Arc<Mutex<Guard>>,
    convoy: Convoy,
    made: AtomicUsize,
}

impl Batching {
    /// The sockets of `inner` send what `guard` lets pass, and what is in `convoy`
    /// behind it.
    pub(crate) fn over(
        inner: Arc<dyn Runtime>,
        guard: Arc<Mutex<Guard>>,
        convoy: Convoy,
    ) -> Layered<Self> {
        let layer = Self {
            inner,
            sockets: Arc::default(),
            guard,
            convoy,
            made: AtomicUsize::new(0),
        };
        Layered { layer }
    }
}

impl Layer for Batching {
    const NAME: &str = "tokio, batching";

    fn below(&self) -> &dyn Runtime {
        &*self.inner
    }

    fn wrap(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let socket = Apart::new(self.inner.wrap_udp_socket(socket)?);
        let socket = Arc::new(Gathering::new(Arc::new(socket), self.convoy.clone()));
        let mut sockets = lock(&self.sockets);
        sockets.retain(|socket| socket.strong_count() > 0);
        sockets.push(Arc::downgrade(&socket));
        if socket.local_addr()?.port() == MULTICAST_DNS {
            return Ok(Arc::new(Multicast::new(socket, self.guard.clone())));
        }
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(Guarded::new(socket, self.guard.clone(), number)))
    }

    /// The driver sleeps: what was gathered leaves, then time passes. More of it than the
    /// driver wants to, where nobody answers.
    fn sleep(&self, duration: Duration) -> Boxed<'static, ()> {
        let sockets = self.sockets.clone();
        let duration = lock(&self.guard).sleeps(duration, Instant::now());
        let mut sleep = self.inner.sleep(duration);
        Box::pin(std::future::poll_fn(move |cx| {
            for socket in lock(&sockets).iter().filter_map(Weak::upgrade) {
                // One that takes nothing now wakes this task when it does.
                let _ = socket.flush(cx);
            }
            sleep.as_mut().poll(cx)
        }))
    }
}

/// Datagrams for one destination, all of one size but the last.
#[derive(Debug, Default)]
struct Gathered {
    destination: Option<SocketAddr>,
    bytes: Vec<u8>,
    size: usize,
    /// The last one is shorter, so that no other can follow.
    full: bool,
}

impl Gathered {
    fn datagrams(&self) -> usize {
        self.bytes.len().div_ceil(self.size.max(1))
    }

    fn takes(&self, datagram: &[u8], destination: SocketAddr) -> bool {
        self.bytes.is_empty()
            || (self.destination == Some(destination)
                && !self.full
                && datagram.len() <= self.size
                && self.bytes.len() + datagram.len() <= MOST_BYTES
                && self.datagrams() < MOST_DATAGRAMS)
    }

    fn add(&mut self, datagram: &[u8], destination: SocketAddr) {
        if self.bytes.is_empty() {
            self.destination = Some(destination);
            self.size = datagram.len();
        }
        self.full = datagram.len() < self.size;
        self.bytes.extend_from_slice(datagram);
    }
}

#[derive(Debug)]
struct Gathering {
    socket: Arc<dyn AsyncUdpSocket>,
    convoy: Convoy,
    gathered: Mutex<Gathered>,
    /// What was taken and did not find room in time.
    late: Mutex<VecDeque<(SocketAddr, Vec<u8>)>>,
}

impl Gathering {
    fn new(socket: Arc<dyn AsyncUdpSocket>, convoy: Convoy) -> Self {
        Self {
            socket,
            convoy,
            gathered: Mutex::default(),
            late: Mutex::default(),
        }
    }

    /// Sends what was gathered. Pending where the socket does not take all now;
    /// the rest stays.
    fn flush(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut gathered = lock(&self.gathered);
        ready!(self.catch_up(&mut gathered, cx));
        self.send(&mut gathered, cx)
    }

    /// Gathers what is late; pending where there is no room for all of it.
    fn catch_up(&self, gathered: &mut Gathered, cx: &mut Context<'_>) -> Poll<()> {
        let mut late = lock(&self.late);
        while let Some((destination, datagram)) = late.front() {
            if !gathered.takes(datagram, *destination) {
                ready!(self.send(gathered, cx));
            }
            gathered.add(datagram, *destination);
            late.pop_front();
        }
        Poll::Ready(())
    }

    /// Gathers a datagram, or keeps it until there is room.
    fn gather(
        &self,
        gathered: &mut Gathered,
        datagram: &[u8],
        destination: SocketAddr,
        cx: &mut Context<'_>,
    ) {
        let mut late = lock(&self.late);
        let fits = late.is_empty()
            && (gathered.takes(datagram, destination) || self.send(gathered, cx).is_ready());
        match fits {
            true => gathered.add(datagram, destination),
            false => late.push_back((destination, datagram.to_vec())),
        }
    }

    fn send(&self, gathered: &mut Gathered, cx: &mut Context<'_>) -> Poll<()> {
        let Some(destination) = gathered.destination else {
            return Poll::Ready(());
        };
        let mut apart = self.socket.max_gso_segments() == 1;
        while !gathered.bytes.is_empty() {
            let together = match apart {
                false => gathered.bytes.len(),
                true => gathered.size.min(gathered.bytes.len()),
            };
            let contents = &gathered.bytes[..together];
            let transmit = Transmit {
                destination,
                ecn: None,
                contents,
                segment_size: (together > gathered.size).then_some(gathered.size),
                src_ip: None,
            };
            let sent = ready!(self.socket.poll_send(cx, &transmit));
            let was_together = transmit.segment_size.is_some();
            if let Err(error) = sent {
                // A network card that cannot, which the socket learns; each goes
                // by itself.
                if was_together {
                    apart = true;
                    continue;
                }
                debug!(%error, %destination, "datagrams were not sent");
            }
            gathered.bytes.drain(..together);
        }
        gathered.full = false;
        Poll::Ready(())
    }
}

impl AsyncUdpSocket for Gathering {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let mut gathered = lock(&self.gathered);
        let Transmit {
            destination,
            contents,
            ..
        } = *transmit;
        ready!(self.catch_up(&mut gathered, cx));
        if transmit.ecn.is_some() || transmit.src_ip.is_some() || contents.is_empty() {
            ready!(self.send(&mut gathered, cx));
            return self.socket.poll_send(cx, transmit);
        }
        let size = transmit.segment_size.unwrap_or(contents.len()).max(1);
        let first = &contents[..size.min(contents.len())];
        if !gathered.takes(first, destination) {
            ready!(self.send(&mut gathered, cx));
        }
        for datagram in contents.chunks(size) {
            self.gather(&mut gathered, datagram, destination, cx);
            let behind = self.convoy.behind(datagram);
            for datagram in behind.iter().flat_map(Datagrams::iter) {
                self.gather(&mut gathered, datagram, destination, cx);
            }
        }
        Poll::Ready(Ok(contents.len()))
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_recv(cx, buffers, meta)
    }

    fn max_gso_segments(&self) -> usize {
        self.socket.max_gso_segments()
    }
}

/// A socket over `socket` that gathers what it sends.
#[cfg(test)]
pub(in crate::peer) fn gathering(socket: Arc<dyn AsyncUdpSocket>) -> Arc<dyn AsyncUdpSocket> {
    Arc::new(Gathering::new(socket, Convoy::default()))
}

/// What a connection says last: its driver sleeps no more.
impl Drop for Gathering {
    fn drop(&mut self) {
        let _ = self.flush(&mut Context::from_waker(Waker::noop()));
    }
}

#[cfg(test)]
mod tests;
