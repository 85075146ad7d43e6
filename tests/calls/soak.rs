//! Two hundred calls, one after another, to the device in a process of its own.

use std::fs;
use std::io::Write;
use std::process::{Child, Command};
use std::time::Duration;

use crate::support::meter::Received;
use crate::support::viewer::Viewer;
use crate::support::{Chat, SOON, options, until};

const CALLS: usize = 200;
/// Allocators and caches are warm by then.
const WARM: usize = 20;
const RSS_LIMIT_KB: u64 = 5 * 1024;

struct Device(Child);

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[derive(Debug, Clone, Copy)]
struct Resources {
    descriptors: usize,
    threads: u64,
    rss_kb: u64,
}

impl Device {
    fn start(url: &str) -> (Self, tempfile::NamedTempFile) {
        let mut config = tempfile::NamedTempFile::new().expect("a file");
        write!(
            config,
            "[server]\nurl = {url:?}\n\
             [video]\nsource = \"test\"\nwidth = 320\nheight = 180\nbitrate_kbps = 300\n\
             [audio]\nsource = \"test\"\n[ice]\nloopback = true\n[log]\nlevel = \"warn\"\n"
        )
        .expect("written");
        let child = Command::new(env!("CARGO_BIN_EXE_camera-agent"))
            .args(["run", "--config"])
            .arg(config.path())
            .spawn()
            .expect("the binary starts");
        (Self(child), config)
    }

    fn resources(&self) -> Resources {
        let proc = format!("/proc/{}", self.0.id());
        let status = fs::read_to_string(format!("{proc}/status")).expect("it runs");
        let number = |key: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(key));
            let number = line.and_then(|l| l.split_ascii_whitespace().next());
            number.and_then(|n| n.parse().ok()).expect("a number")
        };
        Resources {
            descriptors: fs::read_dir(format!("{proc}/fd")).expect("it runs").count(),
            threads: number("Threads:"),
            rss_kb: number("VmRSS:"),
        }
    }
}

#[tokio::test]
async fn two_hundred_calls_leave_nothing_behind() {
    let mut options = options();
    options.limits.burst = 10_000;
    let chat = Chat::with(options).await;
    let url = format!("ws://{}/", chat.addr);
    let (device, _config) = Device::start(&url);
    // It is in the list, and nobody has called.
    drop(Viewer::join(&url, "nobody", "camera").await);
    // GStreamer is made ready on another thread, which opens some for good.
    let mut seen = Vec::new();
    let idle = until("it has settled", SOON, || {
        let now = device.resources();
        seen.push(now.descriptors);
        let calm = seen.len() >= 20 && seen.iter().rev().take(20).all(|d| *d == now.descriptors);
        async move { calm.then_some(now) }
    })
    .await;

    let mut warm = idle;
    for call in 1..=CALLS {
        // The device takes ten offers a second from all, two from one name.
        let mut viewer = Viewer::join(&url, &format!("viewer {call}"), "camera").await;
        let pace = tokio::time::sleep(Duration::from_millis(105));
        viewer.call().await;
        // Joining forces at most two key frames a second, so to see the picture
        // each time would take most of the test.
        if call % 5 == 0 {
            viewer.watch(2).await;
        } else {
            let sound = |_: &_, r: &Received| (r.audio.packets > 2).then_some(());
            viewer.wait("sound", sound).await;
        }
        viewer.hang_up().await;
        pace.await;
        if call == WARM {
            warm = device.resources();
        }
    }
    let last = device.resources();
    println!("idle {idle:?}\nafter {WARM} {warm:?}\nafter {CALLS} {last:?}");
    assert!(last.rss_kb <= warm.rss_kb + RSS_LIMIT_KB, "memory grew");
    // One more may be at work at the moment of either look.
    assert!(last.threads <= warm.threads + 1, "threads were left");

    // Some seconds after the last viewer the source is closed too.
    let descriptors = until("every descriptor is closed", SOON, || {
        let now = device.resources();
        async move { (now.descriptors <= idle.descriptors).then_some(now) }
    })
    .await;
    println!("at the end {descriptors:?}");
    drop(device);
    chat.stop().await;
}
