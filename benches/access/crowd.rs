//! A crowd at the door of a whole device: one invited viewer watches, and the
//! chat server brings offers of others as fast as it is told to.
//!
//! The device has one core for itself, its picture and its encoder; the viewer
//! and the crowd have the rest.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use camera_agent::access::{Invitation, Invite, Link, May, Stage};
use camera_agent::chat::{Options, Server};
use camera_agent::guestbook::{Book, seconds};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_util::sync::CancellationToken;

use crate::desk::name;
use crate::viewer::{Held, Viewer};

/// How long each rate lasts.
const WINDOW: Duration = Duration::from_secs(10);
/// Offers a second.
const RATES: [usize; 3] = [0, 5_000, 20_000];
/// How often some are sent.
const TICK: Duration = Duration::from_millis(2);
const FPS: f64 = 30.0;

/// Runs all rates, prints a line each, and gives them as JSON.
pub async fn run(offers: Vec<String>) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a folder");
    let held = invite(folder.path());
    let server = Server::bind(Options::new(([127, 0, 0, 1], 0).into()));
    let server = server.await.expect("a port is free");
    let chat = server.local_addr();
    tokio::spawn(server.run(CancellationToken::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let before = listener.local_addr().expect("it is bound");
    let (rate, of_the_crowd) = watch::channel(0);
    let (sent, counted) = watch::channel(0);
    tokio::spawn(async move {
        let (device, _) = listener.accept().await.expect("the device");
        let honest = format!("ws://{chat}/");
        carry(device, &honest, &offers, of_the_crowd, sent).await;
    });
    let config = folder.path().join("camera-agent.toml");
    let text = format!(
        "[server]\nurl = \"ws://{before}/\"\n[access]\nmode = \"invited\"\nfolder = {:?}\n\
         [video]\nsource = \"test\"\nwidth = 640\nheight = 360\nbitrate_kbps = 800\n\
         [audio]\nsource = \"test\"\n[ice]\nloopback = true\n",
        folder.path()
    );
    std::fs::write(&config, text).expect("written");
    let mut device = Command::new("taskset")
        .args(["--cpu-list", "0", env!("CARGO_BIN_EXE_camera-agent")])
        .args(["run", "--config"])
        .arg(&config)
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("taskset is installed: apt-get install util-linux");
    let mut viewer = Viewer::join(&format!("ws://{chat}/"), "alice", "camera").await;
    viewer.holds(Some(held));
    viewer.call().await;
    let seen = viewer.wait("a picture", |_, r| (r.video.frames > 60).then_some(()));
    seen.await;
    let pid = device.id().expect("it runs");
    let mut rows = Vec::new();
    for wanted in RATES {
        rate.send_replace(wanted);
        sleep(Duration::from_secs(1)).await;
        let row = measure(wanted, pid, &viewer, &counted).await;
        rate.send_replace(0);
        println!(
            "{:>6.0} offers a second refused: {:>4.1} pictures a second at the viewer, {} packets \
             missed, longest gap {:.0} ms, {:.0} % of a core",
            row["a_second"].as_f64().unwrap_or_default(),
            row["fps"].as_f64().unwrap_or_default(),
            row["missed"],
            row["gap_ms"].as_f64().unwrap_or_default(),
            row["cpu"].as_f64().unwrap_or_default() * 100.0,
        );
        rows.push(row);
        sleep(Duration::from_secs(1)).await;
    }
    device.kill().await.expect("it ran");
    rows
}

fn invite(folder: &Path) -> Held {
    let invite = Invite::random();
    let invitation = Invitation {
        label: name("alice"),
        may: May::watch_and_listen(),
        made: seconds(SystemTime::now()),
        until: None,
        stage: Stage::Shared,
        key: (invite.id(), invite.key()),
        given: Vec::new(),
    };
    let add = |list: &mut Vec<_>| {
        list.push(invitation);
        Ok(())
    };
    Book::in_folder(folder).change(add).expect("written");
    Held::of(&Link {
        page: "http://localhost/".into(),
        camera: "camera".into(),
        invite,
    })
}

async fn measure(
    wanted: usize,
    pid: u32,
    viewer: &Viewer,
    counted: &watch::Receiver<usize>,
) -> Value {
    let look = || {
        viewer.received(|r| {
            let gap = std::mem::take(&mut r.video.longest_gap);
            (r.video.frames, r.video_on_the_wire.missing, gap)
        })
    };
    let (frames, missing, _) = look();
    let (sent, busy, began) = (*counted.borrow(), cpu(pid), Instant::now());
    sleep(WINDOW).await;
    let took = began.elapsed().as_secs_f64();
    let (more, missed, gap) = look();
    let refused = *counted.borrow() - sent;
    let fps = (more - frames) as f64 / took;
    json!({"wanted": wanted, "a_second": refused as f64 / took, "fps": fps,
        "of_all": fps / FPS, "missed": missed.saturating_sub(missing),
        "gap_ms": gap.as_secs_f64() * 1e3, "cpu": (cpu(pid) - busy) / took})
}

/// Seconds of a core that a process has had.
fn cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, rest) = stat.rsplit_once(')').expect("its name");
    let fields: Vec<_> = rest.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / rustix::param::clock_ticks_per_second() as f64
}

/// Between the device and an honest server; brings a crowd when it is told. What
/// the device has not read stays in the socket: what was sent was read.
#[allow(clippy::result_large_err, reason = "the library's own type")]
async fn carry(
    device: TcpStream,
    honest: &str,
    offers: &[String],
    rate: watch::Receiver<usize>,
    sent: watch::Sender<usize>,
) {
    let protocol = || "json".parse().expect("a header");
    let answer = |_: &Request, mut response: Response| {
        let headers = response.headers_mut();
        headers.insert("Sec-WebSocket-Protocol", protocol());
        Ok(response)
    };
    let device = tokio_tungstenite::accept_hdr_async(device, answer).await;
    let (mut to_device, mut of_device) = device.expect("a WebSocket").split();
    let mut request = honest.into_client_request().expect("an address");
    let headers = request.headers_mut();
    headers.insert("Sec-WebSocket-Protocol", protocol());
    let (server, _) = tokio_tungstenite::connect_async(request)
        .await
        .expect("the honest server");
    let (mut to_server, mut of_server) = server.split();
    tokio::spawn(async move {
        while let Some(Ok(message)) = of_device.next().await {
            // Refusals go to people whom the honest server does not know.
            if to_server.send(message).await.is_err() {
                return;
            }
        }
    });
    let offers: Vec<_> = offers.iter().map(|o| Message::text(o.as_str())).collect();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut next = offers.iter().cycle();
    loop {
        tokio::select! {
            biased;
            message = of_server.next() => match message {
                Some(Ok(message)) => if to_device.send(message).await.is_err() { return },
                _ => return,
            },
            _ = tick.tick() => {
                let now = (*rate.borrow() as f64 * TICK.as_secs_f64()) as usize;
                for offer in next.by_ref().take(now) {
                    if to_device.feed(offer.clone()).await.is_err() { return }
                }
                if now > 0 && to_device.flush().await.is_err() { return }
                sent.send_modify(|sent| *sent += now);
            }
        }
    }
}
