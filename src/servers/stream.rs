//! A TURN server that is reached through a stream: connecting, and carrying
//! datagrams.
//!
//! A stream keeps what it takes until it is through, which for a live picture is
//! worse than losing it. So little waits here and little in the kernel, and what
//! has waited too long is dropped as a full router would: the viewer's reports
//! tell of it, and the picture gets smaller.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use nix::sys::socket::{setsockopt, sockopt};
use nix::{setsockopt_impl, sockopt_impl};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use super::framing::{Framing, padded};
use crate::ice::{Host, IceUrl, Transport};
use crate::lock::lock;

/// Addresses are tried so far apart (RFC 8305 §8).
const STAGGER: Duration = Duration::from_millis(250);
/// What waits longer to be written is dropped.
const STALE: Duration = Duration::from_millis(400);
/// And what would make this more: a key frame of a good picture fits.
const MOST_BYTES: usize = 192 * 1024;
/// Written at once; one record of TLS.
const BATCH: usize = 16 * 1024;
/// What the kernel may have that it has not sent (tcp(7), TCP_NOTSENT_LOWAT).
const UNSENT: usize = 16 * 1024;
/// What was sent and is not confirmed for so long ends the stream, in ms.
const USER_TIMEOUT: u32 = 15_000;
/// So long is given to last words.
const LAST_WORDS: Duration = Duration::from_secs(1);

sockopt_impl!(
    /// How much may wait in the kernel unsent.
    NotSentLowAt,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_NOTSENT_LOWAT,
    usize
);

/// A stream, encrypted or not.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Why a server is not reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// Not even a connection.
    #[error("{0}")]
    Connect(io::Error),
    /// It is reached, and TLS does not come about.
    #[error("{0}")]
    Tls(io::Error),
}

/// How a server is reached through a stream.
#[derive(Debug, Clone)]
pub(crate) struct Dial {
    port: u16,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Dial {
    /// Nothing, where it is reached in datagrams, or there is no TLS.
    pub(crate) fn new(url: &IceUrl, tls: Option<&Arc<ClientConfig>>) -> Option<Self> {
        let tls = match url.transport {
            Transport::Udp => return None,
            Transport::Tcp => None,
            Transport::Tls => Some((tls?.clone(), server_name(&url.host)?)),
        };
        Some(Self {
            port: url.port,
            tls,
        })
    }

    /// Connects to the first address that answers.
    pub(crate) async fn connect(&self, addresses: &[IpAddr]) -> Result<Box<dyn Io>, DialError> {
        let stream = self.race(addresses).await.map_err(DialError::Connect)?;
        let _ = stream.set_nodelay(true);
        // Where a kernel does not know them, more waits in it.
        let _ = setsockopt(&stream, NotSentLowAt, &UNSENT);
        let _ = setsockopt(&stream, sockopt::TcpUserTimeout, &USER_TIMEOUT);
        let Some((config, name)) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let connector = TlsConnector::from(config.clone());
        let stream = connector.connect(name.clone(), stream).await;
        Ok(Box::new(stream.map_err(DialError::Tls)?))
    }

    async fn race(&self, addresses: &[IpAddr]) -> io::Result<TcpStream> {
        let mut left = in_turn(addresses).into_iter();
        let mut tries = FuturesUnordered::new();
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "it has no address");
        loop {
            if let Some(ip) = left.next() {
                tries.push(TcpStream::connect(SocketAddr::new(ip, self.port)));
            }
            let more = left.len() > 0;
            tokio::select! {
                tried = tries.next() => match tried {
                    Some(Ok(stream)) => return Ok(stream),
                    Some(Err(error)) => failed = error,
                    None if !more => return Err(failed),
                    None => {}
                },
                () = sleep(STAGGER), if more => {}
            }
        }
    }
}

fn server_name(host: &Host) -> Option<ServerName<'static>> {
    match host {
        Host::Name(name) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            ServerName::try_from(name.to_owned()).ok()
        }
        Host::Ip(ip) => Some(ServerName::IpAddress((*ip).into())),
    }
}

/// One of each family in turn, beginning with what the resolver has first
/// (RFC 8305 §4).
fn in_turn(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let Some(first) = addresses.first() else {
        return Vec::new();
    };
    let (same, other): (Vec<IpAddr>, Vec<_>) = addresses
        .iter()
        .partition(|ip| ip.is_ipv4() == first.is_ipv4());
    let mut mixed = Vec::with_capacity(addresses.len());
    for i in 0..same.len().max(other.len()) {
        mixed.extend(same.get(i));
        mixed.extend(other.get(i));
    }
    mixed
}

/// Datagrams on their way into a stream.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    datagrams: VecDeque<(Instant, Box<[u8]>)>,
    bytes: usize,
    closed: bool,
}

impl Queue {
    /// Takes a message that the server's side will read as one.
    fn put(&mut self, datagram: &[u8], now: Instant) {
        let Some(zeros) = padded(datagram) else {
            return;
        };
        if self.closed || self.bytes + datagram.len() + zeros > MOST_BYTES {
            return;
        }
        let mut framed = Vec::with_capacity(datagram.len() + zeros);
        framed.extend_from_slice(datagram);
        framed.resize(datagram.len() + zeros, 0);
        self.bytes += framed.len();
        self.datagrams.push_back((now, framed.into()));
    }

    /// What is written next; what waited too long is gone.
    fn take(&mut self, batch: &mut Vec<u8>, now: Instant) {
        batch.clear();
        while let Some((since, datagram)) = self.datagrams.pop_front() {
            let fits = batch.is_empty() || batch.len() + datagram.len() <= BATCH;
            if !fits {
                self.datagrams.push_front((since, datagram));
                return;
            }
            self.bytes -= datagram.len();
            // STUN repeats itself, and what it says last is said once.
            let is_stun = datagram[0] >> 6 == 0;
            if is_stun || now.saturating_duration_since(since) < STALE {
                batch.extend_from_slice(&datagram);
            }
        }
    }
}

