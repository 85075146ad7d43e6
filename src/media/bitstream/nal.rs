//! Where the NAL units of H.264 are in a byte stream (ITU-T H.264 annex B). Pure.

use std::ops::Range;

/// Where each unit begins: at its header, behind a start code. No more is read
/// than is asked for.
pub(crate) fn starts(stream: &[u8]) -> impl Iterator<Item = usize> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let code = stream[from..].windows(3).position(|w| w == [0, 0, 1])?;
        from += code + 3;
        Some(from)
    })
}

/// The bytes of the unit that `stream` begins with: up to the next start code or
/// zeros, neither of which can stand in one (§7.4.1).
pub(crate) fn length(stream: &[u8]) -> usize {
    let end = stream
        .windows(3)
        .position(|w| w[..2] == [0, 0] && w[2] <= 1);
    end.unwrap_or(stream.len())
}

/// Each unit, from its header on.
pub(crate) fn units(stream: &[u8]) -> impl Iterator<Item = Range<usize>> {
    starts(stream).map(|start| start..start + length(&stream[start..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_stand_between_start_codes_of_either_length() {
        let stream = [
            9, 0, 0, 0, 1, 0x67, 1, 0, 2, 0, 0, 1, 0x68, 3, 0, 0, 0, 0, 1, 0x65, 4, 0, 0,
        ];
        let found: Vec<_> = units(&stream).map(|unit| &stream[unit]).collect();
        let expected: [&[u8]; 3] = [&[0x67, 1, 0, 2], &[0x68, 3], &[0x65, 4, 0, 0]];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_stream_may_end_anywhere() {
        let whole = [0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68];
        for end in 0..=whole.len() {
            let found: Vec<_> = starts(&whole[..end]).collect();
            let expected: &[usize] = match end {
                ..4 => &[],
                4..9 => &[4],
                _ => &[4, 9],
            };
            assert_eq!(found, expected, "{end}");
        }
        assert!(units(&[0, 0, 1]).eq(std::iter::once(3..3)));
    }
}
