//! Datagrams that the kernel read together, one by one.
//!
//! The kernel may hand over up to 64 datagrams of one sender as one (UDP GRO), and
//! needs a buffer for all of them. The crate has such a buffer for each socket of
//! each connection, and one more for the connection: 96 kB each, for viewers who
//! send a small packet now and then. Here all connections of a thread share one;
//! the crate, which is told that nothing comes together, has one of 2 kB.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

use crate::lock::lock;

/// What the kernel hands over at once: no more than it reads of one datagram.
const TOGETHER: usize = 1 << 16;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; TOGETHER].into());
}

/// A socket that gives one datagram at a time.
#[derive(Debug)]
pub(in crate::peer) struct Apart {
    inner: Arc<dyn AsyncUdpSocket>,
    /// What was read and not taken yet, the oldest first: the rest of one read.
    rest: Mutex<VecDeque<(RecvMeta, Box<[u8]>)>>,
}

impl Apart {
    pub(crate) fn new(inner: Arc<dyn AsyncUdpSocket>) -> Self {
        Self {
            inner,
            rest: Mutex::default(),
        }
    }
}

/// Puts a datagram where the caller wants it. One that is too long loses its end,
/// as the kernel would have it.
fn give(datagram: &[u8], about: RecvMeta, buffer: &mut [u8], meta: &mut RecvMeta) {
    let length = datagram.len().min(buffer.len());
    buffer[..length].copy_from_slice(&datagram[..length]);
    *meta = about;
    (meta.len, meta.stride) = (length, length.max(1));
}

impl AsyncUdpSocket for Apart {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        self.inner.poll_send(cx, transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buffer), Some(meta)) = (buffers.first_mut(), meta.first_mut()) else {
            return Poll::Ready(Ok(0));
        };
        let mut rest = lock(&self.rest);
        if let Some((about, datagram)) = rest.pop_front() {
            give(&datagram, about, buffer, meta);
            return Poll::Ready(Ok(1));
        }
        BUFFER.with_borrow_mut(|together| {
            let mut about = [RecvMeta::default()];
            let read = {
                let mut together = [IoSliceMut::new(together)];
                ready!(self.inner.poll_recv(cx, &mut together, &mut about))?
            };
            let about = about[0];
            let mut datagrams = together[..about.len].chunks(about.stride.max(1));
            give(datagrams.next().unwrap_or_default(), about, buffer, meta);
            rest.extend(datagrams.map(|datagram| (about, datagram.into())));
            Poll::Ready(Ok(read.min(1)))
        })
    }

    fn max_gso_segments(&self) -> usize {
        self.inner.max_gso_segments()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// What the kernel hands over, each with the length of its datagrams.
    #[derive(Debug)]
    struct Kernel(Mutex<VecDeque<(Vec<u8>, usize)>>);

    impl AsyncUdpSocket for Kernel {
        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(([127, 0, 0, 1], 1).into())
        }

        fn poll_send(&self, _: &mut Context<'_>, _: &Transmit<'_>) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_recv(
            &self,
            _: &mut Context<'_>,
            buffers: &mut [IoSliceMut<'_>],
            meta: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            let Some((bytes, stride)) = lock(&self.0).pop_front() else {
                return Poll::Pending;
            };
            buffers[0][..bytes.len()].copy_from_slice(&bytes);
            (meta[0].len, meta[0].stride) = (bytes.len(), stride);
            meta[0].addr = ([192, 0, 2, 1], 9).into();
            Poll::Ready(Ok(1))
        }

        fn max_gro_segments(&self) -> usize {
            64
        }
    }

    #[test]
    fn what_came_together_is_given_one_by_one_in_order_and_whole() {
        let many: Vec<u8> = (0..40).flat_map(|n| [n; 1_500]).collect();
        let reads = [
            (vec![1; 100], 100),
            (many, 1_500),
            (vec![], 1),
            // The last one is shorter.
            ([[2; 50], [3; 50]].concat()[..70].to_vec(), 50),
            (vec![4; 3_000], 3_000),
        ];
        let kernel = Arc::new(Kernel(Mutex::new(reads.into())));
        let apart = Apart::new(kernel);
        assert_eq!(apart.max_gro_segments(), 1, "a small buffer will do");
        let mut given = Vec::new();
        let (mut buffer, mut meta) = ([0; 2_000], [RecvMeta::default()]);
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(read) =
            apart.poll_recv(&mut cx, &mut [IoSliceMut::new(&mut buffer)], &mut meta)
        {
            assert_eq!(read.expect("it reads"), 1);
            assert_eq!(meta[0].stride, meta[0].len.max(1));
            assert_eq!(meta[0].addr.port(), 9);
            given.push(buffer[..meta[0].len].to_vec());
        }
        let mut expected = vec![vec![1; 100]];
        expected.extend((0..40).map(|n| vec![n; 1_500]));
        expected.extend([vec![], vec![2; 50], vec![3; 20], vec![4; 2_000]]);
        assert_eq!(given, expected);
    }
}
