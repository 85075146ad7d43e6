//! From what an encoder did to whether viewers may see it, in words. Pure.

use super::{Job, Measured};
use crate::sdp::VideoCodec;

/// A key frame that comes later than this many frames after its request was
/// due anyway, or is no answer.
pub(super) const KEY_FRAME_LATE: u32 = 12;

/// Half the bitrate was asked for; more than this share of the former is no
/// answer.
const OBEYED_SHARE: f64 = 0.75;

/// Frames held back that a viewer does not notice.
const HELD_BACK: u32 = 2;

/// Key frames unasked in some five seconds of pictures that are no trouble.
const UNASKED: u32 = 2;

/// Why it is unusable. `problem` is what the element or the probe itself said.
pub(super) fn unusable(job: &Job, measured: &Measured, problem: Option<&str>) -> Option<String> {
    let m = measured;
    if m.empty > 0 {
        return Some(format!(
            "it makes empty frames ({} of {})",
            m.empty, m.frames_in
        ));
    }
    if let Some(problem) = problem {
        return Some(problem.to_owned());
    }
    if m.ended {
        return Some(format!("it ended by itself after {} frames", m.frames_out));
    }
    if m.frames_out == 0 {
        return Some(format!("{} frames went in and none came out", m.frames_in));
    }
    if m.stalled {
        return Some(format!(
            "it stopped after {} frames without a word",
            m.frames_out
        ));
    }
    if m.frames_out < m.frames_in / 2 {
        return Some(format!(
            "{} frames went in and only {} came out",
            m.frames_in, m.frames_out
        ));
    }
    if m.reordered > 0 {
        return Some("it gives frames in another order (B-frames), which WebRTC cannot".to_owned());
    }
    if job.encoder.codec == VideoCodec::Vp8 {
        return None;
    }
    match m.profile.as_deref() {
        None => return Some("its stream has no SPS".to_owned()),
        Some(profile) => {
            if let Some(name) = undecodable(profile) {
                return Some(format!("its profile is {name}, which no browser decodes"));
            }
        }
    }
    (m.bare_key_frames > 0).then(|| "its key frames come without SPS and PPS".to_owned())
}

/// The name of a profile that browsers do not decode.
fn undecodable(profile_level_id: &str) -> Option<String> {
    // ITU-T H.264 Annex A.2, profile_idc.
    match u8::from_str_radix(profile_level_id.get(..2)?, 16).ok()? {
        66 | 77 | 100 => None,
        88 => Some("extended".into()),
        110 => Some("high-10".into()),
        122 => Some("high-4:2:2".into()),
        244 => Some("high-4:4:4".into()),
        other => Some(format!("number {other}")),
    }
}

/// Every request was answered.
pub(super) fn obeys_key_frame_requests(measured: &Measured) -> bool {
    measured.key_frames.iter().all(Option::is_some)
}

/// Half the bitrate was followed by clearly less; also where it was not tried.
pub(super) fn obeys_bitrate(measured: &Measured) -> bool {
    measured
        .rate
        .is_none_or(|r| f64::from(r.then_made) <= f64::from(r.made) * OBEYED_SHARE)
}

