//! Cameras and drivers of every kind: whatever they say of themselves, a viewer
//! gets a picture, or the log a sentence.

use std::time::{Duration, Instant};

use crate::support::browser::{Browser, Person};
use crate::support::card::{COLOURS, STEPS, grey};
use crate::support::device::Device;
use crate::support::picture::points;
use crate::support::shims::{FakeCamera, Format};
use crate::support::viewer::Viewer;
use crate::support::{Chat, SOON, options, until};

/// A device with a camera, and somebody who watches it.
struct Scene {
    device: Device,
    viewer: Viewer,
    _camera: FakeCamera,
    _chat: Chat,
}

impl Scene {
    /// With more of `[video]`.
    async fn open(camera: FakeCamera, video: &str) -> Self {
        let chat = Chat::with(options()).await;
        let toml = format!(
            "[video]\nsource = \"v4l2\"\ndevice = {:?}\n{video}[audio]\nsource = \"none\"\n\
             [ice]\nloopback = true\n",
            camera.node(),
        );
        let device = Device::start_with_env(chat.addr, &toml, &camera.env()).await;
        device.registered().await;
        let url = format!("ws://{}/", chat.addr);
        let mut viewer = Viewer::join(&url, "viewer", "camera").await;
        viewer.call().await;
        Self {
            device,
            viewer,
            _camera: camera,
            _chat: chat,
        }
    }

