//! A bad network in user space: a UDP relay that loses, delays and caps.
//!
//! It stands between two ends like a NAT. The *inner* end is reached at one
//! address, [`Relay::front`]; to it, each outer end that sends there shows an
//! address of its own. Conditions can be changed while packets fly.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// IPv4 and UDP headers, in bytes.
const HEADERS: usize = 28;

/// What happens to packets of one direction.
#[derive(Debug, Clone, Copy)]
pub struct Conditions {
    /// In bit/s, headers included; `None` is no limit.
    pub rate: Option<u32>,
    /// The longest time in the queue before the bottleneck; what would wait
    /// longer is dropped.
    pub queue: Duration,
    /// One way, behind the bottleneck.
    pub delay: Duration,
    /// Share of packets that are lost, 0 to 1.
    pub loss: f64,
    /// How many are lost in a row.
    pub burst: u32,
    /// Nothing comes through.
    pub cut: bool,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            rate: None,
            queue: Duration::from_millis(300),
            delay: Duration::ZERO,
            loss: 0.0,
            burst: 1,
            cut: false,
        }
    }
}

/// What was done to packets of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub packets: u64,
    /// Bytes that came through, headers included.
    pub bytes: u64,
    pub lost: u64,
    /// Dropped for a full queue.
    pub dropped: u64,
}

struct Flying {
    due: Instant,
    data: Vec<u8>,
    from: Arc<UdpSocket>,
    to: SocketAddr,
}

struct Line {
    conditions: Conditions,
    counts: Counts,
    /// Until when the bottleneck is busy.
    busy: Instant,
    losing: u32,
    rng: fastrand::Rng,
    flying: VecDeque<Flying>,
}

/// One direction.
struct Direction {
    line: Mutex<Line>,
    news: Notify,
}

impl Direction {
    fn new(conditions: Conditions, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            line: Mutex::new(Line {
                conditions,
                counts: Counts::default(),
                busy: Instant::now(),
                losing: 0,
                rng: fastrand::Rng::with_seed(seed),
                flying: VecDeque::new(),
            }),
            news: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().expect("nobody panics with it")
    }

    fn send(&self, data: &[u8], from: &Arc<UdpSocket>, to: SocketAddr) {
        let now = Instant::now();
        let mut line = self.lock();
        if let Some(due) = line.pass(data.len() + HEADERS, now) {
            // No overtaking when the delay is made shorter.
            let due = line.flying.back().map_or(due, |last| due.max(last.due));
            line.flying.push_back(Flying {
                due,
                data: data.to_vec(),
                from: from.clone(),
                to,
            });
            drop(line);
            self.news.notify_one();
        }
    }

    async fn run(self: Arc<Self>) {
        loop {
            let due = self.lock().flying.front().map(|f| f.due);
            match due {
                None => self.news.notified().await,
                Some(due) => {
                    sleep_until(due).await;
                    let now = Instant::now();
                    loop {
                        let ready = {
                            let mut line = self.lock();
                            match line.flying.front() {
                                Some(f) if f.due <= now => line.flying.pop_front(),
                                _ => None,
                            }
                        };
                        let Some(packet) = ready else { break };
                        let _ = packet.from.send_to(&packet.data, packet.to).await;
                    }
                }
            }
        }
    }
}

impl Line {
    /// When a packet of this size is through; `None` if it never is.
    fn pass(&mut self, bytes: usize, now: Instant) -> Option<Instant> {
        let Conditions {
            rate,
            queue,
            delay,
            loss,
            burst,
            cut,
        } = self.conditions;
        self.counts.packets += 1;
        if self.losing > 0 {
            self.losing -= 1;
        } else if self.rng.f64() < loss / f64::from(burst.max(1)) {
            self.losing = burst.max(1) - 1;
        } else if !cut {
            let mut due = now;
            if let Some(rate) = rate {
                let start = self.busy.max(now);
                if start - now > queue {
                    self.counts.dropped += 1;
                    return None;
                }
                let time = bytes as f64 * 8.0 / f64::from(rate);
                self.busy = start + Duration::from_secs_f64(time);
                due = self.busy;
            }
            self.counts.bytes += bytes as u64;
            return Some(due + delay);
        }
        self.counts.lost += 1;
        None
    }
}

