//! The lab's virtual machine, over ssh.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// Emulated processors take their time.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The machine.
pub struct Machine {
    ssh_config: PathBuf,
}

impl Machine {
    pub fn new() -> Self {
        Self {
            ssh_config: variable("CAMERA_AGENT_LAB_SSH_CONFIG").into(),
        }
    }

    /// What a command in the machine prints.
    pub async fn run(&self, command: &str) -> String {
        let output = self.try_run(command).await;
        assert!(output.status.success(), "{command}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// How a command in the machine ends.
    pub async fn try_run(&self, command: &str) -> Output {
        let mut ssh = Command::new("ssh");
        ssh.kill_on_drop(true).stdin(Stdio::null());
        ssh.arg("-F")
            .arg(&self.ssh_config)
            .args(["lab-vm", command]);
        timeout(PATIENCE, ssh.output())
            .await
            .unwrap_or_else(|_| panic!("no answer in {PATIENCE:?}: {command}"))
            .expect("ssh is installed")
    }

    /// A property of the agent's unit.
    pub async fn property(&self, name: &str) -> String {
        self.run(&format!("systemctl show -P {name} camera-agent"))
            .await
    }

    /// All that this run of the agent logged, and systemd about it.
    pub async fn log(&self) -> String {
        self.run("journalctl --no-pager -o cat _SYSTEMD_INVOCATION_ID=$(systemctl show -P InvocationID camera-agent)")
            .await
    }

    /// The agent has the camera's node open.
    pub async fn camera_is_open(&self) -> bool {
        let count = self
            .run("ls -l /proc/$(systemctl show -P MainPID camera-agent)/fd | grep -c /dev/video || true")
            .await;
        count.parse::<u32>().expect("grep counts") > 0
    }
}

/// What tests/lab/*.sh says of the lab.
pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: this test needs the virtual machine; run make test-vm-service")
    })
}
