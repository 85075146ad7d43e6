//! Viewers whose handshake is good and who then write SCTP of their own: theirs is
//! exchanged for other words just before it is encrypted.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rtc::ice::mdns::MulticastDnsMode;

use super::connection::{Call, REHEARSAL};
use crate::lock::lock;
use crate::peer::assembly::settings_for;
use crate::peer::convoy::Convoy;
use crate::peer::crypto::Look;
use crate::peer::sctp::write;

/// Where DATA begins in a packet, and what of it is not its text.
const HEADER: usize = 12;
const DATA_HEADER: usize = 16;
/// Times 100 ms that a word waits for its turn.
const MOST_WAITS: usize = 20;

/// What a viewer knows of their own SCTP, and what they say instead.
#[derive(Default)]
struct Words {
    /// The number of their last DATA.
    tsn: u32,
    instead: Option<Vec<u8>>,
}

struct Meddler(Arc<Mutex<Words>>);

impl Look for Meddler {
    fn says(&mut self, packet: &mut [u8]) {
        let mut words = lock(&self.0);
        if packet.get(HEADER) != Some(&0) {
            return;
        }
        let its_length = words.instead.as_ref().map(|chunks| HEADER + chunks.len());
        if its_length == Some(packet.len()) {
            let chunks = words.instead.take().unwrap_or_default();
            packet[HEADER..].copy_from_slice(&chunks);
            if chunks.first() == Some(&1) {
                // An INIT has no tag yet (RFC 9260 §8.5.1).
                packet[4..8].fill(0);
            }
            write::sum(packet);
        } else if let Some(tsn) = packet.get(16..20) {
            words.tsn = u32::from_be_bytes([tsn[0], tsn[1], tsn[2], tsn[3]]);
        }
    }

    fn hears(&mut self, _: &[u8]) -> bool {
        true
    }
}

/// A call whose viewer writes chunks as they like.
struct Meddled {
    call: Call,
    words: Arc<Mutex<Words>>,
}

impl Meddled {
    fn connected() -> Self {
        let words = Arc::<Mutex<Words>>::default();
        let settings = settings_for(
            MulticastDnsMode::Disabled,
            Meddler(words.clone()),
            Convoy::default(),
        );
        let mut call = Call::connected_by(&REHEARSAL, settings);
        call.pass(Duration::from_secs(1));
        call.say("hello".to_owned());
        call.pass(Duration::from_secs(1));
        Self { call, words }
    }

    fn tsn(&self) -> u32 {
        lock(&self.words).tsn
    }

    /// Sends these chunks, which are as long as DATA is at the least, as soon as the
    /// viewer's own SCTP lets them. False where it never did.
    fn sends(&mut self, chunks: Vec<u8>) -> bool {
        let text = chunks.len().checked_sub(DATA_HEADER).expect("long enough");
        lock(&self.words).instead = Some(chunks);
        self.call.say("x".repeat(text));
        self.call.carry();
        for _ in 0..MOST_WAITS {
            if lock(&self.words).instead.is_none() {
                return true;
            }
            self.call.pass(Duration::from_millis(100));
        }
        lock(&self.words).instead = None;
        false
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;
    use crate::peer::sctp::write::{chunk, reset};

    /// A word that is long enough to be exchanged.
    fn forward(tsn: u32) -> Vec<u8> {
        chunk(192, &[&tsn.to_be_bytes()[..], &[0; 12]].concat())
    }

    #[test]
    fn numbers_that_are_left_out_are_not_walked_over() {
        let mut viewer = Meddled::connected();
        let tsn = viewer.tsn();
        let began = Instant::now();
        for far in [1 << 25, 1 << 30, u32::MAX / 2 - 1] {
            assert!(viewer.sends(forward(tsn.wrapping_add(far))), "{far}");
        }
        let took = began.elapsed();
        assert!(took < Duration::from_millis(500), "{took:?}");
    }

    /// A COOKIE ACK has no value; the crate looks for the next chunk where it ends,
    /// however long it says it is.
    #[test]
    fn numbers_that_are_left_out_in_secret_are_not_walked_over() {
        let mut viewer = Meddled::connected();
        let hidden = forward(viewer.tsn().wrapping_add(u32::MAX / 2 - 1));
        let began = Instant::now();
        assert!(viewer.sends(chunk(11, &hidden)));
        let took = began.elapsed();
        assert!(took < Duration::from_millis(500), "{took:?}");
    }

    #[test]
    fn a_cause_of_an_error_that_is_longer_than_its_chunk_breaks_nothing() {
        let mut viewer = Meddled::connected();
        for kind in [6, 9] {
            assert!(viewer.sends(chunk(kind, &[&[0, 12, 0xff, 0xff][..], &[0; 16]].concat())));
        }
        viewer.call.pass(Duration::from_secs(1));
        assert!(viewer.call.is_up());
    }

    #[test]
    fn what_is_asked_for_too_early_is_not_answered_at_each_word() {
        let mut viewer = Meddled::connected();
        let tsn = viewer.tsn();
        let asks = |number| reset(number, tsn.wrapping_add(500));
        let asked = (0..100).filter(|number| viewer.sends(asks(*number)));
        let asked = asked.count();
        assert!(asked >= 50, "{asked} left");
        let before = viewer.call.went;
        for _ in 0..20 {
            viewer.call.say("hello".to_owned());
            viewer.call.pass(Duration::from_millis(200));
        }
        let went = viewer.call.went - before;
        assert!(went < 20_000, "{went} bytes");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Whatever a viewer writes, what leaves is bounded ([`Call::pass`]).
        #[test]
        fn any_chunks_cost_a_bounded_answer(
            all in proptest::collection::vec(
                (any::<u8>(), proptest::collection::vec(any::<u8>(), 16..80)), 0..60),
        ) {
            let mut viewer = Meddled::connected();
            for (kind, value) in all {
                // Those that end an association are a viewer's own affair.
                let kind = [0, 1, 2, 3, 4, 5, 10, 11, 130, 192][usize::from(kind) % 10];
                let _ = viewer.sends(chunk(kind, &value));
                viewer.call.pass(Duration::from_millis(20));
            }
            viewer.call.pass(Duration::from_secs(1));
        }
    }
}
