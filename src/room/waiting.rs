//! Sockets that are no chat connection yet: handshakes and page loads. A newcomer
//! is always let in, and one of the source that has most gives way, of the widest network
//! that has most: first one that has asked for nothing yet, then one that has its answer,
//! and of those the oldest.

use std::collections::{BTreeMap, HashMap};

use super::Source;

/// A browser opens so many for a page: who has no more is not who has most.
const OF_A_PAGE: usize = 6;

/// One socket, in the order in which they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// How far it is; who is at the first gives way first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Mute,
    Answered,
    Answering,
}

/// The sockets that wait.
#[derive(Debug)]
pub struct Waiting {
    total: usize,
    per_source: usize,
    next: u64,
    /// Oldest first.
    sockets: BTreeMap<Ticket, (Source, Stage)>,
    /// Of each source, and of each network that has some.
    counts: HashMap<Source, usize>,
}

impl Waiting {
    /// With room for so many in all, and so many of one source. A source that
    /// is `shared` (a trusted proxy, this machine) is held to the first alone.
    pub fn new(total: usize, per_source: usize) -> Self {
        Self {
            total: total.max(1),
            per_source: per_source.max(1),
            next: 0,
            sockets: BTreeMap::new(),
            counts: HashMap::new(),
        }
    }

    /// A socket came. Returns its ticket, and which one is to be closed for it.
    pub fn enter(&mut self, source: Source, shared: bool) -> (Ticket, Option<Ticket>) {
        let is_crowd = self.count(source) >= self.per_source && !shared;
        let is_full = self.sockets.len() >= self.total;
        let weight = |source: &Source| {
            let counts = source.networks().map(|network| self.count(network));
            counts.map(|count| count.max(OF_A_PAGE))
        };
        let sources = self.sockets.values().map(|(source, _)| source);
        let most = sources.map(weight).max().filter(|_| is_full);
        let gives_way = |other: &Source| match is_crowd {
            true => *other == source,
            false => most.is_some_and(|most| weight(other) == most),
        };
        let given_way = self
            .sockets
            .iter()
            .filter(|(_, (other, _))| gives_way(other))
            .min_by_key(|(ticket, (_, stage))| (*stage, **ticket))
            .map(|(ticket, _)| *ticket);
        if let Some(ticket) = given_way {
            self.leave(ticket);
        }
        let ticket = Ticket(self.next);
        self.next += 1;
        self.sockets.insert(ticket, (source, Stage::Mute));
        for network in source.distinct() {
            *self.counts.entry(network).or_default() += 1;
        }
        (ticket, given_way)
    }

    /// A whole request has come of it.
    pub fn asked(&mut self, ticket: Ticket) {
        if let Some((_, stage)) = self.sockets.get_mut(&ticket) {
            *stage = Stage::Answering;
        }
    }

    /// The answer has gone out.
    pub fn answered(&mut self, ticket: Ticket) {
        if let Some((_, stage)) = self.sockets.get_mut(&ticket) {
            *stage = Stage::Answered;
        }
    }

    /// A socket ended, or is a chat connection now.
    pub fn leave(&mut self, ticket: Ticket) {
        let Some((source, _)) = self.sockets.remove(&ticket) else {
            return;
        };
        for network in source.distinct() {
            if let Some(count) = self.counts.get_mut(&network) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&network);
                }
            }
        }
    }

    fn count(&self, network: Source) -> usize {
        self.counts.get(&network).copied().unwrap_or(0)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.sockets.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> Source {
        Source::of([192, 0, 2, last].into())
    }

    #[test]
    fn idle_sockets_of_one_source_keep_nobody_out() {
        let mut waiting = Waiting::new(100, 100);
        for _ in 0..100 {
            assert_eq!(waiting.enter(source(1), false).1, None);
        }
        let (alice, given_way) = waiting.enter(source(2), false);
        assert_eq!(given_way, Some(Ticket(0)), "the oldest of the many");
        for _ in 0..500 {
            let (_, given_way) = waiting.enter(source(1), false);
            assert_ne!(given_way, Some(alice));
        }
        assert_eq!(waiting.len(), 100);
    }

    #[test]
    fn one_source_has_its_own_limit_unless_it_is_shared() {
        let mut waiting = Waiting::new(100, 10);
        for _ in 0..10 {
            assert_eq!(waiting.enter(source(1), false).1, None);
        }
        assert_eq!(waiting.enter(source(1), false).1, Some(Ticket(0)));
        for _ in 0..90 {
            assert_eq!(waiting.enter(source(9), true).1, None);
        }
        assert_eq!(waiting.enter(source(2), false).1, Some(Ticket(11)));
    }

    #[test]
    fn a_page_that_loads_is_not_cut_by_many_addresses_with_few_sockets() {
        let mut waiting = Waiting::new(128, 32);
        let page: Vec<_> = (0..6).map(|_| waiting.enter(source(1), false).0).collect();
        for ticket in &page {
            waiting.asked(*ticket);
        }
        for socket in 0..1_000 {
            let address = source(2 + (socket % 50) as u8);
            let (ticket, given_way) = waiting.enter(address, false);
            assert!(
                given_way.is_none_or(|gone| !page.contains(&gone)),
                "{socket}"
            );
            // Some of them ask for something, and have it.
            if socket % 3 == 0 {
                waiting.asked(ticket);
                waiting.answered(ticket);
            }
        }
        assert_eq!(waiting.len(), 128);
    }

    /// Each /64 of it has no more than a page opens, and the oldest of all went.
    #[test]
    fn a_page_that_loads_is_not_cut_by_one_ipv6_subscriber() {
        let mut waiting = Waiting::new(128, 32);
        let at = |network: u16| Source::of([0x2001, 0xdb8, 7, network, 0, 0, 0, 1].into());
        let page: Vec<_> = (0..6).map(|_| waiting.enter(source(1), false).0).collect();
        for n in 0..1_000 {
            let (_, given_way) = waiting.enter(at(n % 256), false);
            assert!(given_way.is_none_or(|gone| !page.contains(&gone)), "{n}");
        }
        assert_eq!(waiting.len(), 128);
    }

    #[test]
    fn who_left_has_no_place() {
        let mut waiting = Waiting::new(1, 1);
        let (first, _) = waiting.enter(source(1), false);
        waiting.leave(first);
        waiting.leave(first);
        assert!(waiting.is_empty());
        assert_eq!(waiting.enter(source(1), false).1, None);
    }
}
