//! Whatever modes a camera has.

use super::*;

fn any_mode() -> impl Strategy<Value = Mode> {
    let fourcc = prop_oneof![
        Just("NV12"),
        Just("YU12"),
        Just("YUYV"),
        Just("MJPG"),
        Just("H264"),
        Just("GREY"),
        Just("RGB3"),
        Just("RG10"),
        Just("????"),
    ];
    let side = prop_oneof![0..5000_u32, Just(640), Just(720), Just(1280), any::<u32>()];
    let part = prop_oneof![0..130_u32, Just(30000), any::<u32>()];
    (
        fourcc,
        side.clone(),
        side,
        part.clone(),
        prop_oneof![Just(1_u32), part],
    )
        .prop_map(|(fourcc, width, height, numerator, denominator)| Mode {
            fourcc: fourcc.into(),
            width,
            height,
            rate: (numerator, denominator),
            ..Mode::default()
        })
}

/// The caps that are last before the tee.
fn last_number(description: &str, key: &str) -> Option<u32> {
    let (_, rest) = description.rsplit_once(key)?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

proptest! {
    #[test]
    fn any_modes_give_a_plan_that_browsers_can_play_or_an_error_with_the_device(
        modes in prop::collection::vec(any_mode(), 0..12),
        usb_mbit in prop::option::of(any::<u32>()),
        kind in prop_oneof![
            Just(CameraKind::V4l2), Just(CameraKind::Hdmi), Just(CameraKind::Libcamera)
        ],
        formats in prop::sample::subsequence(vec!["I420", "NV12", "YUY2"], 0..=3),
        (width, height, fps) in (80..1920_u32, 60..1080_u32, 1..=60_u32),
        pass_through: bool,
        skip_modes in 0..3_usize,
    ) {
        let config = VideoConfig {
            width: width * 2,
            height: height * 2,
            fps,
            ..Default::default()
        };
        let formats: Vec<Cow<'static, str>> = formats.into_iter().map(Into::into).collect();
        let circumstances = Circumstances {
            formats: &formats,
            memory: Memory::Dmabuf,
            pass_through,
            skip_modes,
        };
        let mut camera = webcam(modes.clone());
        (camera.usb_mbit, camera.kind) = (usb_mbit, kind);
        match picture(&config, &[camera], &circumstances) {
            Err(error) => prop_assert!(error.to_string().contains("/dev/video0"), "{}", error),
            Ok(plan) => {
                let text = &plan.description;
                prop_assert!(text.ends_with(" ! tee name=tee allow-not-linked=true"), "{}", text);
                prop_assert_eq!(text.matches("tee name=").count(), 1);
                let width = last_number(text, "width=").expect("a width");
                let height = last_number(text, "height=").expect("a height");
                // A camera's own H.264 knows itself what to leave out.
                let is_even = width.is_multiple_of(2) && height.is_multiple_of(2);
                prop_assert!(is_even || plan.carries == Carries::H264, "{}", text);
                prop_assert!(width >= 16 && height >= 16, "{}", text);
                prop_assert!(modes.contains(plan.mode.as_ref().expect("a mode")));
                prop_assert!((1..=1000).contains(&plan.fps));
                match &plan.carries {
                    Carries::H264 => prop_assert!(pass_through && text.contains("video/x-h264")),
                    Carries::Raw(format) => {
                        // Either what browsers play, or what the encoder's
                        // row says it takes.
                        let is_known = modes::is_420(format) || formats.contains(&format.as_str().into());
                        prop_assert!(is_known, "{}", format);
                        prop_assert!(text.contains(&format!("format={format}")), "{}", text);
                        let area = u64::from(width) * u64::from(height);
                        let wanted = u64::from(config.width) * u64::from(config.height);
                        prop_assert!(area <= wanted.max(256), "{}", text);
                    }
                }
                for encoder in table::rows() {
                    let text = branch(encoder, target(&config), &plan.carries, plan.fps, Memory::Mmap);
                    prop_assert!(text.starts_with("errorignore "), "{}", text);
                    prop_assert!(text.ends_with(SINK), "{}", text);
                    prop_assert_eq!(text.matches("name=out").count(), 1);
                }
            }
        }
    }
}
