//! A crowd of strangers around a camera that somebody watches.
//!
//! The device runs in a network namespace, with the descriptors that its service
//! has. A Chromium watches it. Each kind of attacker has the place for itself
//! for some seconds, and costs the viewer nothing that they can see:
//!
//! * no gap in the picture of more than half a second, or 0.3 s over the undisturbed
//!   one (and over how long the machine itself stood still, as somebody sees who only
//!   sleeps);
//! * a second caller has a picture within 2 s;
//! * the device's memory grows by 64 MB at most, and is given back; so are its
//!   descriptors and threads;
//! * the camera stays listed under its name, and no process ends;
//! * somebody who has no part in it gets at most three times what was sent;
//! * the log grows by less than 100 kB a minute.
//!
//! Of a thousand messages a second from fifty addresses the viewer still sees
//! 30 pictures a second, and the memory is as it was in the middle.
//!
//! `SIEGE_SECONDS` says how long each lasts (3 where it is not set), and
//! `SIEGE_KINDS` which, by their names.

mod verdict;

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use camera_agent::chat::Options;

use crate::attackers::half_open::Records;
use crate::attackers::{
    Attacking, CAMERA, Ground, chat, half_open, offers, path, requests, viewers,
};
use crate::support::bed::{Bed, HERE, SERVER, THERE, run};
use crate::support::browser::{Browser, Person};
use crate::support::cpu::cpu_of;
use crate::support::device::{Device, TEST_MEDIA};
use crate::support::strain::Strain;
use crate::support::viewer::Viewer;
use crate::support::{Chat, until};
use tokio::time::{sleep, timeout};
use verdict::{Before, During, MEBIBYTE, State, Verdict};

/// The first of the strangers' addresses.
const STRANGERS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
/// What the service may open.
const DESCRIPTORS: &str = "--nofile=1024:1024";

type Attack = fn(Ground) -> Pin<Box<dyn Future<Output = ()>>>;

/// Every kind, by name.
const KINDS: [(&str, Attack); 25] = [
    ("heavy offers", |g| Box::pin(offers::heavy(g))),
    ("offers that point at others", |g| {
        Box::pin(offers::at_a_third_party(g))
    }),
    ("candidates of every kind", |g| {
        Box::pin(offers::trickled(g))
    }),
    ("records before their time", |g| {
        Box::pin(half_open::callers(g, Records::NextEpoch))
    }),
    ("empty fragments", |g| {
        Box::pin(half_open::callers(g, Records::Empty))
    }),
    ("fragments of one byte", |g| {
        Box::pin(half_open::callers(g, Records::Crumbs))
    }),
    ("datagrams from off the path", |g| {
        Box::pin(half_open::off_path(g))
    }),
    ("junk offers", |g| Box::pin(offers::junk(g))),
    ("offers of one byte from many", |g| {
        Box::pin(offers::drizzle(g))
    }),
    ("callers who never come", |g| {
        Box::pin(offers::never_come(g))
    }),
    ("words in others' names", |g| {
        Box::pin(offers::in_others_names(g))
    }),
    ("all places of the chat", |g| Box::pin(chat::all_places(g))),
    ("idle sockets", |g| Box::pin(chat::idle_sockets(g))),
    ("renames", |g| Box::pin(chat::renames(g))),
    ("large frames", |g| Box::pin(chat::large_frames(g))),
    ("pongs and crumbs", |g| Box::pin(chat::crumbs(g))),
    ("names like the camera's", |g| Box::pin(chat::names(g))),
    ("names of this network", |g| {
        Box::pin(offers::names_of_this_network(g))
    }),
    ("a viewer's SCTP", |g| Box::pin(path::sctp(g))),
    ("a viewer's floods", |g| Box::pin(path::floods(g))),
    ("restarts and roles", |g| Box::pin(path::restarts(g))),
    ("channels and wishes", |g| Box::pin(path::wishes(g))),
    ("calls on hold", |g| Box::pin(viewers::on_hold(g))),
    ("requests of every shape", |g| {
        Box::pin(requests::of_every_shape(g))
    }),
    (THOUSAND, |g| Box::pin(chat::thousand(g))),
];
const REGISTERED: &str = "connected to the chat server";
/// The one that is watched more closely.
const THOUSAND: &str = "a thousand messages a second";
/// Those that want more of the machine than the short form has.
const LONG: [(&str, Attack); 2] = [
    ("a greedy viewer", |g| Box::pin(viewers::greedy(g))),
    ("everything at once", |g| Box::pin(chat::everything(g))),
];

