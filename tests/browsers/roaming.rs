//! A call while the network changes: a real Chromium, the device in a network
//! namespace of its own, and a cable between them that is pulled.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::bed::{Bed, ELSEWHERE, HERE, SERVER, THERE, run};
use crate::support::browser::{Browser, Person};
use crate::support::device::{Device, TEST_MEDIA};
use crate::support::{SOON, until};
use serde_json::json;
use tokio::process::Child;
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);

/// A test in a network of its own.
fn in_bed(test: impl AsyncFnOnce(Bed) + Send) {
    Bed::enter(|bed| {
        crate::support::bed::block_on(test(bed));
    });
}

/// The device gets another address in place of its own.
fn readdress(bed: &Bed) {
    bed.there.run(&format!("ip address del {THERE}/24 dev d1"));
    bed.there
        .run(&format!("ip address add {ELSEWHERE}/24 dev d1"));
}

struct Call {
    _chat: Child,
    device: Device,
    alice: Browser,
}

impl Call {
    async fn start(bed: &Bed) -> Self {
        let chat = SocketAddr::from((SERVER, 6503));
        let listen = ["chat", "--listen", &chat.to_string()];
        let _chat = bed
            .server
            .command(env!("CARGO_BIN_EXE_camera-agent"))
            .args(listen)
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let toml = format!(
            "[server]\nurl = \"ws://{chat}/\"\nname = \"camera\"\n{}",
            TEST_MEDIA.replace("loopback = true", "loopback = false"),
        );
        let device = bed.there.command(env!("CARGO_BIN_EXE_camera-agent"));
        let device = Device::run(device, &toml).await;
        device.registered().await;
        let alice = Browser::start(Person::default()).await;
        alice.open(&format!("http://{chat}/?name=alice")).await;
        alice.call("camera").await;
        alice.state("connected").await;
        alice.js("globalThis.thePc = cameraAgent.pc, null").await;
        alice.frames_rise(60).await;
        Self {
            _chat,
            device,
            alice,
        }
    }

    /// How long it takes until pictures come that were not there before.
    async fn back(&self) -> Duration {
        let (began, before) = (Instant::now(), self.alice.frames_decoded().await);
        until("the picture is back", SOON, async || {
            (self.alice.frames_decoded().await > before).then_some(())
        })
        .await;
        began.elapsed()
    }

    /// The longest time without a new picture in this time.
    async fn interruption(&self, time: Duration) -> Duration {
        let end = Instant::now() + time;
        let (mut last, mut at) = (self.alice.frames_decoded().await, Instant::now());
        let mut longest = Duration::ZERO;
        while Instant::now() < end {
            let frames = self.alice.frames_decoded().await;
            longest = longest.max(at.elapsed());
            if frames > last {
                (last, at) = (frames, Instant::now());
            }
            sleep(Duration::from_millis(50)).await;
        }
        longest
    }

    /// It runs as before, and is the one that it was.
    async fn is_whole(&self) {
        self.alice.state("connected").await;
        self.alice.frames_rise(90).await;
        assert_eq!(self.alice.js("thePc === cameraAgent.pc").await, true);
        assert_eq!(self.device.said("call"), 1, "the same call");
        assert_eq!(self.device.logged("call ended"), 0);
        assert_eq!(self.device.logged("call failed"), 0);
    }

    /// The device's address on the pair in use.
    async fn remote(&self) -> String {
        let pair = "thePc.getStats().then((all) => {
            const transport = [...all.values()].find((s) => s.type === 'transport');
            const pair = all.get(transport.selectedCandidatePairId);
            return all.get(pair.remoteCandidateId).address;
        })";
        let address = self.alice.promise(pair).await;
        address.as_str().unwrap_or_default().to_owned()
    }
}

async fn outage(bed: &Bed, length: Duration, set: impl Fn(&Bed, bool)) {
    let call = Call::start(bed).await;
    set(bed, false);
    sleep(length).await;
    set(bed, true);
    let back = call.back().await;
    eprintln!("back after {back:?}");
    assert!(back <= 2 * SECOND, "the picture was back after {back:?}");
    call.is_whole().await;
}

#[test]
fn a_cable_that_is_out_for_five_seconds() {
    in_bed(async |bed| outage(&bed, 5 * SECOND, Bed::cable).await);
}

#[test]
fn a_cable_that_is_out_for_thirty_seconds() {
    in_bed(async |bed| outage(&bed, 30 * SECOND, Bed::cable).await);
}