/// A relay on 127.0.0.1; it ends when dropped.
pub struct Relay {
    front: SocketAddr,
    inner: Arc<Mutex<Option<SocketAddr>>>,
    /// The ports at which the inner end sees outer ends.
    ports: Arc<Mutex<Vec<u16>>>,
    inward: Arc<Direction>,
    outward: Arc<Direction>,
    _tasks: JoinSet<()>,
}

impl Relay {
    /// `inward` is toward the inner end. The same seed loses the same packets.
    pub async fn start(inward: Conditions, outward: Conditions, seed: u64) -> Self {
        let socket = bind().await;
        let front = socket.local_addr().expect("it is bound");
        let inner = Arc::<Mutex<Option<SocketAddr>>>::default();
        let ports = Arc::<Mutex<Vec<u16>>>::default();
        let (inward, outward) = (
            Direction::new(inward, seed),
            Direction::new(outward, seed ^ 1),
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(inward.clone().run());
        tasks.spawn(outward.clone().run());
        tasks.spawn(translate(
            socket,
            inner.clone(),
            ports.clone(),
            inward.clone(),
            outward.clone(),
        ));
        Self {
            front,
            inner,
            ports,
            inward,
            outward,
            _tasks: tasks,
        }
    }

    /// Where outer ends send to.
    pub fn front(&self) -> SocketAddr {
        self.front
    }

    /// Where the inner end is.
    pub fn lead_to(&self, inner: SocketAddr) {
        *self.inner.lock().expect("nobody panics with it") = Some(inner);
    }

    /// The inner end sees an outer end at this port of 127.0.0.1.
    pub fn shows(&self, port: u16) -> bool {
        self.ports
            .lock()
            .expect("nobody panics with it")
            .contains(&port)
    }

    /// Changes the conditions toward the inner end.
    pub fn set_inward(&self, change: impl FnOnce(&mut Conditions)) {
        change(&mut self.inward.lock().conditions);
    }

    /// Changes the conditions from the inner end.
    pub fn set_outward(&self, change: impl FnOnce(&mut Conditions)) {
        change(&mut self.outward.lock().conditions);
    }

    /// What happened toward the inner end so far.
    pub fn inward(&self) -> Counts {
        self.inward.lock().counts
    }

    /// What happened from the inner end so far.
    pub fn outward(&self) -> Counts {
        self.outward.lock().counts
    }
}

async fn bind() -> Arc<UdpSocket> {
    Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a free port"))
}

async fn translate(
    front: Arc<UdpSocket>,
    inner: Arc<Mutex<Option<SocketAddr>>>,
    ports: Arc<Mutex<Vec<u16>>>,
    inward: Arc<Direction>,
    outward: Arc<Direction>,
) {
    let mut shown: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut backs = JoinSet::new();
    let (back, mut from_inner) = mpsc::channel::<(Vec<u8>, SocketAddr)>(1024);
    let mut buffer = vec![0; 2048];
    loop {
        tokio::select! {
            received = front.recv_from(&mut buffer) => {
                // ICMP of a port that is closed is an error of the next call.
                let Ok((length, outer)) = received else { continue };
                let as_seen = match shown.get(&outer) {
                    Some(socket) => socket.clone(),
                    None => {
                        let socket = bind().await;
                        let port = socket.local_addr().expect("it is bound").port();
                        ports.lock().expect("nobody panics with it").push(port);
                        shown.insert(outer, socket.clone());
                        backs.spawn(read(socket.clone(), outer, back.clone()));
                        socket
                    }
                };
                let to = *inner.lock().expect("nobody panics with it");
                if let Some(to) = to {
                    inward.send(&buffer[..length], &as_seen, to);
                }
            }
            Some((data, outer)) = from_inner.recv() => outward.send(&data, &front, outer),
        }
    }
}

/// What the inner end sends to the address at which it sees `outer`.
async fn read(
    socket: Arc<UdpSocket>,
    outer: SocketAddr,
    back: mpsc::Sender<(Vec<u8>, SocketAddr)>,
) {
    let mut buffer = vec![0; 2048];
    loop {
        if let Ok((length, _)) = socket.recv_from(&mut buffer).await
            && back.send((buffer[..length].to_vec(), outer)).await.is_err()
        {
            return;
        }
    }
}
