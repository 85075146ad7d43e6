//! A viewer's packets of SCTP at our filter and, as far as they pass, at an
//! association of the crate's, beside an account of what may pass. Without DTLS and
//! all that lies under it, so that there is time for many.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtc::sctp::{
    Association, AssociationHandle, DatagramEvent, Endpoint, EndpointConfig, Event, Payload,
    ServerConfig, StreamEvent, TransportConfig,
};
use rtc::shared::TransportProtocol;

use super::connection::{STEPS, THEIRS};
use crate::fuzzing::Draw;
use crate::peer::sctp::{Sctp, write};

/// Theirs.
const TAG: u32 = 7;
const TSN: u32 = 1 << 20;
/// What is asked for of the crate.
const WINDOW: u32 = 128 * 1024;
/// The longest packet, and how many of them may be kept until all was read.
const LONGEST: usize = 1_500;
const KEPT: usize = 1_024 + 64;
/// Chunks that pass at once, and in a second.
const CHUNKS: (f64, f64) = (400.0, 200.0);
/// Kinds that are known to either.
const KINDS: [u8; 14] = [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 14, 130, 192];

/// Our end, and what it has let in.
struct Ours {
    filter: Sctp,
    endpoint: Endpoint,
    associations: HashMap<AssociationHandle, Association>,
    began: Instant,
    now: Instant,
    /// Our tag and cookie, as our last INIT ACK has them.
    tag: u32,
    cookie: Vec<u8>,
    /// Of theirs, the number before the first, and the last that we acknowledged.
    before: Option<u32>,
    acknowledged: Option<u32>,
    /// Numbers of DATA that passed, and may not have been read.
    kept: HashSet<u32>,
    chunks: usize,
    came: usize,
    went: usize,
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Kind and whole text of each chunk, by what RFC 9260 §3.2 says.
fn chunks(packet: &[u8]) -> Vec<(u8, &[u8])> {
    let mut rest = packet.get(12..).unwrap_or_default();
    let mut chunks = Vec::new();
    while let [kind, _, high, low, ..] = *rest {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(chunk) = rest.get(..length).filter(|_| length >= 4) else {
            break;
        };
        chunks.push((kind, chunk));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    chunks
}

impl Ours {
    fn new() -> Self {
        let now = Instant::now();
        let transport = TransportConfig::default().with_max_receive_buffer_size(WINDOW);
        let server = ServerConfig::new(transport);
        Self {
            filter: Sctp::new(now),
            endpoint: Endpoint::new(
                THEIRS.into(),
                TransportProtocol::UDP,
                EndpointConfig::default().into(),
                Some(server.into()),
            ),
            associations: HashMap::new(),
            began: now,
            now,
            tag: 0,
            cookie: Vec::new(),
            before: None,
            acknowledged: None,
            kept: HashSet::new(),
            chunks: 0,
            came: 0,
            went: 0,
        }
    }

    /// The beginning of an association, as a page has it.
    fn begin(&mut self) {
        let mut init = write::init(TAG, TSN);
        // Both extensions that the crate speaks of itself (RFC 5061 §4.2.7).
        init.extend([0x80, 8, 0, 6, 130, 192, 0, 0]);
        init[3] = 26;
        assert!(self.hears(&write::summed(0, &[init])));
        let echo = write::chunk(10, &self.cookie.clone());
        assert!(self.hears(&write::summed(self.tag, &[echo])));
        let up = self.associations.values().any(|a| !a.is_handshaking());
        assert!(up, "a page's words are enough");
    }

    /// A packet of theirs, where the filter lets it by.
    fn hears(&mut self, packet: &[u8]) -> bool {
        self.came += packet.len();
        // The crate's numbers overflow at their end, where that is looked for.
        let high = packet.get(28).is_some_and(|high| *high > 127);
        if matches!(packet.get(12), Some(1 | 2)) && high {
            return false;
        }
        let passes = self.filter.hears(packet, self.now);
        if passes {
            self.account(packet);
            let data = Bytes::copy_from_slice(packet);
            match self.endpoint.handle(self.now, THEIRS.into(), None, data) {
                Some((handle, DatagramEvent::NewAssociation(association))) => {
                    self.associations.insert(handle, association);
                }
                Some((handle, DatagramEvent::AssociationEvent(event))) => {
                    if let Some(association) = self.associations.get_mut(&handle) {
                        association.handle_event(event);
                    }
                }
                _ => {}
            }
        }
        self.turn();
        passes
    }

    /// What passed is of one piece, of a known kind, and not too much.
    fn account(&mut self, packet: &[u8]) {
        assert!(packet.len() <= LONGEST);
        let all = chunks(packet);
        let whole: usize = all.iter().map(|(_, c)| c.len().next_multiple_of(4)).sum();
        assert_eq!(
            whole,
            (packet.len() - 12).next_multiple_of(4),
            "one reading"
        );
        assert!(!all.is_empty());
        self.chunks += all.len();
        let seconds = self.now.duration_since(self.began).as_secs_f64();
        assert!(self.chunks as f64 <= CHUNKS.0 + CHUNKS.1 * seconds + 1.0);
        for (kind, chunk) in all {
            assert!(KINDS.contains(&kind), "{kind}");
            let number = long(chunk, 4).unwrap_or_default();
            if matches!(kind, 1 | 2) {
                assert_eq!(self.acknowledged, None, "an association begins once");
                self.before = long(chunk, 16).map(|first| first.wrapping_sub(1));
            }
            if !matches!(kind, 0 | 192) {
                continue;
            }
            let last = self.acknowledged.or(self.before).expect("it has begun");
            let ahead = number.wrapping_sub(last);
            assert!(ahead <= 512 || ahead > u32::MAX / 2, "{ahead}");
            if kind == 0 && (1..=512).contains(&ahead) {
                self.kept.insert(number);
            }
        }
        assert!(self.kept.len() <= KEPT, "{} kept", self.kept.len());
        assert!(self.associations.len() <= 16);
    }

    /// As the crate above it does: events are looked at, messages read at once, and
    /// what there is to say is said.
    fn turn(&mut self) {
        let mut gone = Vec::new();
        for (handle, association) in &mut self.associations {
            while let Some(event) = association.poll() {
                let Event::Stream(StreamEvent::Readable { id }) = event else {
                    continue;
                };
                if association.is_handshaking() {
                    continue;
                }
                let Ok(mut stream) = association.stream(id) else {
                    continue;
                };
                while let Ok(Some(message)) = stream.read_sctp() {
                    let _ = message.to_payload(64 * 1024);
                }
            }
            while let Some(transmit) = association.poll_transmit(self.now) {
                let Payload::RawEncode(packets) = transmit.message else {
                    continue;
                };
                for packet in packets {
                    self.went += packet.len();
                    self.filter.says(&packet);
                    for (kind, chunk) in chunks(&packet) {
                        match kind {
                            2 => {
                                self.tag = long(chunk, 4).unwrap_or_default();
                                // Behind sixteen bytes, the first parameter.
                                self.cookie = chunk.get(24..56).unwrap_or_default().to_vec();
                            }
                            3 => {
                                self.acknowledged = long(chunk, 4);
                                if long(chunk, 8) == Some(WINDOW) {
                                    let last = self.acknowledged.unwrap_or_default();
                                    let ahead = |n: &u32| n.wrapping_sub(last);
                                    self.kept.retain(|n| (1..=512).contains(&ahead(n)));
                                }
                            }
                            _ => {}
                        }
                    }
                }
            }
            while let Some(event) = association.poll_endpoint_event() {
                gone.push((*handle, event));
            }
        }
        for (handle, event) in gone {
            self.endpoint.handle_event(handle, event);
            self.associations.remove(&handle);
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for turns in 0.. {
            let due = self.associations.values().filter_map(|a| a.poll_timeout());
            let Some(at) = due.min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            for association in self.associations.values_mut() {
                association.handle_timeout(self.now);
            }
            self.turn();
            assert!(turns < 5_000, "timers spin");
        }
        self.now = end;
        // Each packet has an answer, and one for each request to reset a stream.
        let seconds = self.now.duration_since(self.began).as_secs_f64();
        let most = 100 * self.chunks + 2 * self.came + 2_000 * (seconds as usize + 10);
        assert!(self.went <= most, "{} bytes, {most} at most", self.went);
    }

    /// A chunk that is made up, near to what would be right.
    fn chunk(&self, draw: &mut Draw<'_>) -> Vec<u8> {
        let kind = draw.byte();
        let near = |draw: &mut Draw<'_>| {
            let last = self.acknowledged.unwrap_or(TSN.wrapping_sub(1));
            let far = match draw.byte() {
                255 => return long(draw.bytes(4), 0).unwrap_or_default(),
                far @ 200.. => u32::from(far - 190) * 20,
                far => u32::from(far % 16),
            };
            last.wrapping_add(far)
        };
        let mut value = match kind % 16 {
            0..=5 => {
                let mut value = near(draw).to_be_bytes().to_vec();
                value.extend([0, draw.byte() % 72, 0, draw.byte() % 8]);
                // What it is for (RFC 8831 §8), and its text.
                value.extend([0, 0, 0, [50, 51, 53, 56][usize::from(kind >> 6)]]);
                value.extend(std::iter::repeat_n(b'x', 1 + usize::from(draw.byte()) * 4));
                let mut chunk = write::chunk(0, &value);
                chunk[1] = draw.byte() & 15;
                return chunk;
            }
            6 => return write::forward(near(draw)),
            7 => return write::reset(u32::from(draw.byte() % 12), near(draw)),
            8 => {
                let tsn = near(draw);
                return write::sack_of(tsn, u32::from(draw.short()), u16::from(draw.byte() % 40));
            }
            9 => return write::init(u32::from(draw.byte() % 3), near(draw)),
            10 => return write::chunk(10, &self.cookie),
            _ => draw.bytes(usize::from(kind)).to_vec(),
        };
        let kind = KINDS[usize::from(draw.byte()) % KINDS.len()];
        if kind == 4 {
            let length = (value.len() as u16 + 4).to_be_bytes();
            value.splice(0..0, [0, 1, length[0], length[1]]);
        }
        write::chunk(kind, &value)
    }

    fn step(&mut self, draw: &mut Draw<'_>) {
        let kind = draw.byte();
        match kind % 8 {
            0 => self.pass(Duration::from_millis(u64::from(draw.byte()) * 8)),
            1 => {
                // Any bytes behind a good header.
                let packet = write::summed(self.tag, &[draw.piece().to_vec()]);
                self.hears(&packet);
            }
            2 => {
                self.hears(draw.piece());
            }
            3 => {
                // The same over and over.
                let chunk = self.chunk(draw);
                for _ in 0..draw.byte() {
                    self.hears(&write::summed(self.tag, std::slice::from_ref(&chunk)));
                }
            }
            4 => {
                // In order, of one message or of many.
                let (flags, count) = (draw.byte() & 7, draw.byte());
                for _ in 0..count {
                    let last = self.acknowledged.unwrap_or(TSN.wrapping_sub(1));
                    let mut chunk = write::data(last.wrapping_add(1), 3);
                    chunk[1] = flags;
                    self.hears(&write::summed(self.tag, &[chunk]));
                    self.pass(Duration::from_millis(5));
                }
            }
            _ => {
                let all: Vec<_> = (0..=kind >> 6).map(|_| self.chunk(draw)).collect();
                let tag = if all[0][0] == 1 { 0 } else { self.tag };
                self.hears(&write::summed(tag, &all));
            }
        }
    }
}

/// Whatever a viewer writes of SCTP: what passes can be read in one way, is near to
/// what was acknowledged and little of it is kept; what is answered is bounded, no
/// timer spins, and nothing breaks.
pub fn sctp(data: &[u8]) {
    let mut draw = Draw(data);
    let mut ours = Ours::new();
    if draw.byte() & 1 == 0 {
        ours.begin();
    }
    for _ in 0..STEPS {
        if draw.is_empty() {
            break;
        }
        ours.step(&mut draw);
    }
    ours.pass(Duration::from_secs(3));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces of a message that never ends, each acknowledged.
    #[test]
    fn a_message_without_end_is_kept_as_far_as_it_may() {
        let mut ours = Ours::new();
        ours.begin();
        for n in 0..5_000 {
            let mut chunk = write::data(TSN.wrapping_add(n), 3);
            chunk[1] = if n == 0 { 2 } else { 0 };
            ours.hears(&write::summed(ours.tag, &[chunk]));
            ours.pass(Duration::from_millis(10));
        }
        let last = ours.acknowledged.expect("they are").wrapping_sub(TSN);
        assert!((1_000..KEPT as u32).contains(&last), "{last}");
    }

    /// A page that sends as fast as it may, all of it read.
    #[test]
    fn a_page_is_heard_for_as_long_as_it_speaks() {
        let mut ours = Ours::new();
        ours.begin();
        for n in 0..5_000_u32 {
            let mut chunk = write::data(TSN.wrapping_add(n), 3);
            chunk[10..12].copy_from_slice(&(n as u16).to_be_bytes());
            assert!(ours.hears(&write::summed(ours.tag, &[chunk])), "{n}");
            ours.pass(Duration::from_millis(10));
        }
        assert_eq!(ours.acknowledged, Some(TSN.wrapping_add(4_999)));
    }
}
