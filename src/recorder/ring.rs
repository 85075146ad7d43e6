//! What was seen and heard a moment ago, from a key frame on. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// More bytes are not kept, whatever the bitrate: 30 s at 10 Mbit/s and some.
const MOST_BYTES: usize = 48 * 1024 * 1024;

/// Something that is kept.
#[derive(Debug, Clone)]
pub(super) struct Kept<T> {
    pub(super) at: Instant,
    /// It is a picture that is decodable without what came before.
    pub(super) key: bool,
    pub(super) bytes: usize,
    pub(super) what: T,
}

/// So much as was asked for, and what the first picture of it needs.
#[derive(Debug)]
pub(super) struct Ring<T> {
    length: Duration,
    kept: VecDeque<Kept<T>>,
    bytes: usize,
}

impl<T> Ring<T> {
    pub(super) fn new(length: Duration) -> Self {
        Self {
            length,
            kept: VecDeque::new(),
            bytes: 0,
        }
    }

    pub(super) fn push(&mut self, kept: Kept<T>) {
        if self.kept.is_empty() && !kept.key {
            return;
        }
        let oldest = kept.at.checked_sub(self.length);
        self.bytes += kept.bytes;
        self.kept.push_back(kept);
        while let Some(next) = self.next_key()
            && (self.bytes > MOST_BYTES
                || oldest.is_some_and(|oldest| self.kept[next].at <= oldest))
        {
            self.drop_before(next);
        }
        if self.bytes > MOST_BYTES {
            self.clear();
        }
    }

    /// The second key frame.
    fn next_key(&self) -> Option<usize> {
        let after = self.kept.iter().skip(1).position(|kept| kept.key)?;
        Some(after + 1)
    }

    fn drop_before(&mut self, index: usize) {
        let gone = self.kept.drain(..index);
        let bytes: usize = gone.map(|kept| kept.bytes).sum();
        self.bytes -= bytes;
    }

    pub(super) fn clear(&mut self) {
        self.kept = VecDeque::new();
        self.bytes = 0;
    }

    /// Frames that it has taken room for, and the bytes of those that are there.
    #[cfg(test)]
    pub(super) fn room(&self) -> (usize, usize) {
        (self.kept.capacity(), self.bytes)
    }

    /// From the last key frame that was no later than this on, the oldest first; where
    /// there is none such, or no time is given, all of it. A key frame is first.
    pub(super) fn since(&self, at: Option<Instant>) -> impl Iterator<Item = &Kept<T>> {
        let is_before = |kept: &Kept<T>| at.is_some_and(|at| kept.at <= at);
        let first = self.kept.iter().rposition(|k| k.key && is_before(k));
        self.kept.iter().skip(first.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept(at: Instant, key: bool, bytes: usize) -> Kept<usize> {
        Kept {
            at,
            key,
            bytes,
            what: bytes,
        }
    }

    proptest! {
        /// Whatever comes: it begins with a key frame, reaches back as far as was
        /// asked where that much came, and no further than one more group.
        #[test]
        fn it_reaches_back_as_far_as_was_asked(
            frames in proptest::collection::vec((any::<bool>(), 1..200_u64), 1..400),
            length in 0..5_000_u64,
        ) {
            let (start, length) = (Instant::now(), Duration::from_millis(length));
            let mut ring = Ring::new(length);
            let mut at = start;
            let mut keys = Vec::new();
            for (key, gap) in frames {
                at += Duration::from_millis(gap);
                if key {
                    keys.push(at);
                }
                ring.push(kept(at, key, 10));
                let first = ring.since(None).next();
                prop_assert!(first.is_none_or(|first| first.key));
                // The last key frame that is old enough, else the first.
                let old = keys.iter().rev().find(|k| **k + length <= at);
                let expected = old.or(keys.first());
                prop_assert_eq!(first.map(|first| first.at), expected.copied());
                prop_assert_eq!(ring.bytes, ring.since(None).count() * 10);
                // From where the last one ended no picture is missing, and none is
                // there that was not needed.
                if let Some(since) = ring.kept.get(ring.kept.len() / 2).map(|k| k.at) {
                    let rest: Vec<_> = ring.since(Some(since)).collect();
                    prop_assert!(rest[0].key && rest[0].at <= since);
                    prop_assert!(rest[1..].iter().all(|k| !k.key || k.at > since));
                }
            }
        }
    }

    #[test]
    fn it_has_an_end_in_bytes() {
        let mut ring = Ring::new(Duration::from_secs(30));
        let start = Instant::now();
        for i in 0..100_u32 {
            ring.push(kept(
                start + Duration::from_millis(33) * i,
                i % 10 == 0,
                1024 * 1024,
            ));
            assert!(ring.bytes <= MOST_BYTES);
        }
        assert!(ring.since(None).count() > 30);
        // Without another key frame there is nothing left to begin with.
        for i in 100..200_u32 {
            ring.push(kept(
                start + Duration::from_millis(33) * i,
                false,
                1024 * 1024,
            ));
            assert!(ring.bytes <= MOST_BYTES);
        }
        assert_eq!(ring.since(None).count(), 0);
    }
}
