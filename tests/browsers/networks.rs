//! Networks that a device is put on: a resolver and servers that say nothing,
//! link-local or IPv6 addresses alone, two NATs in a row. A real Chromium, the
//! device in a network namespace of its own.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::bed::{Bed, HERE, SERVER, Space, block_on, run};
use crate::support::browser::{Browser, Person};
use crate::support::device::{Device, TEST_MEDIA};
use crate::support::{SOON, file, until};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

const SECOND: Duration = Duration::from_secs(1);
const AGENT: &str = env!("CARGO_BIN_EXE_camera-agent");
/// Chat and coturn share it with the device.
const SECRET: &str = "north";

/// The chat server, in the server's namespace.
fn chat(bed: &Bed, at: SocketAddr, stun: Option<&str>) -> Child {
    bed.server
        .command(AGENT)
        .args(["chat", "--listen", &at.to_string()])
        .args(stun.map(|url| format!("--stun={url}")))
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts")
}

/// The device that `program` is, with `more` behind `[ice]`.
async fn device(program: Command, chat: SocketAddr, more: &str) -> Device {
    let media = TEST_MEDIA.replace("loopback = true", "loopback = false");
    let toml = format!("[server]\nurl = \"ws://{chat}/\"\nname = \"camera\"\n{media}{more}");
    let device = Device::run(program, &toml).await;
    device.registered().await;
    device
}

/// Calls the camera; returns the browser, and the time from the click to a
/// picture.
async fn call(chat: SocketAddr, flags: &[&str]) -> (Browser, Duration) {
    let person = Person {
        flags: flags.iter().map(|f| (*f).to_owned()).collect(),
        ..Person::default()
    };
    let alice = Browser::start(person).await;
    alice.open(&format!("http://{chat}/?name=alice")).await;
    let began = Instant::now();
    alice.call("camera").await;
    alice.frames_rise(1).await;
    let took = began.elapsed();
    alice.state("connected").await;
    alice.js("globalThis.thePc = cameraAgent.pc, null").await;
    eprintln!("a picture after {took:?}");
    (alice, took)
}

/// The device's end of the pair in use, as the browser's statistics have it.
async fn remote(alice: &Browser) -> Value {
    let remote = "thePc.getStats().then((all) => {
        const transport = [...all.values()].find((s) => s.type === 'transport');
        const pair = all.get(transport.selectedCandidatePairId);
        return all.get(pair.remoteCandidateId);
    })";
    alice.promise(remote).await
}

/// What the device told of its addresses.
async fn candidates(alice: &Browser) -> Vec<String> {
    let all = "thePc.getStats().then((all) => [...all.values()]
        .filter((s) => s.type === 'remote-candidate')
        .map((s) => `${s.candidateType} ${s.address} ${s.port}`))";
    let all = alice.promise(all).await;
    serde_json::from_value(all).expect("texts")
}

/// Three names that no server resolves, an address behind a gateway that is not
/// there, and one that nobody has.
#[test]
fn servers_and_a_resolver_that_say_nothing_hold_up_no_call() {
    Bed::enter(|bed| {
        bed.there.run("ip route add default via 10.77.0.250");
        block_on(async {
            let _silent = UdpSocket::bind((HERE, 53)).expect("nobody else resolves here");
            let resolv = file(&format!("nameserver {HERE}\n"));
            let at = SocketAddr::from((SERVER, 6503));
            let _chat = chat(&bed, at, None);
            let mut program = bed.there.command("unshare");
            program.args(["--mount", "sh", "-ec"]);
            program.arg("mount --bind \"$0\" /etc/resolv.conf; exec \"$@\"");
            program.arg(resolv.path()).arg(AGENT);
            let secret = file(SECRET);
            let more = format!(
                "[[ice.servers]]\nurls = [\"stun:a.example\", \"stun:b.example\", \"stun:c.example\", \
             \"stun:192.0.2.1\"]\n[[ice.servers]]\nurls = [\"turns:d.example\", \
             \"turn:192.0.2.9?transport=tcp\"]\nsecret_file = {:?}\n",
                secret.path()
            );
            let device = device(program, at, &more).await;
            let (alice, took) = call(at, &[]).await;
            assert!(took < 2 * SECOND, "a picture after {took:?}");

            // What the page does when the path is lost.
            let ufrag = "/ice-ufrag:(\\S+)/.exec(thePc.remoteDescription.sdp)[1]";
            let before = alice.js(ufrag).await;
            let began = Instant::now();
            alice
            .js("Object.defineProperty(thePc, 'connectionState', {value: 'failed', configurable: true}) && thePc.onconnectionstatechange()")
            .await;
            alice.js("delete thePc.connectionState").await;
            let another = format!("{ufrag} !== {}", json!(before));
            alice.until_js("another ICE generation", &another).await;
            alice.js("thePc.onconnectionstatechange()").await;
            // The browser has chosen a pair with a socket of the new generation.
            let connected = "['connected', 'completed'].includes(thePc.iceConnectionState)";
            alice.until_js("a path", connected).await;
            alice.frames_rise(1).await;
            let took = began.elapsed();
            eprintln!("restarted after {took:?}");
            assert!(took < 2 * SECOND, "restarted after {took:?}");
            alice.frames_rise(30).await;
            assert_eq!(device.logged("call failed"), 0);
        });
    });
}

