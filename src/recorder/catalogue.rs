//! What recordings there are, and which goes next. Pure.

use std::collections::BTreeMap;

use super::names::{Id, Why, file};

/// More are not kept: each takes room in memory.
const MOST: usize = 100_000;
/// Before 2020-01-01 a clock was not set; no age is known of what was recorded then.
const SET: u64 = 1_577_836_800;

/// Recordings that viewers made by a button go first where they have more than so many
/// percent of what is kept: they displace no more of the others.
const BY_HAND: u64 = 25;

/// What may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Of all together; 0 is none.
    pub(super) bytes: u64,
    /// In seconds; 0 is none.
    pub(super) age: u64,
    /// Bytes of the disk that stay free.
    pub(super) free: u64,
    /// Percent of what is kept that strangers' may have before they go first.
    pub(super) strangers: u64,
}

/// One recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Why there is one.
    pub(crate) why: Why,
    /// How long it is; `None` while it is being written, and where it has no end yet.
    pub(crate) seconds: Option<u32>,
    /// How large it is.
    pub(crate) bytes: u64,
}

impl Entry {
    pub(super) fn file(&self, id: Id) -> String {
        file(id, self.why, self.seconds)
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    entries: BTreeMap<Id, Entry>,
    bytes: u64,
    /// Of those that were made by a button.
    by_hand: u64,
    /// Of those that were made since strangers watched.
    strangers: u64,
    writing: Option<Id>,
}

impl Catalogue {
    /// A name for one that begins.
    pub(super) fn free_id(&self, began: u64) -> Option<Id> {
        Id::free(began, |id| !self.entries.contains_key(&id))
    }

    /// There is one, or it has changed.
    pub(super) fn put(&mut self, id: Id, entry: Entry) {
        self.bytes += entry.bytes;
        if let Some(share) = self.share(entry.why) {
            *share += entry.bytes;
        }
        if let Some(old) = self.entries.insert(id, entry) {
            self.less(&old);
        }
    }

    /// It is being written, and no other.
    pub(super) fn write(&mut self, id: Option<Id>) {
        self.writing = id;
    }

    pub(super) fn is_being_written(&self, id: Id) -> bool {
        self.writing == Some(id)
    }

    pub(super) fn get(&self, id: Id) -> Option<Entry> {
        self.entries.get(&id).copied()
    }

    pub(super) fn remove(&mut self, id: Id) {
        if let Some(old) = self.entries.remove(&id) {
            self.less(&old);
        }
    }

    fn less(&mut self, old: &Entry) {
        self.bytes -= old.bytes;
        if let Some(share) = self.share(old.why) {
            *share -= old.bytes;
        }
    }

    /// The sum of those that have a share, and no more where others want it.
    fn share(&mut self, why: Why) -> Option<&mut u64> {
        match why {
            Why::Button => Some(&mut self.by_hand),
            Why::Strangers => Some(&mut self.strangers),
            Why::Motion | Why::Watched | Why::Always => None,
        }
    }

    /// Those before this one, the latest first, and whether there are more.
    pub(super) fn page(&self, before: Option<Id>, most: usize) -> (Vec<(Id, Entry)>, bool) {
        let mut rest = match before {
            Some(before) => self.entries.range(..before),
            None => self.entries.range(..),
        }
        .rev();
        let page = rest.by_ref().take(most);
        let page = page.map(|(id, entry)| (*id, *entry)).collect();
        (page, rest.next().is_some())
    }

    /// The one that is to go: the oldest that is not being written, where there is
    /// too much; of those that strangers caused, or that were made by a button, where these
    /// have more than their share. `now` is in seconds since 1970, `free` what the disk has left.
    pub(super) fn surplus(&self, limits: &Limits, now: u64, free: u64) -> Option<Id> {
        let mut done = self
            .entries
            .keys()
            .filter(|id| !self.is_being_written(**id));
        let oldest = *done.next()?;
        let is_too_much = self.entries.len() > MOST
            || (limits.bytes > 0 && self.bytes > limits.bytes)
            || free < limits.free;
        let is_old = |id: &&Id| {
            limits.age > 0 && id.began >= SET && now.saturating_sub(id.began) > limits.age
        };
        match is_too_much {
            true => {
                let strangers = (Why::Strangers, self.strangers, limits.strangers);
                let of = |share| self.surplus_of(share, limits);
                let first = of(strangers).or_else(|| of((Why::Button, self.by_hand, BY_HAND)));
                first.or(Some(oldest))
            }
            // What a clock that was not set has named comes first, and has no age.
            false => std::iter::once(&oldest).chain(done).find(is_old).copied(),
        }
    }

