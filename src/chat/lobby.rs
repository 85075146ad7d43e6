//! The sockets that are no chat connection: page loads, handshakes, and chat
//! connections that are turned away or say goodbye.
//!
//! A newcomer never waits: when there are too many, one of the address that has most
//! is closed for it ([`Waiting`] says which). Only who comes or asks without end is turned
//! away ([`Visits`]).

use std::collections::HashMap;
use std::io::{IoSlice, Result};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

use super::proxy::Sources;
use crate::lock::lock;
use crate::room::{Source, Ticket, Visit, Visits, Waiting};

/// In all and of one address. A browser opens six.
const WAITING: usize = 128;
const WAITING_OF_ONE: usize = 32;

/// All of them.
#[derive(Clone)]
pub(super) struct Lobby {
    state: Arc<Mutex<State>>,
    sources: Sources,
}

struct State {
    waiting: Waiting,
    gives_way: HashMap<Ticket, CancellationToken>,
    visits: Visits,
}

impl Lobby {
    pub(super) fn new(sources: Sources) -> Self {
        let state = State {
            waiting: Waiting::new(WAITING, WAITING_OF_ONE),
            gives_way: HashMap::new(),
            visits: Visits::default(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            sources,
        }
    }

    /// Whether a socket of this peer is served, with a handshake of TLS or without.
    pub(super) fn may_come(&self, peer: SocketAddr, is_tls: bool, now: Instant) -> bool {
        let visit = match is_tls {
            true => Visit::Handshake,
            false => Visit::Socket,
        };
        let source = self.sources.of_socket(peer);
        self.sources.is_shared(peer) || self.state().visits.take(source, visit, now)
    }

    pub(super) fn enter(&self, peer: SocketAddr) -> Seat {
        let gives_way = CancellationToken::new();
        let (source, is_shared) = (self.sources.of_socket(peer), self.sources.is_shared(peer));
        let mut state = self.state();
        let (ticket, gone) = state.waiting.enter(source, is_shared);
        if let Some(gone) = gone.and_then(|gone| state.gives_way.remove(&gone)) {
            gone.cancel();
        }
        state.gives_way.insert(ticket, gives_way.clone());
        drop(state);
        Seat {
            ticket,
            peer,
            gives_way,
            is_sent: Arc::default(),
            lobby: self.clone(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// A socket's place in the lobby, until it ends or is a chat connection.
pub(super) struct Seat {
    ticket: Ticket,
    peer: SocketAddr,
    gives_way: CancellationToken,
    /// The answer is whole in the hands of the library, which has to send it still.
    is_sent: Arc<AtomicBool>,
    lobby: Lobby,
}

impl Seat {
    /// Whose socket it is, and where it can have another seat.
    pub(super) fn door(&self) -> (Lobby, SocketAddr) {
        (self.lobby.clone(), self.peer)
    }

    /// When the socket is to be closed for a newcomer's.
    pub(super) async fn given_away(&self) {
        self.gives_way.cancelled().await;
    }

    /// Whether a request from `source` is served.
    pub(super) fn may_ask(&self, source: Source, now: Instant) -> bool {
        let mut state = self.lobby.state();
        state.visits.take(source, Visit::Request, now)
    }

    /// A request has come.
    pub(super) fn asked(&self) {
        self.is_sent.store(false, Ordering::Relaxed);
        self.lobby.state().waiting.asked(self.ticket);
    }

    /// The body of its answer; when it is over, the next flush has sent it.
    pub(super) fn until_sent(&self, body: Body) -> Body {
        Body::new(Answer {
            body,
            is_sent: self.is_sent.clone(),
        })
    }

    /// The socket's stream, of which the seat sees when an answer has gone out.
    pub(super) fn flushes<S>(self: &Arc<Self>, stream: S) -> Flushes<S> {
        Flushes {
            stream,
            seat: Arc::downgrade(self),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.lobby.state();
        state.waiting.leave(self.ticket);
        state.gives_way.remove(&self.ticket);
    }
}

struct Answer {
    body: Body,
    is_sent: Arc<AtomicBool>,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.is_sent.store(true, Ordering::Relaxed);
    }
}

/// A stream that tells its seat when an answer has gone out.
pub(super) struct Flushes<S> {
    stream: S,
    seat: Weak<Seat>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Flushes<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Flushes<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if let Some(seat) = self.seat.upgrade()
            && seat.is_sent.swap(false, Ordering::Relaxed)
        {
            seat.lobby.state().waiting.answered(seat.ticket);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::chat::Options;

    fn lobby() -> Lobby {
        let options = Options::new(([127, 0, 0, 1], 0).into());
        Lobby::new(Sources::new(&options))
    }

    fn peer(last: u8) -> SocketAddr {
        ([192, 0, 2, last], 1).into()
    }

    fn has_given_way(seat: &Seat) -> bool {
        seat.gives_way.is_cancelled()
    }

    #[tokio::test]
    async fn a_socket_is_answered_when_its_answer_has_gone_out() {
        let lobby = lobby();
        let elder = lobby.enter(peer(99));
        elder.asked();
        let seat = Arc::new(lobby.enter(peer(1)));
        let mut stream = seat.flushes(tokio::io::sink());
        seat.asked();
        stream.flush().await.expect("a sink");
        let body = seat.until_sent(Body::from("the page"));
        let fill = || (0..WAITING).map(|i| lobby.enter(peer(2 + (i % 60) as u8)));
        let crowd: Vec<_> = fill().collect();
        assert!(!has_given_way(&seat), "in the middle of its answer");
        for other in &crowd {
            other.asked();
        }
        drop(body);
        let another = lobby.enter(peer(100));
        another.asked();
        assert!(
            has_given_way(&elder) && !has_given_way(&seat),
            "it is not flushed"
        );
        stream.flush().await.expect("a sink");
        lobby.enter(peer(101));
        assert!(has_given_way(&seat), "the only one that has its answer");
    }

    /// What has become a WebSocket and is not in the chat is a socket still.
    #[test]
    fn a_seat_is_held_by_whoever_has_the_socket() {
        let lobby = lobby();
        let seats: Vec<_> = (0..WAITING)
            .map(|i| Arc::new(lobby.enter(peer(i as u8 % 100))))
            .collect();
        let upgraded: Vec<_> = seats.iter().map(Arc::clone).collect();
        drop(seats);
        assert_eq!(lobby.state().waiting.len(), WAITING);
        let _newcomer = lobby.enter(peer(200));
        let gone = upgraded.iter().filter(|seat| has_given_way(seat)).count();
        assert_eq!(gone, 1);
        drop(upgraded);
        assert_eq!(lobby.state().waiting.len(), 1);
    }
}
