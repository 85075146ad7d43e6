//! Any order of datagrams at one guard, beside a simple account of what it may
//! let through. Not part of the program.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub(in crate::peer) use super::handshake::write as records;
use super::pairs::PAIRS;
use super::stun::{Class, Kind, look, write};
use super::{CHANNELS, Guard, MOST_CREDIT, PENDING, SERVERS, TIMES, Together};
use crate::fuzzing::Draw;

const US: &str = "ours";
const SERVER: u8 = 200;

/// An address of a stranger: a few, so that they come again.
pub(in crate::peer) fn address(number: u8) -> SocketAddr {
    match number % 8 {
        n @ 0..6 => ([192, 0, 2, n], 4_000).into(),
        n => ([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(n)], 4_000).into(),
    }
}

/// A guard, and an account of what went by.
pub(in crate::peer) struct Model {
    guard: Guard,
    now: Instant,
    /// Bytes that came for addresses, in their own packets and in words.
    came: u64,
    words: u64,
    /// Bytes of checks to who had not answered.
    unproven: u64,
    /// Requests that left, by their transaction and where they went.
    asked: HashMap<(u8, usize, SocketAddr), u32>,
    proven: Vec<(usize, SocketAddr)>,
}

fn server() -> SocketAddr {
    ([198, 51, 100, SERVER], 3_478).into()
}

impl Model {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let mut guard = Guard::new(Together::new(now), now);
        guard.username(US.to_owned());
        // The crate asks the servers of the configuration first.
        let request = write::message(0x0001, [1; 12], &[]);
        assert!(guard.outgoing(0, server(), &request, now));
        Self {
            guard,
            now,
            came: 0,
            words: 0,
            unproven: 0,
            asked: HashMap::new(),
            proven: Vec::new(),
        }
    }

    /// One thing happens.
    pub(crate) fn step(&mut self, draw: &mut Draw<'_>) {
        let kind = draw.byte();
        let socket = usize::from(kind >> 6);
        match kind % 12 {
            0 => self.now += Duration::from_millis(draw.short().into()),
            1 => {
                let bytes = usize::from(draw.short());
                self.guard.words(bytes);
                self.words += TIMES * bytes as u64;
            }
            2 => self.guard.username(format!("u{}", draw.byte() % 4)),
            3 => self.guard.connected(),
            4 | 5 => self.check(socket, draw.byte(), draw.byte()),
            6 => self.answer(socket, draw.byte(), draw.byte(), kind & 16 != 0),
            7 => {
                let names = [US, "u0", "u1", "nobody"];
                let name = names[usize::from(draw.byte()) % names.len()];
                let request = write::check(draw.byte(), &format!("{name}:them"));
                self.comes(socket, address(draw.byte()), &request);
            }
            8 => {
                let from = draw.byte();
                let from = if from > 240 { server() } else { address(from) };
                self.comes(socket, from, draw.piece());
            }
            9 => {
                // What the crate sends a server, and what comes of it.
                let to = draw.byte() % 6;
                let data = match kind & 16 {
                    0 => write::check(draw.byte(), &format!("them:{US}")),
                    _ => draw.piece().to_vec(),
                };
                let whole = write::send(([192, 0, 2, to], 4_000).into(), &data);
                let _ = self.guard.outgoing(socket, server(), &whole, self.now);
            }
            10 => {
                let mut data = vec![0x40, draw.byte() % 4];
                let piece = draw.piece();
                data.extend((piece.len() as u16).to_be_bytes());
                data.extend_from_slice(piece);
                self.comes(socket, server(), &data);
            }
            _ => {
                // Media, DTLS, anything but STUN: whom the crate asks without a
                // name would be a server.
                let (to, data) = (address(draw.byte()), draw.piece());
                if data.first().is_some_and(|first| *first > 3) {
                    let _ = self.guard.outgoing(socket, to, data, self.now);
                }
            }
        }
        self.holds();
    }

    /// The crate checks a pair.
    fn check(&mut self, socket: usize, to: u8, transaction: u8) {
        let to = address(to);
        let check = write::check(transaction, &format!("them:{US}"));
        if !self.guard.outgoing(socket, to, &check, self.now) {
            return;
        }
        *self.asked.entry((transaction, socket, to)).or_default() += 1;
        if !self.proven.contains(&(socket, to)) {
            self.unproven += check.len() as u64;
        }
    }

    /// Somebody says that they answer.
    fn answer(&mut self, socket: usize, from: u8, transaction: u8, refuses: bool) {
        let from = address(from);
        let kind = if refuses { 0x0111 } else { 0x0101 };
        let answer = write::message(kind, [transaction; 12], &[]);
        if !self.guard.incoming(socket, from, &answer, self.now) {
            return;
        }
        let asked = self.asked.get_mut(&(transaction, socket, from));
        let left = asked.expect("nobody was asked");
        assert!(*left > 0, "one answer for each request");
        *left -= 1;
        if !refuses {
            self.proven.push((socket, from));
        }
    }

    fn comes(&mut self, socket: usize, from: SocketAddr, datagram: &[u8]) {
        let passes = self.guard.incoming(socket, from, datagram, self.now);
        self.came += datagram.len() as u64;
        if from == server() {
            return;
        }
        match look(datagram) {
            Kind::Rtp | Kind::Other | Kind::Channel { .. } => assert!(!passes, "{datagram:?}"),
            Kind::Stun(stun) if passes && stun.class == Class::Success => {
                self.proven.push((socket, from));
            }
            Kind::Dtls | Kind::Rtcp if passes => {
                let pairs = &self.guard.pairs;
                let knows = |p: &super::Pair| {
                    p.socket == socket && p.endpoint.address == from && p.may_speak()
                };
                assert!(pairs.iter().any(knows), "of a stranger");
            }
            _ => {}
        }
    }

    /// What is always so.
    fn holds(&self) {
        let guard = &self.guard;
        assert!(guard.pairs.len() <= PAIRS && guard.pending.len() <= PENDING);
        assert!(guard.channels.len() <= CHANNELS && guard.servers.len() <= SERVERS);
        assert!(guard.credit <= MOST_CREDIT);
        let most = TIMES * self.came + self.words;
        assert!(self.unproven <= most, "{} of {most}", self.unproven);
    }
}
