//! What invitations cost: `cargo bench --bench access`.
//!
//! One thread, the pure agent, and the reading of each frame from its text, as
//! the device does it. "proof" is an offer and its answer with a proof each,
//! against the same without; "refused" are offers of people who were not
//! invited, a thousand callers in turn.
//!
//! Last a whole device on one core, with the crowd at its door and an invited
//! viewer who watches.
#![allow(clippy::disallowed_methods, reason = "clippy.toml is for the program")]

#[path = "access/crowd.rs"]
mod crowd;
#[path = "../tests/support/cuttable.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod cuttable;
#[path = "../tests/support/desk.rs"]
mod desk;
#[path = "../tests/support/meter.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod meter;
#[path = "../tests/support/relay.rs"]
mod relay;
#[path = "../tests/support/viewer.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod viewer;

use std::time::{Duration, Instant};

use camera_agent::access::{
    Call, Gate, Guests, Invitation, Invite, May, Mode, ProofKey, Side, Stage,
};
use camera_agent::agent::{Command, Event, PeerEvent};
use camera_agent::wire::{Incoming, Outgoing};
use desk::{Desk, name, offer};
use serde_json::{Value, json};

/// Calls of which a median is made.
const CALLS: usize = 2_001;
/// Offers that are refused in a row.
const REFUSED: usize = 100_000;

fn main() {
    let invite = Invite::random();
    let invitation = |label: &str, invite: &Invite| Invitation {
        label: name(label),
        may: May::everything(),
        made: 1,
        until: None,
        stage: Stage::Shared,
        key: (invite.id(), invite.key()),
        given: Vec::new(),
    };
    // As many as there can be.
    let mut invitations: Vec<_> = (0..255)
        .map(|n| invitation(&format!("n{n}"), &Invite::random()))
        .collect();
    invitations.push(invitation("alice", &invite));
    let invited = || {
        let mut desk = Desk::behind(8, Gate::new(Mode::Invited, "camera", [0xdd; 32]));
        desk.agent.invited(Guests::of(&invitations, 10), desk.now);
        desk
    };
    let without = median(Desk::online(8), None);
    let with = median(invited(), Some(&invite));
    let more = with.saturating_sub(without);
    println!("offer read, call opened, answer written: {without:?}");
    println!("the same with a proof each:              {with:?}, {more:?} more");
    let key = ProofKey::of(&Invite::random().key());
    let kinds = [
        ("without an invitation", None),
        (
            "with an id that nobody has",
            Some(access(&Invite::random(), &key, "AAAA")),
        ),
        (
            "with a known id and a wrong proof",
            Some(access(&invite, &key, "AAAA")),
        ),
    ];
    let mut refused = Vec::new();
    for (what, access) in kinds {
        let second = refuse(invited(), access.as_ref());
        println!("offers refused a second, {what}: {second:.0}");
        refused.push(json!({"what": what, "a_second": second.round()}));
    }
    let sdp = offer("AAAA", 'a');
    let crowd = (0..1_000)
        .map(|n| frame(&format!("m{n}"), &sdp, None))
        .collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let crowd = runtime.block_on(crowd::run(crowd));
    println!(
        "{}",
        json!({"bench": "access", "proof_us": more.as_secs_f64() * 1e6, "refused": refused,
            "crowd": crowd})
    );
}

fn access(invite: &Invite, key: &ProofKey, ufrag: &str) -> Value {
    let call = Call {
        camera: "camera",
        viewer: Side {
            fingerprint: &[0xaa; 32],
            ufrag,
        },
        id: invite.id(),
    };
    json!({"id": call.id.to_string(), "proof": key.offer(&call)})
}

fn frame(from: &str, sdp: &str, access: Option<&Value>) -> String {
    let mut frame = json!({"type": "video-offer", "name": from, "target": "camera",
        "sdp": {"type": "offer", "sdp": sdp}});
    if let Some(access) = access {
        frame["access"] = access.clone();
    }
    frame.to_string()
}

/// From an offer's text to its answer's; the connection between is not there.
fn median(mut desk: Desk, invite: Option<&Invite>) -> Duration {
    let key = invite.map(|invite| ProofKey::of(&invite.key()));
    let mut times: Vec<_> = (0..CALLS)
        .map(|n| {
            let ufrag = format!("user{n}");
            let access = invite.zip(key.as_ref());
            let access = access.map(|(invite, key)| self::access(invite, key, &ufrag));
            let text = frame("alice", &offer(&ufrag, 'a'), access.as_ref());
            let answer = "v=0\r\na=ice-ufrag:dev1\r\n".repeat(50);
            let began = Instant::now();
            let offered = Incoming::parse(&text).expect("a frame");
            desk.agent.handle(Event::Message(offered), desk.now);
            let mut session = None;
            while let Some(command) = desk.agent.next_command() {
                if let Command::Open { session: id, .. } = command {
                    session = Some(id);
                }
            }
            let id = session.expect("a call");
            let answered = PeerEvent::Answered { sdp: answer };
            desk.agent.handle(Event::Peer(id, answered), desk.now);
            let mut written = 0;
            while let Some(command) = desk.agent.next_command() {
                if let Command::Send(frame @ Outgoing::VideoAnswer { .. }) = command {
                    written = frame.to_text(1).len();
                }
            }
            let took = began.elapsed();
            assert!(written > 0, "an answer");
            desk.hangs_up("alice", None);
            desk.wait(Duration::from_secs(20));
            took
        })
        .collect();
    times.sort();
    times[CALLS / 2]
}

/// How many a second of a core.
fn refuse(mut desk: Desk, access: Option<&Value>) -> f64 {
    let sdp = offer("AAAA", 'a');
    let texts: Vec<_> = (0..1_000)
        .map(|n| frame(&format!("m{n}"), &sdp, access))
        .collect();
    let (began, cpu) = (Instant::now(), cpu());
    for n in 0..REFUSED {
        let offered = Incoming::parse(&texts[n % texts.len()]).expect("a frame");
        let now = desk.now + began.elapsed();
        desk.agent.handle(Event::Message(offered), now);
        while let Some(command) = desk.agent.next_command() {
            assert!(matches!(command, Command::Send(_)), "{command:?}");
        }
        while desk.agent.next_note().is_some() {}
    }
    REFUSED as f64 / (self::cpu() - cpu).as_secs_f64()
}

/// What this thread has had of its core: others use the machine, too.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
