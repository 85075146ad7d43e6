//! Shell: a socket of the crate's with a [`Guard`] before it.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};
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
    /// For what is to leave once more.
    timer: Mutex<Option<Pin<Box<Sleep>>>>,
    /// Who waits for packets, and looks after the timer meanwhile.
    reader: Mutex<Option<Waker>>,
    /// The handshake is done: nothing is due any more.
    settled: AtomicBool,
    /// What comes before what is read next.
    again: Mutex<Option<(RecvMeta, Vec<u8>)>>,
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
            timer: Mutex::default(),
            reader: Mutex::default(),
            settled: AtomicBool::new(false),
            again: Mutex::default(),
        }
    }

    /// Sends what is not the crate's. What finds no room now is lost, as it may be
    /// anywhere.
    fn send_own(&self, cx: &mut Context<'_>, destination: SocketAddr, contents: &[u8]) {
        let transmit = Transmit {
            destination,
            contents,
            segment_size: None,
            ecn: None,
            src_ip: None,
        };
        let _ = self.inner.poll_send(cx, &transmit);
    }

    /// Sends once more what is due, and has the reader woken for what will be.
    fn look_after(&self, cx: &mut Context<'_>) {
        if self.settled.load(Ordering::Relaxed) {
            return;
        }
        *lock(&self.reader) = Some(cx.waker().clone());
        loop {
            let due = lock(&self.guard).due(self.number);
            let due = match due {
                Some(Some(due)) => due,
                Some(None) => return,
                None => {
                    self.settled.store(true, Ordering::Relaxed);
                    *lock(&self.timer) = None;
                    return;
                }
            };
            let mut timer = lock(&self.timer);
            let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(due.into())));
            if timer.deadline() != due.into() {
                timer.as_mut().reset(due.into());
            }
            if timer.as_mut().poll(cx).is_pending() {
                return;
            }
            let mut guard = lock(&self.guard);
            for sent in guard.once_more(self.number, Instant::now()) {
                self.send_own(cx, sent.to, &sent.datagram);
            }
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
                if let Some(shown) = guard.shown_again() {
                    *lock(&self.again) = Some((*meta, shown));
                }
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
        let first = transmit.contents.first();
        if first.is_some_and(|b| *b >= 128) {
            return self.inner.poll_send(cx, transmit);
        }
        let (to, contents, now) = (transmit.destination, transmit.contents, Instant::now());
        let mut guard = lock(&self.guard);
        let before = guard.due(self.number);
        if !guard.outgoing(self.number, to, contents, now) {
            return Poll::Ready(Ok(contents.len()));
        }
        if guard.due(self.number) != before
            && let Some(reader) = lock(&self.reader).take()
        {
            reader.wake();
        }
        let sent = ready!(self.inner.poll_send(cx, transmit));
        let is_dtls = first.is_some_and(|b| (20..64).contains(b));
        if is_dtls && sent.is_ok() {
            for car in guard.train(self.number, to, now) {
                self.send_own(cx, to, &car);
            }
        }
        Poll::Ready(sent)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.look_after(cx);
        if let (Some((first, shown)), [buffer, ..], [meta, ..]) =
            (lock(&self.again).take(), &mut *buffers, &mut *meta)
            && let Some(room) = buffer.get_mut(..shown.len())
        {
            room.copy_from_slice(&shown);
            *meta = first;
            (meta.len, meta.stride) = (shown.len(), shown.len());
            return Poll::Ready(Ok(1));
        }
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
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::super::Together;
    use super::super::handshake::write::{fragment, record};
    use super::*;

    /// Nothing ever comes; what leaves is counted.
    #[derive(Debug, Default)]
    struct Silent(Mutex<Vec<Vec<u8>>>);

    impl AsyncUdpSocket for Silent {
        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(([127, 0, 0, 1], 1).into())
        }

        fn poll_send(&self, _: &mut Context<'_>, sent: &Transmit<'_>) -> Poll<io::Result<usize>> {
            lock(&self.0).push(sent.contents.to_vec());
            Poll::Ready(Ok(sent.contents.len()))
        }

        fn poll_recv(
            &self,
            _: &mut Context<'_>,
            _: &mut [IoSliceMut<'_>],
            _: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_hello_that_is_not_answered_leaves_again_while_the_crate_waits() {
        let silent = Arc::new(Silent::default());
        let now = Instant::now();
        let guard = Arc::new(Mutex::new(Guard::new(Together::new(now), now)));
        let socket = Arc::new(Guarded::new(silent.clone(), guard.clone(), 0));
        let reader = socket.clone();
        let reader =
            tokio::spawn(async move { poll_fn(|cx| reader.poll_recv(cx, &mut [], &mut [])).await });
        // It waits before there is anything to look after.
        sleep(Duration::from_millis(10)).await;
        let hello = record(22, 0, &fragment(100, 0, 0, 100));
        let transmit = Transmit {
            destination: ([127, 0, 0, 1], 2).into(),
            contents: &hello,
            segment_size: None,
            ecn: None,
            src_ip: None,
        };
        poll_fn(|cx| socket.poll_send(cx, &transmit))
            .await
            .expect("sent");
        let left = || lock(&silent.0).len();
        assert_eq!(left(), 1);
        let all = timeout(Duration::from_secs(10), async {
            while left() < 5 {
                sleep(Duration::from_millis(5)).await;
            }
        });
        all.await.expect("four times more");
        sleep(Duration::from_secs(1)).await;
        assert!(lock(&silent.0).iter().all(|datagram| *datagram == hello));
        assert_eq!(left(), 5);
        lock(&guard).connected();
        poll_fn(|cx| socket.poll_send(cx, &transmit))
            .await
            .expect("sent");
        sleep(Duration::from_millis(200)).await;
        assert_eq!(left(), 6);
        reader.abort();
    }
}
