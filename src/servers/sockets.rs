//! The sockets of one connection, which know the servers' stand-ins.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtc::peer_connection::transport::RTCIceServer;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout_at};
use tracing::debug;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

use super::configured::IceServer;
use super::standins::{self, StandIns};
use super::stream::{Outbox, carry};
use super::{Dial, Servers};
use crate::backoff::doubled;
use crate::ice::IceUrl;
use crate::lock::lock;

/// Datagrams out of streams that wait for the connection's driver.
const INBOX: usize = 256;
/// A server is to be reached within this time, its name included.
const DEADLINE: Duration = Duration::from_secs(10);
/// How often it is tried.
const TRIES: u32 = 3;
/// The wait before the second try; twice as long before the third.
const PAUSE: Duration = Duration::from_millis(300);

/// A server as one connection has it.
#[derive(Debug)]
struct Server {
    url: IceUrl,
    standins: StandIns,
    /// Through a stream.
    dial: Option<Dial>,
    /// The socket whose stream it has: one is enough, whichever it is.
    owner: Mutex<Weak<()>>,
}

/// The servers of one connection.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    all: Arc<Servers>,
    servers: Vec<Server>,
    for_the_crate: Vec<RTCIceServer>,
}

impl Sockets {
    /// Servers with credentials for this connection.
    pub(super) fn new(all: Arc<Servers>, with_credentials: Vec<IceServer>) -> Self {
        let mut servers: Vec<Server> = Vec::new();
        let mut for_the_crate = Vec::new();
        for IceServer {
            urls,
            username,
            credential,
        } in with_credentials
        {
            let urls = urls.into_iter().filter_map(|url| {
                // Two addresses of one server are one for the crate: it tells
                // them apart by what it asked.
                let same = |s: &Server| {
                    (&s.url.host, s.url.port, s.url.transport)
                        == (&url.host, url.port, url.transport)
                };
                let turn = url.turn;
                let index = match servers.iter().position(same) {
                    Some(index) => index,
                    None => {
                        servers.push(Server {
                            standins: StandIns::draw()?,
                            dial: Dial::new(&url, all.tls.as_ref()),
                            owner: Mutex::default(),
                            url,
                        });
                        servers.len() - 1
                    }
                };
                let port = servers[index].standins.0[0].port();
                Some(match turn {
                    true => format!("turn:s{index}.invalid:{port}?transport=udp"),
                    false => format!("stun:s{index}.invalid:{port}"),
                })
            });
            for_the_crate.push(RTCIceServer {
                urls: urls.collect(),
                username,
                credential,
            });
        }
        Self {
            all,
            servers,
            for_the_crate,
        }
    }

    /// What the crate is told.
    pub(crate) fn for_the_crate(&self) -> Vec<RTCIceServer> {
        self.for_the_crate.clone()
    }

    /// The addresses of a host that the crate was told of; at once.
    pub(crate) fn resolve(&self, host: &str) -> io::Result<Vec<SocketAddr>> {
        let unknown = || io::Error::new(io::ErrorKind::NotFound, "no server of this connection");
        let (name, _) = host.split_once('.').ok_or_else(unknown)?;
        let index = name.strip_prefix('s').and_then(|i| i.parse::<usize>().ok());
        let server = index.and_then(|index| self.servers.get(index));
        Ok(server.ok_or_else(unknown)?.standins.0.to_vec())
    }

    /// `socket`, from which the servers are reached.
    pub(crate) fn over(
        self: &Arc<Self>,
        socket: Arc<dyn AsyncUdpSocket>,
    ) -> Arc<dyn AsyncUdpSocket> {
        if self.servers.is_empty() {
            return socket;
        }
        let (tell, inbox) = mpsc::channel(INBOX);
        Arc::new(Socket {
            servers: self.clone(),
            socket,
            known: Mutex::default(),
            streams: Mutex::default(),
            tell,
            inbox: Mutex::new(inbox),
            alive: Arc::default(),
        })
    }

    fn standing_at(&self, address: SocketAddr) -> Option<(usize, &Server)> {
        if !standins::may_be(address) {
            return None;
        }
        let mut all = self.servers.iter().enumerate();
        all.find(|(_, server)| server.standins.is(address))
    }
}

/// A server's address and its stand-in.
#[derive(Debug, Clone, Copy)]
struct Known {
    real: SocketAddr,
    standin: SocketAddr,
}

#[derive(Debug)]
struct Socket {
    servers: Arc<Sockets>,
    socket: Arc<dyn AsyncUdpSocket>,
    /// Servers that were sent datagrams from here.
    known: Mutex<Vec<Known>>,
    /// Of the servers that are reached through them.
    streams: Mutex<Vec<(usize, Arc<Outbox>)>>,
    tell: mpsc::Sender<(SocketAddr, Bytes)>,
    /// What came out of streams.
    inbox: Mutex<mpsc::Receiver<(SocketAddr, Bytes)>>,
    alive: Arc<()>,
}

