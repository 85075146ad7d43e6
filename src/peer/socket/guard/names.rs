//! Shell: names that end in .local, as browsers give them to their addresses: asked of
//! everybody on the network by multicast DNS (RFC 6762).
//!
//! A question goes to many, for a caller's words; so it is paid for as a check is.
//! Answers are read while something was asked of late, and no more than a network
//! has of them: anybody can send to this port.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

use super::Guard;
use crate::bucket::{Bucket, Rate};
use crate::lock::lock;

/// How long an answer may take after the last question.
const ANSWERED: Duration = Duration::from_secs(5);
/// Packets that are read meanwhile.
const ANSWERS: Rate = Rate {
    burst: 100.0,
    per_second: 50.0,
};
/// Reads in one turn that may all be dropped; then others have a turn.
const READS: usize = 64;

/// What was asked of late.
#[derive(Debug)]
pub(super) struct Names {
    until: Option<Instant>,
    answers: Bucket,
}

impl Names {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            until: None,
            answers: Bucket::full(ANSWERS, now),
        }
    }
}

impl Guard {
    /// True where a question of so many bytes may leave.
    pub(super) fn asks_for_a_name(&mut self, length: usize, now: Instant) -> bool {
        let cost = length as u64;
        let passes = self.credit >= cost && self.together.take(length, now);
        if passes {
            self.credit -= cost;
            self.names.until = Some(now + ANSWERED);
        }
        self.dropped += u64::from(!passes);
        passes
    }

    /// True where what came may be an answer.
    pub(super) fn hears_of_a_name(&mut self, now: Instant) -> bool {
        let is_asked = self.names.until.is_some_and(|until| now < until);
        let passes = is_asked && self.names.answers.take(1.0, now);
        if passes {
            self.pace.is_new();
        }
        passes
    }
}

/// The socket of multicast DNS.
#[derive(Debug)]
pub(in crate::peer) struct Multicast {
    inner: Arc<dyn AsyncUdpSocket>,
    guard: Arc<Mutex<Guard>>,
}

impl Multicast {
    pub(crate) fn new(inner: Arc<dyn AsyncUdpSocket>, guard: Arc<Mutex<Guard>>) -> Self {
        Self { inner, guard }
    }
}

impl AsyncUdpSocket for Multicast {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let length = transmit.contents.len();
        match lock(&self.guard).asks_for_a_name(length, Instant::now()) {
            true => self.inner.poll_send(cx, transmit),
            false => Poll::Ready(Ok(length)),
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        for _ in 0..READS {
            let read = ready!(self.inner.poll_recv(cx, buffers, meta))?;
            if lock(&self.guard).hears_of_a_name(Instant::now()) {
                return Poll::Ready(Ok(read));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::super::Together;
    use super::*;

    #[test]
    fn a_question_is_paid_for_by_the_callers_words() {
        let now = Instant::now();
        let mut guard = Guard::new(Together::new(now), now);
        assert!(!guard.asks_for_a_name(60, now), "nothing was said");
        guard.words(90);
        let asked = (0..10).filter(|_| guard.asks_for_a_name(60, now)).count();
        assert_eq!(asked, 3, "twice what came");
    }

    #[test]
    fn answers_are_read_while_something_was_asked() {
        let now = Instant::now();
        let mut guard = Guard::new(Together::new(now), now);
        guard.words(1_000);
        assert!(!guard.hears_of_a_name(now));
        assert!(guard.asks_for_a_name(60, now));
        let heard = (0..5_000).filter(|_| guard.hears_of_a_name(now)).count();
        assert_eq!(heard, 100);
        assert!(guard.hears_of_a_name(now + Duration::from_secs(4)));
        assert!(!guard.hears_of_a_name(now + ANSWERED));
    }
}
