//! Messages of a TURN client and its server in a stream: each says itself how
//! long it is. STUN messages do (RFC 8489 §5), and ChannelData is padded to four
//! bytes there (RFC 8656 §12.5). Pure.

use bytes::{Buf, Bytes, BytesMut};

/// A STUN message's header: type, length, cookie, transaction.
const STUN_HEADER: usize = 20;
/// A ChannelData message's: channel, length.
const CHANNEL_HEADER: usize = 4;
/// In each STUN message, behind the length.
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// Over what a server may send, whose messages carry UDP datagrams.
const LONGEST: usize = 65_536 + CHANNEL_HEADER;

/// A stream that is not TURN's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what comes is no TURN message")]
pub(crate) struct NotTurn;

/// Cuts a stream into messages.
#[derive(Debug, Default)]
pub(crate) struct Framing(BytesMut);

impl Framing {
    /// Where what is received is put, behind what is there.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.0
    }

    /// The next whole message, as a datagram has it: without padding.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, NotTurn> {
        if self.0.len() < CHANNEL_HEADER {
            return Ok(None);
        }
        let length = length(&self.0)?;
        let with_padding = length.next_multiple_of(4);
        if self.0.len() < with_padding {
            return Ok(None);
        }
        let message = self.0.split_to(length).freeze();
        self.0.advance(with_padding - length);
        Ok(Some(message))
    }
}

/// The whole length of the message that begins here, padding aside.
fn length(bytes: &[u8]) -> Result<usize, NotTurn> {
    let said = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    match bytes[0] >> 6 {
        0 if said % 4 == 0 && (bytes.len() < 8 || bytes[4..8] == COOKIE) => Ok(STUN_HEADER + said),
        1 if said <= LONGEST => Ok(CHANNEL_HEADER + said),
        _ => Err(NotTurn),
    }
}

/// How many bytes of zero follow a datagram in a stream; nothing where that is
/// no whole message.
pub(crate) fn padded(datagram: &[u8]) -> Option<usize> {
    if datagram.len() < CHANNEL_HEADER {
        return None;
    }
    let length = length(datagram).ok()?;
    let with_padding = length.next_multiple_of(4);
    // The crate may have padded ChannelData already.
    let whole = datagram.len() == length || datagram.len() == with_padding;
    whole.then(|| with_padding - datagram.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stun(attributes: usize) -> Vec<u8> {
        let mut message = vec![0, 1];
        message.extend((attributes as u16 * 4).to_be_bytes());
        message.extend(COOKIE);
        message.extend((0..12 + attributes * 4).map(|i| i as u8));
        message
    }

    fn channel(length: usize) -> Vec<u8> {
        let mut message = vec![0x40, 7];
        message.extend((length as u16).to_be_bytes());
        message.extend((0..length).map(|i| i as u8));
        message
    }

    fn message() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            (0_usize..40).prop_map(stun),
            (0_usize..1500).prop_map(channel)
        ]
    }

    proptest! {
        /// However a stream is cut, the messages come out as they went in.
        #[test]
        fn messages_come_out_of_a_stream_as_they_went_in(
            messages in proptest::collection::vec(message(), 0..12),
            cuts in proptest::collection::vec(1_usize..700, 1..20),
        ) {
            let mut stream = Vec::new();
            for message in &messages {
                let zeros = padded(message).expect("a whole message");
                stream.extend(message);
                stream.resize(stream.len() + zeros, 0);
                prop_assert!(stream.len().is_multiple_of(4));
            }
            let (mut framing, mut out, mut at, mut cut) = (Framing::default(), Vec::new(), 0, 0);
            while at < stream.len() {
                let end = stream.len().min(at + cuts[cut % cuts.len()]);
                framing.buffer().extend_from_slice(&stream[at..end]);
                (at, cut) = (end, cut + 1);
                while let Some(message) = framing.next().expect("TURN") {
                    out.push(message.to_vec());
                }
            }
            prop_assert_eq!(out, messages);
            prop_assert!(framing.buffer().is_empty());
        }

        #[test]
        fn no_bytes_are_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = padded(&bytes);
            let mut framing = Framing::default();
            framing.buffer().extend_from_slice(&bytes);
            while let Ok(Some(_)) = framing.next() {}
        }
    }

    #[test]
    fn what_is_not_turn_is_told_at_once() {
        let mut framing = Framing::default();
        framing
            .buffer()
            .extend_from_slice(b"\x00\x01\x00\x04not the cookie");
        assert_eq!(framing.next(), Err(NotTurn));
        // TLS of a server that wants it, and RTP.
        for bytes in [[0x15, 3, 3, 0, 2, 2, 70, 0], [0x80, 0x60, 0, 1, 0, 0, 0, 1]] {
            let mut framing = Framing::default();
            framing.buffer().extend_from_slice(&bytes);
            assert_eq!(framing.next(), Err(NotTurn), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_whole_message_is_not_sent() {
        assert_eq!(padded(&channel(5)), Some(3));
        let mut with_padding = channel(5);
        with_padding.resize(12, 0);
        assert_eq!(padded(&with_padding), Some(0));
        assert_eq!(padded(&channel(5)[..8]), None);
        assert_eq!(padded(&[0x80; 40]), None, "RTP");
        assert_eq!(padded(&[0x16; 3]), None);
    }
}
