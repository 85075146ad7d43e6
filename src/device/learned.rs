//! What opening a camera has taught, for the next time. Pure.
//!
//! * Buffers that are shared with the encoder (dmabuf) do not work with every
//!   driver that offers them: after a failure they are copied.
//! * A mode that the bus has no room for (ENOSPC when streaming starts), or that
//!   the driver lists and does not have, is skipped.
//! * A camera's own H.264 is passed through only when its key frames were seen
//!   to come often enough, since nobody can ask a UVC camera for one, and when
//!   all who watch have decoders of its profile.

use std::time::Duration;

use crate::sdp::ProfileLevelId;

/// How buffers pass from camera to encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// As handles of the kernel's, without a copy. Only where both ends can.
    Dmabuf,
    /// Through mapped memory, which always works.
    Mmap,
}

/// Viewers wait for a key frame at most so long.
const KEY_FRAME_DISTANCE: Duration = Duration::from_secs(2);
/// So many distances in a row are a proof.
const PROOF: u32 = 3;
/// Shared buffers that fail so soon are the suspects.
const SUSPECT: Duration = Duration::from_secs(5);

/// What is known of one camera.
#[derive(Debug, Clone, Default)]
pub struct Learned {
    node: Option<String>,
    copies: bool,
    skip_modes: usize,
    distances: Distances,
    /// Of its own H.264.
    profile: Option<ProfileLevelId>,
    /// Who watches H.264, whatever the camera.
    decoders: Vec<ProfileLevelId>,
}

impl Learned {
    /// It is about the camera at `node`.
    pub(crate) fn is_about(&self, node: Option<&str>) -> bool {
        self.node.as_deref() == node
    }

    /// From here on it is about the camera at `node`; what was learned of
    /// another one is forgotten.
    pub(crate) fn turn_to(&mut self, node: Option<&str>) {
        if !self.is_about(node) {
            *self = Self {
                node: node.map(str::to_owned),
                decoders: std::mem::take(&mut self.decoders),
                ..Self::default()
            };
        }
    }

    /// How buffers should pass.
    pub fn memory(&self) -> Memory {
        match self.copies {
            true => Memory::Mmap,
            false => Memory::Dmabuf,
        }
    }

    /// How many of the best modes are not to be tried.
    pub fn skip_modes(&self) -> usize {
        self.skip_modes
    }

    /// The camera's H.264 may be passed through.
    pub fn pass_through(&self) -> bool {
        self.distances.are_short() && self.is_covered()
    }

    /// Its profile is known, and all who watch have decoders of it.
    pub(crate) fn is_covered(&self) -> bool {
        // A profile that covers not even itself is one that no browser has.
        let is_covered =
            |own: ProfileLevelId| own.covers(own) && self.decoders.iter().all(|d| d.covers(own));
        self.profile.is_some_and(is_covered)
    }

    /// The profile of the camera's own H.264, once it was seen.
    pub fn profile(&self) -> Option<ProfileLevelId> {
        self.profile
    }

    /// An SPS of the camera's own H.264 came.
    pub(crate) fn own_profile(&mut self, profile: ProfileLevelId) {
        self.profile = Some(profile);
    }

    /// The profiles of those who watch H.264 from now on.
    pub(crate) fn set_decoders(&mut self, decoders: Vec<ProfileLevelId>) {
        self.decoders = decoders;
    }

    /// It failed, in these words, `after` so long with pictures; `None` when
    /// there was none. `shared` says that buffers were.
    pub fn failed(&mut self, words: &str, after: Option<Duration>, shared: bool) {
        let at_start = after.is_none();
        // The kernel's words for ENOSPC, and v4l2src's for a mode that its driver
        // does not take after all.
        let refusals = [
            "No space left on device",
            "cannot capture at",
            "does not support progressive",
            "reason not-negotiated",
        ];
        if at_start && refusals.iter().any(|refusal| words.contains(refusal)) {
            self.skip_modes += 1;
        } else if shared && after.is_none_or(|after| after < SUSPECT) {
            self.copies = true;
        // All that v4l2src says of it (GStreamer 1.22): the number that STREAMON
        // gave is only in its debug log.
        } else if at_start && words.contains("Buffer pool activation failed") {
            self.skip_modes += 1;
        }
    }

    /// An encoder that was given shared buffers failed: it may have no way into the
    /// camera's memory, or was given a copy after all, which v4l2src makes where its
    /// buffers run low and which GStreamer's V4L2 encoders then refuse.
    pub(crate) fn cannot_share(&mut self) {
        self.copies = true;
    }

    /// No mode is left: they are all tried again, for what took the room on
    /// the bus may be gone.
    pub(crate) fn out_of_modes(&mut self) -> bool {
        std::mem::take(&mut self.skip_modes) > 0
    }

    /// An access unit of the camera's own H.264 came, captured at `at`.
    pub(crate) fn own_access_unit(&mut self, at: Duration, key: bool) {
        self.distances.access_unit(at, key);
    }
}

/// Distances of key frames.
#[derive(Debug, Clone, Default)]
struct Distances {
    last_key: Option<Duration>,
    short: u32,
}

