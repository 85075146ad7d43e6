use super::*;
use crate::config::VideoConfig;

fn tried(id: &str, width: u32, height: u32) -> Report {
    crate::media::element::init().expect("GStreamer is installed");
    let config = VideoConfig {
        width,
        height,
        ..VideoConfig::default()
    };
    let row = Encoder::row(id).expect("a row");
    let mut stages = Vec::new();
    let report = probe(&Job::new(&row, &config), &mut |r| stages.push(r.stage));
    assert_eq!(
        stages,
        [Stage::Encoded, Stage::Second],
        "{}",
        report.words()
    );
    assert_eq!(report.stage, Stage::Stopped);
    report
}

#[test]
fn x264_does_all_that_it_should() {
    // A width that is no multiple of four: planes are padded.
    for (width, height) in [(1280, 720), (322, 182)] {
        let report = tried("x264", width, height);
        assert_eq!(report.words(), "usable", "{:?}", report.measured);
        let m = &report.measured;
        assert_eq!(m.frames_in, m.frames_out);
        assert_eq!((m.held_back, m.slices), (0, 1));
        assert_eq!(m.size, Some((width, height)));
        assert!(
            m.key_frames.iter().all(|f| f.is_some_and(|f| f <= 3)),
            "{m:?}"
        );
        let rate = m.rate.expect("tried");
        for (asked, made) in [(rate.asked, rate.made), (rate.then_asked, rate.then_made)] {
            let share = f64::from(made) / f64::from(asked);
            assert!((0.6..1.4).contains(&share), "{m:?}");
        }
        let profile = report.profile().expect("an SPS").to_string();
        assert!(profile.starts_with("42c0"), "{profile}");
    }
}

#[test]
fn openh264_is_usable() {
    let report = tried("openh264", 640, 360);
    assert!(report.is_usable(), "{report:?}");
    assert!(report.obeys_key_frame_requests(), "{report:?}");
}

#[test]
fn vp8_is_usable_and_obeys() {
    let report = tried("vp8", 640, 360);
    assert_eq!(report.words(), "usable", "{:?}", report.measured);
    assert_eq!(report.profile(), None);
}

#[test]
fn a_row_that_cannot_be_built_is_a_finding() {
    crate::media::element::init().expect("GStreamer is installed");
    let mut job = Job::new(
        &Encoder::row("x264").expect("a row"),
        &VideoConfig::default(),
    );
    job.encoder.caps = "video/x-vp8".into();
    let report = probe(&job, &mut |_| {});
    assert!(!report.is_usable());
    job.encoder.ahead = "nosuchelement".into();
    let report = probe(&job, &mut |_| {});
    assert!(
        report.words().contains("nosuchelement"),
        "{}",
        report.words()
    );
}
