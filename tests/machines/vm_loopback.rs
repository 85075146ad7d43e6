//! A loopback camera (v4l2loopback, as Debian packages it) with
//! `exclusive_caps`, in the virtual machine of `make test-vm-boards`: a program
//! begins to feed it in a call, ends, and begins again. Its driver announces
//! none of that.

use std::time::Duration;

use super::onlooker::{calls_blindly, sees_the_camera, sees_the_slate, small};
use crate::support::lab::Lab;

const NODE: &str = "/dev/video9";

/// From the agent's word that a program feeds the node to the camera's return; its
/// own tries are up to 30 s apart by then.
const BACK: Duration = Duration::from_secs(8);

const PRODUCE: &str = "systemd-run --quiet --unit=other -E GST_REGISTRY=/var/cache/gst/registry.bin \
     gst-launch-1.0 -q videotestsrc is-live=true pattern=smpte75 horizontal-speed=8 ! \
     video/x-raw,format=YUY2,width=320,height=180,framerate=15/1 ! v4l2sink device=/dev/video9";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-boards"]
async fn a_program_that_begins_to_feed_a_loopback_camera_is_heard_and_its_picture_shown() {
    let lab = Lab::bare().await;
    lab.vm("modprobe v4l2loopback devices=1 video_nr=9 exclusive_caps=1 card_label=Loop && udevadm settle")
        .await;
    let log = "[log]\nlevel = \"info,camera_agent::device::loopback=debug\"";
    lab.start_agent(&format!("{}\n{log}", small(NODE))).await;
    let viewer = calls_blindly(&lab).await;
    let slate = sees_the_slate(&viewer).await;
    println!("the slate after {slate:?}");
    let log = lab.log().await;
    assert!(log.contains("is no camera but output"), "{log}");

    for _ in 0..2 {
        let fed = lab.at(PRODUCE).await;
        let heard = lab.logged_after(fed, "a program feeds it").await;
        let back = lab.logged_after(fed, "the camera is back").await;
        let shown = sees_the_camera(&viewer).await;
        println!("fed: heard after {heard:?}, back after {back:?}, then {shown:?}");
        assert!(back < heard + BACK, "{back:?}");
        lab.vm("systemctl stop other").await;
        sees_the_slate(&viewer).await;
    }
    assert!(viewer.is_same_call().await);
}
