//! Callers whose path comes up and whose handshake never ends; and strangers who
//! send to the device's ports without having called.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

use super::offers::with_user;
use super::{Ground, Stranger, again, crowd, stun};

/// The password in the offer of the fixtures.
const USER: &str = "halfopen";

/// What such a caller sends once the path is up.
#[derive(Clone, Copy)]
pub enum Records {
    /// Records of the epoch after the handshake.
    NextEpoch,
    /// Pieces of a message with nothing in them.
    Empty,
    /// A long message in pieces of one byte.
    Crumbs,
}

pub(super) fn record(kind: u8, epoch: u16, number: u64, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind, 0xfe, 0xfd];
    out.extend_from_slice(&epoch.to_be_bytes());
    out.extend_from_slice(&number.to_be_bytes()[2..]);
    out.extend_from_slice(&u16::try_from(body.len()).expect("short").to_be_bytes());
    out.extend_from_slice(body);
    out
}

fn piece(length: u32, offset: u32, here: &[u8]) -> Vec<u8> {
    let mut out = vec![1];
    out.extend_from_slice(&length.to_be_bytes()[1..]);
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&offset.to_be_bytes()[1..]);
    let size = u32::try_from(here.len()).expect("short");
    out.extend_from_slice(&size.to_be_bytes()[1..]);
    out.extend_from_slice(here);
    out
}

impl Records {
    fn datagram(self, number: u64) -> Vec<u8> {
        let offset = u32::try_from(number).unwrap_or(0) + 1;
        match self {
            Self::NextEpoch => record(23, 1, number, &[0; 1_200]),
            Self::Empty => (0..40)
                .flat_map(|i| record(22, 0, number * 40 + i, &piece(1_000, 0, &[])))
                .collect(),
            Self::Crumbs => (0..40)
                .flat_map(|i| {
                    let at = offset * 40 + u32::try_from(i).expect("few");
                    record(22, 0, number * 40 + i, &piece(3_000_000, at, &[7]))
                })
                .collect(),
        }
    }
}

fn line<'a>(sdp: &'a str, key: &str) -> Option<&'a str> {
    sdp.lines().find_map(|l| l.trim().strip_prefix(key))
}

/// Half a dozen callers with a path and no handshake.
pub async fn callers(ground: Ground, records: Records) {
    let one = |n: u8| {
        let ground = ground.clone();
        async move {
            again(async || {
                let _ = call(&ground, n, records).await;
            })
            .await;
        }
    };
    crowd((0..6).map(one).collect()).await;
}

async fn call(ground: &Ground, n: u8, records: Records) -> Option<()> {
    let socket = UdpSocket::bind((ground.address(10 + n), 0)).await.ok()?;
    let own = socket.local_addr().ok()?;
    let mut stranger = Stranger::join(ground, 10 + n, &format!("half{n}")).await?;
    let mut sdp = with_user(USER);
    if n.is_multiple_of(2) {
        sdp = sdp.replace("a=setup:actpass", "a=setup:active");
    }
    let password = line(&sdp, "a=ice-pwd:")?.to_owned();
    stranger.offer(&sdp).await?;
    let candidate = format!("candidate:1 1 udp 9 {} {} typ host", own.ip(), own.port());
    stranger.candidate(&candidate, USER).await?;
    let limit = Duration::from_secs(5);
    let answer = timeout(limit, stranger.frame("video-answer"))
        .await
        .ok()??;
    let answer = answer["sdp"]["sdp"].as_str()?.to_owned();
    let user = format!("{}:{USER}", line(&answer, "a=ice-ufrag:")?);
    let theirs = line(&answer, "a=ice-pwd:")?.to_owned();
    let device = timeout(limit, device(&mut stranger)).await.ok()??;

    // Until it answers; its own checks are answered too.
    let mut buffer = [0; 2_048];
    for _ in 0..100 {
        let check = stun::check(&user, &theirs);
        ground.spent(check.len());
        socket.send_to(&check, device).await.ok()?;
        let read = timeout(Duration::from_millis(40), socket.recv_from(&mut buffer)).await;
        if let Ok(Ok((length, from))) = read {
            match buffer.first()? {
                0 => {
                    let answer = stun::answer(&buffer[..length], from, &password)?;
                    socket.send_to(&answer, from).await.ok()?;
                }
                1 => break,
                _ => {}
            }
        }
    }
    for number in 0..20_000 {
        let datagram = records.datagram(number);
        ground.spent(datagram.len());
        socket.send_to(&datagram, device).await.ok()?;
        if number % 8 == 0 {
            sleep(Duration::from_millis(2)).await;
        }
    }
    Some(())
}

/// The device's address by its first candidate.
pub(super) async fn device(stranger: &mut Stranger) -> Option<SocketAddr> {
    loop {
        let frame = stranger.frame("new-ice-candidate").await?;
        let text = frame["candidate"]["candidate"].as_str()?.to_owned();
        let fields: Vec<_> = text.split(' ').collect();
        if let (Some(ip), Some(port)) = (fields.get(4), fields.get(5))
            && let Ok(address) = format!("{ip}:{port}").parse::<SocketAddr>()
            && address.is_ipv4()
            && !address.ip().is_loopback()
        {
            return Some(address);
        }
    }
}

/// Somebody who found the ports of the honest viewer's call: DTLS, RTP, STUN and
/// noise, some 9 Mbit/s.
pub async fn off_path(ground: Ground) {
    let Ok(socket) = UdpSocket::bind((ground.address(40), 0)).await else {
        return;
    };
    let socket = Arc::new(socket);
    for number in 0.. {
        for to in &ground.ports {
            let datagram = match number % 4 {
                0 | 1 => Records::Empty.datagram(number),
                2 => stun::check("someone:else", "no password at all"),
                _ => [vec![0x80 | (number as u8 & 0x3f)], vec![0; 1_100]].concat(),
            };
            ground.spent(datagram.len());
            let _ = socket.send_to(&datagram, to).await;
        }
        sleep(Duration::from_millis(1)).await;
    }
}