/// What the honest viewer's page remembers: the longest time without a new
/// picture.
const WATCH: &str = "(() => {
  const video = document.querySelector('#remote');
  globalThis.siege = { last: performance.now(), gap: 0 };
  const look = () => {
    const now = performance.now();
    siege.gap = Math.max(siege.gap, now - siege.last);
    siege.last = now;
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
})(), null";
const GAP: &str = "(() => {
  const gap = Math.max(siege.gap, performance.now() - siege.last);
  siege.gap = 0;
  return gap;
})()";

struct Place {
    bed: Bed,
    device: Device,
    alice: Browser,
    ground: Ground,
    callers: usize,
}

impl Place {
    async fn open(bed: Bed, server: &Chat) -> Self {
        // All those addresses are ours; each is a stranger's or a few.
        for n in 0..60 {
            let [a, b, c, d] = STRANGERS.octets();
            run(&format!("ip address add {a}.{b}.{c}.{}/24 dev br0", d + n));
        }
        // So that names can be asked for.
        bed.there.run("ip route add 224.0.0.0/4 dev d1");
        let toml = format!(
            "[server]\nurl = \"ws://{}/\"\nname = \"{CAMERA}\"\n{}",
            server.addr,
            TEST_MEDIA.replace("loopback = true", "loopback = false"),
        );
        let mut command = bed.there.command("prlimit");
        command.args([DESCRIPTORS, env!("CARGO_BIN_EXE_camera-agent")]);
        let device = Device::run(command, &toml).await;
        device.registered().await;
        let alice = Browser::start(Person::default()).await;
        alice
            .open(&format!("http://{}/?name=alice", server.addr))
            .await;
        alice.call(CAMERA).await;
        alice.state("connected").await;
        alice.frames_rise(30).await;
        alice.js(WATCH).await;
        let ground = Ground {
            chat: server.addr,
            from: STRANGERS,
            victim: SERVER,
            ports: Vec::new(),
            sent: Default::default(),
            messages: Default::default(),
        };
        Self {
            bed,
            device,
            alice,
            ground,
            callers: 0,
        }
    }

