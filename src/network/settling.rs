//! When a change of network is one: pure.
//!
//! A lease that is renewed takes an address away and gives it back; an
//! interface that comes up gets one address after another, and its routes last.
//! So a change is told of when it has been quiet for a moment, and at the
//! latest after a second.

use std::time::{Duration, Instant};

use super::Network;

/// So long without news, and what there is holds.
const QUIET: Duration = Duration::from_millis(250);
/// News that do not end are told of all the same.
const LONGEST: Duration = Duration::from_secs(1);

/// News that have not settled.
#[derive(Debug, Clone, Copy)]
struct Unrest {
    began: Instant,
    last: Instant,
}

/// What was told of last, and what is not told yet.
#[derive(Debug)]
pub(super) struct Settling {
    told: Network,
    unrest: Option<Unrest>,
}

impl Settling {
    pub(super) fn new(network: Network) -> Self {
        Self {
            told: network,
            unrest: None,
        }
    }

    /// The kernel says that something changes.
    pub(super) fn news(&mut self, now: Instant) {
        let began = self.unrest.map_or(now, |unrest| unrest.began);
        self.unrest = Some(Unrest { began, last: now });
    }

    /// When to look at the network and call [`Self::settled`].
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let Unrest { began, last } = self.unrest?;
        Some((last + QUIET).min(began + LONGEST))
    }

    /// This is the network now; returned where that is to be told.
    pub(super) fn settled(&mut self, network: Network, now: Instant) -> Option<Network> {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return None;
        }
        self.unrest = None;
        if network == self.told {
            return None;
        }
        self.told.clone_from(&network);
        Some(network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(addresses: &[&str]) -> Network {
        let addresses = addresses.iter().map(|a| a.parse().expect("an address"));
        Network {
            addresses: addresses.collect(),
            outward: [None, None],
        }
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn an_address_that_is_given_back_at_once_is_no_change() {
        let start = Instant::now();
        let mut settling = Settling::new(network(&["192.0.2.1"]));
        assert_eq!(settling.poll_timeout(), None);
        settling.news(start);
        settling.news(start + ms(100));
        assert_eq!(settling.poll_timeout(), Some(start + ms(350)));
        assert_eq!(settling.settled(network(&[]), start + ms(300)), None);
        let back = settling.settled(network(&["192.0.2.1"]), start + ms(350));
        assert_eq!((back, settling.poll_timeout()), (None, None));
    }

    #[test]
    fn a_change_is_told_of_once_when_it_is_quiet() {
        let start = Instant::now();
        let mut settling = Settling::new(network(&["192.0.2.1"]));
        settling.news(start);
        let other = network(&["192.0.2.2"]);
        let told = settling.settled(other.clone(), start + QUIET);
        assert_eq!(told, Some(other.clone()));
        settling.news(start + ms(2_000));
        assert_eq!(settling.settled(other, start + ms(3_000)), None);
    }

    #[test]
    fn a_default_route_is_a_change_too() {
        let start = Instant::now();
        let mut settling = Settling::new(network(&["192.0.2.1"]));
        let mut routed = network(&["192.0.2.1"]);
        routed.outward[0] = Some("192.0.2.1".parse().expect("an address"));
        settling.news(start);
        assert!(settling.settled(routed, start + QUIET).is_some());
    }

    #[test]
    fn news_without_end_are_told_of_after_a_second() {
        let start = Instant::now();
        let mut settling = Settling::new(network(&[]));
        let mut told = None;
        for i in 0..30 {
            let now = start + ms(50 * i);
            settling.news(now);
            let due = settling.poll_timeout().is_some_and(|at| at <= now);
            if due && told.is_none() {
                told = settling.settled(network(&["192.0.2.1"]), now).map(|_| now);
            }
        }
        assert_eq!(told, Some(start + LONGEST));
    }
}
