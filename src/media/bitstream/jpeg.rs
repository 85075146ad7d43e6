//! Whether a JPEG is whole: a cable or a bus that loses part of one gives a
//! picture that decoders fill up with grey, without a word. Pure.
//!
//! Its coded blocks are counted, not decoded (ITU-T T.81 annex F). What stands
//! behind the last one is not looked at: cameras pad there, and some leave the
//! end marker out.

use super::Damage;
use super::huffman::{Bits, Table, standard};

/// A colour component of a frame.
#[derive(Debug, Clone, Copy, Default)]
struct Component {
    id: u8,
    horizontal: u32,
    vertical: u32,
    dc: usize,
    ac: usize,
}

#[derive(Debug, Default)]
struct Frame {
    width: u32,
    height: u32,
    components: Vec<Component>,
}

/// What the headers say.
struct Headers {
    frame: Option<Frame>,
    /// Of each class, DC and AC, four.
    tables: [[Option<Table>; 4]; 2],
    restart_interval: u32,
    /// Progressive, arithmetic, of 12 bits: a decoder's business.
    is_exotic: bool,
}

/// Where it ends, behind its end marker and before what may be padded there;
/// `None` without one. Says nothing of what is before it.
pub fn end(jpeg: &[u8]) -> Option<usize> {
    let is_padding = |byte: &u8| matches!(byte, 0 | 0xff);
    let last = jpeg.iter().rposition(|byte| !is_padding(byte))?;
    jpeg[..=last].ends_with(&[0xff, 0xd9]).then_some(last + 1)
}

/// Looks at a whole JPEG.
///
/// # Errors
///
/// What is wrong with it.
pub fn check(jpeg: &[u8]) -> Result<(), Damage> {
    let mut rest = jpeg.strip_prefix(&[0xff, 0xd8]).ok_or(Damage::NoJpeg)?;
    let mut headers = Headers {
        frame: None,
        // Motion JPEG may leave them out.
        tables: standard(),
        restart_interval: 0,
        is_exotic: false,
    };
    loop {
        let (marker, after) = next_marker(rest).ok_or(Damage::Short)?;
        let (segment, after) = segment(after).ok_or(Damage::Short)?;
        rest = after;
        match marker {
            0xc0 | 0xc1 => headers.frame = Some(frame(segment).ok_or(Damage::Headers)?),
            0xc4 => read_tables(segment, &mut headers.tables).ok_or(Damage::Headers)?,
            0xc2..=0xcf => headers.is_exotic = true,
            0xdd => {
                let interval = segment.first_chunk().ok_or(Damage::Headers)?;
                headers.restart_interval = u16::from_be_bytes(*interval).into();
            }
            0xda => return scan(segment, rest, headers),
            _ => {}
        }
    }
}

/// A marker's code, and what is behind it.
fn next_marker(data: &[u8]) -> Option<(u8, &[u8])> {
    let rest = data.strip_prefix(&[0xff])?;
    // Any number of these may fill up.
    let code = rest.iter().position(|byte| *byte != 0xff)?;
    Some((rest[code], &rest[code + 1..]))
}

/// A segment without its length, and what is behind it.
fn segment(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::from(u16::from_be_bytes(*data.first_chunk()?));
    let segment = data.get(2..length)?;
    Some((segment, &data[length..]))
}

fn frame(segment: &[u8]) -> Option<Frame> {
    let [_, h0, h1, w0, w1, count] = *segment.first_chunk()?;
    let components = segment.get(6..6 + 3 * usize::from(count))?.chunks(3);
    let components: Vec<_> = components
        .map(|c| Component {
            id: c[0],
            horizontal: (c[1] >> 4).into(),
            vertical: (c[1] & 15).into(),
            ..Component::default()
        })
        .collect();
    let is_sane = |c: &Component| (1..=4).contains(&c.horizontal) && (1..=4).contains(&c.vertical);
    let frame = Frame {
        width: u16::from_be_bytes([w0, w1]).into(),
        height: u16::from_be_bytes([h0, h1]).into(),
        components,
    };
    let is_sane = frame.width > 0
        && frame.height > 0
        && (1..=4).contains(&count)
        && frame.components.iter().all(is_sane);
    is_sane.then_some(frame)
}

