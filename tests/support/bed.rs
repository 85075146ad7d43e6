//! A network of the test's own: the test and its browsers in one namespace, the
//! device in another, a bridge and a cable between them.
//!
//! ```text
//! chat server, Chromium │ br0 10.77.0.1 ── d0 ═══cable═══ d1 10.77.0.2 │ device
//!                       │  └─ k0 ── k1 keeps the bridge up
//! ```

#![allow(dead_code, reason = "each test binary uses its part of it")]
#![allow(
    unsafe_code,
    reason = "a thread enters a namespace by a system call that std does not have"
)]

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where the chat server and the browsers are.
pub const HERE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// Where the device is at first.
pub const THERE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// Another address for the device.
pub const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);

/// The network; it is gone with the last process in it.
pub struct Bed {
    /// Keeps the device's namespace.
    there: Child,
}

impl Bed {
    /// Moves this thread into a namespace of its own, and with it all threads
    /// and processes that it starts from now on: so before tokio's are.
    pub fn enter() -> Self {
        // SAFETY: it takes no pointers, and changes nothing but which network
        // the sockets belong to that this thread makes.
        let entered = unsafe { libc::unshare(libc::CLONE_NEWNET) };
        let error = std::io::Error::last_os_error();
        assert_eq!(
            entered, 0,
            "cannot make a network namespace: {error}; run the test as root or under `unshare -Urn`"
        );
        run("ip link set lo up");
        run("ip link add br0 type bridge");
        run("ip address add 10.77.0.1/24 dev br0");
        run("ip link set br0 up");
        run("ip link add k0 type veth peer name k1");
        run("ip link set k0 master br0 up");
        run("ip link set k1 up");
        let there = Command::new("unshare")
            .args(["--net", "sleep", "900"])
            .stdout(Stdio::null())
            .spawn()
            .expect("unshare is installed: apt-get install util-linux");
        let bed = Self { there };
        bed.until_there();
        run(&format!(
            "ip link add d0 type veth peer name d1 netns {}",
            bed.there.id()
        ));
        run("ip link set d0 master br0 up");
        bed.run_there("ip link set lo up");
        bed.run_there("ip address add 10.77.0.2/24 dev d1");
        bed.run_there("ip link set d1 up");
        bed
    }

    fn until_there(&self) {
        let own = std::fs::read_link("/proc/thread-self/ns/net").expect("this namespace");
        let other = format!("/proc/{}/ns/net", self.there.id());
        let limit = Instant::now() + Duration::from_secs(10);
        while std::fs::read_link(&other).is_ok_and(|other| other == own) {
            assert!(Instant::now() < limit, "unshare makes no namespace");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts a program in the device's namespace.
    pub fn there(&self, program: &str) -> tokio::process::Command {
        let mut command = tokio::process::Command::new("nsenter");
        command
            .args(["--net", "--target", &self.there.id().to_string()])
            .arg(program);
        command
    }

    /// Runs a command line in the device's namespace.
    pub fn run_there(&self, line: &str) {
        run(&format!(
            "nsenter --net --target {} {line}",
            self.there.id()
        ));
    }

    /// Pulls the device's cable, or plugs it in: the device sees its carrier go.
    pub fn cable(&self, plugged: bool) {
        run(match plugged {
            true => "ip link set d0 up",
            false => "ip link set d0 down",
        });
    }

    /// Cuts the path behind the device's back, or mends it.
    pub fn path(&self, whole: bool) {
        run(match whole {
            true => "ip link set d0 master br0",
            false => "ip link set d0 nomaster",
        });
    }

    /// The device gets another address in place of its own.
    pub fn readdress(&self, old: Ipv4Addr, new: Ipv4Addr) {
        self.run_there(&format!("ip address del {old}/24 dev d1"));
        self.run_there(&format!("ip address add {new}/24 dev d1"));
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = self.there.kill();
        let _ = self.there.wait();
    }
}

/// Runs a command line that has to succeed, in this thread's namespace.
pub fn run(line: &str) {
    let words: Vec<_> = line.split_whitespace().collect();
    let output = Command::new(words[0])
        .args(&words[1..])
        .output()
        .unwrap_or_else(|e| panic!("{line}: {e}; apt-get install iproute2 util-linux"));
    assert!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