/// A device at the end of one cable, as a USB gadget is.
#[test]
fn a_device_with_a_link_local_address_alone_is_watched() {
    Bed::enter(|bed| {
        bed.there.run("ip address flush dev d1");
        bed.there.run("ip address add 169.254.7.2/16 dev d1");
        bed.server.run("ip address add 169.254.7.9/16 dev k1");
        run("ip address add 169.254.7.1/16 dev br0");
        block_on(async {
            let at = SocketAddr::from(([169, 254, 7, 9], 6503));
            let _chat = chat(&bed, at, None);
            let device = device(bed.there.command(AGENT), at, "").await;
            let (alice, _) = call(at, &[]).await;
            let told = candidates(&alice).await;
            assert!(
                told.iter().any(|c| c.starts_with("host 169.254.7.2 ")),
                "{told:?}"
            );
            assert!(
                !told
                    .iter()
                    .any(|c| c.contains(" 0.0.0.0 ") || c.contains(" :: ")),
                "{told:?}"
            );
            // Another interface comes and goes: that is nothing to it.
            bed.there
                .run("ip link add other type veth peer name another");
            bed.there.run("ip address add 10.99.0.1/24 dev other");
            bed.there.run("ip link set another up");
            bed.there.run("ip link set other up");
            device.logs("the network changed", 1, SOON).await;
            bed.there.run("ip link del other");
            device.logs("the network changed", 2, SOON).await;
            alice.frames_rise(30).await;
            assert_eq!(device.logged("connected to the chat server"), 1);
            assert_eq!(device.logged("a socket follows the network"), 0);
        });
    });
}

/// On ports of a range, and with an address of a router's told beside its own.
#[test]
fn a_device_with_ipv6_alone_is_watched_on_the_ports_that_are_set() {
    Bed::enter(|bed| {
        bed.there.run("ip address flush dev d1");
        bed.there.run("ip address add fd00:77::2/64 dev d1 nodad");
        bed.server.run("ip address add fd00:77::9/64 dev k1 nodad");
        run("ip address add fd00:77::1/64 dev br0 nodad");
        run("ip route add default via fd00:77::9");
        block_on(async {
            let server: IpAddr = "fd00:77::9".parse().expect("an address");
            let at = SocketAddr::from((server, 6503));
            let _chat = chat(&bed, at, None);
            let more =
                "ports = \"50000-50001\"\npublic_addresses = [\"2001:db8::7\", \"203.0.113.7\"]\n";
            let device = device(bed.there.command(AGENT), at, more).await;
            let (alice, _) = call(at, &[]).await;
            let port = remote(&alice).await["port"].as_u64().expect("a port");
            assert!((50_000..=50_001).contains(&port), "{port}");
            let public = format!("srflx 2001:db8::7 {port}");
            let told = until("the address of the router", SOON, async || {
                let told = candidates(&alice).await;
                told.contains(&public).then_some(told)
            })
            .await;
            assert!(
                !told.iter().any(|c| c.contains("203.0.113.7")),
                "of no family: {told:?}"
            );
            // The range carries one more call, and the third is told why it is none.
            let bob = Browser::start(Person::default()).await;
            bob.open(&format!("http://{at}/?name=bob")).await;
            bob.call("camera").await;
            bob.frames_rise(1).await;
            let carol = Browser::start(Person::default()).await;
            carol.open(&format!("http://{at}/?name=carol")).await;
            carol.call("camera").await;
            device
                .logs(
                    "all UDP ports of ice.ports (50000-50001) are in use",
                    1,
                    SOON,
                )
                .await;
            carol
                .until_js("it ends", "cameraAgent.state === 'idle'")
                .await;
            alice.frames_rise(10).await;
        });
    });
}

/// A router of the provider's behind the one at home, each of which gives every
/// flow a port of its own.
#[test]
fn a_device_behind_two_nats_is_watched_and_knows_its_address() {
    Bed::enter(|bed| {
        // The provider's has the bed's cable, the one at home another, and the
        // device is behind that.
        let (home, device_space) = (Space::new(), Space::new());
        bed.there.cable_to(&home, ["c0", "c1"]);
        home.cable_to(&device_space, ["h0", "h1"]);
        const MASQUERADE: &str = "sysctl -qw net.ipv4.ip_forward=1; nft add table ip nat; \
        nft add chain ip nat out '{ type nat hook postrouting priority 100; }'; ";
        bed.there.shell(&format!(
            "ip address add 100.64.0.1/24 dev c0; {MASQUERADE} \
         nft add rule ip nat out oifname d1 masquerade random"
        ));
        home.shell(&format!(
            "ip address add 100.64.0.2/24 dev c1; ip address add 192.168.1.1/24 dev h0; \
         ip route add default via 100.64.0.1; {MASQUERADE} \
         nft add rule ip nat out oifname c1 masquerade random"
        ));
        device_space
            .shell("ip address add 192.168.1.2/24 dev h1; ip route add default via 192.168.1.1");
        block_on(async {
            let at = SocketAddr::from((SERVER, 6503));
            let _chat = chat(&bed, at, Some(&format!("stun:{SERVER}")));
            let _coturn = bed
                .server
                .command("turnserver")
                .args([
                    "-n",
                    "--no-cli",
                    "--no-tls",
                    "--no-dtls",
                    "--log-file=stdout",
                    "--pidfile=",
                ])
                .args(["--realm=lab", "--use-auth-secret"])
                .arg(format!("--static-auth-secret={SECRET}"))
                .arg(format!("--listening-ip={SERVER}"))
                .arg(format!("--relay-ip={SERVER}"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .expect("coturn is installed: apt-get install coturn");
            let more = format!("[[ice.servers]]\nurls = [\"stun:{SERVER}\"]\n");
            let _device = device(device_space.command(AGENT), at, &more).await;
            let (alice, _) = call(at, &[]).await;
            // As the world sees it, which is neither of the two in between.
            until("its address", SOON, async || {
                let told = candidates(&alice).await;
                told.iter()
                    .any(|c| c.starts_with("srflx 10.77.0.2 "))
                    .then_some(())
            })
            .await;
            alice.frames_rise(30).await;
        });
    });
}
