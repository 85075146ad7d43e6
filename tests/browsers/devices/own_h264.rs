//! A camera that makes H.264 of its own.

use super::*;

/// What the camera's picture goes through on its way to the first of two
/// callers, and to the second, who calls when the camera was closed. The first
/// watches for so long. And how many warnings there were.
async fn ways_to_two_callers(gop: u32, high: bool, watched: Duration) -> ([String; 2], usize) {
    let bed = Bed::start(FakeCamera::new(Format::H264 { gop, high }, 640, 360, 30)).await;
    let node = bed.camera.node().display().to_string();
    let is_open = || bed.device.open_files().contains(&node);
    // Logged when they are made: up to the tee, and on it.
    let made = |message: &str, with: &str| {
        let log = bed.device.log();
        let all = log.iter().filter(|line| line["message"] == message);
        all.filter_map(|line| line["description"].as_str())
            .rfind(|description| description.contains(with))
            .expect("it was logged")
            .to_owned()
    };
    let way = || {
        format!(
            "{}; {}",
            made("pipeline", "v4l2src"),
            made("encoder", "appsink")
        )
    };

    let mut viewer = bed.viewer().await;
    flows("the camera", SOON, &viewer, pictures, FULL_RATE).await;
    let first = way();
    sleep(watched).await;
    viewer.hang_up().await;
    until("the camera is closed", SOON, || async {
        (!is_open()).then_some(())
    })
    .await;

    viewer.call_with(&[CHANNEL]).await;
    flows("the camera again", SOON, &viewer, pictures, FULL_RATE).await;
    assert!(is_open());
    viewer.received(|received| {
        assert!(received.video.key_frames > 0);
        assert_one_stream(&received.video, VIDEO_CLOCK);
    });
    if !way().contains("x264enc") {
        // It is its own encoder, and follows what the viewer's path carries.
        let asked = until("the camera is told a bitrate", SOON, || async {
            bed.camera.control(VIDEO_BITRATE)
        });
        let asked = asked.await;
        assert!((100_000..=2_000_000).contains(&asked), "{asked}");
    }
    ([first, way()], bed.device.warnings())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_s_own_h264_goes_to_the_second_caller_as_it_is() {
    // A key frame a second: three distances, and some more.
    let ([first, second], warnings) = ways_to_two_callers(30, false, Duration::from_secs(4)).await;
    assert_eq!(warnings, 0);
    assert!(
        first.contains("openh264dec") && first.contains("x264enc"),
        "{first}"
    );
    for coder in ["openh264dec", "x264enc", "videoconvert"] {
        assert!(!second.contains(coder), "{second}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_motion_is_looked_for_it_goes_to_callers_as_it_is_too() {
    let format = Format::H264 {
        gop: 30,
        high: false,
    };
    let camera = FakeCamera::new(format, 640, 360, 30);
    let motion = "[motion]\nenabled = true\n";
    let bed = Bed::with(camera, "encoder = \"x264\"\n", motion, &[]).await;
    // Nobody watches yet.
    let anew = "opened anew, to pass its own H.264 through";
    bed.device.logs(anew, 1, SOON).await;
    bed.device.logs("decoded to look for motion", 1, SOON).await;
    for calls in 1..=2 {
        let viewer = bed.viewer().await;
        flows("the camera", SOON, &viewer, pictures, FULL_RATE).await;
        viewer.hang_up().await;
        bed.device.logs("hung up", calls, SOON).await;
    }
    let encoded = bed.device.log().iter().any(|line| {
        let description = line["description"].as_str().unwrap_or_default();
        line["message"] == "encoder" && description.contains("x264enc")
    });
    assert!(!encoded, "{:?}", bed.device.log());
    assert_eq!(bed.device.logged(anew), 1, "once");
    assert_eq!(bed.device.warnings(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_that_a_caller_has_no_decoder_for_is_encoded_for_them() {
    let ([_, second], warnings) = ways_to_two_callers(30, true, Duration::from_secs(4)).await;
    assert_eq!(warnings, 0);
    assert!(
        second.contains("openh264dec") && second.contains("x264enc"),
        "{second}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_s_h264_of_high_profile_goes_to_a_browser_that_decodes_it() {
    let format = Format::H264 {
        gop: 30,
        high: true,
    };
    let bed = Bed::start(FakeCamera::new(format, 640, 360, 30)).await;
    let viewer = Browser::start(Person::default()).await;
    viewer.open(&bed.chat.page("viewer")).await;
    let mut answers = Vec::new();
    for _ in 0..2 {
        viewer.call("camera").await;
        viewer.frames_rise(150).await;
        assert_bars(&row(&viewer).await);
        let answer = viewer
            .js("cameraAgent.pc.currentRemoteDescription.sdp")
            .await;
        answers.push(answer.as_str().expect("an answer").to_owned());
        viewer.click("#hangup").await;
        let node = bed.camera.node().display().to_string();
        until("the camera is closed", SOON, || async {
            (!bed.device.open_files().contains(&node)).then_some(())
        })
        .await;
    }
    let passed = bed.device.log().iter().any(|line| {
        let description = line["description"].as_str().unwrap_or_default();
        line["message"] == "encoder" && !description.contains("x264enc")
    });
    assert!(passed, "{:?}", bed.device.log());
    assert!(
        answers[0].contains("profile-level-id=42c0"),
        "{}",
        answers[0]
    );
    // The profile that Chromium offered, at the level of the camera's own.
    let told =
        answers[1].contains("profile-level-id=f400") || answers[1].contains("profile-level-id=64");
    assert!(told, "{}", answers[1]);
    viewer.clean_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_with_rare_key_frames_is_never_passed_through() {
    // Key frames every 3 and 10 s: distances enough to be a proof, were they
    // short, and one. A busy machine may lose a frame; nothing can be decoded
    // from there to the next key frame, and the camera is opened again.
    let watched = Duration::from_secs(11);
    let ((some, _), (few, _)) = tokio::join!(
        ways_to_two_callers(90, false, watched),
        ways_to_two_callers(300, false, watched)
    );
    for way in some.iter().chain(&few) {
        assert!(
            way.contains("openh264dec") && way.contains("x264enc"),
            "{way}"
        );
    }
}

/// An encoder that the device made, or the camera's own stream that goes through.
fn encoders(device: &Device) -> Vec<String> {
    let log = device.log();
    let all = log.iter().filter(|line| line["message"] == "encoder");
    all.filter_map(|line| line["description"].as_str())
        .map(str::to_owned)
        .collect()
}

/// A Chromium that has a camera's own H.264 of high profile, which the tests' own
/// viewers have no decoder for; after `before`, with the camera closed.
async fn passes_after(before: impl AsyncFn(&Bed)) -> (Bed, Browser) {
    let format = Format::H264 {
        gop: 30,
        high: true,
    };
    let bed = Bed::start(FakeCamera::new(format, 640, 360, 30)).await;
    let node = bed.camera.node().display().to_string();
    let viewer = Browser::start(Person::default()).await;
    viewer.open(&bed.chat.page("browser")).await;
    viewer.call("camera").await;
    viewer.frames_rise(150).await;
    viewer.click("#hangup").await;
    until("the camera is closed", SOON, || async {
        (!bed.device.open_files().contains(&node)).then_some(())
    })
    .await;
    before(&bed).await;
    let known = encoders(&bed.device).len();
    viewer.call("camera").await;
    viewer.frames_rise(60).await;
    let made = encoders(&bed.device).split_off(known);
    assert!(!made.iter().any(|e| e.contains("x264enc")), "{made:?}");
    assert!(!made.is_empty(), "it is shown");
    (bed, viewer)
}

/// Whoever offered had the camera's H.264 encoded anew for all who came after them, for
/// as long as they watched.
#[tokio::test(flavor = "multi_thread")]
async fn an_offer_without_a_path_does_not_keep_a_camera_s_h264_from_passing() {
    let ghost = async |bed: &Bed| {
        let url = format!("ws://{}/", bed.chat.addr);
        let ghost = Viewer::join(&url, "ghost", "camera").await;
        let offer = include_str!("../../fixtures/offer-chromium.sdp");
        let small: Vec<_> = offer
            .lines()
            .filter(|line| !line.contains("VP8"))
            .map(|line| match line.split_once("profile-level-id=") {
                Some((line, _)) => format!("{line}profile-level-id=42e01f\r\n"),
                None => format!("{line}\r\n"),
            })
            .collect();
        ghost.send_offer(&small.concat());
        ghost
            .wait("an answer", |heard, _| heard.answers.first().cloned())
            .await;
    };
    let (bed, viewer) = passes_after(ghost).await;
    assert_eq!(bed.device.warnings(), 0);
    viewer.clean_console().await;
}

/// Who came while it passed had a stream that they could not decode.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_without_a_decoder_for_what_passes_has_it_encoded_and_so_have_all() {
    let (bed, viewer) = passes_after(async |_| {}).await;
    let small = bed.viewer().await;
    flows("the small one's picture", SOON, &small, pictures, FULL_RATE).await;
    bed.device.logs("opened anew: a viewer", 1, SOON).await;
    viewer.frames_rise(60).await;
    assert!(
        encoders(&bed.device)
            .last()
            .is_some_and(|e| e.contains("x264enc")),
        "{:?}",
        encoders(&bed.device)
    );
    assert_eq!(bed.device.logged("opened anew: a viewer"), 1, "once");
    viewer.clean_console().await;
}
