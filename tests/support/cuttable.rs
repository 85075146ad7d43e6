//! A runtime for a viewer's connection: its tasks can be ended from one moment
//! to the next, and its sockets note when the kernel had each picture.

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use tokio::task::AbortHandle;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime,
    TokioRuntime, Transmit,
};

use super::meter::Received;
use super::viewer::{H264, OPUS};

/// What may wait in the kernel for a viewer, in bytes: over a second of 8 Mbit/s
/// and what the kernel counts beside it.
const BUFFER: usize = 4 << 20;

/// [`TokioRuntime`], but for two things.
#[derive(Default)]
pub struct Cuttable {
    tasks: Mutex<Vec<AbortHandle>>,
    received: Arc<Mutex<Received>>,
}

impl std::fmt::Debug for Cuttable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cuttable")
    }
}

impl Cuttable {
    pub fn new(received: Arc<Mutex<Received>>) -> Self {
        Self {
            tasks: Mutex::default(),
            received,
        }
    }

    /// Ends every task where it stands.
    pub fn cut(&self) {
        for task in self.tasks.lock().expect("nobody panics with it").drain(..) {
            task.abort();
        }
    }
}

struct Task(tokio::task::JoinHandle<()>);

impl JoinHandle for Task {
    fn detach(&self) {}

    fn abort(&self) {
        self.0.abort();
    }

    fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Runtime for Cuttable {
    fn spawn(&self, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        let task = tokio::spawn(future);
        self.tasks
            .lock()
            .expect("nobody panics with it")
            .push(task.abort_handle());
        Box::new(Task(task))
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        // A viewer who is slow loses nothing, as far as this machine allows it.
        if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &BUFFER)?;
        }
        Ok(Arc::new(Stamping {
            socket: TokioRuntime.wrap_udp_socket(socket)?,
            received: self.received.clone(),
        }))
    }

    fn wrap_tcp_listener(
        &self,
        listener: std::net::TcpListener,
    ) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(
        &'a self,
        remote: SocketAddr,
    ) -> Boxed<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        TokioRuntime.connect_tcp(remote)
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        TokioRuntime.resolve_host(host)
    }

    fn sleep(&self, duration: Duration) -> Boxed<'static, ()> {
        TokioRuntime.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }
}

#[derive(Debug)]
struct Stamping {
    socket: Arc<dyn AsyncUdpSocket>,
    received: Arc<Mutex<Received>>,
}

impl Stamping {
    /// RTP headers are in the clear also under SRTP.
    fn note(&self, datagrams: &[u8], stride: usize, at: Option<Duration>) {
        let mut received = self.received.lock().expect("nobody panics with it");
        for datagram in datagrams.chunks(stride.max(1)) {
            let Some(header) = datagram.first_chunk::<12>() else {
                continue;
            };
            let (version, payload_type) = (header[0] >> 6, header[1] & 0x7f);
            let sequence = u16::from_be_bytes([header[2], header[3]]);
            let ssrc = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
            let (now, is_last) = (Instant::now(), header[1] & 0x80 != 0);
            match (version, payload_type) {
                (2, H264) => {
                    received.video_on_the_wire.take(sequence, now);
                    if let Some(at) = at.filter(|_| is_last) {
                        received.arrivals.insert((ssrc, sequence), at);
                    }
                }
                (2, OPUS) => received.audio_on_the_wire.take(sequence, now),
                _ => {}
            }
        }
    }
}

impl AsyncUdpSocket for Stamping {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        self.socket.poll_send(cx, transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let result = self.socket.poll_recv(cx, buffers, meta);
        if let Poll::Ready(Ok(count)) = &result {
            for (buffer, meta) in buffers.iter().zip(meta.iter()).take(*count) {
                self.note(&buffer[..meta.len], meta.stride, meta.timestamp);
            }
        }
        result
    }

    fn max_gso_segments(&self) -> usize {
        self.socket.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.socket.max_gro_segments()
    }
}
