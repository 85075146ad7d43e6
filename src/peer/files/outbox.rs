//! Texts that wait to be sent, and where the bytes of a part belong among them. Pure.

use std::collections::VecDeque;

/// What waits. The bytes of a part follow on the text that announces them, and no other
/// text comes between them.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    texts: VecDeque<String>,
    /// So many go before the bytes: the last of them announces these.
    before_part: usize,
}

impl Outbox {
    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    pub(super) fn say(&mut self, text: String) {
        self.texts.push_back(text);
    }

    /// A part follows on this text, where there is any; called while none is under way.
    pub(super) fn announce(&mut self, text: String) {
        self.say(text);
        self.before_part = self.texts.len();
    }

    /// Bytes are next, where a part is under way.
    pub(super) fn is_part_next(&self) -> bool {
        self.before_part == 0
    }

    /// The text that is next; `None` where bytes are, or nothing is.
    pub(super) fn next(&mut self, has_part: bool) -> Option<String> {
        if has_part && self.is_part_next() {
            return None;
        }
        self.before_part = self.before_part.saturating_sub(1);
        self.texts.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_comes_between_the_bytes_of_a_part() {
        let mut outbox = Outbox::default();
        outbox.say("before".to_owned());
        outbox.announce("a part".to_owned());
        // It came while the part waits.
        outbox.say("behind".to_owned());
        assert_eq!(outbox.next(true).as_deref(), Some("before"));
        assert!(!outbox.is_part_next());
        assert_eq!(outbox.next(true).as_deref(), Some("a part"));
        for _ in 0..3 {
            assert!(outbox.is_part_next());
            assert_eq!(outbox.next(true), None, "bytes");
            outbox.say("another".to_owned());
        }
        assert_eq!(outbox.next(false).as_deref(), Some("behind"));
        assert_eq!(
            (outbox.next(false).as_deref(), outbox.len()),
            (Some("another"), 2)
        );
    }
}
