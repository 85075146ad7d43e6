//! Writes into a sequence parameter set of H.264 which colours its numbers
//! mean (ITU-T H.264 §7.3.2.1.1 and annex E). Pure.
//!
//! openh264 and many encoders in hardware leave that out, and browsers then
//! take BT.709, which no webcam has: red turns to orange, green to grass.

use super::nal;

/// What luma and colour differences mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Colours {
    /// Of 0 to 255, not of 16 to 235.
    pub full_range: bool,
    /// `matrix_coefficients` (table E-5): 1 for BT.709, 6 for BT.601.
    pub matrix: u8,
}

/// A byte-stream access unit whose SPS says `colours`; `None` where each of
/// them says something already, or is one that is not understood.
pub(crate) fn with_colours(unit: &[u8], colours: Colours) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut copied = 0;
    for start in nal::starts(unit) {
        let Some(header) = unit.get(start) else { break };
        match header & 0x1f {
            7 => {
                let end = start + nal::length(&unit[start..]);
                if let Some(amended) = amended(&unit[start + 1..end], colours) {
                    out.reserve(unit.len() + 16);
                    out.extend_from_slice(&unit[copied..=start]);
                    out.extend(escaped(&amended));
                    copied = end;
                }
            }
            // Nothing stands behind the first slice that matters here.
            1 | 5 => break,
            _ => {}
        }
    }
    out.extend_from_slice(&unit[copied..]);
    (copied > 0).then_some(out)
}

/// What follows an SPS's header byte, with `colours`.
fn amended(sps: &[u8], colours: Colours) -> Option<Vec<u8>> {
    let bits = bits(sps)?;
    let mut reader = Reader { bits: &bits, at: 0 };
    up_to_vui(&mut reader)?;
    let mut out = bits[..reader.at].to_vec();
    let has_vui = reader.bit()?;
    out.push(true);
    let from = reader.at;
    let aspect_and_overscan = if has_vui {
        if reader.bit()? && reader.number(8)? == EXTENDED_SAR {
            reader.number(32)?;
        }
        if reader.bit()? {
            reader.bit()?;
        }
        bits[from..reader.at].to_vec()
    } else {
        vec![false; 2]
    };
    out.extend(aspect_and_overscan);
    // Is there a video_signal_type? With a colour description it says all.
    let format = if has_vui && reader.bit()? {
        let format = reader.number(3)?;
        reader.bit()?;
        if reader.bit()? {
            return None;
        }
        format
    } else {
        UNSPECIFIED_FORMAT
    };
    out.push(true);
    put(&mut out, format, 3);
    out.push(colours.full_range);
    out.push(true);
    for number in [UNKNOWN, UNKNOWN, colours.matrix] {
        put(&mut out, number.into(), 8);
    }
    if has_vui {
        out.extend_from_slice(&bits[reader.at..]);
    } else {
        // No chroma_loc_info, timing, HRD of either kind, pic_struct,
        // bitstream_restriction.
        out.extend([false; 6]);
    }
    // rbsp_trailing_bits
    out.push(true);
    let bytes = out.chunks(8).map(|bits| {
        let byte = bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
        byte << (8 - bits.len())
    });
    Some(bytes.collect())
}

/// Primaries and transfer characteristics, which browsers take for sRGB's
/// (tables E-3 and E-4).
const UNKNOWN: u8 = 2;
/// Table E-1.
const EXTENDED_SAR: u32 = 255;
/// Table E-2.
const UNSPECIFIED_FORMAT: u32 = 5;

/// Width and height in pixels of what an SPS, from its header byte on, is for.
pub(crate) fn size(sps: &[u8]) -> Option<(u32, u32)> {
    let bits = bits(sps.get(1..)?)?;
    up_to_vui(&mut Reader { bits: &bits, at: 0 })
}

