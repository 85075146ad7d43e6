//! A TURN server as the only path: a real coturn between a real Chromium and a
//! device that have no network in common.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::bed::{BEHIND, Bed, SERVER, SERVER_BEHIND, block_on};
use crate::support::browser::{Browser, Person};
use crate::support::device::{Device, TEST_MEDIA};
use crate::support::{SOON, file, until};
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::process::Child;

const SECOND: Duration = Duration::from_secs(1);
/// Shared by coturn, the chat server and the device.
const SECRET: &str = "north";

/// What runs on the one machine that both sides reach.
struct Server {
    chat: SocketAddr,
    behind: SocketAddr,
    secret: NamedTempFile,
    certificate: NamedTempFile,
    _processes: [Child; 2],
    _key: NamedTempFile,
}

impl Server {
    /// `turn` are the addresses that the page is told; coturn gets `more`
    /// arguments.
    fn start(bed: &Bed, turn: &[&str], more: &[&str]) -> Self {
        let names = vec![SERVER.to_string(), SERVER_BEHIND.to_string()];
        let made = rcgen::generate_simple_self_signed(names).expect("made");
        let certificate = file(&made.cert.pem());
        let key = file(&made.signing_key.serialize_pem());
        let coturn = bed
            .server
            .command("turnserver")
            .args(["-n", "--no-cli", "--log-file=stdout", "--pidfile="])
            .args(["--realm=lab", "--use-auth-secret"])
            .arg(format!("--static-auth-secret={SECRET}"))
            .arg(format!("--listening-ip={SERVER}"))
            .arg(format!("--listening-ip={SERVER_BEHIND}"))
            .arg(format!("--relay-ip={SERVER}"))
            .arg("--cert")
            .arg(certificate.path())
            .arg("--pkey")
            .arg(key.path())
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("coturn is installed: apt-get install coturn");
        let secret = file(SECRET);
        let mut chat = bed.server.command(env!("CARGO_BIN_EXE_camera-agent"));
        chat.args(["chat", "--listen", "0.0.0.0:6503"]);
        for url in turn {
            chat.args(["--turn", url]);
        }
        if !turn.is_empty() {
            chat.arg("--turn-secret-file").arg(secret.path());
        }
        let chat = chat
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        // What is relayed comes from there, and nothing else of that network
        // can be reached: the server forwards nothing.
        bed.there
            .run(&format!("ip route add {SERVER} via {SERVER_BEHIND}"));
        Self {
            chat: (SERVER, 6503).into(),
            behind: (SERVER_BEHIND, 6503).into(),
            secret,
            certificate,
            _processes: [coturn, chat],
            _key: key,
        }
    }

    /// A device, with a relay of its own or without.
    async fn device(&self, bed: &Bed, relay: bool) -> Device {
        let url = format!("turn:{SERVER_BEHIND}:3478?transport=udp");
        let urls = if relay { vec![&*url] } else { vec![] };
        let media = TEST_MEDIA.replace("loopback = true\n", "");
        self.device_at(bed, &media, &urls).await
    }

    /// A device with this picture that uses these servers.
    async fn device_at(&self, bed: &Bed, media: &str, urls: &[&str]) -> Device {
        let mut toml = format!(
            "[server]\nurl = \"ws://{}/\"\nname = \"camera\"\n{media}ca_file = {:?}\n",
            self.behind,
            self.certificate.path(),
        );
        if !urls.is_empty() {
            toml += &format!(
                "[[ice.servers]]\nurls = {urls:?}\nsecret_file = {:?}\n",
                self.secret.path()
            );
        }
        let device = bed.there.command(env!("CARGO_BIN_EXE_camera-agent"));
        let device = Device::run(device, &toml).await;
        device.registered().await;
        device
    }

    /// A browser on the page.
    async fn page(&self, flags: &[&str]) -> Browser {
        let person = Person {
            flags: flags.iter().map(|f| (*f).to_owned()).collect(),
            ..Person::default()
        };
        let alice = Browser::start(person).await;
        alice
            .open(&format!("http://{}/?name=alice", self.chat))
            .await;
        alice
    }