fn read_tables(mut segment: &[u8], tables: &mut [[Option<Table>; 4]; 2]) -> Option<()> {
    while let Some((kind, rest)) = segment.split_first() {
        let (counts, rest) = rest.split_first_chunk::<16>()?;
        let length = counts.iter().map(|count| usize::from(*count)).sum();
        let (values, rest) = rest.split_at_checked(length)?;
        let table = Table::new(counts, values)?;
        let class = tables.get_mut(usize::from(kind >> 4))?;
        *class.get_mut(usize::from(kind & 15))? = Some(table);
        segment = rest;
    }
    Some(())
}

/// Goes through the blocks of the scan that begins at `data`.
fn scan(header: &[u8], data: &[u8], headers: Headers) -> Result<(), Damage> {
    if headers.is_exotic {
        return Ok(());
    }
    let mut frame = headers.frame.ok_or(Damage::Headers)?;
    let (count, selectors) = header.split_first().ok_or(Damage::Headers)?;
    if usize::from(*count) != frame.components.len() {
        // A scan a component: nobody's camera does.
        return Ok(());
    }
    for (component, selector) in frame.components.iter_mut().zip(selectors.chunks_exact(2)) {
        if component.id != selector[0] {
            return Err(Damage::Headers);
        }
        (component.dc, component.ac) = ((selector[1] >> 4).into(), (selector[1] & 15).into());
    }
    if let [component] = &mut frame.components[..] {
        // A single one is not interleaved: its unit is a block.
        (component.horizontal, component.vertical) = (1, 1);
    }
    let most = |side: fn(&Component) -> u32| frame.components.iter().map(side).max().unwrap_or(1);
    let columns = frame.width.div_ceil(8 * most(|c| c.horizontal));
    let rows = frame.height.div_ceil(8 * most(|c| c.vertical));
    let mut blocks = Vec::new();
    for component in &frame.components {
        let table = |class: usize, index: usize| headers.tables[class].get(index)?.as_ref();
        let tables = table(0, component.dc).zip(table(1, component.ac));
        let tables = tables.ok_or(Damage::Headers)?;
        let number = component.horizontal * component.vertical;
        blocks.extend((0..number).map(|_| tables));
    }
    let mut bits = Bits::new(data);
    for unit in 0..columns * rows {
        let restarts = headers.restart_interval > 0;
        if restarts && unit > 0 && unit.is_multiple_of(headers.restart_interval) {
            bits.restart().ok_or(bits.damage())?;
        }
        for (dc, ac) in &blocks {
            block(&mut bits, dc, ac).ok_or(bits.damage())?;
        }
    }
    if bits.is_over() {
        return Err(Damage::Short);
    }
    Ok(())
}

/// Goes through one block of 64 coefficients (annex F.2.2).
#[inline]
fn block(bits: &mut Bits, dc: &Table, ac: &Table) -> Option<()> {
    let size = bits.symbol(dc)?;
    bits.skip((size <= 15).then_some(size.into())?);
    let mut position = 1;
    while position < 64 {
        let symbol = bits.symbol(ac)?;
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        position += match (run, size) {
            (15, 0) => 16,
            (_, 0) => return Some(()),
            _ => run + 1,
        };
        bits.skip(size);
    }
    (position == 64).then_some(())
}

#[cfg(test)]
mod tests {
    use gstreamer as gst;
    use gstreamer::prelude::*;
    use gstreamer_app as gst_app;

    use super::*;

    fn jpeg(format: &str, (width, height): (u32, u32)) -> Vec<u8> {
        gst::init().expect("GStreamer is installed");
        let pipeline = gst::parse::launch(&format!(
            "videotestsrc num-buffers=1 pattern=smpte ! \
             video/x-raw,format={format},width={width},height={height} ! jpegenc ! \
             appsink name=out sync=false"
        ));
        let pipeline = pipeline.expect("elements").downcast::<gst::Pipeline>();
        let pipeline = pipeline.expect("a pipeline");
        pipeline.set_state(gst::State::Playing).expect("it runs");
        let sink = pipeline.by_name("out").expect("the sink");
        let sink = sink.downcast::<gst_app::AppSink>().expect("an appsink");
        let sample = sink.pull_sample().expect("a picture");
        let map = sample.buffer().expect("it").map_readable().expect("read");
        let jpeg = map.to_vec();
        drop(map);
        pipeline.set_state(gst::State::Null).expect("it stops");
        jpeg
    }