#[test]
fn a_path_that_is_cut_for_five_seconds() {
    in_bed(async |bed| outage(&bed, 5 * SECOND, Bed::path).await);
}

#[test]
fn a_path_that_is_cut_for_thirty_seconds() {
    in_bed(async |bed| outage(&bed, 30 * SECOND, Bed::path).await);
}

#[test]
fn the_device_gets_another_address() {
    in_bed(async |bed| {
        let call = Call::start(&bed).await;
        assert_eq!(call.remote().await, THERE.to_string());
        readdress(&bed);
        let gone = call.interruption(15 * SECOND).await;
        eprintln!("no picture for {gone:?}");
        assert!(gone <= 5 * SECOND, "no picture for {gone:?}");
        call.is_whole().await;
        // Browsers do not say where a peer-reflexive candidate is.
        assert_ne!(call.remote().await, THERE.to_string());
        assert_eq!(
            call.device.logged("renegotiation"),
            0,
            "no restart was needed"
        );
        // It is reached at its new address by those who come later, too.
        call.device
            .logs("connected to the chat server", 2, SOON)
            .await;
    });
}

/// The device has no address for a while, as between two Wi-Fi networks.
#[test]
fn the_device_changes_its_network_with_a_gap() {
    in_bed(async |bed| {
        let call = Call::start(&bed).await;
        bed.there.run("ip address flush dev d1");
        sleep(8 * SECOND).await;
        bed.there
            .run(&format!("ip address add {ELSEWHERE}/24 dev d1"));
        let back = call.back().await;
        eprintln!("back after {back:?}");
        assert!(back <= 5 * SECOND, "the picture was back after {back:?}");
        call.is_whole().await;
    });
}

/// What the page does when nothing comes back by itself.
#[test]
fn an_ice_restart_finds_the_sockets_of_the_new_network() {
    in_bed(async |bed| {
        let call = Call::start(&bed).await;
        readdress(&bed);
        call.device
            .logs("connected to the chat server", 2, SOON)
            .await;
        call.alice
            .until_js(
                "the camera is listed",
                "!!document.querySelector('#users button[data-name=camera]')",
            )
            .await;
        let ufrag = "/ice-ufrag:(\\S+)/.exec(thePc.remoteDescription.sdp)[1]";
        let before = call.alice.js(ufrag).await;
        call.alice
            .js("Object.defineProperty(thePc, 'connectionState', {value: 'failed', configurable: true}) && thePc.onconnectionstatechange()")
            .await;
        call.alice.js("delete thePc.connectionState").await;
        call.alice
            .until_js(
                "another ICE generation",
                &format!("{ufrag} !== {}", json!(before)),
            )
            .await;
        call.alice.js("thePc.onconnectionstatechange()").await;
        call.is_whole().await;
        until("the pair of the new network", SOON, async || {
            (call.remote().await == ELSEWHERE.to_string()).then_some(())
        })
        .await;
        let sdp = "thePc.remoteDescription.sdp";
        let stale = call.alice.js(&format!("{sdp}.includes('{THERE}')")).await;
        assert_eq!(stale, false);
    });
}

/// Their Wi-Fi roams: nothing of the old path is left, and the page looks for
/// another by itself.
#[test]
fn the_viewer_gets_another_address() {
    in_bed(async |bed| {
        let call = Call::start(&bed).await;
        run(&format!("ip address del {HERE}/24 dev br0"));
        run("ip address add 10.77.0.4/24 dev br0");
        let gone = call.interruption(25 * SECOND).await;
        eprintln!("no picture for {gone:?}");
        assert!(gone <= 15 * SECOND, "no picture for {gone:?}");
        call.is_whole().await;
        call.alice
            .until_js("their name", "cameraAgent.me === 'alice'")
            .await;
    });
}

/// The page says what it does, and that it gives up.
#[test]
fn a_path_that_never_comes_back_ends_the_call_on_both_sides() {
    in_bed(async |bed| {
        let call = Call::start(&bed).await;
        bed.path(false);
        call.alice.says("interrupted").await;
        call.device
            .logs("the viewer was not reachable for 45 s", 1, 60 * SECOND)
            .await;
        let over = "cameraAgent.state === 'idle'";
        until("the page gives up", 40 * SECOND, async || {
            (call.alice.js(over).await == true).then_some(())
        })
        .await;
        call.alice.says("the connection to camera was lost").await;
        call.device.logs("stopped: nobody watches", 2, SOON).await;
    });
}
