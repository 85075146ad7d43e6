//! How much of a file is whole, and how long that is: of one whose end was never
//! written, since the power was cut. And its thumbnail, a JPEG in a box of our own
//! between two fragments, which players pass over. Pure.

use std::io::{self, Read, Seek, SeekFrom};

use shiguredo_mp4::Decode;
use shiguredo_mp4::boxes::MoofBox;

use crate::config::LONGEST_PRE_ROLL_S;

/// Ticks a second of the first track, the picture's: [`film`](super::film).
const RATE: u64 = 90_000;
/// Of a second of picture and sound it has some 2 KB.
const LARGEST_MOOF: u64 = 1024 * 1024;
/// The kind of box that has a thumbnail: a UUID that was drawn for it.
const THUMBNAIL: [u8; 16] = [
    0x5e, 0x0c, 0x1f, 0x8b, 0x3a, 0x77, 0x4d, 0x52, 0x9b, 0x64, 0xd1, 0xa9, 0x27, 0xe8, 0x40, 0xc3,
];
/// Size, kind and UUID.
const BEFORE_JPEG: usize = 24;
/// Bytes of a thumbnail: what is larger is none.
pub(super) const MOST_OF_JPEG: u64 = 64 * 1024;
/// A thumbnail is looked for among the first boxes. Before it there is the file's
/// beginning, and two boxes for each second of the pre-roll, of the seconds to the key
/// frame before that, and of those in which it is made.
const MOST_BOXES: usize = 2 + 2 * (LONGEST_PRE_ROLL_S as usize + 33);

/// What of a file can be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Whole {
    /// From its beginning on.
    pub(super) bytes: u64,
    /// As a name has it.
    pub(super) seconds: u32,
}

/// Looks at what there is; nothing where there is not one whole fragment.
pub(super) fn whole(file: &mut (impl Read + Seek)) -> io::Result<Option<Whole>> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut at = 0;
    let mut end = 0;
    let mut found = None;
    while let Some((kind, size)) = header(file, at, length)? {
        match &kind {
            b"moof" if size <= LARGEST_MOOF => {
                file.seek(SeekFrom::Start(at))?;
                let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
                file.read_exact(&mut bytes)?;
                let Some(ticks) = end_of(&bytes) else { break };
                end = ticks;
            }
            b"mdat" if end > 0 => {
                found = Some(Whole {
                    bytes: at + size,
                    seconds: seconds(end),
                });
            }
            b"ftyp" | b"moov" => {}
            // Between two fragments it belongs to what was before it.
            b"uuid" => {
                if let Some(found) = &mut found {
                    found.bytes = at + size;
                }
            }
            _ => break,
        }
        at += size;
    }
    Ok(found)
}

/// The box with a recording's thumbnail (ISO/IEC 14496-12 §11.1).
pub(super) fn with_thumbnail(jpeg: &[u8]) -> Vec<u8> {
    let size = u32::try_from(BEFORE_JPEG + jpeg.len()).unwrap_or_default();
    let mut bytes = size.to_be_bytes().to_vec();
    bytes.extend(b"uuid");
    bytes.extend(THUMBNAIL);
    bytes.extend(jpeg);
    bytes
}

/// The JPEG of a file's thumbnail; empty where it has none near its beginning.
pub(super) fn thumbnail(file: &mut (impl Read + Seek)) -> io::Result<Vec<u8>> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut at = 0;
    for _ in 0..MOST_BOXES {
        let Some((kind, size)) = header(file, at, length)? else {
            break;
        };
        let of_jpeg = size.saturating_sub(BEFORE_JPEG as u64);
        if &kind == b"uuid" && (1..=MOST_OF_JPEG).contains(&of_jpeg) {
            let mut box_type = [0; 16];
            file.read_exact(&mut box_type)?;
            if box_type == THUMBNAIL {
                let mut jpeg = vec![0; usize::try_from(of_jpeg).unwrap_or_default()];
                file.read_exact(&mut jpeg)?;
                return Ok(jpeg);
            }
        }
        at += size;
    }
    Ok(Vec::new())
}

/// The box that begins here, where all of it is there.
fn header(
    file: &mut (impl Read + Seek),
    at: u64,
    length: u64,
) -> io::Result<Option<([u8; 4], u64)>> {
    if length.saturating_sub(at) < 8 {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(at))?;
    let mut header = [0; 8];
    file.read_exact(&mut header)?;
    let [a, b, c, d, kind @ ..] = header;
    let size = u64::from(u32::from_be_bytes([a, b, c, d]));
    let is_whole = size >= 8 && at + size <= length;
    Ok(is_whole.then_some((kind, size)))
}

/// Where the picture of a fragment ends, in ticks.
fn end_of(moof: &[u8]) -> Option<u64> {
    let (moof, _) = MoofBox::decode(moof).ok()?;
    let picture = moof.traf_boxes.iter().find(|t| t.tfhd_box.track_id == 1)?;
    let began = picture.tfdt_box.as_ref()?.base_media_decode_time;
    let samples = picture.trun_boxes.iter().flat_map(|trun| &trun.samples);
    let whole = samples.map(|sample| u64::from(sample.duration.unwrap_or_default()));
    Some(began + whole.sum::<u64>())
}

/// As a name has it: begun ones count.
fn seconds(ticks: u64) -> u32 {
    u32::try_from(ticks.div_ceil(RATE)).unwrap_or(u32::MAX)
}
