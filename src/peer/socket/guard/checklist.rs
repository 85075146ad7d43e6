//! Which addresses of a caller are checked: as many as make so many pairs with ours. Pure.
//!
//! The crate checks each address with each socket of its family, and what that costs
//! grows with the square of the pairs. Browsers have 4 to 12 addresses, and a device
//! one to three of a family. RFC 8445 §6.1.2.5 has at most 100 pairs; here it is:
//!
//! * the first two of each kind and family (host, name, reflexive, relayed), always;
//! * then as they come, while there is room. Some of it is left to reflexive and
//!   relayed ones, which come last and are the only ones that lead far: further hosts are
//!   dropped before those;
//! * addresses that nobody named and whose checks come ([`Guard`]), beside those: they are there.
//!
//! All calls that look for a path have a number of pairs together. Where that is used up,
//! a call has the first of each kind and family. Who checks us is found all the same.

use std::net::SocketAddr;

use super::{Guard, Together};
use crate::sdp::RemoteCandidate;

/// Pairs of addresses that the caller named.
const NAMED: usize = 48;
/// Of these, with further hosts.
const HOSTS: usize = 36;
/// Pairs of addresses that were seen and not named.
const SEEN: usize = 24;
/// Of each kind and family so many whatever the pairs are.
const FIRST: usize = 2;
/// The same where all calls together have too many.
const FIRST_OF_MANY: usize = 1;
/// Pairs of all calls together that look for a path.
pub(super) const TOGETHER: usize = 256;

/// What the addresses are good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Host,
    Name,
    Reflexive,
    Relayed,
}

/// The pairs of one connection.
#[derive(Debug)]
pub(super) struct Checklist {
    together: Together,
    /// Our sockets, of IPv4 and of IPv6.
    sockets: [usize; 2],
    /// Of each kind and family, how many were taken.
    kinds: [[usize; 2]; 4],
    named: usize,
    seen: usize,
    /// Addresses that make pairs.
    addresses: Vec<SocketAddr>,
    has_path: bool,
}

fn family(address: SocketAddr) -> usize {
    usize::from(address.is_ipv6())
}

impl Checklist {
    pub(super) fn new(together: Together) -> Self {
        Self {
            together,
            sockets: [0, 0],
            kinds: [[0; 2]; 4],
            named: 0,
            seen: 0,
            addresses: Vec::new(),
            has_path: false,
        }
    }

    /// Another generation of ICE.
    pub(super) fn begins_anew(&mut self) {
        let mut anew = Self::new(self.together.clone());
        anew.sockets = self.sockets;
        *self = anew;
    }

    /// The crate checks no other pair from now on.
    pub(super) fn has_path(&mut self) {
        if !std::mem::replace(&mut self.has_path, true) {
            self.together.checks_no_more(self.pairs());
        }
    }

    fn pairs(&self) -> usize {
        self.named + self.seen
    }

    fn checks(&mut self, pairs: usize) {
        if !self.has_path {
            self.together.checks(pairs);
        }
    }

    /// True where an address that the caller names is to be checked.
    fn names(&mut self, candidate: &RemoteCandidate) -> bool {
        let (kind, family, pairs) = match (candidate.address(), candidate.is_host()) {
            // What it stands for may be of either.
            (None, _) => (Kind::Name, 0, self.sockets[0].max(self.sockets[1])),
            (Some(at), true) => (Kind::Host, family(at), self.sockets[family(at)]),
            (Some(at), false) => {
                let kind = match candidate.relay() {
                    Some(_) => Kind::Relayed,
                    None => Kind::Reflexive,
                };
                (kind, family(at), self.sockets[family(at)])
            }
        };
        let (first, fits) = match self.together.pairs() + pairs > TOGETHER {
            true => (FIRST_OF_MANY, false),
            false => {
                let most = match kind {
                    Kind::Host | Kind::Name => HOSTS,
                    Kind::Reflexive | Kind::Relayed => NAMED,
                };
                (FIRST, self.named + pairs <= most)
            }
        };
        let taken = &mut self.kinds[kind as usize][family];
        if *taken >= first && !fits {
            return false;
        }
        *taken += 1;
        self.named += pairs;
        self.checks(pairs);
        self.addresses.extend(candidate.address());
        true
    }

    /// True where an address whose check came may be checked, too. With a path any may:
    /// a viewer's changes in a long call.
    pub(super) fn sees(&mut self, from: SocketAddr) -> bool {
        if self.addresses.contains(&from) {
            return true;
        }
        let pairs = self.sockets[family(from)];
        if !self.has_path && self.seen > 0 && self.seen + pairs > SEEN {
            return false;
        }
        self.seen += pairs;
        self.checks(pairs);
        self.addresses.push(from);
        true
    }
}

impl Drop for Checklist {
    fn drop(&mut self) {
        self.has_path();
    }
}

impl Guard {
    /// Our sockets, of IPv4 and of IPv6, with which addresses to come make pairs.
    pub(crate) fn has_sockets(&mut self, sockets: [usize; 2]) {
        self.checklist.sockets = sockets;
    }

    /// True where the crate may have this address of the caller's.
    pub(crate) fn names(&mut self, candidate: &RemoteCandidate) -> bool {
        let is_checked = self.checklist.names(candidate);
        if is_checked {
            self.pace.is_new();
        }
        is_checked
    }