    /// The oldest that there is for this reason, where such `have` more than so many percent
    /// of what is kept: it is less than may be kept where the disk has no room for that.
    fn surplus_of(&self, (why, have, percent): (Why, u64, u64), limits: &Limits) -> Option<Id> {
        let all = match limits.bytes {
            0 => self.bytes,
            most => most.min(self.bytes),
        };
        if have <= all / 100 * percent {
            return None;
        }
        let mut such = self
            .entries
            .iter()
            .filter(|(id, entry)| entry.why == why && !self.is_being_written(**id));
        such.next().map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;

    const NONE: Limits = Limits {
        bytes: 0,
        age: 0,
        free: 0,
        strangers: 25,
    };

    fn entry(bytes: u64) -> Entry {
        Entry {
            why: Why::Motion,
            seconds: Some(10),
            bytes,
        }
    }

    fn filled(all: impl IntoIterator<Item = (u64, u64)>) -> (Catalogue, Vec<Id>) {
        let mut catalogue = Catalogue::default();
        let ids = all.into_iter().map(|(began, bytes)| {
            let id = catalogue.free_id(began).expect("free");
            catalogue.put(id, entry(bytes));
            id
        });
        let ids = ids.collect();
        (catalogue, ids)
    }

    proptest! {
        /// Whatever there is: what goes is the oldest each time, never the one that
        /// is being written, and no more of it than has to.
        #[test]
        fn the_oldest_goes_until_there_is_room(
            all in proptest::collection::vec((SET..SET + 1_000, 1..100_u64), 1..40),
            writing in any::<proptest::sample::Index>(),
            bytes in 1..2_000_u64,
            age in 0..1_200_u64,
        ) {
            let (mut catalogue, ids) = filled(all);
            let writing = *writing.get(&ids);
            catalogue.write(Some(writing));
            let limits = Limits { bytes, age, ..NONE };
            let now = SET + 1_000;
            while let Some(id) = catalogue.surplus(&limits, now, 0) {
                prop_assert_ne!(id, writing);
                let is_old = age > 0 && now - id.began > age;
                prop_assert!(catalogue.bytes > bytes || is_old);
                let mut older = catalogue.entries.range(..id).map(|(id, _)| *id);
                prop_assert!(!older.any(|id| id != writing));
                catalogue.remove(id);
            }
            let left: Vec<_> = catalogue.entries.keys().filter(|id| **id != writing).collect();
            prop_assert!(left.is_empty() || catalogue.bytes <= bytes);
            prop_assert!(age == 0 || left.iter().all(|id| now - id.began <= age));
            let sum: u64 = catalogue.entries.values().map(|entry| entry.bytes).sum();
            prop_assert_eq!(catalogue.bytes, sum);
        }

        /// Pages say each once, the latest first.
        #[test]
        fn pages_are_all_of_it(
            all in proptest::collection::vec(SET..SET + 30, 0..60), most in 1..20_usize
        ) {
            let (catalogue, mut ids) = filled(all.into_iter().map(|began| (began, 1)));
            let mut seen = Vec::new();
            let mut before = None;
            loop {
                let (page, more) = catalogue.page(before, most);
                prop_assert!(page.len() <= most);
                seen.extend(page.iter().map(|(id, _)| *id));
                before = seen.last().copied();
                if !more {
                    break;
                }
            }
            ids.sort_by(|a, b| b.cmp(a));
            prop_assert_eq!(seen, ids);
        }
    }

    #[test]
    fn a_full_disk_takes_the_oldest_and_then_there_is_none() {
        let (mut catalogue, ids) = filled([(SET, 1), (SET + 9, 1)]);
        let limits = Limits { free: 100, ..NONE };
        assert_eq!(catalogue.surplus(&limits, SET, 100), None);
        for id in ids {
            assert_eq!(catalogue.surplus(&limits, SET, 99), Some(id));
            catalogue.remove(id);
        }
        assert_eq!(catalogue.surplus(&limits, SET, 99), None);
    }

    /// Two hundred of one byte each, one after the other, for this reason.
    fn record(catalogue: &mut Catalogue, why: Why, from: u64) {
        let limits = Limits { bytes: 100, ..NONE };
        for began in 0..200 {
            let id = catalogue.free_id(SET + from + began).expect("free");
            catalogue.put(id, Entry { why, ..entry(1) });
            catalogue.write(Some(id));
            while let Some(id) = catalogue.surplus(&limits, SET + from + 1_000, 0) {
                catalogue.remove(id);
            }
        }
        catalogue.write(None);
    }

    /// Somebody presses the button again and again, or strangers watch all day: three
    /// quarters stay.
    #[test]
    fn what_others_cause_displaces_a_quarter_of_what_is_kept_at_most() {
        let bytes = |catalogue: &Catalogue, of: Why| {
            let all = catalogue.entries.values();
            all.filter(|e| e.why == of).map(|e| e.bytes).sum::<u64>()
        };
        for why in [Why::Button, Why::Strangers] {
            let (mut catalogue, _) = filled((0..100).map(|i| (SET + i, 1)));
            record(&mut catalogue, why, 1_000);
            let kept = (bytes(&catalogue, why), bytes(&catalogue, Why::Motion));
            assert_eq!(kept, (25, 75), "{why:?}");
            // What else is recorded takes it back.
            record(&mut catalogue, Why::Watched, 3_000);
            assert_eq!(bytes(&catalogue, why), 0);
            // Where there is nothing else, all of it may be such.
            let mut catalogue = Catalogue::default();
            record(&mut catalogue, why, 0);
            assert_eq!(bytes(&catalogue, why), 100);
            assert_eq!(*catalogue.share(why).expect("a share"), 100);
        }
        // Both have one, and neither takes the other's.
        let (mut catalogue, _) = filled((0..100).map(|i| (SET + i, 1)));
        record(&mut catalogue, Why::Button, 1_000);
        record(&mut catalogue, Why::Strangers, 2_000);
        assert_eq!((catalogue.by_hand, catalogue.strangers), (25, 25));
        assert_eq!(bytes(&catalogue, Why::Motion), 50);
    }

    /// A disk that others fill has room for a hundred of one byte, not for the million that
    /// may be kept: strangers had all of it.
    #[test]
    fn a_share_is_of_what_the_disk_has_room_for() {
        let limits = Limits {
            bytes: 1_000_000,
            free: 50,
            ..NONE
        };
        for why in [Why::Button, Why::Strangers] {
            let (mut catalogue, _) = filled((0..100).map(|i| (SET + i, 1)));
            for began in 0..200 {
                let id = catalogue.free_id(SET + 1_000 + began).expect("free");
                catalogue.put(id, Entry { why, ..entry(1) });
                catalogue.write(Some(id));
                let free = |catalogue: &Catalogue| 150_u64.saturating_sub(catalogue.bytes);
                while let Some(id) = catalogue.surplus(&limits, SET + 2_000, free(&catalogue)) {
                    catalogue.remove(id);
                }
            }
            let have = *catalogue.share(why).expect("a share");
            assert_eq!((have, catalogue.bytes), (25, 100), "{why:?}");
        }
    }

    /// A clock that goes back an hour makes names that are older than those before,
    /// and overwrites none.
    #[test]
    fn a_clock_that_goes_back_loses_nothing() {
        let (mut catalogue, ids) = filled([(SET + 3_600, 1), (SET + 3_660, 1)]);
        let again = catalogue.free_id(SET + 60).expect("free");
        catalogue.put(again, entry(1));
        catalogue.write(Some(again));
        let same = catalogue.free_id(SET + 3_600).expect("free");
        assert!(same > ids[0] && same < ids[1]);
        assert_eq!(catalogue.entries.len(), 3);
        // The one that is being written is the oldest, and stays.
        let limits = Limits { bytes: 2, ..NONE };
        assert_eq!(catalogue.surplus(&limits, SET, 0), Some(ids[0]));
        // In the future as it is now, it is not old.
        let limits = Limits { age: 60, ..NONE };
        assert_eq!(catalogue.surplus(&limits, SET + 60, 0), None);
    }

    #[test]
    fn what_was_recorded_before_the_clock_was_set_has_no_age() {
        let (catalogue, ids) = filled([(60, 1), (SET, 1)]);
        let limits = Limits { age: 60, ..NONE };
        assert_eq!(catalogue.surplus(&limits, SET + 50, 0), None);
        assert_eq!(catalogue.surplus(&limits, SET + 70, 0), Some(ids[1]));
    }

    #[test]
    fn ten_thousand_are_listed_in_no_time() {
        let (catalogue, _) = filled((0..10_000).map(|i| (SET + i, 1)));
        let began = Instant::now();
        let mut before = None;
        let mut seen = 0;
        loop {
            let (page, more) = catalogue.page(before, 100);
            seen += page.len();
            before = page.last().map(|(id, _)| *id);
            if !more {
                break;
            }
        }
        assert_eq!(seen, 10_000);
        assert!(began.elapsed().as_millis() < 500);
    }
}