impl Distances {
    /// An access unit came, captured at `at`.
    pub(crate) fn access_unit(&mut self, at: Duration, key: bool) {
        let distance = self.last_key.map(|last| at.saturating_sub(last));
        if distance.is_some_and(|d| d > KEY_FRAME_DISTANCE) {
            self.short = 0;
            self.last_key = None;
        } else if key && distance.is_some() {
            self.short = self.short.saturating_add(1);
        }
        if key {
            self.last_key = Some(at);
        }
    }

    /// They are proven to be short.
    pub(crate) fn are_short(&self) -> bool {
        self.short >= PROOF
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Option<Duration> = Some(Duration::from_secs(1));

    #[test]
    fn shared_buffers_that_fail_soon_are_copied_from_then_on() {
        let mut learned = Learned::default();
        learned.turn_to(Some("/dev/video0"));
        assert_eq!(learned.memory(), Memory::Dmabuf);
        learned.failed("unplugged", Some(Duration::from_secs(3_600)), true);
        learned.failed("unplugged", SOON, false);
        assert_eq!(learned.memory(), Memory::Dmabuf);
        learned.failed("it gave no picture", SOON, true);
        assert_eq!(learned.memory(), Memory::Mmap);
        learned.turn_to(Some("/dev/video0"));
        assert_eq!(learned.memory(), Memory::Mmap);
        learned.turn_to(Some("/dev/video2"));
        assert_eq!(learned.memory(), Memory::Dmabuf);
        learned.cannot_share();
        assert_eq!(learned.memory(), Memory::Mmap);
    }

    #[test]
    fn a_mode_without_room_on_the_bus_is_skipped_until_none_is_left() {
        let mut learned = Learned::default();
        let words = "streamon failed: error 28 (No space left on device)";
        learned.failed(words, None, true);
        learned.failed(words, None, true);
        assert_eq!(learned.skip_modes(), 2);
        assert_eq!(learned.memory(), Memory::Dmabuf, "not its fault");
        assert!(learned.out_of_modes());
        assert_eq!(learned.skip_modes(), 0);
        assert!(!learned.out_of_modes());
    }

    #[test]
    fn a_mode_that_a_driver_lists_and_does_not_take_is_skipped() {
        for words in [
            "Device '/dev/video0' cannot capture at 640x480 (but device returned size 320x240)",
            "Internal data stream error. (streaming stopped, reason not-negotiated (-4))",
        ] {
            let mut learned = Learned::default();
            learned.failed(words, None, true);
            assert_eq!(learned.skip_modes(), 1, "{words}");
            assert_eq!(learned.memory(), Memory::Dmabuf, "not its fault: {words}");
        }
    }

    #[test]
    fn streaming_that_v4l2src_cannot_start_is_the_buffers_fault_and_then_the_mode_s() {
        let mut learned = Learned::default();
        let words = "Failed to allocate required memory. (Buffer pool activation failed)";
        learned.failed(words, None, true);
        assert_eq!((learned.memory(), learned.skip_modes()), (Memory::Mmap, 0));
        learned.failed(words, None, false);
        assert_eq!(learned.skip_modes(), 1);
        learned.failed(words, SOON, false);
        assert_eq!(learned.skip_modes(), 1, "it had room for a while");
    }

    #[test]
    fn a_camera_s_own_h264_passes_where_everybody_has_a_decoder_of_it() {
        let id = |text| ProfileLevelId::parse(text).expect("six digits");
        let mut learned = Learned::default();
        learned.turn_to(Some("/dev/video0"));
        play(&mut learned.distances, 0..5, 30);
        assert!(!learned.pass_through(), "its profile is not known");
        learned.own_profile(id("640028"));
        assert!(learned.pass_through());
        learned.set_decoders(vec![id("640c1f"), id("42e01f")]);
        assert!(!learned.pass_through() && !learned.is_covered());
        learned.set_decoders(vec![id("640c1f")]);
        assert!(learned.pass_through());
        learned.own_profile(id("7a0028"));
        learned.set_decoders(Vec::new());
        assert!(!learned.pass_through(), "no browser has that");
        // Who watches is nothing about a camera.
        learned.set_decoders(vec![id("42e01f")]);
        learned.turn_to(Some("/dev/video2"));
        play(&mut learned.distances, 0..5, 30);
        learned.own_profile(id("640028"));
        assert!(!learned.pass_through());
    }

    fn play(distances: &mut Distances, seconds: std::ops::Range<u64>, every: u64) {
        for frame in seconds.start * 30..seconds.end * 30 {
            let at = Duration::from_millis(frame * 1000 / 30);
            distances.access_unit(at, frame.is_multiple_of(every));
        }
    }

    #[test]
    fn key_frames_every_second_are_proven_after_three_and_disproven_by_a_gap() {
        let mut distances = Distances::default();
        play(&mut distances, 0..3, 30);
        assert!(!distances.are_short());
        play(&mut distances, 3..5, 30);
        assert!(distances.are_short());
        // The camera's setting changed.
        play(&mut distances, 5..12, 30 * 60);
        assert!(!distances.are_short());
    }

    #[test]
    fn key_frames_every_ten_seconds_prove_nothing() {
        let mut distances = Distances::default();
        play(&mut distances, 0..120, 300);
        assert!(!distances.are_short());
    }
}