    /// Where the coded data begin.
    fn data_of(jpeg: &[u8]) -> usize {
        let scan = jpeg.windows(2).position(|w| w == [0xff, 0xda]);
        let scan = scan.expect("a scan");
        scan + 2 + usize::from(jpeg[scan + 3])
    }

    #[test]
    fn whole_ones_of_every_kind_are_whole_however_they_end() {
        for format in ["I420", "Y42B", "Y444", "GRAY8"] {
            for size in [(64, 64), (321, 241), (640, 360)] {
                let mut jpeg = jpeg(format, size);
                assert_eq!(check(&jpeg), Ok(()), "{format} {size:?}");
                jpeg.extend([0; 900]);
                assert_eq!(check(&jpeg), Ok(()), "padded, {format} {size:?}");
                jpeg.truncate(jpeg.len() - 902);
                assert_eq!(check(&jpeg), Ok(()), "no end, {format} {size:?}");
            }
        }
    }

    #[test]
    fn its_end_is_found_before_padding() {
        let jpeg = jpeg("I420", (64, 64));
        let length = jpeg.len();
        assert_eq!(end(&jpeg), Some(length));
        for padding in [[0; 9], [0xff; 9]] {
            assert_eq!(end(&[&jpeg[..], &padding].concat()), Some(length));
        }
        assert_eq!(end(&jpeg[..length - 2]), None);
        assert_eq!(end(&[&jpeg[..], b"stale"].concat()), None);
        assert_eq!((end(&[]), end(&[0; 64])), (None, None));
    }

    #[test]
    fn tables_may_be_left_out_as_motion_jpeg_does() {
        let mut jpeg = jpeg("Y42B", (320, 240));
        while let Some(at) = jpeg.windows(2).position(|w| w == [0xff, 0xc4]) {
            let length = usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
            jpeg.drain(at..at + 2 + length);
        }
        assert_eq!(check(&jpeg), Ok(()));
    }

    #[test]
    fn one_that_ends_anywhere_before_its_last_block_is_not_whole() {
        let jpeg = jpeg("I420", (320, 240));
        let data = data_of(&jpeg);
        for length in (0..data).chain((data..jpeg.len() - 8).step_by(37)) {
            assert!(check(&jpeg[..length]).is_err(), "{length}");
            // As by a camera that ends what it did not finish.
            let mut ended = jpeg[..length].to_vec();
            ended.extend([0xff, 0xd9]);
            assert!(check(&ended).is_err(), "{length}, ended");
        }
    }

    #[test]
    fn one_that_lost_a_part_of_its_middle_is_not_whole() {
        let jpeg = jpeg("Y42B", (640, 360));
        let (from, to) = (data_of(&jpeg), jpeg.len());
        let mut seen = 0;
        for at in (from..to - 1200).step_by(97) {
            let lost = [&jpeg[..at], &jpeg[at + 1024..]].concat();
            seen += usize::from(check(&lost).is_err());
        }
        let tried = (from..to - 1200).step_by(97).count();
        assert_eq!(seen, tried);
    }

    #[test]
    fn any_bytes_are_an_answer() {
        let jpeg = jpeg("I420", (64, 64));
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..3000 {
            let mut bytes = jpeg.clone();
            for _ in 0..random.usize(1..20) {
                let at = random.usize(0..bytes.len());
                bytes[at] = random.u8(..);
            }
            let _ = check(&bytes);
        }
        assert_eq!(check(&[]), Err(Damage::NoJpeg));
        assert_eq!(check(&[0; 4096]), Err(Damage::NoJpeg));
        assert_eq!(check(&[0xff, 0xd8]), Err(Damage::Short));
        for damage in [
            Damage::NoJpeg,
            Damage::Headers,
            Damage::Short,
            Damage::Garbled,
        ] {
            assert!(!damage.words().is_empty());
        }
    }
}