/// Reads up to `vui_parameters_present_flag`: width and height (§7.4.2.1.1).
fn up_to_vui(reader: &mut Reader) -> Option<(u32, u32)> {
    let profile = reader.number(8)?;
    reader.number(16)?;
    reader.exp_golomb()?;
    let mut chroma = 1;
    if [100, 110, 122, 244, 44, 83, 86, 118, 128].contains(&profile) {
        chroma = reader.exp_golomb()?;
        if chroma == 3 {
            reader.bit()?;
        }
        reader.exp_golomb()?;
        reader.exp_golomb()?;
        reader.bit()?;
        if reader.bit()? {
            // Scaling matrices: no encoder for calls writes them.
            return None;
        }
    }
    reader.exp_golomb()?;
    match reader.exp_golomb()? {
        0 => drop(reader.exp_golomb()?),
        1 => {
            reader.bit()?;
            reader.exp_golomb()?;
            reader.exp_golomb()?;
            for _ in 0..reader.exp_golomb()?.min(255) {
                reader.exp_golomb()?;
            }
        }
        _ => {}
    }
    reader.exp_golomb()?;
    reader.bit()?;
    let across = reader.exp_golomb()?.checked_add(1)?;
    let down = reader.exp_golomb()?.checked_add(1)?;
    let fields = match reader.bit()? {
        true => 1,
        false => {
            reader.bit()?;
            2
        }
    };
    reader.bit()?;
    let mut cropped = [0; 4];
    if reader.bit()? {
        for side in &mut cropped {
            *side = reader.exp_golomb()?;
        }
    }
    let [left, right, top, bottom] = cropped;
    let unit = [[1, 1], [2, 2], [2, 1], [1, 1]].get(usize::try_from(chroma).ok()?)?;
    let side = |blocks: u32, unit: u32, cropped: u32| {
        let pixels = blocks.checked_mul(16)?;
        pixels.checked_sub(unit.checked_mul(cropped)?)
    };
    let width = side(across, unit[0], left.checked_add(right)?)?;
    let rows = down.checked_mul(fields)?;
    let height = side(rows, unit[1] * fields, top.checked_add(bottom)?)?;
    Some((width, height))
}

struct Reader<'a> {
    bits: &'a [bool],
    at: usize,
}

impl Reader<'_> {
    fn bit(&mut self) -> Option<bool> {
        let bit = self.bits.get(self.at).copied();
        self.at += 1;
        bit
    }

    fn number(&mut self, bits: u32) -> Option<u32> {
        (0..bits).try_fold(0_u32, |value, _| Some(value << 1 | u32::from(self.bit()?)))
    }

    /// Signed ones are as long (§9.1).
    fn exp_golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
        }
        let rest = self.number((zeros < 32).then_some(zeros)?)?;
        Some(((1_u64 << zeros) - 1) as u32 + rest)
    }
}

fn put(out: &mut Vec<bool>, value: u32, bits: u32) {
    out.extend((0..bits).rev().map(|bit| value >> bit & 1 == 1));
}

/// The bits before `rbsp_trailing_bits`, without emulation prevention (§7.4.1).
fn bits(payload: &[u8]) -> Option<Vec<bool>> {
    let mut zeros = 0;
    let mut bits = Vec::with_capacity(payload.len() * 8);
    for byte in payload {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        put(&mut bits, (*byte).into(), 8);
    }
    bits.truncate(bits.iter().rposition(|bit| *bit)?);
    Some(bits)
}

