//! A flight of the handshake once more, before the crate's own timer. Pure.
//!
//! The crate waits for a second before it sends a flight again (RFC 6347
//! §4.2.4.1). A flight gets lost on good paths too: the other end may find the path
//! a moment later than we do, and drop the hello that was faster. Browsers begin
//! with 50 ms. The same datagram twice is what any path may do, and whoever had the
//! first drops the second (RFC 6347 §4.1.2.6).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Before the first further time: twice the round trip, as far as that is known, in
/// these bounds. Chromium drops a hello that comes before it has seen an answer to a
/// check of its own, which on a short way is a few milliseconds later.
const FIRST: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(50));
/// Each further time takes twice as long, up to this; then it is the crate's turn.
const LAST: Duration = Duration::from_millis(400);
/// So often at most.
const TIMES: usize = 6;
/// Datagrams of a flight; a certificate in small pieces has some five.
const MOST: usize = 8;
/// The longest datagram, in bytes: what an Ethernet carries.
const LONGEST: usize = 1_500;

/// A datagram as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sent {
    pub to: SocketAddr,
    pub datagram: Vec<u8>,
}

/// Our last flight, until it is answered.
#[derive(Debug, Default)]
pub(super) struct Again {
    flight: Vec<Sent>,
    /// The shortest round trip that was seen.
    round_trip: Option<Duration>,
    /// Before this flight's first further time.
    first: Duration,
    /// Which of our sockets it left by.
    socket: usize,
    times: usize,
    due: Option<Instant>,
    /// The other end has spoken since: what is sent next begins a flight.
    answered: bool,
    /// The highest number of a message that came in the clear.
    heard: Option<u16>,
    done: bool,
}

impl Again {
    /// The crate sent a datagram of DTLS.
    pub(super) fn sent(&mut self, socket: usize, to: SocketAddr, datagram: &[u8], now: Instant) {
        if self.done || datagram.len() > LONGEST {
            return;
        }
        // At the end of our times the crate repeats it, with other numbers.
        let is_another =
            std::mem::take(&mut self.answered) || self.socket != socket || self.wait().is_none();
        if is_another || self.flight.is_empty() {
            self.flight.clear();
            (self.socket, self.times) = (socket, 0);
            let (least, most) = FIRST;
            self.first = self
                .round_trip
                .map_or(most, |took| (took * 2).clamp(least, most));
        }
        if self.flight.len() < MOST {
            let datagram = datagram.to_vec();
            self.flight.push(Sent { to, datagram });
        }
        self.due = self.wait().map(|wait| now + wait);
    }

    /// An answer to a check took so long.
    pub(super) fn round_trip(&mut self, took: Duration) {
        self.round_trip = Some(self.round_trip.map_or(took, |least| least.min(took)));
    }

    /// Until the flight is sent once more.
    fn wait(&self) -> Option<Duration> {
        let wait = self.first * 2_u32.pow(self.times.min(TIMES) as u32);
        (wait <= LAST).then_some(wait)
    }

    /// A datagram of DTLS came from the other end. One that it repeats says that
    /// ours was lost.
    pub(super) fn came(&mut self, datagram: &[u8], now: Instant) {
        let number = message(datagram);
        let is_repeated = number.is_some_and(|n| self.heard.is_some_and(|heard| n <= heard));
        self.heard = self.heard.max(number);
        if is_repeated {
            self.due = self.due.map(|due| due.min(now));
        } else {
            self.answered = true;
            self.due = None;
        }
    }

    /// The handshake is done.
    pub(super) fn is_done(&mut self) {
        *self = Self {
            done: true,
            ..Self::default()
        };
    }

    /// True where nothing will be due any more.
    pub(super) fn is_over(&self) -> bool {
        self.done
    }

    /// When that socket is to send the flight again.
    pub(super) fn due(&self, socket: usize) -> Option<Instant> {
        self.due.filter(|_| socket == self.socket)
    }

