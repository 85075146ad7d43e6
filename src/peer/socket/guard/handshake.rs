//! What a viewer may send of DTLS (RFC 6347): as much as a handshake needs, in
//! the shape that a DTLS library writes.
//!
//! The crate under us keeps every record of the next epoch until the handshake
//! is done, sums all fragments of a message at each new one, and follows
//! fragments by recursion. None of it is bounded. So records are counted and
//! looked at before it sees them. What is inside an encrypted record is the
//! crate's to judge; how many there are is not.

/// Bytes of a record's header (RFC 6347 §4.1).
const RECORD_HEADER: usize = 13;
/// Bytes of a handshake message's header (RFC 6347 §4.2.2).
const MESSAGE_HEADER: usize = 12;
/// Records of one datagram; a flight has six.
const RECORDS: usize = 16;
/// The longest handshake message: a chain of certificates. A browser's own is
/// under 1 kB.
const MESSAGE: usize = 16 * 1024;
/// The shortest fragment that is not the end of its message. A library cuts at
/// the path's MTU, which is 200 bytes and more everywhere.
const FRAGMENT: usize = 64;
/// The highest number of a handshake message: a whole handshake with a renewed
/// hello has under 16.
const MESSAGES: u16 = 32;
/// All handshake records of a connection, with what is sent again on a path
/// that loses.
const HANDSHAKE_BYTES: usize = 64 * 1024;
/// The same as a count.
const HANDSHAKE_RECORDS: usize = 256;
/// Encrypted records that overtake the handshake's end: its last message, and
/// the first words of a data channel.
const EARLY_RECORDS: usize = 32;
/// The same in bytes.
const EARLY_BYTES: usize = 16 * 1024;
/// Alerts, and changes of cipher.
const SMALL_RECORDS: usize = 64;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// Counts a connection's DTLS.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    done: bool,
    handshake_bytes: usize,
    handshake_records: usize,
    early_bytes: usize,
    early_records: usize,
    small_records: usize,
}

impl Handshake {
    /// The crate says that the handshake is done: from here on it decrypts each
    /// record at once and keeps none.
    pub(super) fn is_done(&mut self) {
        self.done = true;
    }

    /// True where the datagram is one that a handshake, or what follows it, has.
    pub(super) fn takes(&mut self, datagram: &[u8]) -> bool {
        let mut rest = datagram;
        for _ in 0..RECORDS {
            let Some((header, body)) = rest.split_at_checked(RECORD_HEADER) else {
                return false;
            };
            let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
            let Some((record, after)) = body.split_at_checked(length) else {
                return false;
            };
            let epoch = u16::from_be_bytes([header[3], header[4]]);
            if header[1] != 0xfe || !self.takes_record(header[0], epoch, record) {
                return false;
            }
            if after.is_empty() {
                return true;
            }
            rest = after;
        }
        false
    }

    fn takes_record(&mut self, kind: u8, epoch: u16, record: &[u8]) -> bool {
        if !self.done && epoch > 0 {
            self.early_records += 1;
            self.early_bytes += record.len();
            if self.early_records > EARLY_RECORDS || self.early_bytes > EARLY_BYTES {
                return false;
            }
        }
        match kind {
            HANDSHAKE => {
                self.handshake_records += 1;
                self.handshake_bytes += record.len();
                self.handshake_records <= HANDSHAKE_RECORDS
                    && self.handshake_bytes <= HANDSHAKE_BYTES
                    && (epoch > 0 || is_well_cut(record))
            }
            CHANGE_CIPHER_SPEC | ALERT => {
                self.small_records += 1;
                self.small_records <= SMALL_RECORDS
            }
            APPLICATION_DATA => epoch > 0,
            _ => false,
        }
    }
}

/// The messages of a record in the clear: none empty that should not be, none
/// cut into crumbs, none longer than it says.
fn is_well_cut(record: &[u8]) -> bool {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b));
    let mut rest = record;
    while !rest.is_empty() {
        let Some((header, body)) = rest.split_at_checked(MESSAGE_HEADER) else {
            return false;
        };
        let length = number(&header[1..4]);
        let sequence = u16::from_be_bytes([header[4], header[5]]);
        let (offset, here) = (number(&header[6..9]), number(&header[9..12]));
        let ends = offset + here == length;
        let is_crumb = here < FRAGMENT && !ends;
        let is_empty = here == 0 && length != 0;
        if length > MESSAGE || sequence >= MESSAGES || offset + here > length {
            return false;
        }
        if is_crumb || is_empty || here > body.len() {
            return false;
        }
        // The crate takes a message's whole length from the record, whatever
        // the fragment's is: nothing may follow a fragment.
        if here < length && here != body.len() {
            return false;
        }
        rest = &body[here..];
    }
    true
}