    /// A second of pictures came.
    async fn flows(&self, what: &str) {
        let came = async {
            while self.viewer.received(|r| r.video.frames) < 25 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let came = tokio::time::timeout(SOON, came).await;
        assert!(came.is_ok(), "{what}: {:?}", self.device.log());
    }
}

const X264: &str = "width = 320\nheight = 240\nencoder = \"x264\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_says_little_or_nonsense_gives_a_picture_at_once() {
    let ways: [(Format, &[&str]); 9] = [
        // As stk1160 and usbtv are, on either side of the ocean.
        (
            Format::Yuyv,
            &[
                "driver stk1160",
                "sizes-error 25",
                "standard PAL",
                "interlaced",
                "no-parm",
            ],
        ),
        (
            Format::Yuyv,
            &[
                "driver usbtv",
                "sizes-error 25",
                "standard NTSC",
                "interlaced",
            ],
        ),
        (Format::Nv12, &["driver sun6i-csi", "sizes-error 22"]),
        (
            Format::Nv12,
            &["driver sun6i-csi", "sizes-error 22", "no-parm"],
        ),
        (Format::Mjpg, &["interval 0/30"]),
        (Format::Yuyv, &["interval 30/0"]),
        (Format::Mjpg422, &["rates-error 25"]),
        (Format::Yuyv, &["driver atmel-isi", "range"]),
        (Format::Yuyv, &["driver em28xx", "interlaced"]),
    ];
    for three in ways.chunks(3) {
        let scenes = three.iter().map(|(format, ways)| async move {
            let camera = FakeCamera::new(*format, 320, 240, 30).with_ways(ways);
            let scene = Scene::open(camera, X264).await;
            let what = format!("{format:?} {ways:?}");
            scene.flows(&what).await;
            assert_eq!(
                scene.device.warnings(),
                0,
                "{what}: {:?}",
                scene.device.log()
            );
        });
        futures_util::future::join_all(scenes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_that_a_driver_lists_and_does_not_have_costs_no_failed_try() {
    let camera = FakeCamera::new(Format::Yuyv, 640, 480, 30)
        .and(Format::Yuyv, 320, 240, 30)
        .with_ways(&["driver uncertain", "adjusts 320 240"]);
    let scene = Scene::open(camera, "width = 640\nheight = 480\nencoder = \"x264\"\n").await;
    scene.flows("the size that it has").await;
    assert_eq!(scene.device.warnings(), 0, "{:?}", scene.device.log());
}

/// Lets a page ask for VP8 only.
const ONLY_VP8: &str = "(() => {
    const add = RTCPeerConnection.prototype.addTransceiver;
    RTCPeerConnection.prototype.addTransceiver = function (...a) {
        const t = add.apply(this, a);
        if (t.receiver.track.kind === 'video') {
            const all = RTCRtpReceiver.getCapabilities('video').codecs;
            t.setCodecPreferences(all.filter((c) => /VP8|rtx/.test(c.mimeType)));
        }
        return t;
    };
})()";

/// The card as a browser shows it: black is black, white is white, no two steps
/// are one, and no colour is another.
async fn assert_card(what: &str, viewer: &Browser) {
    let step = |i: u32| ((f64::from(i) + 0.5) / f64::from(STEPS), 0.25);
    let ramp: Vec<_> = (0..STEPS).map(step).collect();
    let seen: Vec<_> = points(viewer, &ramp).await;
    let greys: Vec<_> = seen.iter().map(|[r, g, b]| (r + g + b) / 3.0).collect();
    assert!(greys[0] <= 8.0, "{what}: black is {}", greys[0]);
    let white = greys[STEPS as usize - 1];
    assert!(white >= 247.0, "{what}: white is {white}");
    for (i, pair) in greys.windows(2).enumerate() {
        assert!(pair[1] - pair[0] >= 3.0, "{what}: step {i} of {greys:?}");
    }
    for (i, value) in greys.iter().enumerate() {
        let meant = grey(i as u32);
        assert!((value - meant).abs() <= 8.0, "{what}: {value} for {meant}");
    }
    let bar = |i: usize| ((i as f64 + 0.5) / COLOURS.len() as f64, 0.75);
    let bars: Vec<_> = (0..COLOURS.len()).map(bar).collect();
    let bars = points(viewer, &bars).await;
    for (seen, meant) in bars.iter().zip(COLOURS) {
        let near = seen
            .iter()
            .zip(meant)
            .all(|(seen, meant)| (seen - meant).abs() <= 14.0);
        assert!(near, "{what}: {seen:.0?} for {meant:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_the_cameras_in_every_encoder_and_quality() {
    let tier = "[[video.tiers]]\nheight = 180\nbitrate_kbps = 600\n";
    let browser = Browser::start(Person::default()).await;
    for (format, ways, encoder, codec) in [
        (Format::MjpgCard, "", "x264", "H264"),
        (Format::MjpgCard, "", "x264", "VP8"),
        (Format::YuyvCard { full: true }, "full-range", "x264", "VP8"),
        (Format::MjpgCard, "", "openh264", "H264"),
        (Format::YuyvCard { full: false }, "", "openh264", "H264"),
    ] {
        let chat = Chat::with(options()).await;
        let camera = FakeCamera::new(format, 640, 360, 30).with_ways(&[ways]);
        let toml = format!(
            "[video]\nsource = \"v4l2\"\ndevice = {:?}\nwidth = 640\nheight = 360\n\
             encoder = {encoder:?}\n{tier}[audio]\nsource = \"none\"\n[ice]\nloopback = true\n",
            camera.node(),
        );
        let device = Device::start_with_env(chat.addr, &toml, &camera.env()).await;
        device.registered().await;
        browser.open(&chat.page("viewer")).await;
        if codec == "VP8" {
            browser.js(ONLY_VP8).await;
        }
        browser.call("camera").await;
        browser.frames_rise(20).await;
        for (choice, height) in [("0", 360.0), ("1", 180.0)] {
            browser
                .js(&format!(
                    "(() => {{
                        const list = document.getElementById('quality');
                        list.value = '{choice}';
                        list.dispatchEvent(new Event('change'));
                    }})()"
                ))
                .await;
            until("a picture of this height", SOON, async || {
                let has = browser
                    .js("document.getElementById('remote').videoHeight")
                    .await;
                (has.as_f64() == Some(height)).then_some(())
            })
            .await;
            browser.frames_rise(15).await;
            let what = format!("{format:?} {encoder} {codec} {height}");
            assert_card(&what, &browser).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_of_any_kind_and_size_are_shown() {
    let kinds = [
        (Format::Mjpg444, 320, 240),
        (Format::MjpgGrey, 320, 240),
        (Format::Grey, 320, 240),
        (Format::Rgb, 320, 240),
        (Format::Mjpg, 321, 241),
        (Format::Mjpg422, 1366, 767),
        (Format::Mjpg, 256, 192),
        (Format::Yuyv, 160, 120),
    ];
    for three in kinds.chunks(3) {
        let scenes = three.iter().map(|(format, width, height)| async move {
            let camera = FakeCamera::new(*format, *width, *height, 30);
            let video = "width = 1920\nheight = 1080\nencoder = \"x264\"\n";
            let scene = Scene::open(camera, video).await;
            let what = format!("{format:?} {width}×{height}");
            scene.flows(&what).await;
            assert_eq!(
                scene.device.warnings(),
                0,
                "{what}: {:?}",
                scene.device.log()
            );
        });
        futures_util::future::join_all(scenes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_turned_and_mirrored_as_configured() {
    let browser = Browser::start(Person::default()).await;
    // Corners of the card: left and right of the ramp above, of colours below.
    let (black, white) = ([0.0; 3], [255.0; 3]);
    let (red, skin) = (COLOURS[0], COLOURS[7]);
    for (rotate, flip, size, corners) in [
        (90, "none", (360, 640), [red, black, skin, white]),
        (180, "none", (640, 360), [skin, red, white, black]),
        (270, "none", (360, 640), [white, skin, black, red]),
        (0, "horizontal", (640, 360), [white, black, skin, red]),
        (0, "vertical", (640, 360), [red, skin, black, white]),
        (90, "horizontal", (360, 640), [black, red, white, skin]),
    ] {
        let chat = Chat::with(options()).await;
        let camera = FakeCamera::new(Format::MjpgCard, 640, 360, 30);
        let toml = format!(
            "[video]\nsource = \"v4l2\"\ndevice = {:?}\nwidth = 640\nheight = 360\n\
             rotate = {rotate}\nflip = {flip:?}\nencoder = \"x264\"\n\
             [audio]\nsource = \"none\"\n[ice]\nloopback = true\n",
            camera.node(),
        );
        let device = Device::start_with_env(chat.addr, &toml, &camera.env()).await;
        device.registered().await;
        browser.open(&chat.page("viewer")).await;
        browser.call("camera").await;
        browser.frames_rise(20).await;
        let what = format!("{rotate}, {flip}");
        let shown = browser.js("[remote.videoWidth, remote.videoHeight]").await;
        assert_eq!(shown, serde_json::json!([size.0, size.1]), "{what}");
        let at = [(0.02, 0.04), (0.98, 0.04), (0.02, 0.96), (0.98, 0.96)];
        let seen = points(&browser, &at).await;
        for (seen, meant) in seen.iter().zip(corners) {
            let near = seen
                .iter()
                .zip(meant)
                .all(|(seen, meant)| (seen - meant).abs() <= 16.0);
            assert!(near, "{what}: {seen:.0?} for {meant:?}");
        }
        assert_eq!(device.warnings(), 0, "{what}: {:?}", device.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_jpegs_are_left_out_and_counted_and_nothing_but_them_is_a_fault() {
    // Every third ends early, is ended early, or lost a part of its middle.
    let some = FakeCamera::new(Format::Mjpg422, 320, 240, 30).damaged(|number, frame| {
        let half = frame.len() / 2;
        match number % 9 {
            0 => frame.truncate(half),
            3 => frame.splice(half.., [0xff, 0xd9]).for_each(drop),
            6 => drop(frame.drain(half..half + half / 4)),
            _ => {}
        }
    });
    // As some cameras send them.
    let odd = FakeCamera::new(Format::Mjpg, 320, 240, 30).damaged(|number, frame| {
        frame.truncate(frame.len() - 2);
        frame.resize(frame.len() + number % 3 * 700, 0);
    });
    let all = FakeCamera::new(Format::Mjpg, 320, 240, 30).damaged(|_, frame| {
        frame.truncate(frame.len() * 3 / 4);
    });
    let (some, odd, all) = tokio::join!(
        Scene::open(some, X264),
        Scene::open(odd, X264),
        Scene::open(all, X264)
    );
    tokio::join!(some.flows("some"), odd.flows("odd"));
    let counted = "damaged pictures come from the camera";
    some.device.logs(counted, 1, SOON).await;
    assert_eq!(some.device.logged(counted), 1);
    assert_eq!(some.device.warnings(), 1, "{:?}", some.device.log());
    assert_eq!(odd.device.warnings(), 0, "{:?}", odd.device.log());
    all.device
        .logs("sends only damaged pictures (it ends too early)", 1, SOON)
        .await;
    // Two thirds of 30 a second, over so many that a moment's pause is none of it.
    let (began, many) = (Instant::now(), 120);
    some.viewer.watch(many).await;
    let rate = many as f64 / began.elapsed().as_secs_f64();
    assert!((16.0..=23.0).contains(&rate), "{rate}");
}
