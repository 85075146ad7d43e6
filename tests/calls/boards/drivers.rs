//! Boards' encoders behind GStreamer's own V4L2 element: the rows of the table
//! over drivers that behave as bcm2835-codec, wave5, venus and vsi_v4l2 do
//! (tests/shims/personality.c), and as they do when something is wrong.

mod faults;
mod live;
mod memory;
mod probes;
mod restarts;
mod rows;

use crate::support::Chat;
use crate::support::codec::FakeCodec;
use crate::support::device::Device;
use crate::support::viewer::Viewer;
use crate::support::{SOON, options};

/// All these drivers take this size.
const PICTURE: &str = "source = \"test\"\nwidth = 640\nheight = 352\nbitrate_kbps = 800\n";

/// A configuration of an agent that nobody calls.
fn alone(video: &str) -> String {
    format!("[server]\nurl = \"ws://127.0.0.1:9/\"\n[video]\n{video}[audio]\nsource = \"none\"\n")
}

/// Somebody who watches an agent on a board.
struct Call {
    device: Device,
    viewer: Viewer,
    _chat: Chat,
}

impl Call {
    /// With this in `[video]`, and more in the agent's environment.
    async fn open(codec: &FakeCodec, video: &str, more: &[(String, String)]) -> Self {
        let mut call = Self::before(codec, video, more).await;
        call.viewer.call().await;
        call
    }

    /// The same without the call; who will watch is there.
    async fn before(codec: &FakeCodec, video: &str, more: &[(String, String)]) -> Self {
        let chat = Chat::with(options()).await;
        let url = format!("ws://{}/", chat.addr);
        let toml = format!(
            "[server]\nurl = \"{url}\"\nname = \"camera\"\n[video]\n{video}\
             [audio]\nsource = \"none\"\n[ice]\nloopback = true\n"
        );
        let device = codec.start(&toml, more).await;
        device
            .logs("connected to the chat server", 1, 2 * SOON)
            .await;
        let viewer = Viewer::join(&url, "viewer", "camera").await;
        Self {
            device,
            viewer,
            _chat: chat,
        }
    }
}
