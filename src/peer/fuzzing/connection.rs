//! A whole call over a socket that is none: a viewer of the crate's own, whose
//! handshake is good and who then sends whatever they like, encrypted as it has
//! to be or not at all. Each datagram passes the guard, as on a device.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rtc::data_channel::RTCDataChannelId;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::media_stream::MediaStreamTrackId;
use rtc::peer_connection::configuration::RTCConfigurationBuilder;
use rtc::peer_connection::event::RTCPeerConnectionEvent;
use rtc::peer_connection::message::{RTCMessage, TaggedRTCMessage};
use rtc::peer_connection::state::RTCPeerConnectionState;
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::rtcp::raw_packet::RawPacket;
use rtc::rtp;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use rtc::sansio::Protocol;
use rtc::shared::{TaggedBytesMut, TransportContext};
use webrtc::peer_connection::{
    MediaEngine, RTCIceCandidateInit, RTCSessionDescription, Registry, SettingEngine,
};

use super::{BOUNDS, Nobody, PAYLOAD, address, part};
use crate::fuzzing::Draw;
use crate::media::latency::Latency;
use crate::peer::assembly::settings;
use crate::peer::convoy::Convoy;
use crate::peer::engine;
use crate::peer::interceptor::burst::Waiting;
use crate::peer::interceptor::clock::Captured;
use crate::peer::interceptor::feedback::Feedback;
use crate::peer::interceptor::pacer::Pace;
use crate::peer::interceptor::screen::Screen;
use crate::peer::messages;
use crate::peer::path::known::Path;
use crate::peer::rehearsal::Rehearsal;
use crate::peer::socket::guard::{Guard, Together};
use crate::peer::stats::Tally;
use crate::sdp::Offer;

/// Where both are.
const OURS: ([u8; 4], u16) = ([198, 51, 100, 1], 4_000);
pub(super) const THEIRS: ([u8; 4], u16) = ([198, 51, 100, 2], 5_000);
/// Things that happen in one run.
pub(super) const STEPS: usize = 100;
/// What goes out by itself, a second: checks, reports, and what answers them.
const OWN_BYTES: f64 = 40_000.0;

pub(super) static REHEARSAL: LazyLock<Rehearsal> =
    LazyLock::new(|| Rehearsal::new().expect("a certificate"));

/// Both ends, and what lies between.
pub(super) struct Call {
    ours: RTCPeerConnection,
    theirs: RTCPeerConnection,
    /// How each of the two says it is.
    pub(super) states: [RTCPeerConnectionState; 2],
    channel: RTCDataChannelId,
    guard: Guard,
    waiting: Waiting,
    path: Path,
    /// Of the picture, and of its repairs.
    ssrc: u32,
    began: Instant,
    now: Instant,
    /// Datagrams of the viewer's that were good.
    pub(super) good: VecDeque<BytesMut>,
    /// Those of the handshake wait here to be sent, where they are held back.
    pub(super) held: Option<VecDeque<BytesMut>>,
    /// Bytes of DTLS that passed the guard before the handshake was done.
    pub(super) early: usize,
    /// Bytes that came to us, that went, and of the picture in those.
    came: usize,
    pub(super) went: usize,
    shown: usize,
    /// Packets that the viewer has.
    numbers: Vec<u16>,
}

fn host(address: ([u8; 4], u16)) -> RTCIceCandidateInit {
    let address = SocketAddr::from(address);
    let (ip, port) = (address.ip(), address.port());
    RTCIceCandidateInit {
        candidate: format!("candidate:1 1 udp 2130706431 {ip} {port} typ host"),
        ..Default::default()
    }
}

/// A viewer as a browser is one: takes picture and sound, and opens the channel.
fn viewer(
    rehearsal: &Rehearsal,
    settings: SettingEngine,
    now: Instant,
) -> (RTCPeerConnection, RTCDataChannelId) {
    let mut engine = MediaEngine::default();
    engine.register_default_codecs().expect("codecs");
    let configuration = RTCConfigurationBuilder::new()
        .with_certificates(vec![rehearsal.certificate()])
        .build();
    let mut theirs = RTCPeerConnectionBuilder::new()
        .with_configuration(configuration)
        .with_setting_engine(settings)
        .with_media_engine(engine)
        .with_interceptor_registry(Registry::new())
        .build(now)
        .expect("a connection");
    for kind in [RtpCodecKind::Video, RtpCodecKind::Audio] {
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Recvonly,
            ..Default::default()
        };
        let added = theirs.add_transceiver_from_kind(kind, Some(init));
        added.expect("it may take media");
    }
    let channel = theirs.create_data_channel(messages::LABEL, None);
    let channel = channel.expect("it may have a channel").id();
    (theirs, channel)
}

