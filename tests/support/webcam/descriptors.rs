//! What the webcam says it is: the descriptors of USB 2.0 §9.6, of USB Video
//! Class 1.1 §3 and of USB Audio Class 1.0 §4. Four interfaces: control and
//! streaming of the camera, control and streaming of the microphone.

use super::{Make, Mode};
use crate::support::shims::Format;

pub const VIDEO_CONTROL: u8 = 0;
pub const VIDEO_STREAM: u8 = 1;
pub const AUDIO_CONTROL: u8 = 2;
pub const AUDIO_STREAM: u8 = 3;
pub const VIDEO_ENDPOINT: u8 = 0x81;
pub const AUDIO_ENDPOINT: u8 = 0x82;

/// Units and terminals of the camera's and of the microphone's control.
pub const PROCESSING_UNIT: u8 = 2;
pub const FEATURE_UNIT: u8 = 5;

/// Samples a second of the microphone, mono, 16 bits.
pub const SAMPLE_RATE: u32 = 48_000;
/// Bytes of its packets, one each millisecond, and room for one sample more.
const AUDIO_PACKET: u16 = (SAMPLE_RATE / 1000 * 2 + 2) as u16;

/// Class, subclass and protocol of each interface.
pub const INTERFACES: [[u8; 3]; 4] = [[0x0e, 1, 0], [0x0e, 2, 0], [1, 1, 0], [1, 2, 0]];

const INTERFACE: u8 = 4;
const ENDPOINT: u8 = 5;
const ASSOCIATION: u8 = 11;
const CLASS_INTERFACE: u8 = 0x24;
const CLASS_ENDPOINT: u8 = 0x25;

/// Strings, by number.
const MANUFACTURER: u8 = 1;
const PRODUCT: u8 = 2;
const SERIAL: u8 = 3;

/// `YUY2` as a GUID (USB Video Class, Uncompressed Payload §2.1).
const YUY2: [u8; 16] = [
    b'Y', b'U', b'Y', b'2', 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71,
];

/// A descriptor: its length, its type, and the rest.
fn descriptor(kind: u8, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let length = u8::try_from(body.len() + 2).expect("a short descriptor");
    [&[length, kind][..], &body].concat()
}

/// The numbers of the kernel's own webcam gadget (drivers/usb/gadget/legacy/webcam.c).
pub fn device() -> Vec<u8> {
    let (usb, vendor, product, version) = (0x0200_u16, 0x1d6b_u16, 0x0102_u16, 0x0100_u16);
    descriptor(
        1,
        &[
            &usb.to_le_bytes(),
            // Several functions, told by associations; 64 bytes on endpoint 0.
            &[0xef, 2, 1, 64],
            &vendor.to_le_bytes(),
            &product.to_le_bytes(),
            &version.to_le_bytes(),
            &[MANUFACTURER, PRODUCT, SERIAL, 1],
        ],
    )
}

/// String `number`; `None` where there is none.
pub fn string(make: &Make, number: u8) -> Option<Vec<u8>> {
    let text = match number {
        // US English is the only language.
        0 => return Some(descriptor(3, &[&0x0409_u16.to_le_bytes()])),
        MANUFACTURER => make.manufacturer,
        PRODUCT => make.product,
        SERIAL => make.serial,
        _ => return None,
    };
    let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    Some(descriptor(3, &[&units]))
}

pub fn configuration(make: &Make) -> Vec<u8> {
    let functions = [video_control(), video_stream(make), microphone()].concat();
    let total = u16::try_from(functions.len() + 9).expect("some hundred bytes");
    let interfaces = INTERFACES.len() as u8;
    // Bus powered, 500 mA.
    let configuration = descriptor(2, &[&total.to_le_bytes(), &[interfaces, 1, 0, 0x80, 250]]);
    [configuration, functions].concat()
}

fn interface(number: u8, alternate: u8, endpoints: u8) -> Vec<u8> {
    let class = INTERFACES[usize::from(number)];
    descriptor(INTERFACE, &[&[number, alternate, endpoints], &class, &[0]])
}

/// Class-specific descriptors, under a header that has the length of all.
fn under_header(before: &[u8], after: &[u8], units: &[Vec<u8>]) -> Vec<u8> {
    let units = units.concat();
    let own = 2 + before.len() + 2 + after.len();
    let total = u16::try_from(own + units.len()).expect("some hundred bytes");
    let header = descriptor(CLASS_INTERFACE, &[before, &total.to_le_bytes(), after]);
    [header, units].concat()
}

