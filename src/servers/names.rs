//! When the name of a server is looked up, and what is known of it meanwhile:
//! pure.
//!
//! What was found is kept until something newer is, for a resolver that fails
//! says nothing about an address. Failures are kept too, for a while that
//! grows. A lookup that takes too long is asked again beside it, once: the
//! system's resolver may be waiting for one of another network.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// So long what was found is not asked for again.
const FRESH: Duration = Duration::from_secs(300);
/// The first repeat of a lookup that failed; each one waits twice as long.
const REPEAT: Duration = Duration::from_secs(2);
/// The longest wait between two of them.
const LONGEST: Duration = Duration::from_secs(120);
/// A call asks again for what failed so long ago.
const HURRY: Duration = Duration::from_secs(1);
/// A lookup that took so long is taken for lost.
const DEADLINE: Duration = Duration::from_secs(5);
/// Of one name at a time; each is a thread.
const LOOKUPS: usize = 2;
/// Addresses of one name.
const ADDRESSES: usize = 8;

#[derive(Debug)]
struct Entry {
    /// What was found last.
    addresses: Vec<IpAddr>,
    /// Since when each lookup runs.
    running: Vec<Instant>,
    next: Instant,
    failures: u32,
}

/// What an answer changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// It is found: newly, or again.
    Found,
    /// It is not found any more, or at first.
    Lost,
    /// As before.
    Nothing,
}

/// All names.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<String, Entry>);

impl Names {
    /// A name that is going to be needed; it is looked up now.
    pub(super) fn want(&mut self, name: &str, now: Instant) {
        if !self.0.contains_key(name) {
            let entry = Entry {
                addresses: Vec::new(),
                running: Vec::new(),
                next: now,
                failures: 0,
            };
            self.0.insert(name.to_owned(), entry);
        }
    }

    /// Where it is, as far as that is known.
    pub(super) fn get(&self, name: &str) -> &[IpAddr] {
        self.0.get(name).map_or(&[], |entry| &entry.addresses)
    }

    /// A name to look up now; [`Self::answered`] is to follow.
    pub(super) fn look_up(&mut self, now: Instant) -> Option<String> {
        let due = self
            .0
            .iter_mut()
            .find(|(_, entry)| entry.due() <= Some(now) && entry.due().is_some());
        let (name, entry) = due?;
        entry.running.push(now);
        Some(name.clone())
    }

    /// What a lookup gave: nothing, where it failed.
    pub(super) fn answered(&mut self, name: &str, mut found: Vec<IpAddr>, now: Instant) -> News {
        let Some(entry) = self.0.get_mut(name) else {
            return News::Nothing;
        };
        if !entry.running.is_empty() {
            entry.running.remove(0);
        }
        found.truncate(ADDRESSES);
        if found.is_empty() {
            let first = entry.failures == 0;
            let wait = REPEAT * 2_u32.saturating_pow(entry.failures.min(10));
            entry.failures = entry.failures.saturating_add(1);
            entry.next = now + wait.min(LONGEST);
            return if first { News::Lost } else { News::Nothing };
        }
        let news = entry.failures > 0 || entry.addresses.is_empty();
        entry.failures = 0;
        entry.next = now + FRESH;
        // Large services give their addresses in another order each time.
        entry.addresses = found;
        if news { News::Found } else { News::Nothing }
    }

    /// A call begins: what failed may have been mended.
    pub(super) fn call(&mut self, now: Instant) {
        for entry in self.0.values_mut().filter(|entry| entry.failures > 0) {
            let wait = REPEAT * 2_u32.saturating_pow(entry.failures.min(10) - 1);
            let failed = entry.next.checked_sub(wait.min(LONGEST)).unwrap_or(now);
            entry.next = entry.next.min((failed + HURRY).max(now));
        }
    }

    /// Another network has other answers: all is asked for anew, beside what
    /// runs.
    pub(super) fn network_changed(&mut self, now: Instant) {
        for entry in self.0.values_mut() {
            entry.next = now;
            for began in &mut entry.running {
                *began = now.checked_sub(DEADLINE).unwrap_or(now);
            }
        }
    }