impl Call {
    /// Until the handshake is done.
    fn connected(rehearsal: &Rehearsal) -> Self {
        Self::connected_by(rehearsal, settings(MulticastDnsMode::Disabled))
    }

    /// The same, with a viewer who is set to something else.
    pub(super) fn connected_by(rehearsal: &Rehearsal, settings: SettingEngine) -> Self {
        let mut this = Self::made_by(rehearsal, settings);
        for _ in 0..200 {
            this.pass(Duration::from_millis(20));
            if this.is_up() {
                this.guard.connected();
                return this;
            }
        }
        panic!("no connection: {:?}", this.states);
    }

    /// Offered and answered; nothing was sent yet.
    pub(super) fn made(rehearsal: &Rehearsal) -> Self {
        Self::made_by(rehearsal, settings(MulticastDnsMode::Disabled))
    }

    fn made_by(rehearsal: &Rehearsal, settings: SettingEngine) -> Self {
        let now = Instant::now();
        let (mut theirs, channel) = viewer(rehearsal, settings, now);
        theirs
            .add_local_candidate(host(THEIRS))
            .expect("an address");
        let offered = theirs.create_offer(None).expect("an offer");
        let read = Offer::parse(&offered.sdp).expect("it can be read");
        theirs
            .set_local_description(now, offered.clone())
            .expect("it is its own");

        let path = Path::new(BOUNDS);
        let waiting = Waiting::new(Arc::new(Latency::new(now)));
        let interceptors = engine::interceptors(
            (
                Screen::new(now),
                Feedback::new(Box::new(Nobody)),
                Convoy::default(),
            ),
            waiting.clone(),
            BOUNDS,
            &path,
            Pace::new(path.clone()),
            Captured::default(),
            &Tally::default(),
        );
        let mut call = rehearsal
            .call_through(&read, interceptors, now)
            .expect("a connection");
        let answer = call.answer(&read, now).expect("an answer");
        let mut ours = call.connection;
        ours.add_local_candidate(host(OURS)).expect("an address");
        ours.add_remote_candidate(host(THEIRS)).expect("an address");
        let word = |key: &str| {
            let line = answer.lines().find_map(|line| line.strip_prefix(key));
            line.expect("it is part of an answer").trim().to_owned()
        };
        let mut guard = Guard::new(Together::new(now), now);
        guard.username(word("a=ice-ufrag:"));
        guard.words(offered.sdp.len());
        let own = ours.local_description().expect("it was set").sdp;
        let (_, video) = own.split_once("m=video").expect("it has a picture");
        let ssrc = video.lines().find_map(|line| line.strip_prefix("a=ssrc:"));
        let ssrc = ssrc.and_then(|line| line.split(' ').next()?.parse().ok());
        let answer = RTCSessionDescription::answer(answer).expect("it can be read");
        theirs
            .set_remote_description(now, answer)
            .expect("they take it");
        theirs.add_remote_candidate(host(OURS)).expect("an address");
        Self {
            ours,
            theirs,
            states: Default::default(),
            channel,
            guard,
            waiting,
            path,
            ssrc: ssrc.expect("a number of the picture's"),
            began: now,
            now,
            good: VecDeque::new(),
            held: None,
            early: 0,
            came: 0,
            went: 0,
            shown: 0,
            numbers: Vec::new(),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.states == [RTCPeerConnectionState::Connected; 2]
    }

    /// A datagram comes to us from somewhere.
    pub(super) fn comes(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.came += datagram.len();
        if !self.guard.incoming(0, from, datagram, self.now) {
            return;
        }
        if is_dtls(datagram) && !self.is_up() {
            self.early += datagram.len();
        }
        let _ = self.ours.handle_read(TaggedBytesMut {
            now: self.now,
            transport: TransportContext {
                local_addr: OURS.into(),
                peer_addr: from,
                ..Default::default()
            },
            message: BytesMut::from(datagram),
        });
    }

    /// What is under way arrives, until nothing is.
    pub(super) fn carry(&mut self) {
        let mut is_moving = true;
        while is_moving {
            is_moving = false;
            while let Some(out) = self.ours.poll_write() {
                is_moving = true;
                let to = out.transport.peer_addr;
                if !self.guard.outgoing(0, to, &out.message, self.now) {
                    continue;
                }
                self.went += out.message.len();
                if to == SocketAddr::from(THEIRS) {
                    let _ = self.theirs.handle_read(TaggedBytesMut {
                        now: self.now,
                        transport: TransportContext {
                            local_addr: THEIRS.into(),
                            peer_addr: OURS.into(),
                            ..Default::default()
                        },
                        message: out.message,
                    });
                }
            }
            while let Some(out) = self.theirs.poll_write() {
                is_moving = true;
                if let Some(held) = self.held.as_mut().filter(|_| is_dtls(&out.message)) {
                    held.push_back(out.message);
                    held.truncate(64);
                    continue;
                }
                self.comes(THEIRS.into(), &out.message);
                self.good.push_front(out.message);
                self.good.truncate(64);
            }
            for (end, state) in [&mut self.ours, &mut self.theirs]
                .into_iter()
                .zip(&mut self.states)
            {
                while let Some(event) = end.poll_event() {
                    if let RTCPeerConnectionEvent::OnConnectionStateChangeEvent(now) = event {
                        *state = now;
                    }
                }
                while let Some(read) = end.poll_read() {
                    if let RTCMessage::RtpPacket(_, packet) = read.message {
                        self.numbers.push(packet.header.sequence_number);
                    }
                }
            }
        }
    }

    /// Time passes at both ends.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut turns = 0;
        loop {
            self.carry();
            let due = [self.ours.poll_timeout(), self.theirs.poll_timeout()];
            let due = due.into_iter().flatten().min();
            let Some(at) = due.filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            let _ = self.ours.handle_timeout(self.now);
            let _ = self.theirs.handle_timeout(self.now);
            turns += 1;
            assert!(turns < 20_000, "timers spin");
        }
        self.now = end;
        self.holds();
    }