    /// The device's UDP ports.
    async fn ports(&self) -> Vec<SocketAddr> {
        let table = self
            .bed
            .there
            .command("cat")
            .arg("/proc/self/net/udp")
            .output();
        let table = table.await.expect("a table");
        String::from_utf8_lossy(&table.stdout)
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1)?.split_once(':'))
            .filter_map(|(_, port)| u16::from_str_radix(port, 16).ok())
            .filter(|port| *port != 5353)
            .map(|port| (THERE, port).into())
            .collect()
    }

    fn state(&self) -> State {
        let status = format!("/proc/{}/status", self.device.pid());
        let status = std::fs::read_to_string(status).expect("it runs");
        let resident = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        let kibibytes = resident.and_then(|r| r.split_whitespace().next()?.parse::<u64>().ok());
        State {
            memory: kibibytes.expect("it has memory") * 1024,
            files: self.device.open_files().len(),
            threads: self.device.threads(),
        }
    }

    /// Bytes that came to somebody who has no part in it.
    async fn at_the_victim(&self) -> u64 {
        let count = self
            .bed
            .server
            .command("ip")
            .args(["-j", "-s", "link", "show", "k1"])
            .output();
        let count = count.await.expect("ip is installed");
        let count: serde_json::Value = serde_json::from_slice(&count.stdout).expect("JSON");
        count[0]["stats64"]["rx"]["bytes"]
            .as_u64()
            .expect("a number")
    }

    /// What the device has had of the processor.
    fn busy(&self) -> Duration {
        cpu_of(&self.device.pid().to_string())
    }

    /// What an operator sees of the log.
    fn log(&self) -> Vec<serde_json::Value> {
        let mut lines = self.device.log();
        lines.retain(|line| {
            let target = line["target"].as_str();
            let ours = target.is_some_and(|t| t.starts_with("camera_agent"));
            ours && line["level"] != "DEBUG" && line["level"] != "TRACE"
        });
        lines
    }

    async fn gap(&self) -> Duration {
        let gap = self.alice.js(GAP).await.as_f64().expect("a number");
        Duration::from_secs_f64(gap / 1_000.0)
    }

    /// Somebody else calls; how long until their first picture.
    async fn second_caller(&mut self) -> Option<Duration> {
        let url = format!("ws://{}/", self.ground.chat);
        self.callers += 1;
        let name = format!("second{}", self.callers);
        let mut second = Viewer::join_from(&url, &name, CAMERA, HERE).await;
        let started = Instant::now();
        let served = async {
            second.call().await;
            while second.received(|r| r.video.key_frames == 0) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let served = timeout(Duration::from_secs(10), served).await.is_ok();
        let time = started.elapsed();
        if !served {
            let (answers, told) = second.heard(|h| (h.answers.len(), h.hung_up.clone()));
            println!("{name} had {answers} answers, and was told {told:?}");
        }
        second.hang_up().await;
        served.then_some(time)
    }

    fn before(&self, victim: u64) -> Before {
        Before {
            state: self.state(),
            victim,
            log: self.log().len(),
            registered: self.device.said(REGISTERED),
        }
    }

    /// The attack itself, with one second caller after the other.
    async fn endure(&mut self, attack: Attack, time: Duration, memory: u64) -> During {
        self.gap().await;
        let began = Instant::now();
        let ground = self.ground.clone();
        let strain = Strain::start();
        let busy = self.busy();
        let crowd = Attacking::start(move || attack(ground));
        let decoded = self.alice.frames_decoded().await;
        let mut memory = vec![memory];
        let mut served = Some(Duration::ZERO);
        while began.elapsed() < time {
            let all = self.second_caller().await;
            served = served.zip(all).map(|(worst, this)| worst.max(this));
            memory.push(self.state().memory);
            sleep(Duration::from_secs(1)).await;
        }
        let gap = self.gap().await;
        let seconds = began.elapsed().as_secs_f64();
        let busy = (self.busy() - busy).as_secs_f64() / seconds;
        let pictures = (self.alice.frames_decoded().await - decoded) / seconds;
        let messages = self.ground.messages.load(Ordering::Relaxed) as f64 / seconds;
        drop(crowd);
        During {
            began,
            seconds,
            gap,
            served,
            pictures,
            messages,
            busy,
            memory,
            stalled: strain.worst(),
        }
    }

    /// One kind of attack; what was wrong.
    async fn attack(&mut self, kind: (&str, Attack), time: Duration, calm: Duration) -> Verdict {
        let (name, attack) = kind;
        self.ground.ports = self.ports().await;
        self.ground.sent.store(0, Ordering::Relaxed);
        self.ground.messages.store(0, Ordering::Relaxed);
        let before = self.before(self.at_the_victim().await);
        let during = self.endure(attack, time, before.state.memory).await;
        let mut verdict = Verdict::of(name, &during, &before, calm);
        self.aftermath(&before, &during, &mut verdict).await;
        verdict
    }

    /// What was left behind, at the camera and elsewhere.
    async fn aftermath(&self, before: &Before, during: &During, verdict: &mut Verdict) {
        let to_victim = self.at_the_victim().await - before.victim;
        let sent = self.ground.sent.load(Ordering::Relaxed);
        // ARP, and the neighbours' own noise.
        verdict.hold(
            to_victim <= 3 * sent + 20_000,
            format!("{to_victim} bytes to a third party for {sent}"),
        );
        let minutes = during.began.elapsed().as_secs_f64() / 60.0;
        let lines = self.log().split_off(before.log);
        let logged: usize = lines.iter().map(|l| l.to_string().len()).sum();
        verdict.hold(
            logged as f64 <= 100_000.0 * minutes.max(0.25),
            format!(
                "{logged} bytes of log in {minutes:.1} min, {}",
                most_said(&lines)
            ),
        );
        let url = format!("ws://{}/", self.ground.chat);
        let listed = Viewer::join_from(&url, "looking", CAMERA, HERE);
        verdict.hold(
            timeout(Duration::from_secs(5), listed).await.is_ok(),
            "the camera is not listed under its name".to_owned(),
        );
        verdict.hold(
            self.device.said(REGISTERED) == before.registered,
            "the camera lost its chat server".to_owned(),
        );
        verdict.hold(
            self.alice.js("cameraAgent.state").await == "connected",
            "the call ended".to_owned(),
        );
        let back = until_back(|| self.state(), &before.state).await;
        verdict.hold(
            back.is_ok(),
            format!("before {:?}, half a minute later {back:?}", before.state),
        );
        verdict.seen +=
            &format!(", {to_victim} bytes to a third party for {sent}, {logged} of log");
    }
}