    /// True where an address that nobody named may ask.
    pub(super) fn sees(&mut self, from: SocketAddr) -> bool {
        let is_checked = self.checklist.sees(from);
        if is_checked {
            self.pace.is_new();
        }
        is_checked
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;

    fn list(together: &Together, sockets: [usize; 2]) -> Checklist {
        let mut list = Checklist::new(together.clone());
        list.sockets = sockets;
        list
    }

    fn candidate(kind: &str, address: &str) -> RemoteCandidate {
        let line = format!("candidate:1 1 udp 1 {address} typ {kind}");
        RemoteCandidate::read(&line).expect("it can be read")
    }

    /// What a computer with several interfaces has, as its browser tells of it.
    fn browser() -> Vec<RemoteCandidate> {
        [
            ("host", "192.168.1.5 50000"),
            ("host", "2001:db8::5 50001"),
            ("host", "10.8.0.2 50002"),
            ("host", "172.17.0.1 50003"),
            ("host", "fd00::5 50004"),
            ("host", "2001:db8::6 50005"),
            ("srflx", "203.0.113.5 50000"),
            ("srflx", "203.0.113.5 50002"),
            ("srflx", "2001:db8::5 50007"),
            ("relay", "198.51.100.1 50008"),
            ("relay", "2001:db8:1::1 50009"),
        ]
        .map(|(kind, address)| candidate(kind, address))
        .to_vec()
    }

    fn silent(count: u8) -> impl Iterator<Item = RemoteCandidate> {
        (0..count).map(|n| candidate("host", &format!("192.0.2.{n} 4000")))
    }

    fn taken(list: &mut Checklist, all: impl IntoIterator<Item = RemoteCandidate>) -> usize {
        all.into_iter().filter(|c| list.names(c)).count()
    }

    #[test]
    fn all_addresses_of_a_browser_are_checked_by_a_device_with_several() {
        let together = Together::new(Instant::now());
        for sockets in [[1, 0], [1, 1], [2, 2], [3, 2], [4, 4]] {
            let mut list = list(&together, sockets);
            assert_eq!(taken(&mut list, browser()), 11, "{sockets:?}");
        }
    }

    #[test]
    fn hosts_leave_room_for_what_leads_further() {
        let together = Together::new(Instant::now());
        let mut list = list(&together, [4, 1]);
        assert_eq!(taken(&mut list, silent(32)), HOSTS / 4);
        let further = browser().into_iter().filter(|c| !c.is_host());
        assert_eq!(taken(&mut list, further), 5);
        assert!(list.pairs() <= NAMED + 4, "{}", list.pairs());
    }

    #[test]
    fn on_a_device_with_networks_of_containers_the_first_of_each_kind_are_checked() {
        let together = Together::new(Instant::now());
        let mut list = list(&together, [20, 1]);
        assert_eq!(taken(&mut list, silent(32)), FIRST);
        let further = browser().into_iter().filter(|c| c.relay().is_some());
        assert_eq!(taken(&mut list, further), 2);
    }

    #[test]
    fn many_who_are_nowhere_leave_the_first_of_each_kind_to_others() {
        let together = Together::new(Instant::now());
        let mut crowd = Vec::new();
        for _ in 0..40 {
            let mut list = list(&together, [3, 2]);
            taken(&mut list, silent(32));
            crowd.push(list);
        }
        assert!(
            together.pairs() <= TOGETHER + 40 * 3,
            "{}",
            together.pairs()
        );
        let mut honest = list(&together, [3, 2]);
        assert_eq!(taken(&mut honest, browser()), 6, "one of each");
        assert!(honest.sees(([192, 0, 2, 77], 1).into()), "who is there");
        // They are given up, or have a path.
        crowd.truncate(20);
        crowd.iter_mut().for_each(Checklist::has_path);
        assert_eq!(together.pairs(), honest.pairs());
        honest.begins_anew();
        assert_eq!(together.pairs(), 0);
        assert_eq!(taken(&mut honest, browser()), 11);
    }

    #[test]
    fn whose_checks_come_from_many_addresses_is_heard_from_some_of_them() {
        let together = Together::new(Instant::now());
        let mut list = list(&together, [3, 2]);
        let named: SocketAddr = ([192, 0, 2, 5], 4_000).into();
        assert!(list.names(&candidate("host", "192.0.2.5 4000")));
        let at = |n: u16| SocketAddr::from(([192, 0, 2, 9], n));
        let heard = (1..100).filter(|n| list.sees(at(*n))).count();
        assert_eq!(heard, SEEN / 3);
        assert!(list.sees(named), "which costs nothing more");
        assert!(list.sees(at(1)) && !list.sees(at(99)));
        list.has_path();
        assert!(list.sees(at(99)), "a path that moves");
    }

    proptest! {
        #[test]
        fn whatever_is_named_and_seen_pairs_are_bounded_and_given_back(
            sockets in [0..33_usize, 0..33_usize],
            steps in proptest::collection::vec((0..7_u8, any::<u8>()), 0..200),
        ) {
            let together = Together::new(Instant::now());
            let mut list = list(&together, sockets);
            for (what, n) in steps {
                let named = |kind, ip: &str| candidate(kind, &format!("{ip}{n} 4000"));
                match what {
                    0 => { list.names(&named("host", "192.0.2.")); }
                    1 => { list.names(&named("srflx", "2001:db8::")); }
                    2 => { list.names(&named("relay", "192.0.2.")); }
                    3 => { list.names(&candidate("host", &format!("a{n}.local 4000"))); }
                    4 => { list.sees(([192, 0, 2, 1], u16::from(n) + 1).into()); }
                    5 if n < 20 => list.begins_anew(),
                    6 if n < 20 => list.has_path(),
                    _ => {}
                }
                let most = sockets[0].max(sockets[1]);
                prop_assert!(list.named <= NAMED + 8 * FIRST * most);
                prop_assert!(list.has_path || list.seen <= SEEN.max(most) || most == 0);
                prop_assert_eq!(together.pairs(), if list.has_path { 0 } else { list.pairs() });
            }
            drop(list);
            prop_assert_eq!(together.pairs(), 0);
        }
    }
}