    async fn viewer(&self, flags: &[&str]) -> Browser {
        let alice = self.page(flags).await;
        alice.call("camera").await;
        alice.state("connected").await;
        alice.js("globalThis.thePc = cameraAgent.pc, null").await;
        alice.frames_rise(30).await;
        alice
    }
}

/// The pair in use: both candidates, as the browser's statistics have them.
async fn pair(alice: &Browser) -> (Value, Value) {
    let pair = "thePc.getStats().then((all) => {
        const transport = [...all.values()].find((s) => s.type === 'transport');
        const pair = all.get(transport.selectedCandidatePairId);
        return [all.get(pair.localCandidateId), all.get(pair.remoteCandidateId)];
    })";
    let both = alice.promise(pair).await;
    (both[0].clone(), both[1].clone())
}

/// Sound, and 25 frames a second or more as soon as the path was measured.
async fn is_watched(alice: &Browser) {
    alice.hears().await;
    until("25 frames a second", SOON, async || {
        let (frames, began) = (alice.frames_decoded().await, Instant::now());
        tokio::time::sleep(3 * SECOND).await;
        let more = alice.frames_decoded().await - frames;
        (more / began.elapsed().as_secs_f64() >= 25.0).then_some(())
    })
    .await;
}

/// The browser reaches the TURN server by `url`; the device has none, or, where
/// hosts may not be relayed to, its own.
fn relayed(url: &'static str, protocol: &str, both: bool) {
    Bed::divided(|bed| {
        block_on(async {
            let device_host = format!("--denied-peer-ip={BEHIND}");
            let more = if both { vec![&*device_host] } else { vec![] };
            let server = Server::start(&bed, &[url], &more);
            let _device = server.device(&bed, both).await;
            let alice = server.viewer(&["--ignore-certificate-errors"]).await;
            let (local, remote) = pair(&alice).await;
            assert_eq!(local["candidateType"], "relay", "{local}");
            assert_eq!(local["relayProtocol"], protocol, "{local}");
            if both {
                assert_eq!(remote["candidateType"], "relay", "{remote}");
            }
            is_watched(&alice).await;
        });
    });
}

#[test]
fn the_browser_is_relayed_over_udp() {
    relayed("turn:10.77.0.9:3478?transport=udp", "udp", false);
}

#[test]
fn the_browser_is_relayed_over_tcp() {
    relayed("turn:10.77.0.9:3478?transport=tcp", "tcp", false);
}

#[test]
fn the_browser_is_relayed_over_tls() {
    relayed("turns:10.77.0.9:5349?transport=tcp", "tls", false);
}

#[test]
fn both_are_relayed_the_browser_over_tls() {
    relayed("turns:10.77.0.9:5349?transport=tcp", "tls", true);
}

/// A device behind a firewall that lets it out to its TURN server only. The
/// browser says its address, as it does to pages that may use the camera.
const NO_MDNS: &str = "--disable-features=WebRtcHideLocalIpsWithMdns";

#[test]
fn the_device_is_relayed() {
    Bed::divided(|bed| {
        block_on(async {
            let server = Server::start(&bed, &[], &[]);
            let _device = server.device(&bed, true).await;
            let alice = server.viewer(&[NO_MDNS]).await;
            let (local, remote) = pair(&alice).await;
            assert_eq!(local["candidateType"], "host", "{local}");
            assert_eq!(remote["candidateType"], "relay", "{remote}");
            is_watched(&alice).await;
        });
    });
}