impl Socket {
    /// Where datagrams for this stand-in go. An address once used stays, for
    /// an allocation is made at it.
    fn real(&self, server: &Server, standin: SocketAddr) -> Option<SocketAddr> {
        let mut known = lock(&self.known);
        if let Some(known) = known.iter().find(|k| k.standin == standin) {
            return Some(known.real);
        }
        let found = self.servers.all.resolver()?.get(&server.url.host);
        let ip = found
            .into_iter()
            .find(|ip| ip.is_ipv4() == standin.is_ipv4())?;
        let real = SocketAddr::new(ip, server.url.port);
        // Two names of one server: what comes from it is for the first.
        if known.iter().any(|k| k.real == real) {
            return None;
        }
        known.push(Known { real, standin });
        Some(real)
    }

    /// The stream to a server; nothing, where another socket has it.
    fn stream(&self, index: usize, server: &Server, standin: SocketAddr) -> Option<Arc<Outbox>> {
        let mut streams = lock(&self.streams);
        if let Some((_, outbox)) = streams.iter().find(|(i, _)| *i == index) {
            return Some(outbox.clone());
        }
        let mut owner = lock(&server.owner);
        if owner.upgrade().is_some() {
            return None;
        }
        *owner = Arc::downgrade(&self.alive);
        let outbox = Arc::new(Outbox::default());
        let link = Link {
            all: self.servers.all.clone(),
            url: server.url.clone(),
            dial: server.dial.clone()?,
            outbox: outbox.clone(),
            tell: self.tell.clone(),
            standin,
        };
        tokio::spawn(link.run());
        streams.push((index, outbox.clone()));
        Some(outbox)
    }
}

impl AsyncUdpSocket for Socket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_gso_segments(&self) -> usize {
        self.socket.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.socket.max_gro_segments()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let standin = transmit.destination;
        let Some((index, server)) = self.servers.standing_at(standin) else {
            return self.socket.poll_send(cx, transmit);
        };
        // What cannot be sent is lost, as it would be on the way.
        let sent = Poll::Ready(Ok(transmit.contents.len()));
        if server.dial.is_some() {
            if let Some(outbox) = self.stream(index, server, standin) {
                let size = transmit.segment_size.unwrap_or(transmit.contents.len());
                for datagram in transmit.contents.chunks(size.max(1)) {
                    outbox.put(datagram);
                }
            }
            return sent;
        }
        let Some(destination) = self.real(server, standin) else {
            return sent;
        };
        let transmit = Transmit {
            destination,
            ecn: transmit.ecn,
            contents: transmit.contents,
            segment_size: transmit.segment_size,
            src_ip: transmit.src_ip,
        };
        self.socket.poll_send(cx, &transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Some((from, message))) = lock(&self.inbox).poll_recv(cx)
            && let (Some(buffer), Some(meta)) = (bufs.first_mut(), meta.first_mut())
        {
            // The buffer is longer than what a datagram of the crate's can be.
            let length = message.len().min(buffer.len());
            buffer[..length].copy_from_slice(&message[..length]);
            *meta = RecvMeta::default();
            meta.addr = from;
            meta.len = length;
            meta.stride = length.max(1);
            return Poll::Ready(Ok(1));
        }
        let received = ready!(self.socket.poll_recv(cx, bufs, meta))?;
        let known = lock(&self.known);
        for meta in meta.iter_mut().take(received) {
            if let Some(known) = known.iter().find(|k| k.real == meta.addr) {
                meta.addr = known.standin;
            }
        }
        Poll::Ready(Ok(received))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        for (_, outbox) in lock(&self.streams).drain(..) {
            outbox.close();
        }
    }
}

/// A stream to a server, of one socket.
struct Link {
    all: Arc<Servers>,
    url: IceUrl,
    dial: Dial,
    outbox: Arc<Outbox>,
    tell: mpsc::Sender<(SocketAddr, Bytes)>,
    standin: SocketAddr,
}

impl Link {
    async fn run(self) {
        let began = Instant::now();
        let deadline = began + DEADLINE;
        for tried in 1..=TRIES {
            let connected = tokio::select! {
                () = self.outbox.closed() => return,
                connected = timeout_at(deadline.into(), self.connect()) => connected,
            };
            let error = match connected {
                Err(_) => format!("it did not answer within {} s", DEADLINE.as_secs()),
                Ok(Err(error)) => error.to_string(),
                Ok(Ok(stream)) => {
                    debug!(server = %self.url, "reached after {:?}", began.elapsed());
                    let (came, end) = carry(stream, &self.outbox, &self.tell, self.standin).await;
                    let Err(error) = end else { return };
                    // An allocation is gone with its stream (RFC 8656 §5): what
                    // is sent from now on is lost until ICE is restarted.
                    if came {
                        debug!(server = %self.url, %error, "a TURN server's stream ended");
                        self.all.works(&self.url);
                        break;
                    }
                    format!("it closes the connection: {error}")
                }
            };
            if tried == TRIES || Instant::now() >= deadline {
                self.all.complain(&self.url, &error);
                break;
            }
            tokio::select! {
                () = self.outbox.closed() => return,
                () = sleep(doubled(PAUSE, tried - 1, DEADLINE)) => {}
            }
        }
        // Nobody writes any more; nothing is to be kept for it.
        self.outbox.close();
    }

    async fn connect(&self) -> Result<Box<dyn super::stream::Io>, super::DialError> {
        match self.all.resolver() {
            Some(resolver) => {
                let addresses = resolver.wait(&self.url.host).await;
                self.dial.connect(&addresses).await
            }
            None => self.dial.connect(&[]).await,
        }
    }
}
