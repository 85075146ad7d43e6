//! The wire to QEMU's `usb-redir` device: the messages of the usbredir protocol
//! (version 0.7, `usbredirproto.h`; packet headers of 32-bit ids). What QEMU
//! gets here is a device on a port of its USB controller.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

/// Kinds of message, as `usbredirproto.h` numbers them.
pub mod kind {
    pub const HELLO: u32 = 0;
    pub const DEVICE_CONNECT: u32 = 1;
    pub const DEVICE_DISCONNECT: u32 = 2;
    pub const RESET: u32 = 3;
    pub const INTERFACE_INFO: u32 = 4;
    pub const EP_INFO: u32 = 5;
    pub const SET_CONFIGURATION: u32 = 6;
    pub const GET_CONFIGURATION: u32 = 7;
    pub const CONFIGURATION_STATUS: u32 = 8;
    pub const SET_ALT_SETTING: u32 = 9;
    pub const GET_ALT_SETTING: u32 = 10;
    pub const ALT_SETTING_STATUS: u32 = 11;
    pub const START_ISO_STREAM: u32 = 12;
    pub const STOP_ISO_STREAM: u32 = 13;
    pub const ISO_STREAM_STATUS: u32 = 14;
    pub const CONTROL_PACKET: u32 = 100;
    pub const ISO_PACKET: u32 = 102;
}

/// What became of a transfer.
pub const SUCCESS: u8 = 0;
pub const STALL: u8 = 4;

/// Bits of the capabilities: `device_connect` has a version, `ep_info` has
/// packet sizes.
const CAPABILITIES: u32 = 1 << 1 | 1 << 4;

/// Kind, length and id.
const HEADER: usize = 12;
const HIGH_SPEED: u8 = 2;
const INVALID: u8 = 255;

/// A message of QEMU's.
#[derive(Debug)]
pub struct Message {
    pub kind: u32,
    pub id: u32,
    pub body: Vec<u8>,
}

/// A request on endpoint 0 (USB 2.0 §9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    pub request_type: u8,
    pub request: u8,
    pub value: u16,
    pub index: u16,
    pub length: u16,
}

impl Setup {
    /// Of a control packet, and the data that go to the device.
    pub fn read(body: &[u8]) -> (Self, &[u8]) {
        let word = |at: usize| u16::from_le_bytes([body[at], body[at + 1]]);
        let setup = Self {
            request: body[1],
            request_type: body[2],
            value: word(4),
            index: word(6),
            length: word(8),
        };
        (setup, &body[10..])
    }

    pub fn is_in(self) -> bool {
        self.request_type & 0x80 != 0
    }
}

/// An isochronous endpoint as it is at present.
#[derive(Debug, Clone, Copy)]
pub struct Isochronous {
    /// Its address, with the direction.
    pub address: u8,
    pub interface: u8,
    /// Microframes of 125 µs from packet to packet.
    pub microframes: u8,
    /// Bytes of a packet.
    pub bytes: u16,
}

pub struct Link {
    stream: UnixStream,
    incoming: Vec<u8>,
}

impl Link {
    pub fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            incoming: Vec::new(),
        }
    }

    /// What has come; waits as long as the stream's timeout. An error where
    /// QEMU is gone.
    pub fn receive(&mut self) -> io::Result<Vec<Message>> {
        let mut bytes = [0; 65_536];
        match self.stream.read(&mut bytes) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => self.incoming.extend_from_slice(&bytes[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
        let mut messages = Vec::new();
        while let Some(message) = self.next() {
            messages.push(message);
        }
        Ok(messages)
    }

    fn next(&mut self) -> Option<Message> {
        let word = |at: usize| {
            let bytes = self.incoming.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_le_bytes(bytes))
        };
        let (kind, length, id) = (word(0)?, word(4)? as usize, word(8)?);
        let body = self.incoming.get(HEADER..HEADER + length)?.to_vec();
        self.incoming.drain(..HEADER + length);
        Some(Message { kind, id, body })
    }

    pub fn send(&mut self, kind: u32, id: u32, body: &[u8]) -> io::Result<()> {
        self.stream.write_all(&message(kind, id, body))
    }

    /// Isochronous packets, all at once.
    pub fn send_packets(&mut self, endpoint: u8, packets: &[Vec<u8>]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for packet in packets {
            let length = u16::try_from(packet.len()).expect("at most 3072");
            let mut body = vec![endpoint, SUCCESS];
            body.extend(length.to_le_bytes());
            body.extend(packet);
            bytes.extend(message(kind::ISO_PACKET, 0, &body));
        }
        self.stream.write_all(&bytes)
    }

    pub fn hello(&mut self) -> io::Result<()> {
        let mut body = [0; 64].to_vec();
        body[..6].copy_from_slice(b"webcam");
        body.extend(CAPABILITIES.to_le_bytes());
        self.send(kind::HELLO, 0, &body)
    }

    /// The device is plugged in: its device descriptor, and class, subclass and
    /// protocol of its interfaces.
    pub fn connect(&mut self, device: &[u8], interfaces: &[[u8; 3]]) -> io::Result<()> {
        let mut info = (interfaces.len() as u32).to_le_bytes().to_vec();
        let mut column = |value: &dyn Fn(usize) -> u8| {
            info.extend((0..32).map(|i| if i < interfaces.len() { value(i) } else { 0 }));
        };
        column(&|i| i as u8);
        column(&|i| interfaces[i][0]);
        column(&|i| interfaces[i][1]);
        column(&|i| interfaces[i][2]);
        self.send(kind::INTERFACE_INFO, 0, &info)?;
        // Class, subclass, protocol; vendor, product, version.
        let mut connect = vec![HIGH_SPEED];
        connect.extend(&device[4..7]);
        connect.extend(&device[8..14]);
        self.send(kind::DEVICE_CONNECT, 0, &connect)
    }

    /// The endpoints that there are with the present alternate settings.
    pub fn endpoints(&mut self, present: &[Isochronous]) -> io::Result<()> {
        let (mut types, mut intervals, mut interfaces) = ([INVALID; 32], [0; 32], [0; 32]);
        let mut sizes = [0_u16; 32];
        // Endpoint 0 is a control endpoint, both ways.
        (types[0], types[16]) = (0, 0);
        for endpoint in present {
            let at = usize::from(endpoint.address & 15 | (endpoint.address & 0x80) >> 3);
            types[at] = 1;
            intervals[at] = endpoint.microframes;
            interfaces[at] = endpoint.interface;
            sizes[at] = endpoint.bytes;
        }
        let mut body = [types, intervals, interfaces].concat();
        body.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
        self.send(kind::EP_INFO, 0, &body)
    }

    /// The answer to a control packet: the data for the host, or that it has
    /// taken what it sent; `None` is a stall.
    pub fn answer(&mut self, id: u32, setup: Setup, data: Option<&[u8]>) -> io::Result<()> {
        let status = if data.is_some() { SUCCESS } else { STALL };
        let wanted = usize::from(setup.length);
        let data = data.unwrap_or_default();
        let data = &data[..data.len().min(wanted)];
        let length = match (setup.is_in(), status) {
            (_, STALL) => 0,
            (true, _) => data.len() as u16,
            (false, _) => setup.length,
        };
        let mut body = vec![
            setup.request_type & 0x80,
            setup.request,
            setup.request_type,
            status,
        ];
        for word in [setup.value, setup.index, length] {
            body.extend(word.to_le_bytes());
        }
        body.extend(data);
        self.send(kind::CONTROL_PACKET, id, &body)
    }
}

fn message(kind: u32, id: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    for word in [kind, body.len() as u32, id] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(body);
    bytes
}
