//! Networks of the test's own, in namespaces: the test and its browsers in one,
//! the device in another, a server in a third where one is needed.
//!
//! ```text
//! [`Bed::enter`]                                 [`Bed::divided`]
//!
//! browsers  br0 10.77.0.1 ─┬─ d0 ══ d1 device     browsers  br0 10.77.0.1 ── k1 server
//!                          │        10.77.0.2                        10.77.0.9   │ forwards
//!                          └─ k1 server                              10.78.0.1   │ nothing
//!                             10.77.0.9                               device d1 ─┘
//!                                                                     10.78.0.2
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

/// Where the server is for browsers.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);
/// Where it is for a device on a network of its own.
pub const SERVER_BEHIND: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);
/// Where that device is.
pub const BEHIND: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 2);

/// A namespace; it is gone with the last process in it.
pub struct Space(Child);

impl Space {
    /// One without a network.
    pub fn new() -> Self {
        let keeper = Command::new("unshare")
            .args(["--net", "sleep", "3600"])
            .stdout(Stdio::null())
            .spawn()
            .expect("unshare is installed: apt-get install util-linux");
        let space = Self(keeper);
        let own = std::fs::read_link("/proc/thread-self/ns/net").expect("this namespace");
        let other = format!("/proc/{}/ns/net", space.0.id());
        let limit = Instant::now() + Duration::from_secs(10);
        while std::fs::read_link(&other).is_ok_and(|other| other == own) {
            assert!(Instant::now() < limit, "unshare makes no namespace");
            std::thread::sleep(Duration::from_millis(10));
        }
        space.run("ip link set lo up");
        space
    }

    fn id(&self) -> u32 {
        self.0.id()
    }

    /// A program in it.
    pub fn command(&self, program: &str) -> tokio::process::Command {
        let mut command = tokio::process::Command::new("nsenter");
        command
            .args(["--net", "--target", &self.id().to_string()])
            .arg(program);
        command
    }

    /// A cable from here to another one, by the names of its ends; they are up.
    pub fn cable_to(&self, other: &Self, [near, far]: [&str; 2]) {
        let id = other.id();
        self.run(&format!(
            "ip link add {near} type veth peer name {far} netns {id}"
        ));
        self.calm(near);
        other.calm(far);
        self.run(&format!("ip link set {near} up"));
        other.run(&format!("ip link set {far} up"));
    }

    /// [`calm`] for one of its devices.
    fn calm(&self, device: &str) {
        calm(&format!("nsenter --net --target {} ", self.id()), device);
    }

    /// Runs lines of shell in it.
    pub fn shell(&self, lines: &str) {
        let output = Command::new("nsenter")
            .args(["--net", "--target", &self.id().to_string()])
            .args(["sh", "-ec", lines])
            .output()
            .expect("nsenter is installed: apt-get install util-linux");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{lines}: {said}");
    }

