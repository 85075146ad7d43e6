//! The virtual machine of `make test-vm`, as its tests see it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::Command;
use tokio::time::timeout;

use super::browser::{Browser, Person};
use super::{SOON, until};

/// What tests/lab/guest/ sets up.
pub const NAME: &str = "vivid";
pub const CAMERA: &str = "/dev/video0";
/// How vivid is loaded (tests/lab/guest/prepare.sh).
pub const PLAIN_CAMERA: &str = "n_devs=1 node_types=0x1 num_inputs=1 input_types=0x0";
/// Waits for the camera's node, lets its bars, and no other pattern, move, and takes the words off,
/// which cover half of a small picture.
pub const MOVE: &str = "until v4l2-ctl -d /dev/video0 \
     -c horizontal_movement=4,osd_text_mode=2,test_pattern=0 2>/dev/null; do sleep 0.1; done";

/// The agent keeps devices open this long after the last viewer (src/media/hub).
const GRACE: Duration = Duration::from_secs(5);
/// More than that, for closing the device and asking whether it is closed.
const SLACK: Duration = Duration::from_secs(2);

/// A moment in the machine.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Duration);

impl Clock {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// The time that a line begins with, as in `2026-01-31T12:34:56.789012Z`.
    pub fn read(line: &str) -> Option<Self> {
        let (_, time) = line.split_once('T')?;
        let (time, _) = time.split_once('Z')?;
        let mut parts = time.split(':');
        let mut next = || parts.next()?.parse::<f64>().ok();
        let (hours, minutes, seconds) = (next()?, next()?, next()?);
        Some(Self(Duration::from_secs_f64(
            (hours * 60.0 + minutes) * 60.0 + seconds,
        )))
    }

    /// `None` where this was before `moment`. No test takes half a day.
    pub fn since(self, moment: Self) -> Option<Duration> {
        match self.0.checked_sub(moment.0) {
            Some(after) => (after < Self::DAY / 2).then_some(after),
            None => {
                let after = self.0 + Self::DAY - moment.0;
                (after < Self::DAY / 2).then_some(after)
            }
        }
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: this test needs the virtual machine; run make test-vm")
    })
}

/// The machine and what is around it.
pub struct Lab {
    page: String,
    ssh_config: PathBuf,
    pub out: PathBuf,
}

impl Lab {
    /// The machine with its agent started anew.
    pub async fn with_fresh_agent() -> Self {
        Self::with_agent(&[]).await
    }

    fn of_environment() -> Self {
        Self {
            page: variable("CAMERA_AGENT_LAB_PAGE"),
            ssh_config: variable("CAMERA_AGENT_LAB_SSH_CONFIG").into(),
            out: variable("CAMERA_AGENT_LAB_OUT").into(),
        }
    }

    /// The machine of `make test-vm-boards` without a camera, a sound card or an
    /// agent that runs.
    pub async fn bare() -> Self {
        let lab = Self::of_environment();
        // What another test left, and what of it goes by itself.
        until("a machine without cameras", SOON, || async {
            let left = lab
                .vm("systemctl stop other camera-agent 2>/dev/null; \
                     systemctl reset-failed other camera-agent 2>/dev/null; \
                     modprobe -qra vivid v4l2loopback vimc; \
                     udevadm settle; ls /dev | grep video || true")
                .await;
            left.is_empty().then_some(())
        })
        .await;
        lab
    }

    /// Starts the agent there with this configuration beside `[server]`.
    pub async fn start_agent(&self, configuration: &str) {
        self.vm(&format!(
            "cd /etc/camera-agent; cat server.toml - >camera-agent.toml <<'EOF'\n{configuration}\nEOF\n\
             systemctl start camera-agent"
        ))
        .await;
        // The first time it tries the encoders.
        until("the agent is registered", 3 * SOON, || async {
            self.log().await.contains("connected").then_some(())
        })
        .await;
    }

    /// The socket of a port of the machine's USB controller, 1 or 2.
    pub fn usb_port(&self, number: u32) -> PathBuf {
        format!("{}{number}", variable("CAMERA_AGENT_LAB_USB")).into()
    }

