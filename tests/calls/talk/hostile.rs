//! Somebody has the floor and sends what is no speech: through DTLS-SRTP, as far as it
//! gets. The speaker, their own call, other viewers and memory are unhurt, and whoever
//! talks next is heard.

use super::*;
use crate::support::cpu::cpu_of;

/// Numbers that follow from a seed.
struct Dice(fastrand::Rng);

/// What is sent in place of speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Of formats that nobody agreed on, RTCP's numbers among them.
    OtherFormats,
    /// Longer than an Opus packet, than a frame of Ethernet, and than either by far.
    Huge,
    Empty,
    /// Padding, with nothing before it.
    Padding,
    /// Numbers that leap, and times that run backwards.
    Jumps,
    /// The same number over and over, with other times.
    Repeats,
    /// Any bytes in place of Opus: any table of contents, any number of frames.
    Noise,
    /// What RED (RFC 2198) has for a header, and Opus that promises FEC which is not there.
    Redundancy,
    /// A stream of its own for each packet.
    Streams,
    /// Sources and extensions as many as there is room for.
    Headers,
    /// 5,000 a second.
    Flood,
}

const KINDS: [Kind; 11] = [
    Kind::Jumps,
    Kind::OtherFormats,
    Kind::Huge,
    Kind::Empty,
    Kind::Padding,
    Kind::Repeats,
    Kind::Noise,
    Kind::Redundancy,
    Kind::Streams,
    Kind::Headers,
    Kind::Flood,
];

impl Kind {
    /// Packets a second; a little more than the device lets in, but for the flood.
    fn rate(self) -> u32 {
        match self {
            Self::Flood => 5_000,
            _ => 150,
        }
    }

    /// One such packet, out of an honest one.
    fn spoils(self, mut packet: rtp::Packet, dice: &mut Dice) -> rtp::Packet {
        let random = &mut dice.0;
        let header = &mut packet.header;
        match self {
            Self::OtherFormats => {
                let formats = [0, 8, 9, 13, 63, 72, 76, 96, 102, 103, 112, 127];
                header.payload_type = *random.choice(&formats).expect("some");
            }
            Self::Huge => {
                let lengths = [1_276, 1_301, 1_440, 1_500, 9_000, 40_000];
                let length = *random.choice(&lengths).expect("some");
                packet.payload = dice.bytes(length);
            }
            Self::Empty => packet.payload = Bytes::new(),
            Self::Padding => {
                header.padding = true;
                packet.payload = Bytes::new();
            }
            Self::Jumps => {
                header.sequence_number = random.u16(..);
                header.timestamp = random.u32(..);
                header.marker = random.bool();
            }
            Self::Repeats => {
                header.sequence_number = 7;
                header.timestamp = header.timestamp.wrapping_neg();
            }
            Self::Noise => {
                let length = random.usize(1..1_300);
                packet.payload = dice.bytes(length);
            }
            Self::Redundancy => {
                // Blocks of lengths that are not there; SILK with an LBRR flag (RFC 6716
                // §4.2.3) and nothing behind it; three frames of no length at all.
                let words: [&[u8]; 4] = [
                    &[0xef, 0xff, 0xff, 0xff, 0xef, 0xff, 0xff, 0xff, 0x6f],
                    &[0x08, 0xff],
                    &[0x0b, 0x83],
                    &[0xfb, 0x30, 0xff, 0xff, 0xff],
                ];
                packet.payload = Bytes::from_static(random.choice(&words).expect("some"));
            }
            Self::Streams => header.ssrc = random.u32(..),
            Self::Headers => {
                header.csrc = (0..15).map(|_| random.u32(..)).collect();
                header.extension = true;
                header.extension_profile = 0xbede;
                header.extensions = (1..15)
                    .map(|id| rtp::header::Extension {
                        id,
                        payload: Bytes::from_static(&[0xff; 16]),
                    })
                    .collect();
            }
            Self::Flood => {}
        }
        packet
    }
}

impl Dice {
    fn bytes(&mut self, length: usize) -> Bytes {
        std::iter::repeat_with(|| self.0.u8(..))
            .take(length)
            .collect()
    }

    /// Says such things for so long.
    async fn attack(&mut self, viewer: &Viewer, kind: Kind, voice: &mut Says, time: Duration) {
        let mut pace = interval(PACKET);
        for _ in 0..time.as_millis() / PACKET.as_millis() {
            pace.tick().await;
            let honest = (0..kind.rate() / 50).map(|_| voice.next());
            let packets: Vec<_> = honest.map(|packet| kind.spoils(packet, self)).collect();
            viewer.says(packets).await;
        }
    }
}

/// What a device has.
#[derive(Debug, Clone, Copy)]
struct Has {
    memory_kb: u64,
    threads: usize,
    descriptors: usize,
}

