//! Which of a camera's modes to take, and why, in words.
//!
//! Modes that are too slow come last; then the size nearest to the configured
//! one decides, then the work of decoding and converting, then the rate.

use super::{Circumstances, direction, takes};
use crate::config::VideoConfig;
use crate::device::formats::{Coding, FORMATS};
use crate::device::{Camera, CameraKind, Mode};

/// What has to be done with a picture before it is encoded, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Work {
    /// Not even that: the camera encodes.
    PassThrough,
    /// Nothing.
    None,
    /// Other planes of the same 4:2:0.
    Rearrange,
    /// 4:2:2 to 4:2:0.
    Subsample,
    /// RGB to YUV.
    Recolour,
    /// JPEG.
    DecodeJpeg,
    /// H.264, to be encoded again.
    DecodeH264,
}

/// True for 4:2:0 of 8 bits.
pub(super) fn is_420(format: &str) -> bool {
    matches!(format, "I420" | "NV12" | "YV12" | "NV21")
}

fn is_rgb(format: &str) -> bool {
    ["RGB", "BGR", "xRGB"]
        .iter()
        .any(|start| format.starts_with(start))
}

/// A mode that can be used, and how.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub mode: Mode,
    pub coding: Coding,
    pub work: Work,
    /// No colours.
    pub is_grey: bool,
    /// What the tee is to carry, in pixels.
    pub size: (u32, u32),
    /// Frames a second to thin out to.
    pub drop_to: Option<u32>,
    pub reason: String,
}

/// Every mode that can be used, best first.
pub(super) fn ranked(
    camera: &Camera,
    config: &VideoConfig,
    circumstances: &Circumstances,
) -> Vec<Choice> {
    let candidates: Vec<_> = camera
        .modes
        .iter()
        .filter(|mode| config.format == "auto" || mode.fourcc == config.format)
        .filter_map(|mode| Candidate::new(mode, camera, config, circumstances))
        .collect();
    let mut order: Vec<_> = candidates.iter().collect();
    order.sort_by_key(|c| c.cost(config));
    order
        .into_iter()
        .map(|c| c.choice(&candidates, camera, config))
        .collect()
}

/// The best choice after so many were refused for want of room on the bus.
/// What needs as much room as a refused one is refused with it.
pub(super) fn after_refusals(mut choices: Vec<Choice>, refusals: usize) -> Option<Choice> {
    for _ in 0..refusals {
        if choices.is_empty() {
            return None;
        }
        let refused = choices.remove(0);
        let room = |m: &Mode| pixels(m.width, m.height) as f64 * fps(m.rate);
        choices.retain(|c| {
            c.mode.fourcc != refused.mode.fourcc || room(&c.mode) < room(&refused.mode)
        });
    }
    let mut choice = choices.into_iter().next()?;
    if refusals > 0 {
        let Mode {
            fourcc,
            width,
            height,
            rate,
            ..
        } = &choice.mode;
        choice.reason = format!(
            "{width}×{height} {fourcc} {} fps: what was better was refused; the USB bus may have \
             no room for it",
            rate_words(fps(*rate))
        );
    }
    Some(choice)
}

/// Why a camera has no mode, and what to do.
pub(super) fn no_mode(camera: &Camera, config: &VideoConfig) -> String {
    let mut formats: Vec<_> = camera.modes.iter().map(|m| m.fourcc.as_str()).collect();
    formats.dedup();
    if config.format != "auto" && !formats.is_empty() && !formats.contains(&config.format.as_str())
    {
        return format!(
            "does not offer the format \"{}\" of video.format; it offers {}",
            config.format,
            formats.join(", ")
        );
    }
    formats.truncate(8);
    // RG10, pRAA, GB12, BA81 …: mosaics of 8 to 16 bits.
    let is_bayer = |f: &&str| {
        let colours = f.trim_start_matches('p');
        ["RG", "GR", "GB", "BG", "BA", "BY", "RA", "AA"]
            .iter()
            .any(|start| colours.starts_with(start))
            && !["RGB", "BGR"].iter().any(|rgb| colours.starts_with(rgb))
    };
    if formats.is_empty() {
        "offers no mode; is it in use by another program, or without a signal?".into()
    } else if formats.iter().all(is_bayer) {
        format!(
            "gives only a sensor's raw picture ({}); install gstreamer1.0-libcamera, which makes \
             pictures of it",
            formats.join(", ")
        )
    } else {
        format!(
            "offers no format and size that is known here ({}); use video.source = \"custom\"",
            formats.join(", ")
        )
    }
}

