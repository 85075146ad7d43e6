//! A call while the network changes: a real Chromium, the device in a network
//! namespace of its own, and a cable between them that is pulled.

mod support;

use std::time::{Duration, Instant};

use serde_json::json;
use support::bed::{Bed, ELSEWHERE, HERE, THERE};
use support::browser::{Browser, Person};
use support::device::{Device, TEST_MEDIA};
use support::{Chat, SOON, options, until};
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);

/// A test in a network of its own.
fn in_bed(test: impl AsyncFnOnce(Bed)) {
    let bed = Bed::enter();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(test(bed));
}

struct Call {
    chat: Chat,
    device: Device,
    alice: Browser,
}

impl Call {
    async fn start(bed: &Bed) -> Self {
        let mut options = options();
        options.listen = (HERE, 0).into();
        let chat = Chat::with(options).await;
        let toml = format!(
            "[server]\nurl = \"ws://{}/\"\nname = \"camera\"\n{}",
            chat.addr,
            TEST_MEDIA.replace("loopback = true", "loopback = false"),
        );
        let device = Device::run(bed.there(env!("CARGO_BIN_EXE_camera-agent")), &toml).await;
        device.registered().await;
        let alice = Browser::start(Person::default()).await;
        let page = format!("http://{}/?name=alice", chat.addr);
        alice.open(&page).await;
        alice.call("camera").await;
        alice.state("connected").await;
        alice.js("globalThis.thePc = cameraAgent.pc, null").await;
        alice.frames_rise(60).await;
        Self {
            chat,
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

    async fn end(self) {
        drop(self.alice);
        drop(self.device);
        self.chat.stop().await;
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
    call.end().await;
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
        bed.readdress(THERE, ELSEWHERE);
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
        call.end().await;
    });
}

/// The device has no address for a while, as between two Wi-Fi networks.
#[test]
fn the_device_changes_its_network_with_a_gap() {
    in_bed(async |bed| {
        let call = Call::start(&bed).await;
        bed.run_there("ip address flush dev d1");
        sleep(8 * SECOND).await;
        bed.run_there(&format!("ip address add {ELSEWHERE}/24 dev d1"));
        let back = call.back().await;
        eprintln!("back after {back:?}");
        assert!(back <= 5 * SECOND, "the picture was back after {back:?}");
        call.is_whole().await;
        call.end().await;
    });
}

/// What the page does when nothing comes back by itself.
#[test]
fn an_ice_restart_finds_the_sockets_of_the_new_network() {
    in_bed(async |bed| {
        let call = Call::start(&bed).await;
        bed.readdress(THERE, ELSEWHERE);
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
        assert_eq!(call.remote().await, ELSEWHERE.to_string());
        let sdp = "thePc.remoteDescription.sdp";
        let stale = call.alice.js(&format!("{sdp}.includes('{THERE}')")).await;
        assert_eq!(stale, false);
        call.end().await;
    });
}