    /// When to look again.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.0.values().filter_map(Entry::due).min()
    }
}

impl Entry {
    /// When the next lookup begins; never, while there are enough.
    fn due(&self) -> Option<Instant> {
        match self.running.last() {
            None => Some(self.next),
            Some(began) if self.running.len() < LOOKUPS => Some(self.next.max(*began + DEADLINE)),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "stun.example";

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn ip(last: u8) -> Vec<IpAddr> {
        vec![[192, 0, 2, last].into()]
    }

    fn names(now: Instant) -> Names {
        let mut names = Names::default();
        names.want(NAME, now);
        names
    }

    #[test]
    fn a_name_is_looked_up_ahead_and_refreshed() {
        let start = Instant::now();
        let mut names = names(start);
        assert_eq!(names.look_up(start).as_deref(), Some(NAME));
        assert_eq!(names.look_up(start), None, "once");
        assert_eq!(names.answered(NAME, ip(1), start + secs(1)), News::Found);
        assert_eq!(names.get(NAME), ip(1));
        assert_eq!(names.poll_timeout(), Some(start + secs(1) + FRESH));
        assert_eq!(names.look_up(start + secs(200)), None);
        let later = start + secs(400);
        assert!(names.look_up(later).is_some());
        assert_eq!(names.answered(NAME, ip(9), later), News::Nothing);
        assert_eq!(names.get(NAME), ip(9));
    }

    #[test]
    fn what_was_found_stays_when_the_resolver_fails() {
        let start = Instant::now();
        let mut names = names(start);
        names.look_up(start);
        names.answered(NAME, ip(1), start);
        let mut now = start + FRESH;
        names.look_up(now);
        assert_eq!(names.answered(NAME, vec![], now), News::Lost);
        assert_eq!(names.get(NAME), ip(1));
        // Ever more seldom, and said once.
        for wait in [2, 4, 8, 16, 32, 64, 120, 120] {
            assert_eq!(names.poll_timeout(), Some(now + secs(wait)));
            now += secs(wait);
            assert!(names.look_up(now).is_some());
            assert_eq!(names.answered(NAME, vec![], now), News::Nothing);
        }
        names.call(now);
        assert_eq!(names.poll_timeout(), Some(now + HURRY), "for a call");
        now += HURRY;
        names.look_up(now);
        assert_eq!(names.answered(NAME, ip(1), now), News::Found, "again");
    }

    #[test]
    fn a_resolver_that_says_nothing_is_asked_twice_at_most() {
        let start = Instant::now();
        let mut names = names(start);
        assert!(names.look_up(start).is_some());
        assert_eq!(names.poll_timeout(), Some(start + DEADLINE));
        assert_eq!(names.look_up(start + secs(4)), None);
        assert!(names.look_up(start + DEADLINE).is_some());
        assert_eq!(names.poll_timeout(), None);
        names.call(start + secs(60));
        names.network_changed(start + secs(60));
        assert_eq!(
            names.look_up(start + secs(60)),
            None,
            "threads are not for ever more"
        );
        names.answered(NAME, vec![], start + secs(61));
        assert!(names.look_up(start + secs(70)).is_some());
        assert_eq!(names.answered(NAME, ip(2), start + secs(71)), News::Found);
    }

    #[test]
    fn another_network_is_asked_at_once() {
        let start = Instant::now();
        let mut names = names(start);
        names.look_up(start);
        names.network_changed(start + secs(1));
        assert!(
            names.look_up(start + secs(1)).is_some(),
            "beside the one that waits"
        );
        names.answered(NAME, vec![], start + secs(2));
        names.answered(NAME, ip(3), start + secs(2));
        assert_eq!(names.look_up(start + secs(100)), None);
        names.network_changed(start + secs(100));
        assert!(names.look_up(start + secs(100)).is_some());
    }

    #[test]
    fn an_answer_to_nobody_is_nothing() {
        let now = Instant::now();
        assert_eq!(Names::default().answered("x", ip(1), now), News::Nothing);
        assert!(Names::default().get("x").is_empty());
    }
}
