//! Whether picture and sound are taken, and whether they are written. Pure.

use super::names::Why;
use crate::config::RecordWhen;

/// All that it hangs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    /// As configured.
    pub(super) when: RecordWhen,
    /// As configured: viewers have a button.
    pub(super) button: bool,
    /// The owner wants privacy.
    pub(super) private: bool,
    /// Another source waits until nobody takes the picture.
    pub(super) aside: bool,
    /// Viewers who take the picture and are there.
    pub(super) viewers: usize,
    /// One of them takes H.264.
    pub(super) h264: bool,
    /// One of them was invited, or nobody ever was.
    pub(super) invited: bool,
    /// Motion that goes on.
    pub(super) motions: usize,
    /// A viewer has pressed the button.
    pub(super) pressed: bool,
}

impl Wish {
    /// Frames are taken, so that what comes is there at once. Where the camera is
    /// not to be open for it, only while somebody watches; and where they watch VP8, for
    /// which H.264 is one more encode, only while it is written.
    pub(super) fn takes(&self) -> bool {
        if self.private || self.aside {
            return false;
        }
        match self.when {
            RecordWhen::Motion | RecordWhen::Always => true,
            RecordWhen::Watched => self.viewers > 0,
            RecordWhen::Off => self.button && self.viewers > 0 && (self.h264 || self.pressed),
        }
    }

    /// A file is written, and why.
    pub(super) fn why(&self) -> Option<Why> {
        if !self.takes() {
            return None;
        }
        let by_itself = match self.when {
            RecordWhen::Always => Some(Why::Always),
            RecordWhen::Motion => (self.motions > 0).then_some(Why::Motion),
            RecordWhen::Watched if self.invited => Some(Why::Watched),
            RecordWhen::Watched => Some(Why::Strangers),
            RecordWhen::Off => None,
        };
        let by_hand = self.button && self.pressed && self.viewers > 0;
        by_itself.or(by_hand.then_some(Why::Button))
    }

    /// What was before its cause is kept in memory.
    pub(super) fn remembers(&self) -> bool {
        match self.when {
            RecordWhen::Motion => true,
            RecordWhen::Off => self.button,
            RecordWhen::Watched | RecordWhen::Always => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(when: RecordWhen) -> Wish {
        Wish {
            when,
            button: false,
            private: false,
            aside: false,
            viewers: 0,
            h264: false,
            invited: false,
            motions: 0,
            pressed: false,
        }
    }

    #[test]
    fn each_mode_records_when_it_says() {
        let off = wish(RecordWhen::Off);
        assert_eq!((off.takes(), off.why()), (false, None));
        let always = wish(RecordWhen::Always);
        assert_eq!((always.takes(), always.why()), (true, Some(Why::Always)));
        let mut motion = wish(RecordWhen::Motion);
        assert_eq!((motion.takes(), motion.why()), (true, None));
        motion.motions = 1;
        assert_eq!(motion.why(), Some(Why::Motion));
        let mut watched = wish(RecordWhen::Watched);
        assert!(!watched.takes());
        watched.viewers = 1;
        for h264 in [false, true] {
            watched.h264 = h264;
            watched.invited = false;
            assert_eq!(watched.why(), Some(Why::Strangers));
            watched.invited = true;
            assert_eq!(watched.why(), Some(Why::Watched));
            assert!(!watched.remembers());
        }
    }

    #[test]
    fn a_button_records_while_somebody_watches() {
        let mut off = wish(RecordWhen::Off);
        off.pressed = true;
        (off.viewers, off.h264) = (1, true);
        assert!(!off.takes(), "nobody has a button");
        off.button = true;
        assert!(off.takes() && off.remembers());
        assert_eq!(off.why(), Some(Why::Button));
        off.viewers = 0;
        assert_eq!((off.takes(), off.why()), (false, None));
        // Who watches VP8 costs no second encode before they press it.
        (off.viewers, off.h264) = (1, false);
        assert_eq!(off.why(), Some(Why::Button));
        off.pressed = false;
        assert_eq!((off.takes(), off.why()), (false, None));
    }

    #[test]
    fn privacy_and_another_source_come_first() {
        for when in [RecordWhen::Motion, RecordWhen::Always, RecordWhen::Watched] {
            let mut all = wish(when);
            (all.viewers, all.h264, all.motions) = (1, true, 1);
            (all.button, all.pressed) = (true, true);
            assert!(all.takes() && all.why().is_some());
            let mut private = all.clone();
            private.private = true;
            assert_eq!((private.takes(), private.why()), (false, None));
            all.aside = true;
            assert_eq!((all.takes(), all.why()), (false, None));
        }
    }
}
