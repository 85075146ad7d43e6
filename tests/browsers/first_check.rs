//! A browser's first connectivity check. It nominates the pair, and where the answer was
//! fast it is there before the browser's candidates.

use std::net::SocketAddr;

use serde_json::json;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::attackers::offers::with_user;
use crate::attackers::stun;
use crate::support::inside::Device;
use crate::support::{Chat, SOON, User};

fn line<'a>(sdp: &'a str, key: &str) -> &'a str {
    sdp.lines()
        .find_map(|l| l.trim().strip_prefix(key))
        .expect("it is in the description")
}

/// The device's address on this machine alone.
async fn here(user: &mut User) -> SocketAddr {
    loop {
        let frame = user.frame("new-ice-candidate").await;
        let text = frame["candidate"]["candidate"].as_str().expect("text");
        let fields: Vec<_> = text.split(' ').collect();
        if let Some(("127.0.0.1", port)) = fields.get(4).copied().zip(fields.get(5)) {
            return ([127, 0, 0, 1], port.parse().expect("a port")).into();
        }
    }
}

/// It was not answered, and the browser's next one came 50 ms later.
#[tokio::test]
async fn the_only_check_is_answered_though_it_comes_before_ours() {
    let chat = Chat::start().await;
    let device = Device::of(&chat, 4);
    let mut alice = User::connect(chat.addr).await;
    alice.claim("alice").await;
    alice.list_with("camera").await;
    let sdp = with_user("user");
    let password = line(&sdp, "a=ice-pwd:");
    let offer = json!({"type": "video-offer", "name": "alice", "target": "camera",
        "sdp": {"type": "offer", "sdp": sdp}});
    alice.send(offer).await;
    let answer = alice.frame("video-answer").await;
    let answer = answer["sdp"]["sdp"].as_str().expect("text");
    let camera = here(&mut alice).await;

    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let user = format!("{}:user", line(answer, "a=ice-ufrag:"));
    let check = stun::check(&user, line(answer, "a=ice-pwd:"));
    socket.send_to(&check, camera).await.expect("sent");
    let mut buffer = [0; 2_048];
    let answered = async {
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.expect("received");
            let datagram = &buffer[..length];
            match datagram {
                [0, 1, ..] => {
                    let answer = stun::answer(datagram, from, password).expect("a check");
                    socket.send_to(&answer, from).await.expect("sent");
                }
                [1, 1, ..] if datagram[8..20] == check[8..20] => return,
                _ => {}
            }
        }
    };
    timeout(SOON, answered).await.expect("it is answered");
    device.stop().await;
    chat.stop().await;
}
