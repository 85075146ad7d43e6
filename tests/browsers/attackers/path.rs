//! Viewers whose call is as good as any, and who use its path to flood: SCTP that no
//! browser writes, and all else that may come by a path that is proven.

use std::time::Duration;

use serde_json::json;

use super::caller::Caller;
use super::cipher::chunk;
use super::half_open::record;
use super::stun::Writer;
use super::{CAMERA, Ground, again, crowd, stun};

/// Between two storms.
const PAUSE: Duration = Duration::from_millis(5);

fn be(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

/// DATA of `length` bytes.
fn data(tsn: u32, stream: u16, flags: u8, length: usize) -> Vec<u8> {
    let head = [&be(tsn)[..], &stream.to_be_bytes(), &[0, 0, 0, 0, 0, 51]].concat();
    chunk(0, flags, &[head, vec![b'x'; length]].concat())
}

/// Packets, each of some chunks, of one kind of storm. `tsn` is the last number of
/// DATA that the other end may have.
fn storm(kind: u32, tsn: u32) -> Vec<Vec<Vec<u8>>> {
    let init = |n: u32| {
        let tag = be(fastrand::u32(1..));
        chunk(
            1,
            0,
            &[&tag[..], &[0, 1, 0, 0, 1, 0, 1, 0], &be(n)].concat(),
        )
    };
    let far = |n: u32| chunk(192, 0, &be(tsn.wrapping_add((1 << 30) - 1 + n)));
    let reset = |n: u32| {
        let (n, last) = (be(n), be(tsn.wrapping_add(500)));
        chunk(
            130,
            0,
            &[&[0, 13, 0, 18][..], &n, &[0; 4], &last, &[0, 1, 0, 0]].concat(),
        )
    };
    let each = |of: &dyn Fn(u32) -> Vec<Vec<u8>>| (0..16).map(of).collect();
    match kind % 9 {
        0 => each(&|n| vec![init(n)]),
        1 => each(&|_| {
            let length = fastrand::usize(0..1_000);
            vec![chunk(fastrand::u8(..), fastrand::u8(..), &vec![7; length])]
        }),
        2 => each(&|n| vec![far(n)]),
        // Inside of others, where the library under the device finds them.
        3 => each(&|n| vec![chunk([11, 8, 14][n as usize % 3], 0, &far(n))]),
        4 => each(&|n| vec![reset(n)]),
        5 => each(&|n| vec![data(tsn.wrapping_add(n), n as u16 * 7, 3, 1); 10]),
        6 => each(&|_| {
            let kind = [6, 9][fastrand::usize(..2)];
            vec![chunk(
                kind,
                0,
                &[&[0, 12, 0xff, 0xff][..], &[0; 8]].concat(),
            )]
        }),
        7 => each(&|n| {
            let length = (1_100_u16 + 4).to_be_bytes();
            let beat = [&[0, 1][..], &length, &[n as u8; 1_100]].concat();
            vec![chunk(4, 0, &beat)]
        }),
        _ => each(&|n| {
            let head = [&be(tsn.wrapping_add(n))[..], &[0; 4], &[0, 250, 0, 0]].concat();
            vec![chunk(3, 0, &[head, vec![1; 1_000]].concat())]
        }),
    }
}

/// Three viewers who speak SCTP as no browser does; each message without end goes on
/// through all of it.
pub async fn sctp(ground: Ground) {
    let one = |n: u8| {
        let ground = ground.clone();
        async move {
            again(async || {
                let name = format!("sctp{n}");
                let Some(mut caller) = Caller::connect(&ground, 46 + n, &name).await else {
                    return;
                };
                // Who is not understood attacks nothing.
                let beat = chunk(4, 0, &[0, 1, 0, 8, 1, 2, 3, 4]);
                for _ in 0..100 {
                    caller.sctp(std::slice::from_ref(&beat)).await;
                    if caller.live(PAUSE * 4).await.is_none() {
                        return;
                    }
                    if caller.keys.is_heard() {
                        break;
                    }
                }
                assert!(caller.keys.is_heard(), "no heartbeat is answered");
                let mut tsn = caller.keys.tsn();
                for round in u32::from(n) * 3.. {
                    for packet in storm(round, tsn) {
                        caller.sctp(&packet).await;
                    }
                    for _ in 0..4 {
                        tsn = tsn.wrapping_add(1);
                        caller.sctp(&[data(tsn, 0, 0, 1_100)]).await;
                    }
                    if caller.live(PAUSE).await.is_none() {
                        return;
                    }
                }
            })
            .await;
        }
    };
    crowd((0..3).map(one).collect()).await;
}

/// A part of RTCP.
fn part(count: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    let words = u16::try_from(body.len() / 4).expect("short").to_be_bytes();
    [&[0x80 | count, kind][..], &words, body].concat()
}

/// What a viewer says of the picture, all of it a lie.
fn reports(ssrc: u32, round: u32) -> Vec<u8> {
    let both = [be(1), be(ssrc)].concat();
    let with = |more: &[u8]| [&both[..], more].concat();
    match round % 6 {
        // PLI and FIR (RFC 4585 §6.3.1, RFC 5104 §4.3.1).
        0 => part(1, 206, &both).repeat(40),
        1 => part(
            4,
            206,
            &[&be(1)[..], &[0; 4], &be(ssrc), &be(round << 24)].concat(),
        )
        .repeat(30),
        // Everything was lost (RFC 4585 §6.2.1).
        2 => {
            let number = || [fastrand::u16(..).to_be_bytes(), [0xff; 2]].concat();
            part(
                1,
                205,
                &with(&(0..200).flat_map(|_| number()).collect::<Vec<_>>()),
            )
        }
        // It carries nothing, or all there is (REMB).
        3 => {
            let rate = [[0, 0, 0], [0xff; 3]][fastrand::usize(..2)];
            let body = [&be(1)[..], &[0; 4], b"REMB", &[1], &rate, &be(ssrc)].concat();
            part(15, 206, &body).repeat(20)
        }
        // 8,191 packets in two bytes, many times (transport-cc).
        4 => {
            let head = [0, 0, 0xff, 0xff, 0, 0, 0, round as u8];
            part(
                15,
                205,
                &with(&[&head[..], &[0x1f, 0xff].repeat(200)].concat()),
            )
        }
        // Reports of a great many.
        _ => part(31, 201, &[&be(1)[..], &[9; 24 * 31]].concat()),
    }
}

/// Two viewers who flood by the path of their call: RTCP, RTP, checks, records.
pub async fn floods(ground: Ground) {
    let one = |n: u8| {
        let ground = ground.clone();
        async move {
            again(async || {
                let name = format!("floods{n}");
                let Some(mut caller) = Caller::connect(&ground, 50 + n, &name).await else {
                    return;
                };
                for round in 0_u32.. {
                    for n in 0..20 {
                        let reports = reports(caller.ssrc, round + n);
                        if caller.report(&reports).await.is_none() {
                            return;
                        }
                        let check = stun::check(&caller.user, &caller.password);
                        caller.throw(&check).await;
                        let number = u64::from(round * 20 + n) | 1 << 41;
                        caller.throw(&record(23, 1, number, &[9; 1_100])).await;
                        caller.throw(&record(22, 1, number, &[9; 1_100])).await;
                        caller.throw(&[&[0x80, 96][..], &[5; 1_100]].concat()).await;
                        caller
                            .throw(&[&[0x80, 201][..], &[5; 1_100]].concat())
                            .await;
                    }
                    if caller.live(PAUSE).await.is_none() {
                        return;
                    }
                }
            })
            .await;
        }
    };
    crowd((0..2).map(one).collect()).await;
}

/// A viewer who asks for another path all the time, and quarrels about who of the
/// two decides (RFC 8445 §7.3.1.1).
pub async fn restarts(ground: Ground) {
    again(async || {
        let Some(mut caller) = Caller::connect(&ground, 52, "restless").await else {
            return;
        };
        loop {
            if caller.restart().await.is_none() {
                return;
            }
            // An answer nobody asked for.
            let answer = json!({"type": "video-answer", "name": "restless", "target": CAMERA,
                "sdp": {"type": "answer", "sdp": "v=0\r\n"}});
            if caller.stranger.send(answer).await.is_none() {
                return;
            }
            for n in 0_u64..40 {
                let role = [0x8029, 0x802a][fastrand::usize(..2)];
                let check = Writer::new(0x0001, std::array::from_fn(|_| fastrand::u8(..)))
                    .attribute(0x0006, caller.user.as_bytes())
                    .attribute(0x0024, &0x6eff_ffff_u32.to_be_bytes())
                    .attribute(role, &(u64::MAX - n).to_be_bytes())
                    .signed(&caller.password);
                caller.throw(&check).await;
            }
            if caller.live(Duration::from_millis(50)).await.is_none() {
                return;
            }
        }
    })
    .await;
}

/// A viewer who opens channels with long names, and wishes for what is not theirs.
pub async fn wishes(ground: Ground) {
    let wishes = [
        r#"{"type": "privacy", "on": true}"#.to_owned(),
        r#"{"type": "privacy", "on": false}"#.to_owned(),
        r#"{"type": "control", "name": "zoom_absolute", "value": 1e308}"#.to_owned(),
        r#"{"type": "quality", "tier": 4294967296}"#.to_owned(),
        r#"{"type": "key-kept", "id": "AAAAAAAAAAA"}"#.to_owned(),
        r#"{"type": "motion", "zone": "door", "began_ms": 1}"#.to_owned(),
        r#"{"type": "stats", "on": true}"#.to_owned(),
        format!("{}1{}", "[".repeat(2_000), "]".repeat(2_000)),
        format!(r#"{{"type": "{}"}}"#, "\u{202e}x".repeat(900)),
        "x".repeat(60_000),
    ];
    again(async || {
        let Some(mut caller) = Caller::connect(&ground, 53, "wishing").await else {
            return;
        };
        for n in 0.. {
            for wish in &wishes {
                if caller.say(wish).await.is_none() {
                    return;
                }
            }
            if n % 20 == 19 && caller.open(&"label ".repeat(8_000)).await.is_none() {
                return;
            }
            if caller.live(Duration::from_millis(20)).await.is_none() {
                return;
            }
        }
    })
    .await;
}
