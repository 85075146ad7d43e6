//! Whether an open camera is opened anew, for its own H.264 or for an encoder's.

use crate::device::learned::Learned;
use crate::media::plan::{Carries, PicturePlan};

/// What a camera that is open is opened anew for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anew {
    /// Its H.264 passes through, and somebody who watches has no decoder of it: an
    /// encoder's comes in its place.
    Encoded,
    /// It is open for motion alone, and its own H.264 can be passed through by now: who
    /// comes then is sent that.
    Passed,
}

/// What it was opened anew for before.
#[derive(Debug, Default)]
pub(super) struct Renewal {
    /// The camera that was opened to pass its H.264 through. Where it does not come so,
    /// it is not tried again, unless an encoder took its place for a viewer meanwhile.
    passed: Option<String>,
}

impl Renewal {
    /// What a camera that is open by this plan is opened anew for, if at all.
    /// `is_unwatched` says that it is open for motion alone.
    pub(super) fn why(
        &mut self,
        plan: &PicturePlan,
        learned: &Learned,
        is_unwatched: bool,
    ) -> Option<Anew> {
        let passes = plan.carries == Carries::H264;
        if passes && !learned.is_covered() {
            self.passed = None;
            return Some(Anew::Encoded);
        }
        let is_own = plan.mode.as_ref().is_some_and(|m| m.fourcc == "H264");
        if passes || !is_own || !is_unwatched || self.passed == plan.node {
            return None;
        }
        if !learned.pass_through() {
            return None;
        }
        self.passed.clone_from(&plan.node);
        Some(Anew::Passed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::VideoConfig;
    use crate::device::Mode;
    use crate::media::plan;
    use crate::sdp::ProfileLevelId;

    fn opened(carries: Carries) -> PicturePlan {
        PicturePlan {
            node: Some("/dev/video0".to_owned()),
            mode: Some(Mode {
                fourcc: "H264".to_owned(),
                width: 1280,
                height: 720,
                rate: (30, 1),
                unlisted_rate: false,
                interlaced: false,
            }),
            carries,
            ..plan::slate(&VideoConfig::default(), "I420")
        }
    }

    #[test]
    fn a_viewer_without_its_profile_ends_the_passing_for_no_longer_than_they_watch() {
        let id = |text| ProfileLevelId::parse(text).expect("six digits");
        let mut learned = Learned::default();
        learned.turn_to(Some("/dev/video0"));
        learned.own_profile(id("640028"));
        for at in 0..150 {
            learned.own_access_unit(Duration::from_millis(at * 1000 / 30), at % 30 == 0);
        }
        let encoded = opened(Carries::Raw("I420".to_owned()));
        let passed = opened(Carries::H264);
        let mut renewal = Renewal::default();
        for _ in 0..3 {
            // Nobody watches.
            assert_eq!(renewal.why(&encoded, &learned, true), Some(Anew::Passed));
            // Where it does not pass all the same, once is enough.
            assert_eq!(renewal.why(&encoded, &learned, true), None);
            assert_eq!(renewal.why(&passed, &learned, true), None);
            assert_eq!(renewal.why(&passed, &learned, false), None);
            // Somebody comes who has no decoder of it, and goes.
            learned.set_decoders(vec![id("42e01f")]);
            assert_eq!(renewal.why(&passed, &learned, false), Some(Anew::Encoded));
            assert_eq!(renewal.why(&encoded, &learned, false), None);
            assert_eq!(renewal.why(&encoded, &learned, true), None, "still there");
            learned.set_decoders(Vec::new());
            assert_eq!(renewal.why(&encoded, &learned, false), None);
        }
    }
}