    /// So many packets of the picture are sent.
    fn show(&mut self, packets: usize) {
        let packet = rtp::Packet {
            header: rtp::Header {
                version: 2,
                ssrc: self.ssrc,
                payload_type: 96,
                ..Default::default()
            },
            payload: Bytes::from_static(&[7; PAYLOAD]),
        };
        let all = std::iter::repeat_n(packet.clone(), packets);
        self.waiting.extend(all, None, self.now);
        self.shown += packets * (PAYLOAD + 60);
        let _ = self.ours.handle_write(TaggedRTCMessage {
            now: self.now,
            message: RTCMessage::RtpPacket(MediaStreamTrackId::default(), packet),
        });
    }

    /// The viewer sends RTCP, encrypted with the keys of the call.
    fn report(&mut self, parts: &[u8]) {
        let raw = RawPacket(Bytes::copy_from_slice(parts));
        let _ = self.theirs.handle_write(TaggedRTCMessage {
            now: self.now,
            message: RTCMessage::RtcpPacket(MediaStreamTrackId::default(), vec![Box::new(raw)]),
        });
    }

    fn step(&mut self, draw: &mut Draw<'_>) {
        let kind = draw.byte();
        match kind % 12 {
            0 => self.show(usize::from(draw.byte() % 20)),
            1 | 2 => self.pass(Duration::from_millis(draw.byte().into())),
            3 => self.pass(Duration::from_millis(u64::from(draw.byte()) * 8)),
            4 => {
                let mut body = [1_u32.to_be_bytes(), self.ssrc.to_be_bytes()].concat();
                body.extend_from_slice(draw.bytes(64));
                self.report(&part(1, 205, &body));
            }
            5 => {
                let mut body = [1_u32.to_be_bytes(), self.ssrc.to_be_bytes()].concat();
                body.extend_from_slice(draw.bytes(8));
                body.extend_from_slice(draw.piece());
                self.report(&part(15, 205, &body));
            }
            6 => {
                let mut whole = part(0, 201, &[0; 4]);
                whole.extend(part(draw.byte(), 192 + draw.byte() % 32, draw.piece()));
                self.report(&whole);
            }
            7 => self.report(draw.piece()),
            8 => {
                // RTP that nobody asked for, by any number.
                let ssrc = match kind & 32 {
                    0 => u32::from(draw.short()),
                    _ => self.ssrc,
                };
                let packet = rtp::Packet {
                    header: rtp::Header {
                        version: 2,
                        padding: kind & 64 != 0,
                        marker: kind & 128 != 0,
                        payload_type: draw.byte() & 127,
                        sequence_number: draw.short(),
                        ssrc,
                        ..Default::default()
                    },
                    payload: Bytes::copy_from_slice(draw.piece()),
                };
                let _ = self.theirs.handle_write(TaggedRTCMessage {
                    now: self.now,
                    message: RTCMessage::RtpPacket(MediaStreamTrackId::default(), packet),
                });
            }
            9 => {
                // Any bytes, from the viewer or from anybody.
                let from = match kind & 64 {
                    0 => THEIRS.into(),
                    _ => address(draw.byte()),
                };
                self.comes(from, draw.piece());
            }
            10 => {
                // What was good, again, or nearly.
                let place = usize::from(draw.byte()) % self.good.len().max(1);
                if let Some(mut datagram) = self.good.get(place).cloned() {
                    let at = usize::from(draw.short()) % datagram.len().max(1);
                    if let Some(byte) = datagram.get_mut(at) {
                        *byte ^= draw.byte();
                    }
                    self.comes(THEIRS.into(), &datagram);
                }
            }
            _ => self.say(String::from_utf8_lossy(draw.piece()).into_owned()),
        }
        self.carry();
    }

