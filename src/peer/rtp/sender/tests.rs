use super::*;
use crate::media::stream::Encoding;

fn frame(rtp_time: u32, packets: usize) -> Frame {
    let now = Instant::now();
    Frame {
        payloads: vec![Bytes::from_static(b"x"); packets],
        rtp_time,
        key: true,
        captured_at: now,
        encoder_in: None,
        encoded_at: now,
    }
}

fn parameters() -> Parameters {
    Parameters {
        ssrc: 7,
        payload_type: 102,
        red: None,
        playout_delay: None,
        with_sound: false,
        capture_time: None,
    }
}

fn headers() -> Headers {
    Headers::new(&parameters(), Stream::Video(Encoding::H264))
}

/// It was up to 1,288 bytes with the time of capture, over TURN.
#[test]
fn the_longest_packet_fits_every_ipv6_path() {
    use crate::media::frame::{MAX_PAYLOAD, overhead};
    use crate::peer::interceptor::repair::Kept;
    use rtc::shared::marshal::Marshal;
    let parameters = Parameters {
        playout_delay: Some(6),
        capture_time: Some(14),
        ..parameters()
    };
    let mut headers = Headers::new(&parameters, Stream::Video(Encoding::H264));
    let mut frame = frame(0, 1);
    frame.payloads = vec![vec![0; MAX_PAYLOAD].into()];
    let mut packet = headers.packets(&frame).next().expect("one packet");
    let mut rtx = Kept::new(&packet, Instant::now()).as_rtx(8, 97, 1);
    let number = Bytes::from_static(&[0; overhead::EXTENSIONS[0]]);
    for packet in [&mut packet, &mut rtx] {
        let set = packet.header.set_extension(3, number.clone());
        set.expect("it fits");
    }
    assert_eq!(packet.header.extensions.len(), overhead::EXTENSIONS.len());
    let on_the_wire = |packet: &rtp::Packet| {
        let written = packet.marshal().expect("it can be written").len();
        overhead::IPV6 + overhead::UDP + overhead::CHANNEL_DATA + written + overhead::SRTP_TAG
    };
    assert_eq!(on_the_wire(&packet), overhead::LEAST_MTU);
    let repeated = on_the_wire(&rtx);
    assert!(repeated < overhead::LEAST_MTU, "{repeated}");
}

#[test]
fn time_goes_on_where_another_tier_is_behind() {
    let mut headers = headers();
    // Across the wrap.
    headers.offset = u32::MAX - 4_000;
    let mut times = Vec::new();
    for rtp_time in [0, 3_000, 3_000, 2_990, 6_000] {
        let packet = headers.packets(&frame(rtp_time, 1)).next();
        times.push(packet.expect("one packet").header.timestamp);
    }
    let steps: Vec<_> = times.windows(2).map(|t| t[1].wrapping_sub(t[0])).collect();
    assert_eq!(steps, [3_000, STEP, STEP, 3_000 - 2 * STEP]);
}

#[test]
fn sound_never_steps_back() {
    let mut headers = Headers::new(&parameters(), Stream::Audio);
    headers.offset = u32::MAX - 2_000;
    let mut times = Vec::new();
    for rtp_time in [960, 1_920, 480_000, 340_000, 340_960, 340_960, 350_000] {
        let frame = frame(rtp_time, 1);
        let noted = headers.timestamp(&frame);
        let packet = headers.packets(&frame).next().expect("one packet");
        assert_eq!(packet.header.timestamp, noted);
        times.push(packet.header.timestamp);
    }
    let steps: Vec<_> = times.windows(2).map(|t| t[1].wrapping_sub(t[0])).collect();
    assert_eq!(steps, [960, 478_080, 960, 960, 960, 9_040]);
}

#[test]
fn the_last_packet_of_a_picture_is_marked() {
    let mut headers = headers();
    let mut packets: Vec<_> = headers.packets(&frame(0, 3)).collect();
    packets.extend(headers.packets(&frame(3_000, 2)));
    let marked: Vec<_> = packets.iter().map(|p| p.header.marker).collect();
    assert_eq!(marked, [false, false, true, false, true]);
}