/// With emulation prevention.
fn escaped(payload: &[u8]) -> Vec<u8> {
    let mut zeros = 0;
    let mut out = Vec::with_capacity(payload.len() + 2);
    for byte in payload {
        if zeros >= 2 && *byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        out.push(*byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SD: Colours = Colours {
        full_range: false,
        matrix: 6,
    };

    /// openh264's, 640×360, whose VUI has only a bitstream_restriction.
    const OPENH264: &[u8] = &[
        0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x1e, 0x8c, 0x8d, 0x40, 0x50, 0x17, 0xfc, 0xb0, 0x0f, 0x08,
        0x84, 0x6a, 0, 0, 0, 1, 0x68, 0xce, 0x3c, 0x80, 0, 0, 1, 0x65, 0x88, 0x80,
    ];
    /// The same without a VUI.
    fn bare() -> Vec<u8> {
        let mut sps = bits(&OPENH264[5..19]).expect("bits");
        let mut reader = Reader { bits: &sps, at: 0 };
        up_to_vui(&mut reader).expect("read");
        let at = reader.at;
        sps.truncate(at);
        sps.extend([false, true]);
        sps.resize(sps.len().next_multiple_of(8), false);
        let bytes = sps
            .chunks(8)
            .map(|b| b.iter().fold(0, |n, b| n << 1 | u8::from(*b)));
        let sps = escaped(&bytes.collect::<Vec<u8>>());
        [&OPENH264[..5], &sps, &OPENH264[19..]].concat()
    }

    fn colours(unit: &[u8]) -> Option<Vec<bool>> {
        let start = unit.windows(4).position(|w| w == [0, 0, 1, 0x67])? + 4;
        let end = unit[start..].windows(3).position(|w| w == [0, 0, 1]);
        let sps = bits(&unit[start..end.map_or(unit.len(), |end| start + end)])?;
        let mut reader = Reader { bits: &sps, at: 0 };
        up_to_vui(&mut reader)?;
        // vui, no aspect ratio, no overscan, a signal type of any format.
        assert_eq!(reader.number(4)?, 0b1001);
        assert_eq!(reader.number(3)?, UNSPECIFIED_FORMAT);
        Some(sps[reader.at..].to_vec())
    }

    #[test]
    fn a_size_is_without_what_is_cropped() {
        // 40 by 23 blocks, of whose last row half is left out.
        assert_eq!(size(&OPENH264[4..19]), Some((640, 360)));
        assert_eq!(size(&OPENH264[4..9]), None);
        assert_eq!(size(&[]), None);
    }

    #[test]
    fn what_an_encoder_leaves_out_is_written() {
        for unit in [OPENH264, &bare()] {
            let amended = with_colours(unit, SD).expect("it said nothing");
            let said = colours(&amended).expect("an SPS");
            let mut expected = vec![false, true];
            for number in [2, 2, 6] {
                put(&mut expected, number, 8);
            }
            assert_eq!(said[..26], expected);
            assert_eq!(with_colours(&amended, SD), None, "it says so already");
            let after = |unit: &[u8]| {
                let pps = unit.windows(4).position(|w| w == [0, 0, 1, 0x68]);
                unit[pps.expect("a PPS")..].to_vec()
            };
            assert_eq!(after(&amended), after(unit), "the rest is as it was");
        }
    }

    #[test]
    fn the_rest_of_a_vui_stays() {
        let before = {
            let sps = bits(&OPENH264[5..19]).expect("bits");
            let mut reader = Reader { bits: &sps, at: 0 };
            up_to_vui(&mut reader).expect("read");
            sps[reader.at + 4..].to_vec()
        };
        let amended = with_colours(OPENH264, SD).expect("amended");
        assert_eq!(colours(&amended).expect("an SPS")[26..], before);
    }

    #[test]
    fn what_is_no_sps_is_left_as_it_is() {
        for unit in [
            &[][..],
            &[0, 0, 1],
            &[0, 0, 1, 0x67],
            &[0, 0, 1, 0x67, 0x42],
            &[0, 0, 1, 0x67, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0, 0, 1, 0x65, 0x88, 0, 0, 1, 0x67, 0x42, 0xc0],
        ] {
            assert_eq!(with_colours(unit, SD), None, "{unit:?}");
        }
    }

    #[test]
    fn emulation_prevention_goes_and_comes() {
        let raw = [0, 0, 1, 0, 0, 0, 3, 0, 0x80];
        let written = escaped(&raw);
        assert_eq!(written, [0, 0, 3, 1, 0, 0, 3, 0, 3, 0, 0x80]);
        let mut expected: Vec<bool> = Vec::new();
        for byte in raw {
            put(&mut expected, byte.into(), 8);
        }
        let last = expected.iter().rposition(|bit| *bit).expect("a one");
        assert_eq!(bits(&written).expect("bits"), expected[..last]);
    }
}