impl Outbox {
    pub(super) fn put(&self, datagram: &[u8]) {
        lock(&self.queue).put(datagram, Instant::now());
        self.wake.notify_one();
    }

    /// What is in it is the last.
    pub(super) fn close(&self) {
        lock(&self.queue).closed = true;
        self.wake.notify_one();
    }

    /// Waits until there is something; false, when nothing comes any more.
    async fn take(&self, batch: &mut Vec<u8>) -> bool {
        loop {
            let closed = {
                let mut queue = lock(&self.queue);
                queue.take(batch, Instant::now());
                queue.closed
            };
            if !batch.is_empty() {
                return true;
            }
            if closed {
                return false;
            }
            self.wake.notified().await;
        }
    }

    /// Waits until it is closed.
    pub(super) async fn closed(&self) {
        while !lock(&self.queue).closed {
            self.wake.notified().await;
        }
        // For who waits for something in it.
        self.wake.notify_one();
    }
}

/// Carries datagrams until the stream ends, or the outbox is closed and empty.
/// What comes is told with `from` as its sender. Returns whether anything came.
pub(super) async fn carry(
    stream: Box<dyn Io>,
    outbox: &Outbox,
    tell: &mpsc::Sender<(SocketAddr, Bytes)>,
    from: SocketAddr,
) -> (bool, io::Result<()>) {
    let (mut reading, mut writing) = tokio::io::split(stream);
    let mut came = false;
    let read = async {
        let mut framing = Framing::default();
        loop {
            if reading.read_buf(framing.buffer()).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            while let Some(message) = framing.next().map_err(io::Error::other)? {
                came = true;
                if tell.send((from, message)).await.is_err() {
                    return Ok(());
                }
            }
        }
    };
    let write = async {
        let mut batch = Vec::with_capacity(BATCH);
        while outbox.take(&mut batch).await {
            writing.write_all(&batch).await?;
            writing.flush().await?;
        }
        let _ = timeout(LAST_WORDS, writing.shutdown()).await;
        Ok(())
    };
    let end = tokio::select! {
        end = read => end,
        end = write => end,
    };
    (came, end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    fn channel_data(length: usize) -> Vec<u8> {
        let mut message = vec![0x40, 0];
        message.extend((length as u16).to_be_bytes());
        message.resize(4 + length, 7);
        message
    }

    #[test]
    fn little_waits_and_not_for_long() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        let mut batch = Vec::new();
        for i in 0..400 {
            queue.put(&channel_data(1_000), start + Duration::from_millis(i));
        }
        assert!(queue.bytes <= MOST_BYTES && queue.datagrams.len() == 195);
        queue.take(&mut batch, start + STALE + Duration::from_millis(190));
        // The first 190 are too old.
        assert_eq!(batch.len(), 4 * 1_004, "{}", batch.len());
        assert!(queue.datagrams.is_empty() && queue.bytes == 0);
        // STUN is said, however late; what is no message is not.
        let mut stun = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        stun.resize(20, 0);
        queue.put(&stun, start);
        queue.put(b"\x80no message", start);
        queue.take(&mut batch, start + 10 * STALE);
        assert_eq!(batch, stun);
    }

    #[test]
    fn a_batch_is_one_record() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        let mut batch = Vec::new();
        for _ in 0..20 {
            queue.put(&channel_data(997), start);
        }
        queue.take(&mut batch, start);
        assert_eq!(batch.len(), 16 * 1_004, "padded, and under 16 KiB");
        queue.take(&mut batch, start);
        assert_eq!(batch.len(), 4 * 1_004);
    }

    #[test]
    fn families_are_tried_in_turn() {
        let ip = |text: &str| -> IpAddr { text.parse().expect("an address") };
        let found = ["2001:db8::1", "2001:db8::2", "192.0.2.1"].map(ip);
        let tried = ["2001:db8::1", "192.0.2.1", "2001:db8::2"].map(ip);
        assert_eq!(in_turn(&found), tried);
        assert!(in_turn(&[]).is_empty());
    }

    /// The first address takes no connection, or answers never.
    #[tokio::test]
    async fn a_dead_address_costs_a_quarter_of_a_second() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let dial = Dial { port, tls: None };
        // Nobody is at the first: it is refused, or swallowed.
        let addresses = [[127, 0, 0, 9].into(), [127, 0, 0, 1].into()];
        let connected = timeout(Duration::from_secs(5), dial.connect(&addresses)).await;
        connected.expect("in time").expect("connected");
        drop(listener);
        let refused = dial.connect(&addresses).await;
        assert!(matches!(refused, Err(DialError::Connect(_))));
        assert!(matches!(
            dial.connect(&[]).await,
            Err(DialError::Connect(_))
        ));
    }

    #[tokio::test]
    async fn last_words_are_said_and_messages_come_as_they_were_sent() {
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        let outbox = Outbox::default();
        let (tell, mut told) = mpsc::channel(4);
        let from = SocketAddr::from(([240, 0, 0, 1], 1));
        outbox.put(&channel_data(5));
        outbox.close();
        far.write_all(&channel_data(4)).await.expect("written");
        let (_, end) = carry(Box::new(near), &outbox, &tell, from).await;
        end.expect("it ends by itself");
        let mut said = Vec::new();
        far.read_to_end(&mut said).await.expect("closed");
        assert_eq!(said[..9], channel_data(5));
        assert_eq!(said.len(), 12, "padded");
        if let Ok((sender, message)) = told.try_recv() {
            assert_eq!((sender, &message[..]), (from, &channel_data(4)[..]));
        }
    }
}
