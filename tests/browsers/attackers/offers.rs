//! Offers that are heavy, many, or point elsewhere.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::{CAMERA, Ground, Stranger, again, crowd};

const CHROMIUM: &str = include_str!("../../fixtures/offer-chromium.sdp");

/// An ICE user of one's own.
pub fn with_user(ufrag: &str) -> String {
    let hash: Vec<_> = (0..32)
        .map(|_| format!("{:02X}", fastrand::u8(..)))
        .collect();
    let lines = CHROMIUM.lines().map(|line| {
        if line.starts_with("a=ice-ufrag:") {
            format!("a=ice-ufrag:{ufrag}\r\n")
        } else if line.starts_with("a=fingerprint:") {
            format!("a=fingerprint:sha-256 {}\r\n", hash.join(":"))
        } else {
            format!("{line}\r\n")
        }
    });
    lines.collect()
}

fn ufrag() -> String {
    (0..8).map(|_| fastrand::alphanumeric()).collect()
}

/// One video section with thousands of formats, each named again and again.
fn formats() -> String {
    let mut sdp = with_user(&ufrag());
    let at = sdp.find("m=video").expect("it has video");
    let line = at + sdp[at..].find("\r\n").expect("a line");
    sdp.insert_str(line, &" 8".repeat(15_000));
    while sdp.len() < 58_000 {
        sdp.push_str("a=rtcp-fb:8 nack\r\n");
    }
    sdp
}

/// Attributes, sections, or lines without end.
fn shapes() -> [String; 5] {
    let long = |line: &str| {
        let mut sdp = with_user(&ufrag());
        while sdp.len() < 58_000 {
            sdp.push_str(line);
        }
        sdp
    };
    [
        long("a=rtcp-fb:* nack pli\r\n"),
        long("m=video 9 UDP/TLS/RTP/SAVPF 96\r\n"),
        long("a=fmtp:96 x=y;x=y;x=y;x=y;x=y;x=y\r\n"),
        long("a=ssrc-group:FID 1 2 3 4 5 6\r\n"),
        with_user(&"u".repeat(50_000)),
    ]
}

/// Offers that cost more to read than to write.
pub async fn heavy(ground: Ground) {
    again(async || {
        let Some(mut stranger) = Stranger::join(&ground, 1, "heavy").await else {
            return;
        };
        loop {
            for sdp in [formats()].into_iter().chain(shapes()) {
                if stranger.offer(&sdp).await.is_none() {
                    return;
                }
                stranger.listen(Duration::from_millis(300)).await;
            }
        }
    })
    .await;
}

/// An offer that names somebody else's address over and over.
pub async fn at_a_third_party(ground: Ground) {
    let victim = ground.victim;
    again(async || {
        let Some(mut stranger) = Stranger::join(&ground, 2, "pointing").await else {
            return;
        };
        loop {
            let mut sdp = with_user(&ufrag());
            for port in 0..1_200 {
                let _ = write!(
                    sdp,
                    "a=candidate:{port} 1 udp 1 {victim} {} typ host\r\n",
                    20_000 + port
                );
            }
            if stranger
                .offer(&sdp[..sdp.len().min(58_000)])
                .await
                .is_none()
            {
                return;
            }
            stranger.listen(Duration::from_secs(2)).await;
        }
    })
    .await;
}