    /// The same with other values under `[video]` in the agent's configuration.
    pub async fn with_agent(video: &[(&str, &str)]) -> Self {
        let lab = Self::of_environment();
        let mut edits = String::new();
        for (key, value) in video {
            edits += &format!(" -e '/^{key} =/d; s/^\\[video\\]/&\\n{key} = {value}/'");
        }
        // A test that failed may have left a device unplugged, or the camera
        // under another number.
        lab.vm(&format!(
            "systemctl stop other camera-agent 2>/dev/null; \
             cd /sys/bus/platform/drivers; udevadm settle; \
             [ -e {CAMERA} ] || [ ! -e vivid/vivid.0 ] || echo vivid.0 >vivid/unbind; \
             [ -e vivid/vivid.0 ] || echo vivid.0 >vivid/bind; \
             [ -e snd_aloop/snd_aloop.0 ] || echo snd_aloop.0 >snd_aloop/bind; \
             cd /etc/camera-agent; sed -e ''{edits} plain.toml >camera-agent.toml; \
             udevadm settle; {MOVE}; systemctl start camera-agent"
        ))
        .await;
        until("the agent is registered", SOON, || async {
            lab.log().await.contains("connected").then_some(())
        })
        .await;
        lab
    }

    /// Starts the agent again with this behind its configuration.
    pub async fn configure(&self, more: &str) {
        self.vm(&format!(
            "systemctl stop camera-agent; cd /etc/camera-agent; \
             cat >>camera-agent.toml <<'EOF'\n{more}\nEOF\n\
             systemctl start camera-agent"
        ))
        .await;
        until("the agent is registered", SOON, || async {
            self.log().await.contains("connected").then_some(())
        })
        .await;
    }

    /// Copies a file out of the machine.
    pub async fn fetch(&self, file: &str, to: &Path) {
        let mut scp = Command::new("scp");
        scp.kill_on_drop(true)
            .arg("-q")
            .arg("-F")
            .arg(&self.ssh_config);
        scp.arg(format!("lab-vm:{file}")).arg(to);
        let done = timeout(SOON, scp.status()).await.expect("in time");
        assert!(done.expect("scp is installed").success(), "{file}");
    }

    /// The page's origin, which no browser takes for a secure one by itself.
    pub fn origin(&self) -> &str {
        self.page.trim_end_matches('/')
    }

    /// A browser on the page.
    pub async fn browser(&self) -> Browser {
        let browser = Browser::start(Person::default()).await;
        browser.open(&format!("{}?name=viewer", self.page)).await;
        browser
    }

    /// What a command in the machine prints.
    pub async fn vm(&self, command: &str) -> String {
        self.vm_within(SOON, command).await
    }

    /// The same for one that takes its time.
    pub async fn vm_within(&self, limit: Duration, command: &str) -> String {
        let mut ssh = Command::new("ssh");
        ssh.kill_on_drop(true).stdin(Stdio::null());
        ssh.arg("-F")
            .arg(&self.ssh_config)
            .args(["lab-vm", command]);
        let output = timeout(limit, ssh.output())
            .await
            .unwrap_or_else(|_| panic!("no answer in {limit:?}: {command}"))
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

    /// Runs a command in the machine; the time there just before it.
    pub async fn at(&self, command: &str) -> Clock {
        let printed = self.vm(&format!("date -u +%FT%T.%6NZ; {command}")).await;
        Clock::read(&printed).expect("date prints the time")
    }

    /// How long after `moment` the agent first logged `text`, by its own clock:
    /// what emulation and the way to here add is not in it.
    pub async fn logged_after(&self, moment: Clock, text: &str) -> Duration {
        until(&format!("{text:?} in the agent's log"), SOON, || async {
            let log = self.log().await;
            log.lines()
                .filter(|line| line.contains(text))
                .find_map(|line| Clock::read(line)?.since(moment))
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

    /// Waits until nobody has the camera any more, by what the kernel counts:
    /// pictures that are still mapped keep it too, and no list of open files
    /// shows them. A camera that is plugged in before gets another number.
    pub async fn camera_is_let_go(&self) {
        until("everybody lets go of the camera", SOON, || async {
            let users = self.vm("cat /sys/module/vivid/refcnt").await;
            (users == "0").then_some(())
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
