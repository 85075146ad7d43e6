//! All that was found, ranked, in words or as JSON: `camera-agent devices`.
//!
//! Putting it together is pure; [`look`] does the looking.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::config::{Config, VideoConfig, VideoSource};
use crate::device::discovery::{libcamera, sound};
use crate::device::learned::Memory;
use crate::device::{Camera, Cameras, Control, Microphone, Mode, OtherNode, Signal};
use crate::media::error::MediaError;
use crate::media::plan::{self, Circumstances};
use crate::media::probe::Checked;
use crate::sdp::VideoCodec;

/// The whole report. As JSON, fields may be added; none changes its meaning.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Report {
    /// What `run` would show.
    pub picture: Outcome,
    /// What `run` would let hear; `None` where the configuration wants no
    /// sound.
    pub sound: Option<Outcome>,
    /// Cameras, best first.
    pub cameras: Vec<RankedCamera>,
    /// Video nodes that are no cameras.
    pub other_nodes: Vec<OtherNode>,
    /// libcamera's GStreamer plug-in is installed.
    pub libcamera: bool,
    /// Microphones, best first.
    pub microphones: Vec<Microphone>,
    /// Encoders, best first.
    pub encoders: Vec<EncoderRow>,
}

/// What the plan makes of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Outcome {
    /// It can be used.
    Plan {
        /// The source.
        what: String,
        /// Why so, in words.
        reason: String,
        /// The camera's mode, where the source is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<Mode>,
        /// The GStreamer pipeline.
        pipeline: String,
    },
    /// It cannot.
    Problem {
        /// Why not, and what to do.
        problem: String,
    },
}

impl From<MediaError> for Outcome {
    fn from(error: MediaError) -> Self {
        Self::Problem {
            problem: error.to_string(),
        }
    }
}

/// A camera with what would be taken of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct RankedCamera {
    /// The camera.
    #[serde(flatten)]
    pub camera: Camera,
    /// Its plan, were it the only camera.
    pub plan: Outcome,
}

/// A row of the encoder table, and what is known of it here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct EncoderRow {
    /// Its id in the configuration.
    pub id: String,
    /// What it makes.
    pub codec: String,
    /// The GStreamer element.
    pub element: String,
    /// Who ships the element.
    pub package: String,
    /// Which boards have it.
    pub boards: String,
    /// Higher is tried first.
    pub rank: u8,
    /// Made of silicon.
    pub hardware: bool,
    /// It is on this machine, and so it was tried.
    pub present: bool,
    /// It does what it should.
    pub usable: bool,
    /// What was found, in words.
    pub probe: String,
}

/// Looks at everything. GStreamer must have been started. `checked` tells of
/// every encoder, best first.
pub(crate) fn look(config: &Config, checked: &[Checked]) -> Report {
    let mut found = crate::device::discovery::every_camera(&config.video);
    let microphones = sound::microphones();
    let encoders = checked
        .iter()
        .map(
            |Checked {
                 row,
                 report,
                 present,
             }| EncoderRow {
                id: row.id.to_string(),
                codec: row.codec.to_string(),
                element: row.factory.to_string(),
                package: row.package.to_string(),
                boards: row.boards.to_string(),
                rank: row.rank,
                hardware: row.hardware,
                present: *present,
                usable: report.is_usable(),
                probe: report.words(),
            },
        )
        .collect();
    let formats = &chosen(config, checked)
        .map(|c| c.row.formats.clone())
        .unwrap_or_default();
    for camera in &mut found.cameras {
        let alone = alone(&config.video, camera);
        // What comes of it is planned once more, below.
        let _ = crate::media::driver::plan_with_driver(std::slice::from_mut(camera), |cameras| {
            plan::picture(&alone, cameras, &circumstances(formats))
        });
    }
    report(
        config,
        found,
        microphones,
        encoders,
        formats,
        libcamera::is_installed(),
    )
}

/// The encoder that would make the picture.
pub(crate) fn chosen<'a>(config: &Config, checked: &'a [Checked]) -> Option<&'a Checked> {
    let wanted = &config.video.encoder;
    checked
        .iter()
        .filter(|c| c.row.codec == VideoCodec::H264 && c.report.is_usable())
        .find(|c| wanted == "auto" || c.row.id == *wanted)
}

