//! The virtual machine of `make test-vm`, as its tests see it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use super::browser::{Browser, Person};
use super::{SOON, until};

/// What tests/lab/guest/ sets up.
pub const NAME: &str = "vivid";
pub const CAMERA: &str = "/dev/video0";

/// The agent keeps devices open this long after the last viewer (src/media/hub.rs).
const GRACE: Duration = Duration::from_secs(5);
/// More than that, for closing the device and asking whether it is closed.
const SLACK: Duration = Duration::from_secs(2);

/// The machine and what is around it.
pub struct Lab {
    page: String,
    ssh_config: PathBuf,
    pub out: PathBuf,
}

impl Lab {
    /// The machine with its agent started anew.
    pub async fn with_fresh_agent() -> Self {
        Self::with_agent("").await
    }

    /// The same with one more line under `[video]` in the agent's configuration.
    pub async fn with_agent(video: &str) -> Self {
        let variable = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| {
                panic!("{name} is not set: this test needs the virtual machine; run make test-vm")
            })
        };
        let lab = Self {
            page: variable("CAMERA_AGENT_LAB_PAGE"),
            ssh_config: variable("CAMERA_AGENT_LAB_SSH_CONFIG").into(),
            out: variable("CAMERA_AGENT_LAB_OUT").into(),
        };
        lab.vm(&format!(
            "systemctl stop other 2>/dev/null; cd /etc/camera-agent; \
             sed '/^\\[video\\]/a {video}' plain.toml >camera-agent.toml; \
             systemctl restart camera-agent"
        ))
        .await;
        until("the agent is registered", SOON, || async {
            lab.log().await.contains("connected").then_some(())
        })
        .await;
        lab
    }

    /// A browser on the page.
    pub async fn browser(&self) -> Browser {
        let browser = Browser::start(Person::default()).await;
        browser.open(&format!("{}?name=viewer", self.page)).await;
        browser
    }

    /// What a command in the machine prints.
    pub async fn vm(&self, command: &str) -> String {
        let mut ssh = Command::new("ssh");
        ssh.kill_on_drop(true).stdin(Stdio::null());
        ssh.arg("-F")
            .arg(&self.ssh_config)
            .args(["lab-vm", command]);
        let output = timeout(SOON, ssh.output())
            .await
            .unwrap_or_else(|_| panic!("no answer in {:?}: {command}", SOON))
            .expect("ssh is installed");
        assert!(output.status.success(), "{command}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A property of the agent's unit.
    pub async fn property(&self, name: &str) -> String {
        self.vm(&format!("systemctl show -P {name} camera-agent"))
            .await
    }

    /// All that this run of the agent logged.
    pub async fn log(&self) -> String {
        self.vm(
            "journalctl --no-pager -o cat _SYSTEMD_INVOCATION_ID=$(systemctl show -P InvocationID camera-agent)",
        )
        .await
    }

    /// Runs a command in the machine. The time there just before it, in µs.
    pub async fn at(&self, command: &str) -> u64 {
        let printed = self.vm(&format!("date +%s%6N; {command}")).await;
        let first = printed.lines().next().unwrap_or_default();
        first.parse().expect("date prints a number")
    }

    /// How long after `moment` the agent first logged `text`, by the machine's
    /// own clock: what emulation and the way to here add is not in it.
    pub async fn logged_after(&self, moment: u64, text: &str) -> Duration {
        until(&format!("{text:?} in the agent's log"), SOON, || async {
            let lines = self
                .vm("journalctl --no-pager -o json --output-fields=MESSAGE -u camera-agent -n 200")
                .await;
            lines.lines().find_map(|line| {
                let entry: Value = serde_json::from_str(line).expect("JSON");
                let at: u64 = entry["__REALTIME_TIMESTAMP"].as_str()?.parse().ok()?;
                let found = at > moment && entry["MESSAGE"].as_str()?.contains(text);
                found.then(|| Duration::from_micros(at - moment))
            })
        })
        .await
    }

    /// The agent's open file descriptors and its threads.
    pub async fn files_and_threads(&self) -> (usize, usize) {
        let counts = self
            .vm("cd /proc/$(systemctl show -P MainPID camera-agent) && ls fd | wc -l && ls task | wc -l")
            .await;
        let mut counts = counts
            .lines()
            .map(|count| count.parse().expect("wc counts"));
        let mut next = || counts.next().expect("two counts");
        (next(), next())
    }

    /// Waits until the camera's node is closed, whoever watches.
    pub async fn camera_is_let_go(&self) {
        until("the agent lets go of the camera", SOON, || async {
            (!self.camera_is_open().await).then_some(())
        })
        .await;
    }

    /// The agent has the camera's node open.
    pub async fn camera_is_open(&self) -> bool {
        let count = self
            .vm("ls -l /proc/$(systemctl show -P MainPID camera-agent)/fd | grep -c /dev/video || true")
            .await;
        count.parse::<u32>().expect("grep counts") > 0
    }

    /// The camera's node is closed when the last viewer is gone for a while.
    pub async fn camera_closes(&self, last_viewer_left: Instant) {
        until("the camera's node is closed", GRACE + SLACK, || async {
            (!self.camera_is_open().await).then_some(())
        })
        .await;
        let took = last_viewer_left.elapsed();
        println!("last viewer left to closed device: {took:?}");
        assert!(took < GRACE + SLACK, "{took:?}");
    }
}