fn video_control() -> Vec<u8> {
    let unit = |body: &[u8]| descriptor(CLASS_INTERFACE, &[body]);
    let camera = unit(&[2, 1, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0]);
    // It has a brightness.
    let processing = unit(&[5, PROCESSING_UNIT, 1, 0, 0, 2, 1, 0, 0, 0]);
    let streaming = unit(&[3, 3, 1, 1, 0, PROCESSING_UNIT, 0]);
    [
        descriptor(ASSOCIATION, &[&[VIDEO_CONTROL, 2, 0x0e, 3, 0, PRODUCT]]),
        interface(VIDEO_CONTROL, 0, 0),
        under_header(
            // UVC 1.1.
            &[1, 0x10, 1],
            // 48 MHz, and the one streaming interface.
            &[&48_000_000_u32.to_le_bytes()[..], &[1, VIDEO_STREAM]].concat(),
            &[camera, processing, streaming],
        ),
    ]
    .concat()
}

fn video_stream(make: &Make) -> Vec<u8> {
    let formats = make.formats();
    let mut units = Vec::new();
    for (index, (coding, modes)) in formats.iter().enumerate() {
        let (index, frames) = (index as u8 + 1, modes.len() as u8);
        let head = [index, frames];
        units.push(match coding {
            Format::Yuyv => {
                descriptor(CLASS_INTERFACE, &[&[4], &head, &YUY2, &[16, 1, 0, 0, 0, 0]])
            }
            _ => descriptor(CLASS_INTERFACE, &[&[6], &head, &[1, 1, 0, 0, 0, 0]]),
        });
        let kind = if *coding == Format::Yuyv { 5 } else { 7 };
        for (at, mode) in modes.iter().enumerate() {
            units.push(frame(kind, at as u8 + 1, mode));
        }
        // BT.709 primaries and transfer, BT.601 matrix: sRGB.
        units.push(descriptor(CLASS_INTERFACE, &[&[13, 1, 1, 4]]));
    }
    let count = formats.len();
    let header = [&[VIDEO_ENDPOINT, 0, 3, 0, 0, 0, 1][..], &vec![0; count]].concat();
    let mut all = [
        interface(VIDEO_STREAM, 0, 0),
        under_header(&[1, count as u8], &header, &units),
    ]
    .concat();
    for (at, alternate) in make.alternates().iter().enumerate() {
        all.extend(interface(VIDEO_STREAM, at as u8 + 1, 1));
        all.extend(descriptor(
            ENDPOINT,
            &[
                &[VIDEO_ENDPOINT, 5],
                &alternate.max_packet_size().to_le_bytes(),
                &[alternate.interval()],
            ],
        ));
    }
    all
}

fn frame(kind: u8, index: u8, mode: &Mode) -> Vec<u8> {
    let (width, height) = (mode.width as u16, mode.height as u16);
    let bits = mode.largest_frame() * 8 * mode.fps;
    descriptor(
        CLASS_INTERFACE,
        &[
            &[kind, index, 0],
            &width.to_le_bytes(),
            &height.to_le_bytes(),
            &bits.to_le_bytes(),
            &bits.to_le_bytes(),
            &mode.largest_frame().to_le_bytes(),
            &mode.interval().to_le_bytes(),
            &[1],
            &mode.interval().to_le_bytes(),
        ],
    )
}

fn microphone() -> Vec<u8> {
    let unit = |body: &[u8]| descriptor(CLASS_INTERFACE, &[body]);
    let input = unit(&[2, 1, 1, 2, 0, 1, 0, 0, 0, 0]);
    // A switch and a volume for all of it.
    let feature = unit(&[6, FEATURE_UNIT, 1, 1, 3, 0, 0]);
    let output = unit(&[3, 3, 1, 1, 0, FEATURE_UNIT, 0]);
    let rate = &SAMPLE_RATE.to_le_bytes()[..3];
    [
        descriptor(ASSOCIATION, &[&[AUDIO_CONTROL, 2, 1, 2, 0, 0]]),
        interface(AUDIO_CONTROL, 0, 0),
        under_header(&[1, 0, 1], &[1, AUDIO_STREAM], &[input, feature, output]),
        interface(AUDIO_STREAM, 0, 0),
        interface(AUDIO_STREAM, 1, 1),
        // PCM of terminal 3; mono, 2 bytes, 16 bits, one rate.
        descriptor(CLASS_INTERFACE, &[&[1, 3, 1, 1, 0]]),
        descriptor(CLASS_INTERFACE, &[&[2, 1, 1, 2, 16, 1], rate]),
        descriptor(
            ENDPOINT,
            &[
                &[AUDIO_ENDPOINT, 5],
                &AUDIO_PACKET.to_le_bytes(),
                &[4, 0, 0],
            ],
        ),
        descriptor(CLASS_ENDPOINT, &[&[1, 0, 0, 0, 0]]),
    ]
    .concat()
}
