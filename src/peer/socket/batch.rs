//! The datagrams of one turn of a connection's driver in as few system calls
//! as the kernel takes them in.
//!
//! A picture leaves as packets of one size and a shorter last one, which the
//! kernel takes in one call (UDP GSO). The crate's driver does so from sixteen
//! on, and a picture of 2 Mbit/s has eight. Here a socket gathers what the
//! driver gives it one by one. The driver says nowhere that a turn is over; but
//! it then goes to sleep, and [`Runtime::sleep`] is ours too.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tracing::debug;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Runtime, Transmit};

use super::apart::Apart;
use super::guard::{Guard, Guarded, Multicast};
use super::runtime::{Boxed, Layer, Layered};
use crate::lock::lock;

/// The port of multicast DNS (RFC 6762 §3), whose packets are no call's.
const MULTICAST_DNS: u16 = 5353;
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
    made: AtomicUsize,
}

impl Batching {
    /// The sockets of `inner` send what `guard` lets pass.
    pub(crate) fn over(inner: Arc<dyn Runtime>, guard: Arc<Mutex<Guard>>) -> Layered<Self> {
        let layer = Self {
            inner,
            sockets: Arc::default(),
            guard,
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
        let socket = Arc::new(Gathering::new(Arc::new(socket)));
        let mut sockets = lock(&self.sockets);
        sockets.retain(|socket| socket.strong_count() > 0);
        sockets.push(Arc::downgrade(&socket));
        if socket.local_addr()?.port() == MULTICAST_DNS {
            return Ok(Arc::new(Multicast::new(socket, self.guard.clone())));
        }
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(Guarded::new(socket, self.guard.clone(), number)))
    }

    /// The driver sleeps: what was gathered leaves, then time passes.
    fn sleep(&self, duration: Duration) -> Boxed<'static, ()> {
        let sockets = self.sockets.clone();
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
    gathered: Mutex<Gathered>,
}

impl Gathering {
    fn new(socket: Arc<dyn AsyncUdpSocket>) -> Self {
        Self {
            socket,
            gathered: Mutex::default(),
        }
    }