    /// The viewer says something over the channel.
    pub(super) fn say(&mut self, text: String) {
        if let Some(mut channel) = self.theirs.data_channel(self.channel) {
            let _ = channel.send_text(self.now, text);
        }
    }

    /// What is always so.
    fn holds(&self) {
        let seconds = self.now.duration_since(self.began).as_secs_f64();
        let own = OWN_BYTES * (seconds + 1.0);
        // Repairs are three tenths of what is shown, and of what is carried at first.
        let repairs = 0.3 * (self.shown as f64 + f64::from(BOUNDS.max) / 8.0 * (seconds + 1.0));
        let most = own + self.shown as f64 + repairs + 2.0 * self.came as f64;
        assert!(
            self.went as f64 <= most,
            "{} bytes, {most} at most",
            self.went
        );
        let carries = self.path.estimate().bits_per_second;
        assert!((BOUNDS.min..=BOUNDS.max).contains(&carries), "{carries}");
    }
}

/// Whatever a viewer sends once the handshake is done, and whoever else sends
/// whatever: the call goes on, what leaves is bounded, and no timer spins.
pub fn connection(data: &[u8]) {
    fastrand::seed(7);
    let mut draw = Draw(data);
    let mut call = Call::connected(&REHEARSAL);
    for _ in 0..STEPS {
        if draw.is_empty() {
            break;
        }
        call.step(&mut draw);
    }
    call.pass(Duration::from_secs(1));
    assert!(call.is_up(), "{:?}", call.states);
}

/// By its first byte (RFC 7983 §7).
fn is_dtls(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(20..=63))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_shown_is_seen_and_what_is_said_is_heard() {
        let mut call = Call::connected(&REHEARSAL);
        call.show(5);
        call.pass(Duration::from_millis(200));
        assert_eq!(call.numbers.len(), 5);
        // Generic NACK (RFC 4585 §6.2.1) of the first of them.
        let before = call.went;
        let first = call.numbers.first().copied().expect("it was seen");
        let body = [1_u32.to_be_bytes(), call.ssrc.to_be_bytes()].concat();
        let lost = [first.to_be_bytes(), [0; 2]].concat();
        call.report(&part(1, 205, &[body, lost].concat()));
        call.pass(Duration::from_millis(200));
        assert!(call.went - before > PAYLOAD, "it is repeated");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn any_bytes_of_a_viewer_leave_the_call_up(
            data in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            super::connection(&data);
        }
    }
}
