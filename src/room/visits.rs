//! How often somebody may open sockets and ask for pages, by where they come from: a
//! page is some fifty requests, and one who asks without end is to cost little.

use std::collections::HashMap;
use std::time::Instant;

use super::Source;
use crate::bucket::{Bucket, Rate};

/// Of one source: some pages at once, in a household with many browsers.
const OF_ONE: Rate = Rate {
    burst: 600.0,
    per_second: 60.0,
};
/// A network that a source is part of may have so many times that.
const OF_MANY: f64 = 4.0;
/// So many are remembered. When it is full, the one goes that is the first to have its
/// whole burst again.
const MOST: usize = 1024;

/// What somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visit {
    /// Opens a socket.
    Socket,
    /// The same, and a TLS handshake on it: it is signed, which takes a small board
    /// some milliseconds.
    Handshake,
    /// Asks for something.
    Request,
}

impl Visit {
    fn cost(self) -> f64 {
        match self {
            Self::Socket | Self::Request => 1.0,
            Self::Handshake => 3.0,
        }
    }
}

/// What everybody has left.
#[derive(Debug, Default)]
pub(crate) struct Visits(HashMap<Source, Bucket>);

impl Visits {
    /// Whether that is served; one that is not costs nothing more. Whoever comes from this
    /// machine, or by a proxy on it that nobody told of, is not held to it.
    pub(crate) fn take(&mut self, source: Source, visit: Visit, now: Instant) -> bool {
        if source.is_this_machine() {
            return true;
        }
        let is_served = source.distinct().all(|network| {
            let bucket = self.bucket(network, network == source, now);
            bucket.has(visit.cost(), now)
        });
        if is_served {
            for network in source.distinct() {
                let bucket = self.bucket(network, network == source, now);
                bucket.take(visit.cost(), now);
            }
        }
        is_served
    }

    fn bucket(&mut self, network: Source, is_one: bool, now: Instant) -> &mut Bucket {
        let rate = match is_one {
            true => OF_ONE,
            false => Rate {
                burst: OF_ONE.burst * OF_MANY,
                per_second: OF_ONE.per_second * OF_MANY,
            },
        };
        if self.0.len() >= MOST && !self.0.contains_key(&network) {
            let whole = |(_, bucket): &(&Source, &Bucket)| bucket.full_again();
            let first = self.0.iter().min_by_key(whole).map(|(of, _)| *of);
            first.and_then(|of| self.0.remove(&of));
        }
        let entry = self.0.entry(network);
        entry.or_insert_with(|| Bucket::full(rate, now))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(network: u16) -> Source {
        Source::of([0x2001, 0xdb8, 7, network, 0, 0, 0, 1].into())
    }

    /// Times that this is served in ten seconds, where it is done without end.
    fn served(visits: &mut Visits, from: impl Fn(u32) -> Source, visit: Visit) -> u32 {
        let start = Instant::now();
        let at = |i: u32| start + Duration::from_millis(1) * i;
        let all = 0..10_000;
        all.filter(|i| visits.take(from(*i), visit, at(*i))).count() as u32
    }

    #[test]
    fn requests_and_handshakes_without_end_are_served_at_a_pace_and_others_at_once() {
        let eve = Source::of([192, 0, 2, 1].into());
        for (visit, most) in [
            (Visit::Request, 1_200),
            (Visit::Socket, 1_200),
            (Visit::Handshake, 400),
        ] {
            let mut visits = Visits::default();
            let count = served(&mut visits, |_| eve, visit);
            assert!((most - 5..=most).contains(&count), "{visit:?}: {count}");
            let now = Instant::now();
            let alice = Source::of([192, 0, 2, 2].into());
            let page = (0..60).all(|_| visits.take(alice, Visit::Request, now));
            assert!(page);
        }
    }

    #[test]
    fn a_network_of_many_is_served_as_four() {
        let mut visits = Visits::default();
        let count = served(&mut visits, |i| at(i as u16 % 256), Visit::Request);
        assert!((4_790..=4_800).contains(&count), "{count}");
        // A proxy that nobody told of is everybody.
        let local = Source::of([127, 0, 0, 1].into());
        assert_eq!(served(&mut visits, |_| local, Visit::Request), 10_000);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_who_owes_most_is_not_forgotten() {
        let mut visits = Visits::default();
        let now = Instant::now();
        let eve = Source::of([192, 0, 2, 1].into());
        for _ in 0..=OF_ONE.burst as u32 {
            visits.take(eve, Visit::Request, now);
        }
        for i in 0..4 * MOST as u32 {
            let other = Source::of((0x0a00_0000 + i).to_be_bytes().into());
            assert!(visits.take(other, Visit::Request, now));
            assert!(visits.0.len() <= MOST);
        }
        assert!(!visits.take(eve, Visit::Request, now));
    }
}
