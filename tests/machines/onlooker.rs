//! What a viewer of the virtual machine's agent sees and hears in the course of
//! a call, in `vm_usb` and `vm_hdmi`. Times are for an emulated machine.

use std::time::{Duration, Instant};

use crate::support::browser::Browser;
use crate::support::lab::{Lab, NAME};
use crate::support::picture::{
    assert_bars, difference, is_bars, is_slate, missing_bar, picture, pitch, row,
};
use crate::support::{SOON, until};
use serde_json::Value;
use tokio::time::sleep;

/// A fault is logged within this, by the machine's own clock, on a processor that
/// is emulated by one that others use too. By itself the agent takes a second, or
/// two where nothing is said and nothing comes.
pub const SEEN: Duration = Duration::from_secs(10);

/// Small pictures of this camera, and no sound.
pub fn small(device: &str) -> String {
    format!(
        "[video]\ndevice = \"{device}\"\nwidth = 320\nheight = 180\nfps = 15\nbitrate_kbps = 500\n\
         tiers = []\n[audio]\nsource = \"none\""
    )
}

/// `devices --json`.
pub async fn devices(lab: &Lab, configuration: &str) -> Value {
    let printed = lab
        .vm_within(
            3 * SOON,
            &format!(
                "cat /etc/camera-agent/server.toml - >/root/devices.toml <<'EOF'\n{configuration}\nEOF\n\
                 GST_REGISTRY=/var/cache/gst/registry.bin \
                 camera-agent devices --json --config /root/devices.toml"
            ),
        )
        .await;
    serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{e}: {printed}"))
}

/// Calls, and sees the camera's bars move.
pub async fn calls(lab: &Lab) -> Browser {
    let viewer = calls_blindly(lab).await;
    sees_the_camera(&viewer).await;
    viewer
}

/// Calls, whatever is seen then.
pub async fn calls_blindly(lab: &Lab) -> Browser {
    let viewer = lab.browser().await;
    viewer.call(NAME).await;
    viewer.frames_rise(1).await;
    viewer.remember_call().await;
    viewer
}

/// Waits until the browser shows bars that move, all of them.
pub async fn sees_the_camera(viewer: &Browser) -> Duration {
    let took = sees_bars(viewer).await;
    let before = row(viewer).await;
    until("another picture", SOON, || async {
        (difference(&before, &row(viewer).await) > 5.0).then_some(())
    })
    .await;
    sees_all_bars(viewer).await;
    took
}

/// Waits until the browser shows bars, and no slate.
async fn sees_bars(viewer: &Browser) -> Duration {
    let begun = Instant::now();
    until("the camera in the browser", 2 * SOON, || async {
        is_bars(&picture(viewer).await).then_some(())
    })
    .await;
    begun.elapsed()
}

/// Waits until the middle of the picture has all of the bars.
async fn sees_all_bars(viewer: &Browser) {
    // Coarse at first, where the path or the processor was slow meanwhile.
    let mut seen = row(viewer).await;
    let limit = Instant::now() + 2 * SOON;
    while missing_bar(&seen).is_some() && Instant::now() < limit {
        sleep(Duration::from_millis(200)).await;
        seen = row(viewer).await;
    }
    assert_bars(&seen);
}

/// Waits until the browser shows a picture that is bright on the left and dark on the
/// right, and, when `turn` has turned what the sensor sees, its mirror image.
pub async fn sees_it_turned(viewer: &Browser, turn: impl AsyncFnOnce()) {
    let reversed = |row: &[[f64; 3]]| row.iter().rev().copied().collect::<Vec<_>>();
    let mirrored = until("a picture with two sides", 2 * SOON, || async {
        let seen = row(viewer).await;
        let other = reversed(&seen);
        (difference(&seen, &other) > 30.0).then_some(other)
    })
    .await;
    turn().await;
    until("the picture from right to left", 2 * SOON, || async {
        (difference(&mirrored, &row(viewer).await) < 10.0).then_some(())
    })
    .await;
}

/// Waits until the browser shows the slate, and that it is a running picture.
pub async fn sees_the_slate(viewer: &Browser) -> Duration {
    let begun = Instant::now();
    until("the slate in the browser", SOON, || async {
        is_slate(&picture(viewer).await).then_some(())
    })
    .await;
    let took = begun.elapsed();
    viewer.frames_rise(5).await;
    assert!(is_slate(&picture(viewer).await), "it did not stay");
    took
}

/// Waits until a tone is heard, of so many Hz.
pub async fn hears_the_tone(viewer: &Browser, hertz: f64) {
    until("the tone", 2 * SOON, || async {
        ((pitch(viewer).await - hertz).abs() < 50.0).then_some(())
    })
    .await;
}
