//! The package and its service on a fresh Debian in a virtual machine, with the
//! hardening in force, a real camera (vivid), sound card (snd-aloop) and LED
//! (the keyboard's). `make test-vm-service` makes all that
//! (tests/lab/service.sh) and runs this; without it these tests fail.
//!
//! Each test begins with a service that runs, whatever the one before left.
//! Times are bounds for an emulated processor; numbers seen are printed.

mod lab;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub use lab::{CONFIG, install};
use lab::{DROP_INS, Lab};

use crate::support::browser::{Browser, Person};
use crate::support::machine::{Machine, PATIENCE, variable};
use crate::support::picture::{assert_bars, is_bars, picture, row};
use crate::support::{Chat, until};
use camera_agent::chat::Options;
use tokio::time::sleep;

const NAME: &str = "vivid";
const LED: &str = "/sys/class/leds/input0::capslock";
/// From the last viewer's leave to the closed device: the grace is 5 s.
const CLOSED: Duration = Duration::from_secs(6);
/// And asking a machine whose seconds are dear.
const SLACK: Duration = Duration::from_millis(1_500);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-service"]
async fn installed_it_waits_for_its_two_keys_and_configured_it_shows_the_camera() {
    let lab = Lab::fresh().await;
    let said = lab.run(&install("camera-agent")).await;
    assert!(said.contains("server.url and server.name"), "{said}");
    assert_eq!(lab.machine.property("ActiveState").await, "inactive");
    assert_eq!(lab.machine.property("UnitFileState").await, "enabled");

    // Started all the same, it says it in one line and is not started again.
    let status = lab.machine.try_run("systemctl start camera-agent").await;
    assert!(!status.status.success());
    sleep(Duration::from_secs(3)).await;
    assert_eq!(lab.machine.property("NRestarts").await, "0");
    assert_eq!(lab.machine.property("ExecMainStatus").await, "78");
    let log = lab.run("journalctl -u camera-agent -p err -o cat").await;
    let lines: Vec<_> = log.lines().filter(|l| l.contains("server.url")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("server.name"), "{log}");

    lab.configure().await;
    let chat = lab.chat().await;
    let begun = Instant::now();
    // Type=notify: back when it is registered.
    lab.run("systemctl start camera-agent").await;
    println!("systemctl start to READY: {:?}", begun.elapsed());
    let status = lab.machine.property("StatusText").await;
    assert_eq!(status, "registered as \"vivid\", nobody watches");
    lab.call(&chat).await;

    let exposure = lab
        .run("systemd-analyze security --no-pager --threshold=15 camera-agent | tail -n 1")
        .await;
    println!("{exposure}");
    assert!(
        exposure.contains("OK") || exposure.contains("SAFE"),
        "{exposure}"
    );
    // The hardening is in force: no capability, no new privilege, a filter.
    let pid = lab.machine.property("MainPID").await;
    let facts = lab
        .run(&format!(
            "grep -E '^(Uid|CapBnd|CapEff|NoNewPrivs|Seccomp):' /proc/{pid}/status"
        ))
        .await;
    for fact in ["CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(facts.contains(fact), "{facts}");
    }
    assert!(!facts.contains("Uid:\t0"), "{facts}");
    let cached = lab.run("ls /var/cache/camera-agent").await;
    assert!(cached.contains("gstreamer-registry.bin"), "{cached}");
    let memory = lab.machine.property("MemoryCurrent").await;
    println!("memory of the unit after a call: {memory} bytes");
    chat.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-service"]
async fn a_crash_is_followed_by_a_new_process_and_a_call() {
    let lab = Lab::running().await;
    let chat = lab.chat().await;
    lab.registered().await;
    let pid = lab.machine.property("MainPID").await;
    let killed = Instant::now();
    // Rust's own handler, which looks for a stack that is too long, takes the
    // first one that comes from outside, and lets the next one through.
    lab.run("systemctl kill -s SEGV camera-agent; sleep 1; systemctl kill -s SEGV camera-agent")
        .await;
    lab.another_process(&pid).await;
    assert_eq!(lab.machine.property("NRestarts").await, "1");
    println!("SIGSEGV to registered again: {:?}", killed.elapsed());
    lab.call(&chat).await;
    chat.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-service"]
async fn a_process_that_stands_still_is_replaced_by_the_watchdog() {
    let lab = Lab::running().await;
    let chat = lab.chat().await;
    lab.registered().await;
    let pid = lab.machine.property("MainPID").await;
    // Longer than the limit: fed, it is left alone.
    sleep(Duration::from_secs(35)).await;
    assert_eq!(lab.machine.property("MainPID").await, pid);

    lab.run("systemctl kill -s STOP camera-agent").await;
    let stopped = Instant::now();
    lab.another_process(&pid).await;
    println!("SIGSTOP to registered again: {:?}", stopped.elapsed());
    let log = lab
        .run("journalctl -u camera-agent -o cat | grep -i watchdog")
        .await;
    assert!(log.contains("Watchdog timeout"), "{log}");
    lab.call(&chat).await;
    chat.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-service"]
async fn a_full_disk_keeps_nobody_from_seeing() {
    let lab = Lab::running().await;
    let chat = lab.chat().await;
    lab.run(
        "rm -rf /var/cache/camera-agent/*; \
         fallocate -l $(df --output=avail -B1 / | tail -n 1) /fill1; \
         dd if=/dev/zero of=/fill2 bs=64k 2>/dev/null; \
         dd if=/dev/zero of=/fill3 bs=4k 2>/dev/null; true",
    )
    .await;
    let full = lab
        .machine
        .try_run(
            "runuser -u camera-agent -- sh -c 'head -c 65536 /dev/zero >/var/cache/camera-agent/x'",
        )
        .await;
    assert!(!full.status.success(), "the disk is not full");
    // It starts on a full disk, and goes on.
    lab.run("rm -f /var/cache/camera-agent/x; systemctl restart camera-agent")
        .await;
    lab.registered().await;
    lab.call(&chat).await;
    lab.run("rm -f /fill*").await;
    chat.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-service"]
async fn a_chat_server_that_is_gone_for_a_minute_is_found_again() {
    let lab = Lab::running().await;
    let chat = lab.chat().await;
    lab.registered().await;
    let pid = lab.machine.property("MainPID").await;
    chat.stop().await;
    until("the status says so", PATIENCE, || async {
        let status = lab.machine.property("StatusText").await;
        status.contains("no chat server").then_some(())
    })
    .await;
    sleep(Duration::from_secs(60)).await;
    let chat = lab.chat().await;
    let back = Instant::now();
    lab.registered().await;
    println!("the server is back to registered: {:?}", back.elapsed());
    lab.call(&chat).await;
    assert_eq!(
        lab.machine.property("MainPID").await,
        pid,
        "it was restarted"
    );
    chat.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-service"]
async fn a_clock_that_jumps_a_year_changes_nothing() {
    let lab = Lab::running().await;
    let chat = lab.chat().await;
    lab.registered().await;
    let pid = lab.machine.property("MainPID").await;
    lab.run("date -s '+1 year'").await;
    sleep(Duration::from_secs(35)).await;
    assert_eq!(
        lab.machine.property("MainPID").await,
        pid,
        "it was restarted"
    );
    lab.call(&chat).await;
    lab.run("date -s '-1 year'").await;
    lab.call(&chat).await;
    assert_eq!(
        lab.machine.property("MainPID").await,
        pid,
        "it was restarted"
    );
    chat.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-service"]
async fn an_upgrade_during_a_call_restarts_it_and_keeps_the_configuration() {
    let lab = Lab::running().await;
    let chat = lab.chat().await;
    lab.registered().await;
    let pid = lab.machine.property("MainPID").await;
    let before = lab.run("cat /etc/camera-agent/camera-agent.toml").await;
    let viewer = lab.browser(&chat).await;
    viewer.call(NAME).await;
    viewer.frames_rise(1).await;

    lab.run(&install("camera-agent-newer")).await;
    viewer.says("the camera is shutting down").await;
    viewer.state("idle").await;
    lab.another_process(&pid).await;
    let version = lab.run("dpkg-query -W -f '${Version}' camera-agent").await;
    assert!(version.ends_with("+newer"), "{version}");
    assert_eq!(
        lab.run("cat /etc/camera-agent/camera-agent.toml").await,
        before
    );
    viewer.call(NAME).await;
    viewer.frames_rise(10).await;
    chat.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-service"]
async fn a_reload_keeps_the_call_that_it_does_not_concern() {
    let lab = Lab::running().await;
    let chat = lab.chat().await;
    lab.registered().await;
    let viewer = lab.browser(&chat).await;
    viewer.call(NAME).await;
    viewer.frames_rise(1).await;
    let pid = lab.machine.property("MainPID").await;
    lab.run(&format!(
        "sed -i 's/^max = 8/max = 1/' {CONFIG}; systemctl reload camera-agent"
    ))
    .await;
    lab.logs("another viewer limit").await;
    let second = lab.browser_called(&chat, "second").await;
    second.call(NAME).await;
    second.says("as many viewers as it can serve").await;
    viewer.frames_rise(10).await;

    lab.run(&format!(
        "sed -i 's/^max = 1/max = 0/' {CONFIG}; systemctl reload camera-agent"
    ))
    .await;
    lab.logs("the old one stays in force").await;
    viewer.frames_rise(10).await;
    assert_eq!(lab.machine.property("MainPID").await, pid);
    chat.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-service"]
async fn a_secret_comes_as_a_credential_that_nobody_else_can_read() {
    const SECRET: &str = "4f2b9d-of-the-relay";
    let lab = Lab::running().await;
    let chat = lab.chat().await;
    lab.registered().await;
    lab.run(&format!(
        "umask 077; echo {SECRET} >/root/turn-secret
         printf '[[ice.servers]]\\nurls = [\"turn:192.0.2.1\"]\\nsecret_file = \"credential:turn\"\\n' >>{CONFIG}"
    ))
    .await;
    // Named and not passed, it is one line that says what to add.
    lab.machine.try_run("systemctl restart camera-agent").await;
    assert_eq!(lab.machine.property("ExecMainStatus").await, "78");
    lab.logs("add LoadCredential=turn:FILE").await;

    lab.run(&format!(
        "mkdir -p {DROP_INS} && printf '[Service]\\nLoadCredential=turn:/root/turn-secret\\n' >{DROP_INS}/turn.conf
         systemctl daemon-reload && systemctl restart camera-agent"
    ))
    .await;
    lab.registered().await;
    lab.call(&chat).await;
    let found = lab
        .run(&format!(
            "journalctl -b -o cat | grep -c {SECRET} || true; \
             tr '\\0' '\\n' </proc/$(systemctl show -P MainPID camera-agent)/environ | grep -c {SECRET} || true; \
             runuser -u nobody -- cat /run/credentials/camera-agent.service/turn 2>&1 | grep -c {SECRET} || true"
        ))
        .await;
    assert_eq!(found, "0\n0\n0");
    chat.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-service"]
async fn the_light_is_on_exactly_while_the_camera_is_open() {
    let lab = Lab::running().await;
    let chat = lab.chat().await;
    lab.run(&format!(
        "test -e {LED}/brightness
         mkdir -p {DROP_INS} && sed 's/NAME/{}/g' /usr/share/camera-agent/boards/led.conf >{DROP_INS}/led.conf
         sed -i 's|^#:path = .*|path = \"{LED}\"|' {CONFIG}
         systemctl daemon-reload && systemctl restart camera-agent",
        LED.rsplit('/').next().expect("a path")
    ))
    .await;
    lab.registered().await;
    assert_eq!(lab.run(&format!("cat {LED}/brightness")).await, "0");
    lab.run(&format!(
        "rm -f /root/spy.end /root/spy.out; systemd-run --quiet --unit=spy --collect \
         sh /root/guest/spy.sh $(systemctl show -P MainPID camera-agent) {LED}"
    ))
    .await;

    let viewer = lab.browser(&chat).await;
    for _ in 0..2 {
        viewer.call(NAME).await;
        viewer.frames_rise(5).await;
        assert_eq!(lab.run(&format!("cat {LED}/brightness")).await, "1");
        assert!(lab.machine.camera_is_open().await);
        viewer.click("#hangup").await;
        viewer.state("idle").await;
        let left = Instant::now();
        until(
            "the light is off and the node closed",
            CLOSED + SLACK,
            || async {
                let dark = lab.run(&format!("cat {LED}/brightness")).await == "0";
                (dark && !lab.machine.camera_is_open().await).then_some(())
            },
        )
        .await;
        println!("last viewer left to closed and dark: {:?}", left.elapsed());
    }
    // In the device's own words, since asking takes time.
    let times = lab
        .run("journalctl -u camera-agent -o short-unix | grep -E 'hung up|the camera is off' | tail -n 2 | cut -d ' ' -f 1")
        .await;
    let times: Vec<f64> = times
        .lines()
        .map(|time| time.parse().expect("seconds"))
        .collect();
    let took = times[1] - times[0];
    println!("hang-up to the camera's end in the log: {took:.2} s");
    assert!(took > 0.0 && took < CLOSED.as_secs_f64(), "{times:?}");

    lab.run("touch /root/spy.end").await;
    let spied = until("what the spy saw", PATIENCE, || async {
        let text = lab.run("cat /root/spy.out 2>/dev/null || true").await;
        (!text.is_empty()).then_some(text)
    })
    .await;
    let numbers: Vec<u32> = spied
        .split(' ')
        .map(|number| number.parse().expect("a number"))
        .collect();
    println!("looks, with the node open, of them in the dark: {numbers:?}");
    assert!(numbers[1] > 20, "it never saw the node open: {numbers:?}");
    assert_eq!(numbers[2], 0, "open in the dark: {numbers:?}");

    // A light that cannot be switched on keeps the camera closed.
    lab.run(&format!("chmod a-w {LED}/brightness {LED}/trigger"))
        .await;
    viewer.call(NAME).await;
    lab.logs("cannot be switched on").await;
    assert!(!lab.machine.camera_is_open().await);
    chat.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-service"]
async fn purged_it_leaves_nothing() {
    let lab = Lab::running().await;
    let chat = lab.chat().await;
    lab.registered().await;
    lab.run("DEBIAN_FRONTEND=noninteractive apt-get purge -y -q camera-agent")
        .await;
    let left = lab
        .run("find / -xdev -path /root -prune -o -path /proc -prune -o -name '*camera-agent*' -print")
        .await;
    assert_eq!(left, "");
    let left = lab
        .run(
            "find /run /tmp /var/tmp -name '*camera-agent*'; getent passwd camera-agent; \
             getent group camera-agent; pgrep -x camera-agent; \
             systemctl list-units --all --no-legend 'camera-agent*'; true",
        )
        .await;
    assert_eq!(left, "");
    chat.stop().await;
}