/// A mode with what its format means here.
struct Candidate<'a> {
    mode: &'a Mode,
    coding: Coding,
    work: Work,
    /// MB/s it needs, and the link carries; `None` where either is unknown.
    room: Option<(f64, &'static Link)>,
    bits: u32,
}

impl<'a> Candidate<'a> {
    fn new(
        mode: &'a Mode,
        camera: &Camera,
        config: &VideoConfig,
        circumstances: &Circumstances,
    ) -> Option<Self> {
        let (_, coding, bits) = FORMATS.iter().find(|(code, ..)| *code == mode.fourcc)?;
        let is_sane = (16..=8192).contains(&mode.width)
            && (16..=8192).contains(&mode.height)
            && mode.rate.1 > 0
            && (0.5..=1000.0).contains(&fps(mode.rate));
        if !is_sane {
            return None;
        }
        let is_turned = direction(config).is_some();
        let is_as_shown = !is_turned
            && !mode.interlaced
            && mode.width.is_multiple_of(2)
            && mode.height.is_multiple_of(2);
        let work = match *coding {
            Coding::Raw(format) if takes(circumstances.formats, format) && is_as_shown => {
                Work::None
            }
            Coding::Raw(format) if is_420(format) => Work::Rearrange,
            Coding::Raw(format) if is_rgb(format) => Work::Recolour,
            Coding::Raw(_) => Work::Subsample,
            Coding::Jpeg => Work::DecodeJpeg,
            Coding::H264 if circumstances.pass_through && !is_turned => Work::PassThrough,
            Coding::H264 => Work::DecodeH264,
        };
        let mut this = Self {
            mode,
            coding: *coding,
            work,
            room: None,
            bits: *bits,
        };
        if *bits > 0 && camera.kind != CameraKind::Libcamera {
            this.room = Link::of(camera).map(|link| (this.need(fps(mode.rate)), link));
        }
        Some(this)
    }

    fn need(&self, fps: f64) -> f64 {
        pixels(self.mode.width, self.mode.height) as f64 * f64::from(self.bits) / 8e6 * fps
    }

    /// The link carries it. The USB 2 that is given is what its frames hold,
    /// no estimate.
    fn fits(&self) -> bool {
        self.room.is_none_or(|(need, link)| need <= link.megabytes)
    }

    fn is_grey(&self) -> bool {
        matches!(self.coding, Coding::Raw("GRAY8" | "GRAY16_LE"))
    }

    fn is_slow(&self, config: &VideoConfig) -> bool {
        missing(self.mode, config) > 0
    }

    fn cost(&self, config: &VideoConfig) -> impl Ord + use<> {
        let area = pixels(self.mode.width, self.mode.height);
        let wanted = pixels(config.width, config.height);
        (
            self.is_grey(),
            !self.fits(),
            missing(self.mode, config),
            // Smaller is cheaper than larger and scaled down, until hardly
            // anything is left of the picture.
            match area {
                a if a > wanted => 1,
                a if a < wanted / 4 => 2,
                _ => 0,
            },
            area.abs_diff(wanted),
            self.work,
            (fps(self.mode.rate) * 1000.0) as u64,
        )
    }