    /// The flight, where that socket is to send it now.
    pub(super) fn take(&mut self, socket: usize, now: Instant) -> &[Sent] {
        if self.due(socket).is_none_or(|due| now < due) {
            return &[];
        }
        self.times += 1;
        self.due = self.wait().map(|wait| now + wait);
        &self.flight
    }
}

/// The number of the first handshake message of a datagram, where that is not
/// encrypted (RFC 6347 §§4.1, 4.2.2).
fn message(datagram: &[u8]) -> Option<u16> {
    let in_the_clear = datagram.first() == Some(&22) && datagram.get(3..5) == Some(&[0, 0]);
    let number = datagram.get(17..19).filter(|_| in_the_clear)?;
    Some(u16::from_be_bytes([number[0], number[1]]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::handshake::write::{fragment, record};
    use super::*;

    fn to() -> SocketAddr {
        ([192, 0, 2, 1], 4_000).into()
    }

    fn hello(number: u16) -> Vec<u8> {
        record(22, 0, &fragment(100, number, 0, 100))
    }

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// When a flight that nobody answers is sent again, in ms.
    fn times(again: &mut Again, begin: Instant) -> Vec<u128> {
        let mut times = Vec::new();
        while let Some(due) = again.due(0) {
            assert!(again.take(0, due - millis(1)).is_empty());
            assert!(again.take(1, due).is_empty(), "it left by another");
            assert_eq!(again.take(0, due).len(), 1);
            times.push((due - begin).as_millis());
        }
        times
    }

    #[test]
    fn a_flight_that_nobody_answers_is_sent_four_times_more_within_a_second() {
        let (mut again, now) = (Again::default(), Instant::now());
        again.sent(0, to(), &hello(0), now);
        assert_eq!(times(&mut again, now), [50, 150, 350, 750]);
        // The crate sends it again, with other numbers.
        let later = now + millis(1_000);
        again.sent(0, to(), &hello(1), later);
        assert_eq!(times(&mut again, later), [50, 150, 350, 750]);
    }

    #[test]
    fn on_a_short_way_it_is_sent_again_sooner() {
        for (round_trip, expected) in [
            (1, vec![10, 30, 70, 150, 310, 630]),
            (10, vec![20, 60, 140, 300, 620]),
            (300, vec![50, 150, 350, 750]),
        ] {
            let (mut again, now) = (Again::default(), Instant::now());
            again.round_trip(millis(round_trip));
            again.round_trip(millis(1_000));
            again.sent(0, to(), &hello(0), now);
            assert_eq!(times(&mut again, now), expected);
        }
    }

    #[test]
    fn an_answer_ends_it_and_begins_another_flight() {
        let (mut again, now) = (Again::default(), Instant::now());
        again.sent(0, to(), &hello(0), now);
        again.came(&hello(0), now + millis(10));
        assert_eq!(again.due(0), None);
        for _ in 0..20 {
            again.sent(1, to(), &hello(2), now + millis(20));
        }
        assert_eq!(again.take(1, now + millis(70)).len(), MOST);
        // What the other end says once more asks for ours.
        again.came(&hello(0), now + millis(80));
        assert_eq!(again.take(1, now + millis(80)).len(), MOST);
        again.is_done();
        again.sent(0, to(), &hello(3), now + millis(90));
        assert_eq!(again.due(1), None);
    }

    proptest! {
        /// Whatever comes and goes, little is kept, and each flight goes out six
        /// times more at most.
        #[test]
        fn it_is_bounded(steps in prop::collection::vec((0..4_u8, any::<u16>(), 0..2_000_usize), 0..300)) {
            let (mut again, mut now) = (Again::default(), Instant::now());
            let mut repeated = 0;
            for (step, number, length) in steps {
                match step {
                    0 => {
                        repeated = 0;
                        again.sent(0, to(), &vec![22; length], now);
                    }
                    1 => again.came(&hello(number), now),
                    2 => now += millis(u64::from(number % 500)),
                    _ => repeated += usize::from(!again.take(0, now).is_empty()),
                }
                prop_assert!(again.flight.len() <= MOST && repeated <= TIMES);
            }
        }
    }
}