#[cfg(any(test, fuzzing))]
pub(in crate::peer) mod write {
    //! Records for tests.

    pub(crate) fn record(kind: u8, epoch: u16, body: &[u8]) -> Vec<u8> {
        let mut out = vec![kind, 0xfe, 0xfd];
        out.extend_from_slice(&epoch.to_be_bytes());
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&u16::try_from(body.len()).expect("short").to_be_bytes());
        out.extend_from_slice(body);
        out
    }

    pub(crate) fn fragment(length: usize, sequence: u16, offset: usize, here: usize) -> Vec<u8> {
        let three = |n: usize| u32::try_from(n).expect("24 bits").to_be_bytes()[1..].to_vec();
        let mut out = vec![1];
        out.extend(three(length));
        out.extend_from_slice(&sequence.to_be_bytes());
        out.extend(three(offset));
        out.extend(three(here));
        out.resize(out.len() + here, 0xaa);
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::write::{fragment, record};
    use super::*;

    #[test]
    fn a_handshake_passes_whole_cut_and_repeated() {
        let mut handshake = Handshake::default();
        for _ in 0..8 {
            assert!(handshake.takes(&record(HANDSHAKE, 0, &fragment(180, 0, 0, 180))));
            // A flight: certificate in two pieces, an empty hello-done, the rest.
            let mut flight = record(HANDSHAKE, 0, &fragment(1500, 1, 0, 1100));
            flight.extend(record(HANDSHAKE, 0, &fragment(1500, 1, 1100, 400)));
            flight.extend(record(HANDSHAKE, 0, &fragment(0, 2, 0, 0)));
            flight.extend(record(CHANGE_CIPHER_SPEC, 0, &[1]));
            flight.extend(record(HANDSHAKE, 1, &[9; 48]));
            assert!(handshake.takes(&flight));
        }
        handshake.is_done();
        for _ in 0..10_000 {
            assert!(handshake.takes(&record(APPLICATION_DATA, 1, &[0; 1100])));
        }
    }

    #[test]
    fn what_no_library_writes_is_refused() {
        let cases = [
            (
                "an empty piece",
                record(HANDSHAKE, 0, &fragment(100, 0, 0, 0)),
            ),
            ("a crumb", record(HANDSHAKE, 0, &fragment(3_000, 0, 0, 1))),
            (
                "past its end",
                record(HANDSHAKE, 0, &fragment(100, 0, 90, 20)),
            ),
            (
                "endless",
                record(HANDSHAKE, 0, &fragment(1 << 20, 0, 0, 200)),
            ),
            (
                "far ahead",
                record(HANDSHAKE, 0, &fragment(100, 900, 0, 100)),
            ),
            ("words in the clear", record(APPLICATION_DATA, 0, &[0; 9])),
            ("no kind", record(99, 0, &[0; 9])),
            (
                "cut off",
                record(HANDSHAKE, 0, &fragment(180, 0, 0, 180))[..60].to_vec(),
            ),
            ("a lie within", {
                let mut body = fragment(180, 0, 0, 180);
                body.truncate(100);
                record(HANDSHAKE, 0, &body)
            }),
        ];
        for (what, datagram) in cases {
            assert!(!Handshake::default().takes(&datagram), "{what}");
        }
        let two = [fragment(300, 0, 0, 100), fragment(10, 1, 0, 10)].concat();
        assert!(!Handshake::default().takes(&record(HANDSHAKE, 0, &two)));
    }

    #[test]
    fn records_that_the_crate_would_keep_are_few() {
        let mut handshake = Handshake::default();
        let early = record(APPLICATION_DATA, 1, &[0; 900]);
        let kept = (0..100_000).filter(|_| handshake.takes(&early)).count();
        assert!(kept * 900 <= EARLY_BYTES, "{kept}");
    }

    proptest! {
        /// Whatever comes, what the crate may keep of it is bounded.
        #[test]
        fn never_more_than_the_bounds(
            datagrams in proptest::collection::vec(
                (18_u8..26, 0_u16..3, 0_usize..1_200, 0_usize..1_200, 0_u16..40), 0..600),
        ) {
            let mut handshake = Handshake::default();
            let (mut kept, mut count) = (0, 0);
            for (kind, epoch, length, here, sequence) in datagrams {
                let here = here.min(length);
                let datagram = record(kind, epoch, &fragment(length, sequence, 0, here));
                if handshake.takes(&datagram) && kind == HANDSHAKE {
                    kept += datagram.len() - RECORD_HEADER;
                    count += 1;
                }
            }
            prop_assert!(kept <= HANDSHAKE_BYTES && count <= HANDSHAKE_RECORDS);
        }

        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut handshake = Handshake::default();
            handshake.takes(&bytes);
            handshake.takes(&record(HANDSHAKE, 0, &bytes));
        }
    }
}
