//! Huffman codes of a JPEG and the bits they are in (ITU-T T.81 annexes C, F).

use super::Damage;

/// Codes of so many bits and fewer are looked up at once.
const FAST: u32 = 9;

/// The codes of one table.
pub(super) struct Table {
    /// By the next [`FAST`] bits: length and value; length 0 for a longer one.
    fast: [(u8, u8); 1 << FAST],
    /// By length: the first code behind those of this length, in 16 bits.
    ends: [u32; 17],
    /// By length: what a code is to be added to for the place of its value.
    offsets: [i32; 17],
    values: Vec<u8>,
}

impl Table {
    /// Of how many codes there are of each length, 1 to 16, and their values.
    pub(super) fn new(counts: &[u8; 16], values: &[u8]) -> Option<Self> {
        let mut table = Self {
            fast: [(0, 0); 1 << FAST],
            ends: [0; 17],
            offsets: [0; 17],
            values: values.to_vec(),
        };
        let (mut code, mut place) = (0_u32, 0_usize);
        for length in 1..=16_u32 {
            let at = length as usize;
            table.offsets[at] = place as i32 - code as i32;
            for _ in 0..counts[at - 1] {
                let value = *values.get(place)?;
                if length <= FAST {
                    let spread = FAST - length;
                    let first = (code << spread) as usize;
                    let codes = table.fast.get_mut(first..first + (1 << spread))?;
                    codes.fill((length as u8, value));
                }
                (code, place) = (code + 1, place + 1);
            }
            if code > 1 << length {
                return None;
            }
            table.ends[at] = code << (16 - length);
            code <<= 1;
        }
        (place > 0).then_some(table)
    }
}

/// Annex K.3, which motion JPEG does not repeat.
pub(super) fn standard() -> [[Option<Table>; 4]; 2] {
    let tens = |rows: &[(u8, u8, u8)]| -> Vec<u8> {
        let row = |&(run, from, to): &(u8, u8, u8)| (from..=to).map(move |size| run << 4 | size);
        rows.iter().flat_map(row).collect()
    };
    let sizes: Vec<u8> = (0..12).collect();
    let luma_tail = tens(&[
        (2, 5, 10),
        (3, 4, 10),
        (4, 3, 10),
        (5, 3, 10),
        (6, 3, 10),
        (7, 3, 10),
        (8, 3, 10),
        (9, 2, 10),
        (10, 2, 10),
        (11, 2, 10),
        (12, 2, 10),
        (13, 2, 10),
        (14, 1, 10),
        (15, 1, 10),
    ]);
    let chroma_tail = tens(&[
        (2, 6, 10),
        (3, 5, 10),
        (4, 3, 10),
        (5, 3, 10),
        (6, 3, 10),
        (7, 3, 10),
        (8, 2, 10),
        (9, 2, 10),
        (10, 2, 10),
        (11, 2, 10),
        (12, 2, 10),
        (13, 2, 10),
        (14, 2, 10),
        (15, 2, 10),
    ]);
    let luma = [
        &[
            0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51,
            0x61, 0x07, 0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1,
            0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18,
            0x19, 0x1a,
        ],
        &luma_tail[..],
    ]
    .concat();
    let chroma = [
        &[
            0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07,
            0x61, 0x71, 0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09,
            0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25,
            0xf1, 0x17, 0x18, 0x19, 0x1a,
        ],
        &chroma_tail[..],
    ]
    .concat();
    let table = |counts: [u8; 16], values: &[u8]| Table::new(&counts, values);
    [
        [
            table([0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0], &sizes),
            table([0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0], &sizes),
            None,
            None,
        ],
        [
            table([0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d], &luma),
            table([0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77], &chroma),
            None,
            None,
        ],
    ]
}

/// The bits between markers.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    /// The next bits, from the highest one on.
    window: u64,
    /// How many of them there are; below 0, more were taken than there were.
    left: i32,
    /// A marker or the end was met, and zeros follow.
    ended: bool,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self {
            data,
            at: 0,
            window: 0,
            left: 0,
            ended: false,
        }
    }

    #[inline]
    fn fill(&mut self) {
        while self.left <= 48 && !self.ended {
            let byte = match self.data.get(self.at..) {
                Some([0xff, 0, ..]) => {
                    self.at += 2;
                    0xff
                }
                Some([0xff, ..] | []) | None => {
                    self.ended = true;
                    return;
                }
                Some([byte, ..]) => {
                    self.at += 1;
                    *byte
                }
            };
            self.window |= u64::from(byte) << (56 - self.left);
            self.left += 8;
        }
    }

    /// The value of the next code; `None` where it is none.
    #[inline]
    pub(super) fn symbol(&mut self, table: &Table) -> Option<u8> {
        if self.left < 32 {
            self.fill();
            if self.left < 0 {
                return None;
            }
        }
        let (length, value) = table.fast[(self.window >> (64 - FAST)) as usize];
        if length > 0 {
            self.skip(length.into());
            return Some(value);
        }
        let next = (self.window >> 48) as u32;
        let length = (FAST + 1..=16).find(|length| next < table.ends[*length as usize])?;
        let code = (next >> (16 - length)) as i32;
        let place = usize::try_from(code + table.offsets[length as usize]).ok()?;
        let value = *table.values.get(place)?;
        self.skip(length);
        Some(value)
    }

    /// Passes over at most 16 bits.
    #[inline]
    pub(super) fn skip(&mut self, bits: u32) {
        self.window <<= bits;
        self.left -= bits as i32;
    }

    /// More was taken than there was.
    pub(super) fn is_over(&self) -> bool {
        self.left < 0
    }

    /// Why there is no further code.
    pub(super) fn damage(&self) -> Damage {
        match self.left < 16 && self.ended {
            true => Damage::Short,
            false => Damage::Garbled,
        }
    }

    /// Passes over a restart marker; `None` where there is none.
    pub(super) fn restart(&mut self) -> Option<()> {
        // What is left is less than a byte of ones.
        if self.left < 0 || self.left >= 8 || !self.ended && self.left > 0 {
            self.fill();
        }
        if self.left < 0 || self.left >= 8 {
            return None;
        }
        match self.data.get(self.at..) {
            Some([0xff, 0xd0..=0xd7, ..]) => self.at += 2,
            _ => return None,
        }
        (self.window, self.left, self.ended) = (0, 0, false);
        Some(())
    }
}