    /// Runs a command line in it.
    pub fn run(&self, line: &str) {
        run(&format!("nsenter --net --target {} {line}", self.id()));
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A network with nothing but a loopback, which can stand still.
pub struct Loopback;

impl Loopback {
    /// Runs a test in it, as [`Bed::enter`] does.
    pub fn enter(test: impl FnOnce(Self) + Send) {
        apart(|| test(Self::new()));
    }

    fn new() -> Self {
        let this = Self;
        run("ip link set lo up");
        // For mDNS.
        run("ip route add 224.0.0.0/4 dev lo");
        this.shape("add", Self::FREE);
        this
    }

    const FREE: &str = "rate 10gbit burst 1mb limit 200mb";

    /// Packets wait in the device from now on, and their senders with them once
    /// their sockets' buffers are full; or all leave that waited.
    pub fn stand_still(&self, still: bool) {
        self.shape(
            "change",
            match still {
                true => "rate 8bit burst 2kb limit 200mb",
                false => Self::FREE,
            },
        );
        // What waits is looked at when the next packet comes.
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
        let own = socket.local_addr().expect("it is bound");
        socket.send_to(&[0], own).expect("there is room for it");
    }

    fn shape(&self, verb: &str, how: &str) {
        run(&format!("tc qdisc {verb} dev lo root tbf {how}"));
    }

    /// Datagrams that the kernel dropped: on the device, and for sockets whose
    /// buffers were full.
    pub fn dropped(&self) -> u64 {
        let counts = std::fs::read_to_string("/proc/thread-self/net/snmp").expect("it is there");
        let mut lines = counts.lines().filter_map(|l| l.strip_prefix("Udp: "));
        let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
        let mut all = names.split(' ').zip(values.split(' '));
        let full = all.find(|(name, _)| *name == "RcvbufErrors").expect("it");
        let full: u64 = full.1.parse().expect("a number");
        let shown = Command::new("tc")
            .args(["-s", "-j", "qdisc", "show", "dev", "lo"])
            .output()
            .expect("tc is installed: apt-get install iproute2");
        let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("JSON");
        full + shown[0]["drops"].as_u64().expect("a number")
    }
}

/// Runs a test on a thread of its own, in a network of its own; what it starts is
/// in it too. The next test on this thread is where this one was before.
fn apart(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            unshare();
            test();
        });
        if let Err(panic) = inside.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn unshare() {
    // SAFETY: it takes no pointers, and changes nothing but which network
    // the sockets belong to that this thread makes.
    let entered = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    let error = std::io::Error::last_os_error();
    assert_eq!(
        entered, 0,
        "cannot make a network namespace: {error}; run the test as root or under `unshare -Urn`"
    );
}

/// The networks.
pub struct Bed {
    /// The device's.
    pub there: Space,
    /// The server's.
    pub server: Space,
}

impl Bed {
    /// Runs a test with all on one network: on a thread in a namespace of its own,
    /// where all threads and processes are that it starts, so before tokio's are.
    pub fn enter(test: impl FnOnce(Self) + Send) {
        apart(|| test(Self::united()));
    }

    /// Runs a test where the device and the browsers have the server in common and
    /// nothing else.
    pub fn divided(test: impl FnOnce(Self) + Send) {
        apart(|| test(Self::parted()));
    }

    fn united() -> Self {
        let bed = Self::without_device();
        let there = bed.there.id();
        run(&format!(
            "ip link add d0 type veth peer name d1 netns {there}"
        ));
        calm("", "d0");
        bed.there.calm("d1");
        run("ip link set d0 master br0 up");
        bed.there.run("ip address add 10.77.0.2/24 dev d1");
        bed.there.run("ip link set d1 up");
        bed
    }

    fn parted() -> Self {
        let bed = Self::without_device();
        let there = bed.there.id();
        bed.server.run(&format!(
            "ip link add d0 type veth peer name d1 netns {there}"
        ));
        bed.server.calm("d0");
        bed.there.calm("d1");
        bed.server.run("ip address add 10.78.0.1/24 dev d0");
        bed.server.run("ip link set d0 up");
        bed.there.run("ip address add 10.78.0.2/24 dev d1");
        bed.there.run("ip link set d1 up");
        bed
    }

    fn without_device() -> Self {
        let bed = Self {
            there: Space::new(),
            server: Space::new(),
        };
        run("ip link set lo up");
        run("ip link add br0 type bridge");
        calm("", "br0");
        run("ip address add 10.77.0.1/24 dev br0");
        run("ip link set br0 up");
        // Browsers take the address of the default route for their own.
        run(&format!("ip route add default via {SERVER}"));
        let server = bed.server.id();
        run(&format!(
            "ip link add k0 type veth peer name k1 netns {server}"
        ));
        calm("", "k0");
        bed.server.calm("k1");
        run("ip link set k0 master br0 up");
        bed.server.run("ip address add 10.77.0.9/24 dev k1");
        bed.server.run("ip link set k1 up");
        bed
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
}

/// Gives a device no IPv6 address of its own making: it would appear a second or
/// two later, and for browsers that is another network. Where there is no IPv6
/// there is nothing to do. `enter` is how commands begin where it is.
fn calm(enter: &str, device: &str) {
    let line = format!("{enter}ip link set {device} addrgenmode none");
    let words: Vec<_> = line.split_whitespace().collect();
    let _ = Command::new(words[0]).args(&words[1..]).output();
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

/// Runs a test on threads of this thread's namespace.
pub fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(test);
}
