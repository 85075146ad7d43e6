//! What an access unit of H.264 says of its encoder: its NAL units, slices and
//! their types (ITU-T H.264 §7.3). Pure.

use crate::media::bitstream::nal;

/// What is in one access unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct AccessUnit {
    /// Slices of the picture.
    pub slices: u32,
    /// One of them is an IDR slice.
    pub idr: bool,
    /// One of them is a B slice, which is shown before one that came earlier.
    pub b_slice: bool,
    /// SPS and PPS stand before the first slice.
    pub headers: bool,
}

/// Reads a byte-stream access unit.
pub(crate) fn read(data: &[u8]) -> AccessUnit {
    let mut unit = AccessUnit::default();
    let (mut sps, mut pps) = (false, false);
    for unit_at in nal::units(data) {
        let Some((header, payload)) = data[unit_at].split_first() else {
            continue;
        };
        match header & 0x1f {
            7 => sps = true,
            8 => pps = true,
            kind @ (1 | 5) => {
                unit.headers |= unit.slices == 0 && sps && pps;
                unit.slices += 1;
                unit.idr |= kind == 5;
                unit.b_slice |= slice_type(payload).is_some_and(|t| t % 5 == 1);
            }
            _ => {}
        }
    }
    unit
}

/// `slice_type`, the second number of a slice's header after
/// `first_mb_in_slice`. No emulation prevention byte stands before its end: of
/// the largest picture there is the first number begins with fifteen zero bits.
fn slice_type(payload: &[u8]) -> Option<u32> {
    let mut bits = payload
        .iter()
        .take(9)
        .flat_map(|byte| (0..8).rev().map(move |i| byte >> i & 1));
    exp_golomb(&mut bits)?;
    exp_golomb(&mut bits)
}

/// An unsigned Exp-Golomb number (§9.1).
fn exp_golomb(bits: &mut impl Iterator<Item = u8>) -> Option<u32> {
    let zeros = bits.take_while(|bit| *bit == 0).count();
    let mut value = 1_u32;
    for _ in 0..zeros {
        value = value.checked_mul(2)? + u32::from(bits.next()?);
    }
    Some(value - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_frame_with_headers_is_one_idr_slice() {
        // first_mb 0 (1), slice_type 7 (0001000).
        let unit = [
            0,
            0,
            0,
            1,
            9,
            0x10,
            0,
            0,
            1,
            0x67,
            0x42,
            0xc0,
            0x1f,
            0,
            0,
            1,
            0x68,
            1,
            0,
            0,
            0,
            1,
            0x65,
            0b1000_1000,
            0x80,
        ];
        assert_eq!(
            read(&unit),
            AccessUnit {
                slices: 1,
                idr: true,
                b_slice: false,
                headers: true,
            }
        );
    }

    #[test]
    fn headers_behind_the_slice_are_no_headers() {
        let unit = [
            0,
            0,
            1,
            0x65,
            0b1000_1000,
            0,
            0,
            1,
            0x67,
            0x42,
            0,
            0,
            1,
            0x68,
            1,
        ];
        assert!(!read(&unit).headers);
    }

    #[test]
    fn slices_are_counted_and_b_slices_seen() {
        // first_mb 0, slice_type 6 (B): 1 00111; first_mb 3 (00100),
        // slice_type 5 (P): 00110.
        let unit = [
            0,
            0,
            1,
            0x41,
            0b1001_1100,
            0,
            0,
            1,
            0x41,
            0b0010_0001,
            0b1000_0000,
        ];
        let unit = read(&unit);
        assert_eq!((unit.slices, unit.b_slice, unit.idr), (2, true, false));
    }

    #[test]
    fn garbage_is_nothing() {
        for data in [&[][..], &[0, 0], &[0, 0, 1], &[1, 2, 3, 4]] {
            assert_eq!(read(data), AccessUnit::default());
        }
        // A slice that is cut off is still counted.
        assert_eq!(read(&[0, 0, 1, 0x41, 0]).slices, 1);
    }
}
