//! Which of a host's addresses is tried when ("happy eyeballs", RFC 8305):
//! pure.
//!
//! Addresses of both families take turns, a new one is begun a quarter of a
//! second after the last or at once when one failed, and none is given up for
//! the next: an address that swallows everything costs no more than that
//! quarter.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// From one attempt to the next (RFC 8305 §5, "Connection Attempt Delay").
const STAGGER: Duration = Duration::from_millis(250);
/// How long addresses of IPv4 wait for those of IPv6 (RFC 8305 §3, "Resolution
/// Delay").
const RESOLUTION: Duration = Duration::from_millis(50);
/// Addresses of a family that are taken, the first ones.
const MOST: usize = 16;

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V6,
    V4,
}

impl Family {
    /// Both, the preferred one first.
    pub(super) const BOTH: [Self; 2] = [Self::V6, Self::V4];

    fn other(self) -> Self {
        match self {
            Self::V6 => Self::V4,
            Self::V4 => Self::V6,
        }
    }
}

#[derive(Debug, Default)]
struct Found {
    /// The resolver has answered, if only that there are none.
    answered: bool,
    waiting: VecDeque<SocketAddr>,
}

/// The attempts to reach one host.
#[derive(Debug)]
pub(super) struct Eyeballs {
    v6: Found,
    v4: Found,
    /// The family of the last attempt.
    last: Option<Family>,
    running: usize,
    /// No attempt begins before.
    next: Instant,
    /// When addresses of IPv4 came first.
    first_v4: Option<Instant>,
}

impl Eyeballs {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            v6: Found::default(),
            v4: Found::default(),
            last: None,
            running: 0,
            next: now,
            first_v4: None,
        }
    }

    fn of(&mut self, family: Family) -> &mut Found {
        match family {
            Family::V6 => &mut self.v6,
            Family::V4 => &mut self.v4,
        }
    }

    /// The resolver's answer for a family; empty where there are none.
    pub(super) fn resolved(
        &mut self,
        family: Family,
        addresses: impl IntoIterator<Item = SocketAddr>,
        now: Instant,
    ) {
        let found = self.of(family);
        found.answered = true;
        for address in addresses {
            if found.waiting.len() < MOST && !found.waiting.contains(&address) {
                found.waiting.push_back(address);
            }
        }
        if family == Family::V4 && !self.v4.waiting.is_empty() {
            self.first_v4.get_or_insert(now);
        }
    }

    /// The address to try now, if there is one: an attempt has begun.
    pub(super) fn begin(&mut self, now: Instant) -> Option<SocketAddr> {
        if self.due().is_none_or(|due| now < due) {
            return None;
        }
        let family = match self.last {
            None => Family::V6,
            Some(last) => last.other(),
        };
        let (family, address) = match self.of(family).waiting.pop_front() {
            Some(address) => (family, address),
            None => (family.other(), self.of(family.other()).waiting.pop_front()?),
        };
        self.last = Some(family);
        self.running += 1;
        self.next = now + STAGGER;
        Some(address)
    }

    /// An attempt failed: the next one need not wait.
    pub(super) fn failed(&mut self, now: Instant) {
        self.running = self.running.saturating_sub(1);
        self.next = self.next.min(now);
    }

    /// When [`begin`](Self::begin) has something, if nothing happens before.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.v6.waiting.is_empty() && self.v4.waiting.is_empty() {
            return None;
        }
        let patience = match self.first_v4 {
            Some(came) if self.last.is_none() && !self.v6.answered => came + RESOLUTION,
            _ => self.next,
        };
        Some(patience.max(self.next))
    }

    /// There is nothing left to wait for.
    pub(super) fn is_over(&self) -> bool {
        let idle = |found: &Found| found.answered && found.waiting.is_empty();
        self.running == 0 && idle(&self.v6) && idle(&self.v4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v6(n: u16) -> SocketAddr {
        format!("[2001:db8::{n:x}]:443")
            .parse()
            .expect("an address")
    }

    fn v4(n: u8) -> SocketAddr {
        format!("192.0.2.{n}:443").parse().expect("an address")
    }

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Every address that is begun and when, where none ever answers.
    fn all(eyeballs: &mut Eyeballs, start: Instant) -> Vec<(Duration, SocketAddr)> {
        let mut begun = Vec::new();
        let mut now = start;
        while let Some(due) = eyeballs.due() {
            now = now.max(due);
            begun.push((now - start, eyeballs.begin(now).expect("it was due")));
            assert_eq!(eyeballs.begin(now), None, "one at a time");
        }
        begun
    }

    #[test]
    fn families_take_turns_a_quarter_of_a_second_apart() {
        let start = Instant::now();
        let mut eyeballs = Eyeballs::new(start);
        eyeballs.resolved(Family::V4, [v4(1), v4(2), v4(1)], start);
        eyeballs.resolved(Family::V6, [v6(1), v6(2), v6(3)], start);
        assert_eq!(
            all(&mut eyeballs, start),
            [
                (ms(0), v6(1)),
                (ms(250), v4(1)),
                (ms(500), v6(2)),
                (ms(750), v4(2)),
                (ms(1000), v6(3)),
            ]
        );
        assert!(!eyeballs.is_over(), "five are under way");
        for _ in 0..5 {
            eyeballs.failed(start);
        }
        assert!(eyeballs.is_over());
    }

    #[test]
    fn a_failure_brings_the_next_one_forward() {
        let start = Instant::now();
        let mut eyeballs = Eyeballs::new(start);
        eyeballs.resolved(Family::V6, [v6(1)], start);
        eyeballs.resolved(Family::V4, [v4(1)], start);
        assert_eq!(eyeballs.begin(start), Some(v6(1)));
        assert_eq!(eyeballs.begin(start + ms(249)), None);
        eyeballs.failed(start + ms(3));
        assert_eq!(eyeballs.begin(start + ms(3)), Some(v4(1)));
        assert_eq!(eyeballs.due(), None);
    }

    /// A resolver that swallows questions for AAAA holds nothing up.
    #[test]
    fn ipv4_waits_for_ipv6_a_twentieth_of_a_second_and_no_longer() {
        let start = Instant::now();
        let mut eyeballs = Eyeballs::new(start);
        assert_eq!(eyeballs.due(), None);
        assert!(!eyeballs.is_over());
        eyeballs.resolved(Family::V4, [v4(1), v4(2)], start + ms(5));
        assert_eq!(eyeballs.due(), Some(start + ms(55)));
        assert_eq!(eyeballs.begin(start + ms(54)), None);
        assert_eq!(eyeballs.begin(start + ms(55)), Some(v4(1)));
        // One that comes late takes its turn.
        eyeballs.resolved(Family::V6, [v6(1)], start + ms(100));
        assert_eq!(eyeballs.begin(start + ms(305)), Some(v6(1)));
        assert_eq!(eyeballs.begin(start + ms(555)), Some(v4(2)));

        let mut eyeballs = Eyeballs::new(start);
        eyeballs.resolved(Family::V4, [v4(1)], start);
        eyeballs.resolved(Family::V6, [], start + ms(2));
        assert_eq!(eyeballs.begin(start + ms(2)), Some(v4(1)), "there are none");
    }

    #[test]
    fn a_name_with_a_thousand_addresses_costs_no_more_than_its_first() {
        let start = Instant::now();
        let mut eyeballs = Eyeballs::new(start);
        eyeballs.resolved(Family::V6, (0..1000).map(v6), start);
        eyeballs.resolved(Family::V4, [], start);
        assert_eq!(all(&mut eyeballs, start).len(), MOST);
    }
}
