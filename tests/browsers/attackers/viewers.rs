//! Callers who are viewers, as good as any, and lie in their feedback.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{Ground, again};
use crate::support::viewer::Viewer;

/// More than a device has places.
const NAMES: usize = 10;

/// Asks for everything that a viewer may ask for, as often as they can: key
/// frames, other qualities, repetitions of what was never sent, and says that
/// the path carries nothing.
pub async fn greedy(ground: Ground) {
    let url = format!("ws://{}/", ground.chat);
    again(async || {
        let mut viewer = Viewer::join_from(&url, "greedy", super::CAMERA, ground.address(45)).await;
        viewer.call_with(&["camera-agent"]).await;
        let came = |viewer: &Viewer| viewer.received(|r| r.video.frames > 0);
        for _ in 0..200 {
            if came(&viewer) {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        if !came(&viewer) {
            return;
        }
        for n in 0_u16..2_000 {
            viewer.ask_for_key_frame().await;
            viewer.nack(n.wrapping_mul(7_919)).await;
            viewer.carries(1_000.0).await;
            let tier = n % 2;
            let _ = viewer
                .tell(&format!(r#"{{"type": "quality", "tier": {tier}}}"#))
                .await;
            let _ = viewer.tell(r#"{"type": "ping", "id": 1}"#).await;
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// As many names of one address as there are places, each with a path of its own, that
/// then take nothing and stay.
pub async fn on_hold(ground: Ground) {
    let crowd = (0..NAMES).map(|n| hold(ground.clone(), n)).collect();
    super::crowd(crowd).await;
}

async fn hold(ground: Ground, n: usize) {
    let url = format!("ws://{}/", ground.chat);
    let (name, from) = (format!("hold{n}"), ground.address(46));
    again(async || {
        let mut viewer = Viewer::join_from(&url, &name, super::CAMERA, from).await;
        let held = async {
            viewer.call().await;
            while viewer.received(|r| r.video.frames == 0) {
                sleep(Duration::from_millis(20)).await;
            }
            viewer
                .renegotiate_as(|sdp| sdp.replace("a=recvonly", "a=inactive"))
                .await;
        };
        if timeout(Duration::from_secs(5), held).await.is_ok() {
            sleep(Duration::from_secs(60)).await;
        }
    })
    .await;
}