    /// Sends what was gathered. Pending where the socket does not take all now;
    /// the rest stays.
    fn flush(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.send(&mut lock(&self.gathered), cx)
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
        let plain =
            transmit.segment_size.is_none() && transmit.ecn.is_none() && transmit.src_ip.is_none();
        if !plain || contents.is_empty() {
            ready!(self.send(&mut gathered, cx));
            return self.socket.poll_send(cx, transmit);
        }
        if !gathered.takes(contents, destination) {
            ready!(self.send(&mut gathered, cx));
        }
        gathered.add(contents, destination);
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
    Arc::new(Gathering::new(socket))
}

/// What a connection says last: its driver sleeps no more.
impl Drop for Gathering {
    fn drop(&mut self) {
        let _ = self.flush(&mut Context::from_waker(Waker::noop()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Destination, bytes and segment size.
    type Call = (SocketAddr, Vec<u8>, Option<usize>);

    /// Writes down what it is given.
    #[derive(Debug)]
    struct Paper {
        calls: Mutex<Vec<Call>>,
        gso: Mutex<usize>,
        /// Takes nothing.
        busy: Mutex<bool>,
        /// Refuses segments, and learns it, as a card without them does.
        refuses: bool,
    }

    impl Paper {
        fn new(refuses: bool) -> Arc<Self> {
            Arc::new(Self {
                calls: Mutex::default(),
                gso: Mutex::new(64),
                busy: Mutex::new(false),
                refuses,
            })
        }
    }

    impl AsyncUdpSocket for Paper {
        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(([127, 0, 0, 1], 1).into())
        }

        fn poll_send(
            &self,
            _: &mut Context<'_>,
            transmit: &Transmit<'_>,
        ) -> Poll<io::Result<usize>> {
            if *lock(&self.busy) {
                return Poll::Pending;
            }
            if self.refuses && transmit.segment_size.is_some() {
                *lock(&self.gso) = 1;
                return Poll::Ready(Err(io::Error::other("EIO")));
            }
            lock(&self.calls).push((
                transmit.destination,
                transmit.contents.to_vec(),
                transmit.segment_size,
            ));
            Poll::Ready(Ok(transmit.contents.len()))
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
            *lock(&self.gso)
        }
    }

    fn address(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    fn send(socket: &Gathering, port: u16, size: usize, byte: u8) -> Poll<io::Result<usize>> {
        let contents = vec![byte; size];
        let transmit = Transmit {
            destination: address(port),
            ecn: None,
            contents: &contents,
            segment_size: None,
            src_ip: None,
        };
        socket.poll_send(&mut Context::from_waker(Waker::noop()), &transmit)
    }

    /// Port, bytes and segment size of each call.
    fn calls(paper: &Paper) -> Vec<(u16, usize, Option<usize>)> {
        let calls = lock(&paper.calls);
        calls
            .iter()
            .map(|(a, b, s)| (a.port(), b.len(), *s))
            .collect()
    }

    fn flush(socket: &Gathering) -> Poll<()> {
        socket.flush(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_picture_leaves_in_one_call_in_order() {
        let paper = Paper::new(false);
        let socket = Gathering::new(paper.clone());
        for (size, byte) in [(1200, 1), (1200, 2), (1200, 3), (700, 4)] {
            assert!(send(&socket, 9, size, byte).is_ready());
        }
        assert_eq!(calls(&paper), [], "the turn is not over");
        assert!(flush(&socket).is_ready());
        assert_eq!(calls(&paper), [(9, 4300, Some(1200))]);
        let bytes = lock(&paper.calls)[0].1.clone();
        let firsts: Vec<_> = bytes.chunks(1200).map(|c| c[0]).collect();
        assert_eq!(firsts, [1, 2, 3, 4]);
        assert!(flush(&socket).is_ready());
        assert_eq!(calls(&paper).len(), 1, "and once");
    }

    #[test]
    fn what_the_kernel_could_not_cut_apart_is_not_put_together() {
        let paper = Paper::new(false);
        let socket = Gathering::new(paper.clone());
        // A longer one, one behind a shorter one, another destination.
        for (port, size) in [(9, 100), (9, 1200), (9, 1200), (9, 50), (9, 50), (8, 50)] {
            assert!(send(&socket, port, size, 0).is_ready());
        }
        assert!(flush(&socket).is_ready());
        assert_eq!(
            calls(&paper),
            [
                (9, 100, None),
                (9, 2450, Some(1200)),
                (9, 50, None),
                (8, 50, None)
            ]
        );
        for _ in 0..200 {
            assert!(send(&socket, 9, 1000, 0).is_ready());
        }
        assert!(flush(&socket).is_ready());
        let sizes: Vec<_> = calls(&paper)[4..].iter().map(|c| c.1).collect();
        assert_eq!(sizes, [60_000, 60_000, 60_000, 20_000]);
    }

    #[test]
    fn a_card_that_cannot_gets_them_one_by_one_and_a_busy_socket_later() {
        let paper = Paper::new(true);
        let socket = Gathering::new(paper.clone());
        for size in [1200, 1200, 700] {
            assert!(send(&socket, 9, size, 0).is_ready());
        }
        assert!(flush(&socket).is_ready());
        let one_by_one = [(9, 1200, None), (9, 1200, None), (9, 700, None)];
        assert_eq!(calls(&paper), one_by_one);

        *lock(&paper.busy) = true;
        assert!(send(&socket, 9, 1200, 0).is_ready());
        assert!(send(&socket, 8, 1200, 0).is_pending(), "as the socket is");
        assert!(flush(&socket).is_pending());
        *lock(&paper.busy) = false;
        // The last words of a connection.
        drop(socket);
        assert_eq!(calls(&paper)[3..], [(9, 1200, None)]);
    }
}
