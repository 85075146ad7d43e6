//! What an Opus packet says of itself (RFC 6716 §3), and one that is silence. Pure.

/// Samples a second that Opus counts in (RFC 7845 §4).
pub(crate) const RATE: u32 = 48_000;
/// 20 ms without a sound: CELT, full band, one channel; libopus writes it so.
pub(crate) const SILENCE: &[u8] = &[0xf8, 0xff, 0xfe];
/// Samples of [`SILENCE`].
pub(crate) const SILENCE_SAMPLES: u32 = 960;
/// Samples of the longest packet, 120 ms (RFC 6716 §3.2.5).
const LONGEST: u32 = 5_760;

/// Samples that a packet lasts.
pub(crate) fn samples(packet: &[u8]) -> Option<u32> {
    let toc = packet.first()?;
    let frame = match toc >> 3 {
        // SILK: 10, 20, 40, 60 ms; hybrid: 10, 20 ms; CELT: 2.5, 5, 10, 20 ms.
        config @ 0..12 => [480, 960, 1_920, 2_880][usize::from(config % 4)],
        config @ 12..16 => [480, 960][usize::from(config % 2)],
        config => [120, 240, 480, 960][usize::from(config % 4)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3f),
    };
    let samples = frame * frames;
    (1..=LONGEST).contains(&samples).then_some(samples)
}

/// One channel, or two.
pub(crate) fn channels(packet: &[u8]) -> u8 {
    match packet.first() {
        Some(toc) if toc & 4 != 0 => 2,
        Some(_) | None => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_lasts_as_long_as_it_says() {
        assert_eq!(samples(SILENCE), Some(SILENCE_SAMPLES));
        assert_eq!(channels(SILENCE), 1);
        assert_eq!(channels(&[0xfc]), 2);
        for (toc, expected) in [
            (&[0x08, 0][..], Some(960)),
            (&[0x18, 0], Some(2_880)),
            (&[0x79, 0], Some(1_920)),
            (&[0xfb, 3], Some(2_880)),
            (&[0xfb, 0], None),
            (&[0xfb, 63], None),
            (&[0xfb], None),
            (&[], None),
        ] {
            assert_eq!(samples(toc), expected, "{toc:?}");
        }
    }
}