/// What most lines say, and how many.
fn most_said(lines: &[serde_json::Value]) -> String {
    let mut counts = std::collections::HashMap::<&str, usize>::new();
    for line in lines {
        *counts
            .entry(line["message"].as_str().unwrap_or_default())
            .or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map_or_else(String::new, |(words, count)| format!("{count} × {words:?}"))
}

/// Waits until what was taken was given back.
async fn until_back(state: impl Fn() -> State, before: &State) -> Result<(), State> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let now = state();
        // The allocator keeps some; a pool of threads may have one more.
        if now.memory <= before.memory + 24 * MEBIBYTE
            && now.files <= before.files + 4
            && now.threads <= before.threads + 2
        {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(now);
        }
        sleep(Duration::from_millis(200)).await;
    }
}

#[test]
fn strangers_cost_the_honest_viewer_nothing() {
    Bed::enter(|bed| {
        crate::support::bed::block_on(async {
            let seconds = std::env::var("SIEGE_SECONDS")
                .ok()
                .and_then(|s| s.parse().ok());
            let wanted = std::env::var("SIEGE_KINDS").ok();
            let mut kinds = KINDS.to_vec();
            if seconds.is_some_and(|s: u64| s > 5) {
                kinds.extend(LONG);
            }
            if let Some(wanted) = &wanted {
                kinds = [KINDS.as_slice(), &LONG].concat();
                kinds.retain(|(name, _)| wanted.split(',').any(|w| w.trim() == *name));
            }
            let time = Duration::from_secs(seconds.unwrap_or(3));

            let chat = Options::new((HERE, 0).into());
            let server = Chat::with(chat).await;
            let mut place = Place::open(bed, &server).await;
            sleep(Duration::from_secs(3)).await;
            let calm = place.gap().await;
            println!("{calm:.2?} without a picture at most, undisturbed");
            let mut failed = Vec::new();
            for (name, attack) in kinds {
                let Verdict { wrong, seen } = place.attack((name, attack), time, calm).await;
                let verdict = match wrong.is_empty() {
                    true => "holds".to_owned(),
                    false => wrong.join("; "),
                };
                println!("{name:<30} {verdict} ({seen})");
                if !wrong.is_empty() {
                    failed.push(format!("{name}: {verdict}"));
                }
            }
            until("the picture goes on", Duration::from_secs(10), async || {
                (place.gap().await < Duration::from_secs(1)).then_some(())
            })
            .await;
            assert!(failed.is_empty(), "{failed:#?}");
        });
    });
}