/// What is odd about it. `left_out` is what the row has and the element does
/// not.
pub(super) fn warnings(job: &Job, measured: &Measured, left_out: &[String]) -> Vec<String> {
    let m = measured;
    let mut warnings = Vec::new();
    if !left_out.is_empty() {
        warnings.push(format!("left out of its row: {}", left_out.join(", ")));
    }
    if !obeys_key_frame_requests(m) {
        warnings.push(
            "it ignores key frame requests; key frames will come every 2 s instead".to_owned(),
        );
    }
    match m.rate {
        Some(r) if !obeys_bitrate(m) => warnings.push(format!(
            "it ignores a new bitrate: {} kbit/s after {} kbit/s were asked for, {} before",
            r.then_made / 1000,
            r.then_asked / 1000,
            r.made / 1000
        )),
        _ => {}
    }
    if m.slices > 1 {
        warnings.push(format!(
            "it cuts a frame into {} slices: browsers show damage when packets are lost",
            m.slices
        ));
    }
    if m.held_back > HELD_BACK {
        warnings.push(format!(
            "it holds back {} frames, {} ms",
            m.held_back,
            u64::from(m.held_back) * 1000 / u64::from(job.fps.max(1))
        ));
    }
    let missing = m
        .frames_in
        .saturating_sub(m.frames_out)
        .saturating_sub(m.held_back);
    if missing > 2 {
        warnings.push(format!("it left out {missing} of {} frames", m.frames_in));
    }
    if m.unasked_key_frames > UNASKED {
        warnings.push(format!(
            "it made {} key frames that nobody asked for",
            m.unasked_key_frames
        ));
    }
    match m.size {
        Some((width, height)) if (width, height) != (job.width, job.height) => {
            warnings.push(format!(
                "its stream says {width}×{height} for pictures of {}×{}",
                job.width, job.height
            ));
        }
        _ => {}
    }
    if m.second == Some(false) {
        warnings.push("a second one cannot run beside it".to_owned());
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::super::RateChange;
    use super::*;
    use crate::config::VideoConfig;
    use crate::media::encoder::Encoder;

    fn job() -> Job {
        Job::new(
            &Encoder::row("x264").expect("a row"),
            &VideoConfig::default(),
        )
    }

    fn good() -> Measured {
        Measured {
            frames_in: 120,
            frames_out: 120,
            slices: 1,
            key_frames: vec![Some(1), Some(0)],
            rate: Some(RateChange {
                asked: 2_000_000,
                made: 2_100_000,
                then_asked: 1_000_000,
                then_made: 1_050_000,
            }),
            profile: Some("42c01f".into()),
            size: Some((1280, 720)),
            second: Some(true),
            ..Measured::default()
        }
    }

    #[test]
    fn an_encoder_that_does_all_is_usable_without_a_word() {
        assert_eq!(unusable(&job(), &good(), None), None);
        assert_eq!(warnings(&job(), &good(), &[]), [""; 0]);
    }

    #[test]
    fn each_thing_that_makes_it_unusable_is_named() {
        type Break = fn(&mut Measured);
        let cases: [(Break, &str); 11] = [
            (|m| m.frames_out = 0, "none came out"),
            (|m| m.frames_out = 50, "only 50 came out"),
            (|m| m.empty = 3, "empty frames (3 of 120)"),
            (|m| m.ended = true, "ended by itself"),
            (|m| m.stalled = true, "stopped after 120 frames"),
            (|m| m.reordered = 1, "another order"),
            (|m| m.profile = Some("7a001f".into()), "high-4:2:2"),
            (|m| m.profile = Some("6e001f".into()), "high-10"),
            (|m| m.profile = Some("2c001f".into()), "number 44"),
            (|m| m.profile = None, "no SPS"),
            (|m| m.bare_key_frames = 1, "without SPS and PPS"),
        ];
        for (spoil, words) in cases {
            let mut measured = good();
            spoil(&mut measured);
            let why = unusable(&job(), &measured, None).expect(words);
            assert!(why.contains(words), "{words}: {why}");
        }
        let why = unusable(&job(), &good(), Some("the driver says no"));
        assert_eq!(why.as_deref(), Some("the driver says no"));
        for profile in ["42001f", "42c01f", "4d401f", "64001f"] {
            let mut measured = good();
            measured.profile = Some(profile.into());
            assert_eq!(unusable(&job(), &measured, None), None, "{profile}");
        }
    }

    #[test]
    fn each_thing_that_is_odd_is_named() {
        type Break = fn(&mut Measured);
        let cases: [(Break, &str); 8] = [
            (|m| m.key_frames[1] = None, "ignores key frame requests"),
            (
                |m| m.rate.as_mut().expect("set").then_made = 2_000_000,
                "2000 kbit/s after 1000 kbit/s",
            ),
            (|m| m.slices = 4, "4 slices"),
            (|m| m.held_back = 3, "holds back 3 frames, 100 ms"),
            (|m| m.frames_out = 100, "left out 20 of 120"),
            (|m| m.unasked_key_frames = 5, "5 key frames"),
            (|m| m.size = Some((1280, 736)), "1280×736"),
            (|m| m.second = Some(false), "a second one"),
        ];
        for (spoil, words) in cases {
            let mut measured = good();
            spoil(&mut measured);
            assert_eq!(unusable(&job(), &measured, None), None, "{words}");
            let warnings = warnings(&job(), &measured, &[]);
            assert_eq!(warnings.len(), 1, "{words}: {warnings:?}");
            assert!(warnings[0].contains(words), "{words}: {warnings:?}");
        }
        let left_out = ["it has no property \"x\"".to_owned()];
        let warnings = warnings(&job(), &good(), &left_out);
        assert!(warnings[0].contains("no property \"x\""), "{warnings:?}");
    }

    #[test]
    fn vp8_has_no_sps() {
        let mut job = job();
        job.encoder = (*Encoder::row("vp8").expect("a row")).clone();
        let mut measured = good();
        measured.profile = None;
        assert_eq!(unusable(&job, &measured, None), None);
    }
}
