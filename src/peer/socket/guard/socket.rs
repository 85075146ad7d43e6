//! A socket of the crate's with a [`Guard`] before it.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

use super::Guard;
use crate::lock::lock;

/// Reads in one turn that may all be dropped; then others have a turn.
const READS: usize = 64;

/// A guarded socket.
#[derive(Debug)]
pub(in crate::peer) struct Guarded {
    inner: Arc<dyn AsyncUdpSocket>,
    guard: Arc<Mutex<Guard>>,
    number: usize,
}

impl Guarded {
    /// `number` tells the sockets of one connection apart.
    pub(crate) fn new(
        inner: Arc<dyn AsyncUdpSocket>,
        guard: Arc<Mutex<Guard>>,
        number: usize,
    ) -> Self {
        Self {
            inner,
            guard,
            number,
        }
    }

    /// Takes out of what was read what may not pass, in place. Several
    /// datagrams of one sender may lie one behind the other (UDP GRO).
    fn sift(&self, buffer: &mut [u8], meta: &mut RecvMeta, guard: &mut Guard, now: Instant) {
        let stride = meta.stride.clamp(1, meta.len.max(1));
        let (mut from, mut to) = (0, 0);
        while from < meta.len {
            let end = (from + stride).min(meta.len);
            if guard.incoming(self.number, meta.addr, &buffer[from..end], now) {
                if to != from {
                    buffer.copy_within(from..end, to);
                }
                to += end - from;
            }
            from = end;
        }
        meta.len = to;
    }
}

impl AsyncUdpSocket for Guarded {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        // Media, most of all there is, needs no look and no lock.
        let is_media = transmit.contents.first().is_some_and(|b| *b >= 128);
        if !is_media {
            let (to, contents) = (transmit.destination, transmit.contents);
            let mut guard = lock(&self.guard);
            if !guard.outgoing(self.number, to, contents, Instant::now()) {
                return Poll::Ready(Ok(contents.len()));
            }
        }
        self.inner.poll_send(cx, transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        for _ in 0..READS {
            let read = ready!(self.inner.poll_recv(cx, buffers, meta))?;
            let now = Instant::now();
            let mut guard = lock(&self.guard);
            let mut kept = 0;
            for i in 0..read {
                self.sift(&mut buffers[i], &mut meta[i], &mut guard, now);
                if meta[i].len > 0 {
                    if kept != i {
                        let (before, after) = buffers.split_at_mut(i);
                        before[kept][..meta[i].len].copy_from_slice(&after[0][..meta[i].len]);
                        meta[kept] = meta[i];
                    }
                    kept += 1;
                }
            }
            if kept > 0 {
                return Poll::Ready(Ok(kept));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn max_gso_segments(&self) -> usize {
        self.inner.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.inner.max_gro_segments()
    }
}
