//! A packet of SCTP as the crate reads it: which chunks it has, and whether each is
//! as long for the crate as it says.
//!
//! The crate reckons where a chunk ends from what it has read of it, not from what
//! the chunk says of itself (its length, RFC 9260 §3.2). A COOKIE ACK is four bytes
//! to it, however long it is; what is inside would be read as further chunks, behind
//! the back of whoever looked at the packet before. And it cuts a cause of an error
//! out of a chunk without looking whether there is so much. So only chunks pass that
//! have one reading.

/// Bytes of the common header (RFC 9260 §3.1), and of a chunk's (§3.2).
const HEADER: usize = 12;
const CHUNK_HEADER: usize = 4;
/// The longest packet: what an Ethernet carries. Browsers write 1,200 bytes at most.
/// Each chunk that is kept keeps its whole packet.
pub(super) const PACKET: usize = 1_500;
/// Of a parameter (§3.2.1), and of a cause of an error (§3.3.10).
pub(super) const PART_HEADER: usize = 4;

pub(super) const DATA: u8 = 0;
pub(super) const INIT: u8 = 1;
pub(super) const INIT_ACK: u8 = 2;
pub(super) const SACK: u8 = 3;
const HEARTBEAT: u8 = 4;
const ABORT: u8 = 6;
const SHUTDOWN: u8 = 7;
const SHUTDOWN_ACK: u8 = 8;
const ERROR: u8 = 9;
pub(super) const COOKIE_ECHO: u8 = 10;
const COOKIE_ACK: u8 = 11;
const SHUTDOWN_COMPLETE: u8 = 14;
pub(super) const RECONFIG: u8 = 130;
pub(super) const FORWARD_TSN: u8 = 192;

/// Parameters: of a HEARTBEAT, and of a RE-CONFIG (RFC 6525 §§4.1, 4.4).
const HEARTBEAT_INFO: u16 = 1;
pub(super) const OUTGOING_RESET: u16 = 13;
pub(super) const RESPONSE: u16 = 16;
/// Of an INIT (RFC 3758 §3.1, RFC 4895 §3.3): those whose value the crate reads in
/// part only.
const FORWARD_TSN_SUPPORTED: u16 = 0xc000;
const REQUESTED_HMAC: u16 = 0x8004;

/// Bytes of DATA's value before its text (RFC 9260 §3.3.1).
const BEFORE_TEXT: usize = 12;
/// Of an INIT's before its parameters (§3.3.2).
const BEFORE_PARAMETERS: usize = 16;

/// A chunk, without its header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk<'a> {
    pub kind: u8,
    pub value: &'a [u8],
}

impl<'a> Chunk<'a> {
    pub(super) fn short(&self, at: usize) -> Option<u16> {
        short(self.value, at)
    }

    pub(super) fn number(&self, at: usize) -> Option<u32> {
        let bytes = self.value.get(at..at + 4)?;
        Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// Blocks and doublets of a SACK (RFC 9260 §3.3.4), where it has as many as it
    /// says.
    pub(super) fn blocks(&self) -> Option<usize> {
        let blocks = usize::from(self.short(8)?) + usize::from(self.short(10)?);
        (self.value.len() == 12 + 4 * blocks).then_some(blocks)
    }

    /// Its value's parts, each with its kind, header and padding apart; `None` where
    /// they do not fill it.
    pub(super) fn parts(&self, from: usize) -> Option<Vec<(u16, &'a [u8])>> {
        let mut rest = self.value.get(from..)?;
        let mut parts = Vec::new();
        while !rest.is_empty() {
            let (kind, length) = (short(rest, 0)?, usize::from(short(rest, 2)?));
            parts.push((kind, rest.get(PART_HEADER..length)?));
            // The last one may have no padding.
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Some(parts)
    }

    /// What it counts for.
    pub(super) fn cost(&self) -> usize {
        match self.kind {
            SACK => 1 + self.blocks().unwrap_or_default(),
            _ => 1,
        }
    }

    /// True where the crate, too, finds the next chunk behind its end. Of the others
    /// it reads nothing, nor of what is in a packet with them.
    fn has_one_reading(&self) -> bool {
        match self.kind {
            // What has no text counts for nothing in a window, and is an error (§6.2).
            DATA => self.value.len() > BEFORE_TEXT,
            INIT | INIT_ACK => self.begins_well(),
            SACK => self.blocks().is_some(),
            HEARTBEAT => matches!(self.parts(0).as_deref(), Some([(HEARTBEAT_INFO, _)])),
            ABORT | ERROR => self.has_causes(),
            SHUTDOWN => self.value.len() == 4,
            SHUTDOWN_ACK | COOKIE_ACK | SHUTDOWN_COMPLETE => self.value.is_empty(),
            COOKIE_ECHO => true,
            RECONFIG => self.asks_well(),
            // What follows are pairs of a stream and a number (RFC 3758 §3.2).
            FORWARD_TSN => !self.value.is_empty() && self.value.len().is_multiple_of(4),
            _ => false,
        }
    }

    fn begins_well(&self) -> bool {
        let Some(parameters) = self.parts(BEFORE_PARAMETERS) else {
            return false;
        };
        // The crate passes over a last one that has no value.
        parameters.last().is_none_or(|(_, value)| !value.is_empty())
            && parameters.iter().all(|(kind, value)| match *kind {
                FORWARD_TSN_SUPPORTED => value.is_empty(),
                REQUESTED_HMAC => value.len().is_multiple_of(2),
                OUTGOING_RESET | RESPONSE => false,
                _ => true,
            })
    }

    /// One parameter or two (RFC 6525 §3.1), each of a shape whose length is read
    /// from its kind.
    fn asks_well(&self) -> bool {
        self.parts(0).is_some_and(|parts| {
            (1..=2).contains(&parts.len())
                && parts.iter().all(|(kind, value)| match *kind {
                    OUTGOING_RESET => value.len() >= 12 && value.len().is_multiple_of(2),
                    RESPONSE => value.len() == 8,
                    _ => false,
                })
        })
    }

    /// The crate knows of no padding between causes.
    fn has_causes(&self) -> bool {
        let mut at = 0;
        while at + PART_HEADER <= self.value.len() {
            let length = self.short(at + 2).map_or(0, usize::from);
            if length < PART_HEADER || at + length > self.value.len() {
                return false;
            }
            at += length;
        }
        at.next_multiple_of(4) == self.value.len().next_multiple_of(4)
    }
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// The chunks of a packet, at least one, where they fill it.
pub(super) fn chunks(packet: &[u8]) -> Option<Vec<Chunk<'_>>> {
    let (_, mut rest) = packet.split_at_checked(HEADER)?;
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let (header, body) = rest.split_at_checked(CHUNK_HEADER)?;
        let length = usize::from(short(header, 2)?);
        let value = body.get(..length.checked_sub(CHUNK_HEADER)?)?;
        chunks.push(Chunk {
            kind: header[0],
            value,
        });
        // The last one may have no padding.
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    (!chunks.is_empty()).then_some(chunks)
}

/// The same of a viewer's packet, where it has one reading.
pub(super) fn read(packet: &[u8]) -> Option<Vec<Chunk<'_>>> {
    let chunks = chunks(packet).filter(|_| packet.len() <= PACKET)?;
    // They stand alone (§6.10); the crate sees to it for INIT only.
    let begins = |chunk: &Chunk<'_>| matches!(chunk.kind, INIT | INIT_ACK);
    let alone = chunks.len() == 1 || !chunks.iter().any(begins);
    (alone && chunks.iter().all(Chunk::has_one_reading)).then_some(chunks)
}