/// When nobody talks.
async fn has(camera: &Camera) -> Has {
    let mut calm = 0;
    let mut last = None;
    until("the speaker is closed", SOON, || {
        let device = &camera.device;
        let now = (device.threads(), device.open_files().len());
        calm = match last.replace(now) == Some(now) {
            true => calm + 1,
            false => 0,
        };
        let (threads, descriptors) = now;
        let has = Has {
            memory_kb: device.memory_kb(),
            threads,
            descriptors,
        };
        let is_calm = calm >= 10;
        async move { is_calm.then_some(has) }
    })
    .await
}

/// Pictures that came to this viewer, and the longest time without one since they were
/// last looked at.
fn pictures(viewer: &Viewer) -> (u64, u64, Duration) {
    viewer.received(|r| {
        let gap = std::mem::take(&mut r.video.longest_gap);
        (r.video.frames, r.video.missing, gap)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_talker_sends_the_speaker_the_call_and_others_are_unhurt() {
    let camera = Camera::start().await;
    let channel = &["camera-agent"][..];
    let mallory = camera.caller("mallory", channel).await;
    let alice = camera.caller("alice", channel).await;
    let bob = camera.caller("bob", channel).await;
    let (mut theirs, mut hers) = (Says::tone(), Says::tone());
    let mut dice = Dice(fastrand::Rng::with_seed(16));
    let mut before = None;
    for round in 0..2 {
        for kind in KINDS {
            asks(&mallory, true).await;
            let (frames, missing, _) = pictures(&bob);
            let spent = cpu_of(&camera.device.pid().to_string());
            let time = Duration::from_millis(600);
            dice.attack(&mallory, kind, &mut theirs, time).await;
            let spent = cpu_of(&camera.device.pid().to_string()) - spent;
            let now = pictures(&bob);
            println!("{round} {kind:?}: {spent:?} of CPU; {now:?}");
            // An encode is in it, of an unoptimized program.
            assert!(spent < time / 2, "{kind:?}: {spent:?} of CPU");
            // 30 a second, and half a second's room for a machine that others use.
            assert!(now.0 >= frames + 3, "{kind:?}: {frames} {now:?}");
            assert!(now.2 < Duration::from_millis(500), "{kind:?}: {now:?}");
            assert_eq!(now.1, missing, "{kind:?}: pictures were lost");
            asks(&mallory, false).await;
            // Whoever talks next is heard.
            asks(&alice, true).await;
            camera.is_heard(&alice, &mut hers).await;
            asks(&alice, false).await;
        }
        // In the first round all of it is met for the first time.
        match (round, before) {
            (0, _) => before = Some(has(&camera).await),
            (_, Some(before)) => unhurt(before, has(&camera).await),
            (_, None) => unreachable!("it was looked at"),
        }
    }
    for viewer in [&mallory, &alice, &bob] {
        viewer.heard(|heard| assert_eq!(heard.hung_up, None, "{}", viewer.name));
        viewer.watch(10).await;
    }
    assert_eq!(camera.device.warnings(), 0, "{:#?}", camera.device.log());
    let Camera { chat, device, .. } = camera;
    drop(device);
    chat.stop().await;
}

fn unhurt(before: Has, now: Has) {
    println!("{before:?}, {now:?}");
    assert!(now.memory_kb <= before.memory_kb + 3 * 1024, "{now:?}");
    // One more may be at work at the moment of either look.
    assert!(now.threads <= before.threads + 1, "{now:?}");
    assert!(now.descriptors <= before.descriptors + 1, "{now:?}");
}

/// Their page knows no button, so that whatever is of the right format is taken for their
/// voice: they have the floor as long as a stranger may keep it from who waits.
#[tokio::test(flavor = "multi_thread")]
async fn who_floods_without_a_button_keeps_nobody_from_their_turn() {
    let camera = Camera::start().await;
    let old = camera.caller("old", &[]).await;
    let alice = camera.caller("alice", &["camera-agent"]).await;
    let (mut theirs, mut hers) = (Says::tone(), Says::tone());
    let mut dice = Dice(fastrand::Rng::with_seed(17));
    let floods = async {
        loop {
            for kind in [Kind::Noise, Kind::Flood, Kind::Jumps] {
                let time = Duration::from_secs(1);
                dice.attack(&old, kind, &mut theirs, time).await;
            }
        }
    };
    let talks = async {
        alice.told("somebody talks", |m| m["talks"] == "old").await;
        asks(&alice, true).await;
        camera.is_heard(&alice, &mut hers).await;
    };
    tokio::select! {
        () = floods => {}
        () = talks => {}
    }
    old.heard(|heard| assert_eq!(heard.hung_up, None));
    let Camera { chat, device, .. } = camera;
    drop(device);
    chat.stop().await;
}