/// The same by candidates one by one, of every kind that there is.
pub async fn trickled(ground: Ground) {
    let victim = ground.victim;
    again(async || {
        let Some(mut stranger) = Stranger::join(&ground, 3, "trickling").await else {
            return;
        };
        let user = ufrag();
        if stranger.offer(&with_user(&user)).await.is_none() {
            return;
        }
        let at = |to: SocketAddr| {
            let (ip, port) = (to.ip(), to.port());
            format!("candidate:{port} 1 udp 1 {ip} {port} typ host")
        };
        for port in 0..400 {
            let to = 30_000 + port;
            for line in [
                format!("candidate:{port} 1 tcp 1 {victim} {to} typ host tcptype passive"),
                format!("candidate:{port} 1 udp 1 {victim} {to} typ host"),
                format!("candidate:{port} 1 udp 1 224.0.0.251 {to} typ host"),
                format!("candidate:{port} 1 udp 1 255.255.255.255 {to} typ host"),
                format!("candidate:{port} 1 udp 1 127.0.0.1 {to} typ host"),
                // All of this network, the chat server, and the camera itself.
                format!("candidate:{port} 1 udp 1 10.77.0.255 {to} typ host"),
                at(ground.chat),
                ground.ports.first().copied().map_or_else(String::new, at),
            ] {
                if stranger.candidate(&line, &user).await.is_none() {
                    return;
                }
            }
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Names of this network that nobody has, hundreds in each offer and as many after
/// it, of many callers: each is a question to everybody.
pub async fn names_of_this_network(ground: Ground) {
    let one = |n: u8| {
        let ground = ground.clone();
        async move {
            again(async || {
                let name = format!("asking{n}");
                let Some(mut stranger) = Stranger::join(&ground, 10 + n, &name).await else {
                    return;
                };
                let candidate =
                    |i: u32| format!("candidate:{i} 1 udp 1 {}-{i}.local 9 typ host", ufrag());
                loop {
                    let user = ufrag();
                    let mut sdp = with_user(&user);
                    for i in 0..300 {
                        let _ = write!(sdp, "a={}\r\n", candidate(i));
                    }
                    if stranger.offer(&sdp).await.is_none() {
                        return;
                    }
                    for i in 0..100 {
                        if stranger.candidate(&candidate(i), &user).await.is_none() {
                            return;
                        }
                        stranger.listen(Duration::from_millis(10)).await;
                    }
                }
            })
            .await;
        }
    };
    crowd((0..12).map(one).collect()).await;
}

/// Ten offers a second that are 60 kB of nothing.
pub async fn junk(ground: Ground) {
    again(async || {
        let Some(mut stranger) = Stranger::join(&ground, 4, "junk").await else {
            return;
        };
        loop {
            if stranger.offer(&"\u{1b}[31mx".repeat(7_000)).await.is_none() {
                return;
            }
            stranger.listen(Duration::from_millis(100)).await;
        }
    })
    .await;
}

/// Sixteen offers of one byte a second, from as many names and addresses.
pub async fn drizzle(ground: Ground) {
    let one = |n: u8| {
        let ground = ground.clone();
        async move {
            again(async || {
                let name = format!("drizzle{n}");
                let Some(mut stranger) = Stranger::join(&ground, 10 + n, &name).await else {
                    return;
                };
                while stranger.offer("x").await.is_some() {
                    stranger.listen(Duration::from_secs(1)).await;
                }
            })
            .await;
        }
    };
    crowd((0..16).map(one).collect()).await;
}

/// Good offers whose caller never comes, each renewed before its time is up.
pub async fn never_come(ground: Ground) {
    let one = |n: u8| {
        let ground = ground.clone();
        async move {
            again(async || {
                let name = format!("waiting{n}");
                let Some(mut stranger) = Stranger::join(&ground, 10 + n, &name).await else {
                    return;
                };
                // By half, a browser without H.264: another encoder.
                let mut sdp = with_user(&ufrag());
                if n.is_multiple_of(2) {
                    sdp = sdp.replace("H264/90000", "X264/90000");
                }
                while stranger.offer(&sdp).await.is_some() {
                    stranger.listen(Duration::from_secs(1)).await;
                }
            })
            .await;
        }
    };
    crowd((0..12).map(one).collect()).await;
}

/// Hang-ups, answers and candidates in the names of others.
pub async fn in_others_names(ground: Ground) {
    again(async || {
        let Some(mut stranger) = Stranger::join(&ground, 5, "liar").await else {
            return;
        };
        for name in ["alice", CAMERA, "second"] {
            for target in [json!(CAMERA), json!("alice"), json!(null)] {
                let frames = [
                    json!({"type": "hang-up", "name": name, "target": target}),
                    json!({"type": "video-answer", "name": name, "target": target,
                        "sdp": {"type": "answer", "sdp": "v=0"}}),
                    json!({"type": "video-offer", "name": name, "target": target,
                        "sdp": {"type": "offer", "sdp": with_user(&ufrag())}}),
                ];
                for frame in frames {
                    if stranger.send(frame).await.is_none() {
                        return;
                    }
                    stranger.listen(Duration::from_millis(50)).await;
                }
            }
        }
    })
    .await;
}