/// An allocation belongs to the address that it was made from (RFC 8656 §5):
/// the page has to restart ICE, and the device to allocate anew.
#[test]
fn a_relayed_device_gets_another_address() {
    Bed::divided(|bed| {
        block_on(async {
            let server = Server::start(&bed, &[], &[]);
            let device = server.device(&bed, true).await;
            let alice = server.viewer(&[NO_MDNS]).await;
            bed.there.run(&format!("ip address del {BEHIND}/24 dev d1"));
            bed.there.run("ip address add 10.78.0.3/24 dev d1");
            bed.there
                .run(&format!("ip route add {SERVER} via {SERVER_BEHIND}"));
            let began = Instant::now();
            device.logs("renegotiation", 1, SOON).await;
            let frames = alice.frames_decoded().await;
            until("the picture is back", SOON, async || {
                (alice.frames_decoded().await >= frames + 30.0).then_some(())
            })
            .await;
            eprintln!("back after {:?}", began.elapsed());
            assert!(began.elapsed() < 20 * SECOND, "{:?}", began.elapsed());
            alice.state("connected").await;
            assert_eq!(alice.js("thePc === cameraAgent.pc").await, true);
            assert_eq!(device.said("call"), 1, "the same call");
            let (_, remote) = pair(&alice).await;
            assert_eq!(remote["candidateType"], "relay", "{remote}");
            is_watched(&alice).await;
        });
    });
}

/// A firewall that lets no UDP out or in.
const NO_UDP: &str = "nft add table inet wall; \
    nft add chain inet wall out '{ type filter hook output priority 0; }'; \
    nft add chain inet wall in '{ type filter hook input priority 0; }'; \
    nft add rule inet wall out meta l4proto udp drop; \
    nft add rule inet wall in meta l4proto udp drop";

/// Noise, which is as large as it may be: some 1.2 Mbit/s.
const NOISE: &str = "[video]\nsource = \"custom\"\npipeline = \"videotestsrc is-live=true \
    pattern=snow ! video/x-raw,format=I420,width=320,height=180,framerate=30/1\"\n\
    width = 320\nheight = 180\nbitrate_kbps = 1200\n[audio]\nsource = \"test\"\n[ice]\n";

/// A device that is let out by TCP only reaches its TURN server at `url`; the
/// time from the click to a picture. Where it `narrows`, the way out is then too
/// slow for the picture, which a stream would keep until it is through.
fn relayed_through_a_stream(url: &str, narrows: bool) {
    Bed::divided(|bed| {
        bed.there.shell(NO_UDP);
        block_on(async {
            let server = Server::start(&bed, &[], &[]);
            let device = server.device_at(&bed, NOISE, &[url]).await;
            let alice = server.page(&[NO_MDNS]).await;
            let began = Instant::now();
            alice.call("camera").await;
            alice.frames_rise(1).await;
            let took = began.elapsed();
            alice.state("connected").await;
            alice.js("globalThis.thePc = cameraAgent.pc, null").await;
            let (local, remote) = pair(&alice).await;
            assert_eq!(local["candidateType"], "host", "{local}");
            assert_eq!(remote["candidateType"], "relay", "{remote}");
            is_watched(&alice).await;
            eprintln!("a picture after {took:?}");
            assert!(took < 2 * SECOND, "a picture after {took:?}");

            if !narrows {
                return;
            }
            bed.there
                .run("tc qdisc add dev d1 root tbf rate 500kbit burst 8kb latency 500ms");
            tokio::time::sleep(5 * SECOND).await;
            // While the queue drains the encoder is asked for less than it can make of
            // noise, and makes half the frames.
            let mut fps = Vec::new();
            while fps.last().is_none_or(|last| *last < 25.0) && fps.len() < 8 {
                let (frames, began) = (alice.frames_decoded().await, Instant::now());
                tokio::time::sleep(3 * SECOND).await;
                let more = alice.frames_decoded().await - frames;
                fps.push(more / began.elapsed().as_secs_f64());
            }
            eprintln!("{fps:.1?} frames a second through 500 kbit/s");
            assert!(fps.iter().all(|fps| *fps >= 10.0), "{fps:.1?}");
            assert!(fps.last().is_some_and(|last| *last >= 25.0), "{fps:.1?}");
            assert_eq!(device.logged("call failed"), 0);
        });
    });
}

#[test]
fn a_device_without_udp_is_relayed_over_tls() {
    relayed_through_a_stream("turns:10.78.0.1:5349", true);
}

#[test]
fn a_device_without_udp_is_relayed_over_tcp() {
    relayed_through_a_stream("turn:10.78.0.1:3478?transport=tcp", false);
}
