//! Cameras and drivers of every kind: whatever they say of themselves, a viewer
//! gets a picture, or the log a sentence.

mod support;

use std::time::Duration;

use support::device::Device;
use support::shims::{FakeCamera, Format};
use support::viewer::Viewer;
use support::{Chat, SOON, options};

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