    fn choice(&self, all: &[Candidate], camera: &Camera, config: &VideoConfig) -> Choice {
        let mode = self.mode;
        let is_large = pixels(mode.width, mode.height) > pixels(config.width, config.height);
        // A coded picture cannot be scaled or thinned out.
        let is_coded = self.work == Work::PassThrough;
        let size = if is_large && !is_coded {
            fitted((mode.width, mode.height), (config.width, config.height))
        } else if is_coded {
            (mode.width, mode.height)
        } else {
            (mode.width & !1, mode.height & !1)
        };
        let work = match self.work {
            Work::None if size != (mode.width, mode.height) => Work::Rearrange,
            work => work,
        };
        let excess = fps(mode.rate) > f64::from(config.fps) * 1.1;
        let drop_to = (excess && !is_coded).then_some(config.fps);
        Choice {
            mode: mode.clone(),
            coding: self.coding,
            work,
            is_grey: self.is_grey(),
            size,
            drop_to,
            reason: self.reason(all, camera, config, size, drop_to),
        }
    }

    /// Why this format, by the work that it makes.
    fn reason_of_work(&self, all: &[Candidate], camera: &Camera, config: &VideoConfig) -> String {
        let mode = self.mode;
        let same_size = |c: &&Candidate| (c.mode.width, c.mode.height) == (mode.width, mode.height);
        // The format that would have been less work, in its fastest mode.
        let less_work = all
            .iter()
            .filter(|c| same_size(c) && c.work < self.work && !c.is_grey())
            .max_by(|a, b| {
                let key = |c: &&Candidate| (std::cmp::Reverse(c.work), milli(c.mode));
                key(a).cmp(&key(b))
            });
        match less_work {
            Some(other) => other.why_not(camera, config),
            None => match self.work {
                Work::PassThrough => "the camera's own H.264, as it is".to_owned(),
                Work::None => "the encoder takes it as it is".to_owned(),
                Work::DecodeJpeg | Work::DecodeH264 => "this size comes in no raw format".into(),
                _ => "no decoder needed".to_owned(),
            },
        }
    }

    fn reason(
        &self,
        all: &[Candidate],
        camera: &Camera,
        config: &VideoConfig,
        size: (u32, u32),
        drop_to: Option<u32>,
    ) -> String {
        let mode = self.mode;
        let mut clauses = Vec::new();
        let same_size = |c: &&Candidate| (c.mode.width, c.mode.height) == (mode.width, mode.height);
        clauses.push(self.reason_of_work(all, camera, config));
        if self.work != Work::PassThrough
            && all
                .iter()
                .any(|c| same_size(&c) && c.work == Work::DecodeH264)
        {
            clauses.push(match direction(config) {
                Some(_) => "its own H.264 is encoded anew, for video.rotate and video.flip".into(),
                None => "its own H.264 is not passed on without proof that key frames come often"
                    .to_owned(),
            });
        }
        if size == (mode.width & !1, mode.height & !1) && size != (mode.width, mode.height) {
            clauses.push("an odd line or column is left out".into());
        } else if size != (mode.width, mode.height) {
            clauses.push(format!("scaled down to {}×{}", size.0, size.1));
        } else if pixels(mode.width, mode.height) < pixels(config.width, config.height) {
            let between = all
                .iter()
                .filter(|c| {
                    let area = pixels(c.mode.width, c.mode.height);
                    area > pixels(mode.width, mode.height)
                        && area <= pixels(config.width, config.height)
                        && !c.is_grey()
                })
                .max_by_key(|c| (c.fits(), milli(c.mode)));
            clauses.push(match between {
                Some(larger) if !larger.fits() => larger.why_not(camera, config),
                Some(larger) => format!(
                    "larger pictures come at {} fps at most",
                    rate_words(fps(larger.mode.rate))
                ),
                None => format!(
                    "it has no size between this and {}×{}",
                    config.width, config.height
                ),
            });
        }
        if let Some(fps) = drop_to {
            clauses.push(format!("thinned out to {fps} fps"));
        }
        if mode.interlaced {
            clauses.push("of its two fields one is shown".into());
        }
        if mode.unlisted_rate {
            clauses.push("its driver lists no rates".into());
        } else if self.is_slow(config) {
            clauses.push(format!("no mode reaches {} fps", config.fps));
        }
        format!(
            "{}×{} {} {} fps: {}",
            mode.width,
            mode.height,
            mode.fourcc,
            rate_words(fps(mode.rate)),
            clauses.join("; ")
        )
    }

