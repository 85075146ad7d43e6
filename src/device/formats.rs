//! Pixel formats, by V4L2's names and by GStreamer's. Pure.

/// What comes out of a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// Raw, by GStreamer's name.
    Raw(&'static str),
    /// Motion JPEG.
    Jpeg,
    /// H.264.
    H264,
}

/// V4L2's pixel formats (kernel doc: userspace-api/media/v4l/pixfmt), what
/// GStreamer calls them, and bits a pixel; 0 where the content decides.
pub(crate) const FORMATS: &[(&str, Coding, u32)] = &[
    ("NV12", Coding::Raw("NV12"), 12),
    ("NM12", Coding::Raw("NV12"), 12),
    ("YU12", Coding::Raw("I420"), 12),
    ("YM12", Coding::Raw("I420"), 12),
    ("YV12", Coding::Raw("YV12"), 12),
    ("YM21", Coding::Raw("YV12"), 12),
    ("NV21", Coding::Raw("NV21"), 12),
    ("NM21", Coding::Raw("NV21"), 12),
    ("YUYV", Coding::Raw("YUY2"), 16),
    ("UYVY", Coding::Raw("UYVY"), 16),
    ("YVYU", Coding::Raw("YVYU"), 16),
    ("VYUY", Coding::Raw("VYUY"), 16),
    ("NV16", Coding::Raw("NV16"), 16),
    ("422P", Coding::Raw("Y42B"), 16),
    ("RGB3", Coding::Raw("RGB"), 24),
    ("BGR3", Coding::Raw("BGR"), 24),
    ("XR24", Coding::Raw("BGRx"), 32),
    ("XB24", Coding::Raw("RGBx"), 32),
    ("NV61", Coding::Raw("NV61"), 16),
    ("NV24", Coding::Raw("NV24"), 24),
    ("411P", Coding::Raw("Y41B"), 12),
    ("AR24", Coding::Raw("BGRA"), 32),
    ("AB24", Coding::Raw("RGBA"), 32),
    ("BGR4", Coding::Raw("BGRx"), 32),
    ("RGB4", Coding::Raw("xRGB"), 32),
    ("RGBP", Coding::Raw("RGB16"), 16),
    ("RGBO", Coding::Raw("RGB15"), 16),
    ("GREY", Coding::Raw("GRAY8"), 8),
    ("Y16", Coding::Raw("GRAY16_LE"), 16),
    ("MJPG", Coding::Jpeg, 0),
    ("PJPG", Coding::Jpeg, 0),
    ("JPEG", Coding::Jpeg, 0),
    ("H264", Coding::H264, 0),
];

/// V4L2's name of a raw GStreamer format, where it is known here.
pub(crate) fn fourcc(format: &str) -> Option<&'static str> {
    FORMATS
        .iter()
        .find(|(_, coding, _)| matches!(coding, Coding::Raw(name) if *name == format))
        .map(|(fourcc, ..)| *fourcc)
}

/// Four characters; the kernel marks big-endian variants in the highest bit.
pub(crate) fn characters(format: u32) -> String {
    let bytes = (format & !(1 << 31)).to_le_bytes();
    let text: String = bytes
        .iter()
        .map(|b| {
            if b.is_ascii_graphic() || *b == b' ' {
                char::from(*b)
            } else {
                '?'
            }
        })
        .collect();
    let end = if format >> 31 == 1 { "-BE" } else { "" };
    format!("{}{end}", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_four_characters_whatever_a_driver_says() {
        let code = |text: &[u8; 4]| u32::from_le_bytes(*text);
        assert_eq!(characters(code(b"MJPG")), "MJPG");
        assert_eq!(characters(code(b"Y16 ")), "Y16");
        assert_eq!(
            characters(code(b"Y16 ") | 1 << 31),
            "Y16 -BE".replace(' ', "")
        );
        assert_eq!(characters(code(b"\x00\x1b\xff?")), "????");
    }
}