/// What is taken for known of a camera that was not opened yet.
fn circumstances<'a>(formats: &'a [Cow<'static, str>]) -> Circumstances<'a> {
    Circumstances {
        formats,
        memory: Memory::Mmap,
        pass_through: false,
        skip_modes: 0,
    }
}

/// The configuration, were this the only camera.
fn alone(config: &VideoConfig, camera: &Camera) -> VideoConfig {
    VideoConfig {
        source: VideoSource::V4l2,
        device: camera.device.clone(),
        pipeline: None,
        ..config.clone()
    }
}

/// Puts together what was found; `formats` are those of the encoder that would
/// be taken.
pub(crate) fn report(
    config: &Config,
    found: Cameras,
    microphones: Vec<Microphone>,
    encoders: Vec<EncoderRow>,
    formats: &[Cow<'static, str>],
    libcamera: bool,
) -> Report {
    let circumstances = circumstances(formats);
    let picture = |video: &VideoConfig, cameras: &[Camera]| match plan::picture(
        video,
        cameras,
        &circumstances,
    ) {
        Ok(plan) => Outcome::Plan {
            what: plan.what,
            reason: plan.reason,
            mode: plan.mode,
            pipeline: plan.description,
        },
        Err(error) => error.into(),
    };
    let chosen = picture(&config.video, &found.cameras);
    let sound = match plan::sound(&config.audio, &microphones) {
        Ok(sound) => sound.map(|plan| Outcome::Plan {
            what: plan.what,
            reason: plan.reason,
            mode: None,
            pipeline: plan.description,
        }),
        Err(error) => Some(error.into()),
    };
    let mut cameras: Vec<_> = found
        .cameras
        .into_iter()
        .map(|camera| {
            let alone = alone(&config.video, &camera);
            RankedCamera {
                plan: picture(&alone, std::slice::from_ref(&camera)),
                camera,
            }
        })
        .collect();
    let is_chosen = |c: &RankedCamera| match &chosen {
        Outcome::Plan { what, .. } => *what == format!("camera {}", c.camera.device),
        Outcome::Problem { .. } => false,
    };
    cameras.sort_by_key(|c| match &c.plan {
        _ if is_chosen(c) => 0,
        Outcome::Plan { .. } => 1,
        Outcome::Problem { .. } => 2,
    });
    Report {
        picture: chosen,
        sound,
        cameras,
        other_nodes: found.others,
        libcamera,
        microphones,
        encoders,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        outcome(f, "Picture", Some(&self.picture))?;
        outcome(f, "Sound", self.sound.as_ref())?;
        heading(f, "Cameras", self.cameras.len())?;
        for (i, camera) in self.cameras.iter().enumerate() {
            write_camera(f, i + 1, camera)?;
        }
        if !self.libcamera {
            writeln!(
                f,
                "  libcamera's cameras are not looked for: the Debian package \
                 gstreamer1.0-libcamera is not installed"
            )?;
        }
        if !self.other_nodes.is_empty() {
            writeln!(f, "\nNo cameras:")?;
        }
        for node in &self.other_nodes {
            let OtherNode {
                device,
                name,
                driver,
                what,
                reason,
            } = node;
            writeln!(f, "  {device}  {name} ({driver}), {what}: {reason}")?;
        }
        heading(f, "Microphones", self.microphones.len())?;
        for (i, microphone) in self.microphones.iter().enumerate() {
            writeln!(f, "  {}. {}  {}", i + 1, microphone.device, microphone.name)?;
            if let Some(trouble) = &microphone.trouble {
                writeln!(f, "     {trouble}")?;
            }
        }
        heading(f, "Encoders", self.encoders.len())?;
        for (i, row) in self.encoders.iter().enumerate() {
            let made_of = if row.hardware { "hardware" } else { "software" };
            let EncoderRow {
                id,
                codec,
                element,
                probe,
                ..
            } = row;
            let number = i + 1;
            writeln!(
                f,
                "  {number}. {id}  {codec}, {made_of}, {element}: {probe}"
            )?;
        }
        Ok(())
    }
}

fn outcome(f: &mut fmt::Formatter<'_>, title: &str, outcome: Option<&Outcome>) -> fmt::Result {
    match outcome {
        None => writeln!(f, "{title}: none, by configuration"),
        Some(Outcome::Problem { problem }) => writeln!(f, "{title}: {problem}"),
        Some(Outcome::Plan { what, reason, .. }) => {
            writeln!(f, "{title}: {what}")?;
            match reason.as_str() {
                "" => Ok(()),
                reason => writeln!(f, "  {reason}"),
            }
        }
    }
}

fn heading(f: &mut fmt::Formatter<'_>, title: &str, count: usize) -> fmt::Result {
    match count {
        0 => writeln!(f, "\n{title}: none"),
        1 => writeln!(f, "\n{title}:"),
        _ => writeln!(f, "\n{title}, best first:"),
    }
}

fn write_camera(f: &mut fmt::Formatter<'_>, number: usize, ranked: &RankedCamera) -> fmt::Result {
    let camera = &ranked.camera;
    writeln!(f, "  {number}. {}  {}", camera.device, camera.name)?;
    if !camera.aliases.is_empty() {
        writeln!(f, "     also {}", camera.aliases.join(", "))?;
    }
    if camera.shares_its_name() {
        writeln!(
            f,
            "     its name under by-id is another camera's too, of the same serial number: it \
             leads now to one, now to the other; by-path is the socket's"
        )?;
    }
    let mut place = vec![camera.driver.clone(), camera.bus.clone()];
    place.extend(camera.usb_mbit.map(|mbit| format!("USB at {mbit} Mbit/s")));
    if let Some(Signal::Present {
        width,
        height,
        rate,
    }) = camera.signal
    {
        place.push(format!("receives {width}×{height} {}", rate_words(rate)));
    }
    place.retain(|part| !part.is_empty());
    if !place.is_empty() {
        writeln!(f, "     {}", place.join(", "))?;
    }
    match &ranked.plan {
        Outcome::Plan { reason, .. } => writeln!(f, "     takes {reason}")?,
        Outcome::Problem { problem } => writeln!(f, "     not usable: {problem}")?,
    }
    for line in format_lines(&camera.modes) {
        writeln!(f, "     {line}")?;
    }
    if !camera.controls.is_empty() {
        let controls: Vec<_> = camera.controls.iter().map(control_words).collect();
        writeln!(f, "     controls: {}", controls.join(", "))?;
    }
    Ok(())
}

/// A line a format: `MJPG  1280×720 30, 15; 640×480 30`.
fn format_lines(modes: &[Mode]) -> Vec<String> {
    let mut lines: Vec<(&str, String)> = Vec::new();
    let mut last_size = None;
    for mode in modes {
        let size = (mode.width, mode.height);
        let is_new = lines.last().is_none_or(|(code, _)| *code != mode.fourcc);
        if is_new {
            lines.push((&mode.fourcc, format!("{:4} ", mode.fourcc)));
            last_size = None;
        }
        let Some((_, line)) = lines.last_mut() else {
            continue;
        };
        // Writing to a String does not fail.
        let _ = match last_size {
            Some(last) if last == size => write!(line, ", {}", rate_words(mode.rate)),
            Some(_) => write!(line, "; {}×{} {}", size.0, size.1, rate_words(mode.rate)),
            None => write!(line, " {}×{} {}", size.0, size.1, rate_words(mode.rate)),
        };
        last_size = Some(size);
    }
    lines.into_iter().map(|(_, line)| line).collect()
}

fn rate_words((numerator, denominator): (u32, u32)) -> String {
    let text = format!(
        "{:.2}",
        f64::from(numerator) / f64::from(denominator.max(1))
    );
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn control_words(control: &Control) -> String {
    let Control {
        name,
        minimum,
        maximum,
        default,
        ..
    } = control;
    let end = if control.writable { "" } else { " read-only" };
    if control.menu.is_empty() {
        format!("{name} {minimum}…{maximum} ({default}){end}")
    } else {
        let items: Vec<_> = control
            .menu
            .iter()
            .map(|(value, words)| format!("{value} {words}"))
            .collect();
        format!("{name} ({}){end}", items.join(" | "))
    }
}

#[cfg(test)]
mod tests;