    /// Why this mode, of less work, was not taken.
    fn why_not(&self, camera: &Camera, config: &VideoConfig) -> String {
        let name = &self.mode.fourcc;
        let need = self.need(f64::from(config.fps));
        match Link::of(camera).filter(|_| self.room.is_some()) {
            Some(link) if need > link.megabytes => format!(
                "{name} at this size needs {} MB/s, {} carries {}",
                megabytes(need),
                link.name,
                megabytes(link.megabytes)
            ),
            _ => format!(
                "{name} at this size comes at {} fps only",
                rate_words(fps(self.mode.rate))
            ),
        }
    }
}

/// What a USB link carries for a camera: the most that isochronous transfers
/// may take of it.
#[derive(Debug)]
struct Link {
    name: &'static str,
    /// 10⁶ bytes a second.
    megabytes: f64,
}

impl Link {
    /// Full speed: 1023 bytes in each frame of 1 ms (USB 2.0 §5.6.3).
    const USB1: Self = Self {
        name: "USB 1",
        megabytes: 1.023,
    };
    /// High speed: 3 × 1024 bytes in each microframe of 125 µs (§5.6.3).
    const USB2: Self = Self {
        name: "USB 2",
        megabytes: 24.576,
    };
    /// SuperSpeed: 48 × 1024 bytes in each 125 µs (USB 3.2 §4.4.8).
    const USB3: Self = Self {
        name: "USB 3",
        megabytes: 393.216,
    };

    /// `None` where the camera does not hang on USB.
    fn of(camera: &Camera) -> Option<&'static Self> {
        match camera.usb_mbit {
            Some(..=12) => Some(&Self::USB1),
            Some(13..=480) => Some(&Self::USB2),
            Some(_) => Some(&Self::USB3),
            // The kernel did not say; nearly every camera is of this speed.
            None if camera.bus.starts_with("usb-") => Some(&Self::USB2),
            None => None,
        }
    }
}

fn pixels(width: u32, height: u32) -> u64 {
    u64::from(width) * u64::from(height)
}

fn fps((numerator, denominator): (u32, u32)) -> f64 {
    f64::from(numerator) / f64::from(denominator)
}

fn milli(mode: &Mode) -> u64 {
    (fps(mode.rate) * 1000.0) as u64
}

/// Thousandths of frames a second that a mode lacks; a tenth is not missed.
fn missing(mode: &Mode, config: &VideoConfig) -> u64 {
    let wanted = u64::from(config.fps) * 1000;
    let has = milli(mode);
    if has * 10 >= wanted * 9 {
        0
    } else {
        wanted - has
    }
}

/// The largest even size of the same shape within `limit`.
fn fitted((width, height): (u32, u32), limit: (u32, u32)) -> (u32, u32) {
    let (w, h) = (u64::from(width), u64::from(height));
    let (most_w, most_h) = (u64::from(limit.0), u64::from(limit.1));
    let (w, h) = if w * most_h >= h * most_w {
        (most_w, h * most_w / w)
    } else {
        (w * most_h / h, most_h)
    };
    let even = |n: u64| u32::try_from(n & !1).unwrap_or(u32::MAX - 1).max(16);
    (even(w), even(h))
}

fn rate_words(fps: f64) -> String {
    let text = format!("{fps:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn megabytes(value: f64) -> String {
    if value < 30.0 {
        rate_words((value * 10.0).round() / 10.0)
    } else {
        format!("{value:.0}")
    }
}
