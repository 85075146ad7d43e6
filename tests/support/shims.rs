//! A camera and a microphone without hardware, for a device in a process of
//! its own: a shared object under its C library answers for the camera's node,
//! an ALSA plug-in is the microphone (tests/shims/). Both can be unplugged.
//!
//! ```ignore
//! let camera = FakeCamera::new(Format::Mjpg, 640, 360, 30);
//! let microphone = FakeMicrophone::tone(440);
//! let env = [camera.env(), microphone.env()].concat();
//! let toml = format!("{}{}", camera.toml(), microphone.toml());
//! let device = Device::start_with_env(chat.addr, &toml, &env).await;
//! camera.unplug();
//! ```

use std::fmt::Write;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::card::card;
use tempfile::TempDir;

/// What a camera delivers: colour bars that move sideways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// JPEG, 4:2:0.
    Mjpg,
    /// JPEG, 4:2:2, as most webcams have it.
    Mjpg422,
    /// JPEG, 4:4:4.
    Mjpg444,
    /// JPEG without colours.
    MjpgGrey,
    Yuyv,
    Nv12,
    Grey,
    Rgb,
    /// JPEG of [`card`], which does not move.
    MjpgCard,
    /// The same as YUYV, of 0 to 255 or as television has it.
    YuyvCard {
        full: bool,
    },
    /// H.264, with a key frame and parameter sets every `gop` frames, of
    /// constrained baseline or of high profile.
    H264 {
        gop: u32,
        high: bool,
    },
}

impl Format {
    fn code(self) -> &'static str {
        match self {
            Self::Mjpg | Self::Mjpg422 | Self::Mjpg444 | Self::MjpgGrey | Self::MjpgCard => "MJPG",
            Self::Yuyv | Self::YuyvCard { .. } => "YUYV",
            Self::Grey => "GREY",
            Self::Rgb => "RGB3",
            Self::Nv12 => "NV12",
            Self::H264 { .. } => "H264",
        }
    }

    /// GStreamer's name for the pixels, what makes frames of them, and how
    /// many it takes until the picture can begin again.
    fn recipe(self) -> (&'static str, String, u32) {
        match self {
            Self::Mjpg => ("I420", "jpegenc".to_owned(), 30),
            Self::Mjpg422 => ("Y42B", "jpegenc".to_owned(), 30),
            Self::Mjpg444 => ("Y444", "jpegenc".to_owned(), 30),
            Self::MjpgGrey => ("GRAY8", "jpegenc".to_owned(), 30),
            Self::Grey => ("GRAY8", "identity".to_owned(), 15),
            Self::Rgb => ("RGB", "identity".to_owned(), 15),
            Self::MjpgCard => ("I420", "jpegenc quality=97".to_owned(), 1),
            Self::YuyvCard { .. } => ("YUY2", "identity".to_owned(), 1),
            Self::Yuyv => ("YUY2", "identity".to_owned(), 15),
            Self::Nv12 => ("NV12", "identity".to_owned(), 15),
            Self::H264 { gop, high } => (
                "I420",
                format!(
                    "x264enc tune=zerolatency speed-preset=ultrafast threads=1 bitrate=1500 \
                     key-int-max={gop} {} ! h264parse config-interval=-1 ! \
                     video/x-h264,stream-format=byte-stream,alignment=au",
                    if high {
                        "option-string=scenecut=0:8x8dct=1:cabac=1 dct8x8=true cabac=true ! \
                         video/x-h264,profile=high"
                    } else {
                        "option-string=scenecut=0 ! video/x-h264,profile=constrained-baseline"
                    }
                ),
                gop * 60_u32.div_ceil(gop),
            ),
        }
    }
}

/// A fault of a camera that has an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No frame comes, and no error.
    Silent,
    /// Each frame is an error (`EIO`).
    Broken,
    /// It does not come back from being stopped.
    StopHangs,
    /// Nor from being started.
    StartHangs,
}

impl Fault {
    fn file(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Broken => "broken",
            Self::StopHangs => "stop-hangs",
            Self::StartHangs => "start-hangs",
        }
    }
}

/// A control of a camera: id, kind as `enum v4l2_ctrl_type` has it, minimum,
/// maximum, step, default, name, and a menu's entries.
const CONTROLS: &str = "\
    00980900 1 -64 64 1 0 Brightness\n\
    00980901 1 0 100 5 50 Contrast\n\
    0098090c 2 0 1 1 1 White_Balance,_Automatic\n\
    00980918 3 0 2 0 1 Power_Line_Frequency Disabled|50 Hz|60 Hz\n";
/// One that encodes by itself has this too.
const OWN_BITRATE: &str = "009909cf 1 25000 10000000 25000 10000000 Video_Bitrate\n";

/// V4L2_CID_BRIGHTNESS, -64 to 64.
pub const BRIGHTNESS: u32 = 0x0098_0900;
/// V4L2_CID_MPEG_VIDEO_BITRATE.
pub const VIDEO_BITRATE: u32 = 0x0099_09cf;
/// V4L2_CID_POWER_LINE_FREQUENCY, a menu of three.
pub const POWER_LINE_FREQUENCY: u32 = 0x0098_0918;

/// A camera, plugged in. It is gone when dropped.
pub struct FakeCamera {
    folder: TempDir,
    preload: PathBuf,
}

impl FakeCamera {
    /// One with this mode.
    pub fn new(format: Format, width: u32, height: u32, fps: u32) -> Self {
        let camera = Self {
            folder: tempfile::tempdir().expect("a folder"),
            preload: preload(),
        };
        fs::create_dir(camera.description()).expect("a folder");
        let own = match format {
            Format::H264 { .. } => OWN_BITRATE,
            _ => "",
        };
        camera.write("controls", &format!("{CONTROLS}{own}"));
        let camera = camera.and(format, width, height, fps);
        camera.replug();
        camera
    }

    /// The same with one more mode.
    pub fn and(self, format: Format, width: u32, height: u32, fps: u32) -> Self {
        let frames = frames(format, width, height, fps);
        let mut modes = fs::read_to_string(self.description().join("modes")).unwrap_or_default();
        let (code, frames) = (format.code(), frames.display());
        writeln!(modes, "{code} {width} {height} {fps} {frames}").expect("into memory");
        self.write("modes", &modes);
        self
    }

    /// What is odd about its driver: a line of tests/shims/modes.c each.
    pub fn with_ways(self, ways: &[&str]) -> Self {
        let lines: String = ways.iter().map(|way| format!("{way}\n")).collect();
        self.write("ways", &lines);
        self
    }

    /// What becomes of its frames, each with its number: a cable that loses
    /// parts of them.
    pub fn damaged(self, change: impl Fn(usize, &mut Vec<u8>)) -> Self {
        let modes = fs::read_to_string(self.description().join("modes")).expect("it has some");
        let (mode, frames) = modes.trim_end().rsplit_once(' ').expect("a folder");
        let damaged = self.folder.path().join("damaged");
        fs::create_dir(&damaged).expect("a folder");
        for number in 0.. {
            let name = format!("{number:05}");
            let Ok(mut frame) = fs::read(Path::new(frames).join(&name)) else {
                break;
            };
            change(number, &mut frame);
            fs::write(damaged.join(name), frame).expect("written");
        }
        self.write("modes", &format!("{mode} {}\n", damaged.display()));
        self
    }

    /// Its bus has no room for this mode.
    pub fn no_space_for(&self, format: Format, width: u32, height: u32) {
        let line = format!("{} {width} {height}\n", format.code());
        self.write("no-space", &line);
    }

    /// Its node.
    pub fn node(&self) -> PathBuf {
        self.folder.path().join("video0")
    }

    fn description(&self) -> PathBuf {
        self.folder.path().join("video0.d")
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.description().join(name), text).expect("written");
    }

    /// What the device's process needs in its environment.
    pub fn env(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.display().to_string();
        vec![
            ("LD_PRELOAD".to_owned(), text(&self.preload)),
            ("CAMERA_SHIM_DIR".to_owned(), text(self.folder.path())),
        ]
    }

    /// The node goes, and whoever has it open gets `ENODEV`.
    pub fn unplug(&self) {
        fs::remove_file(self.node()).expect("it is plugged in");
    }

    /// It is back, as another device on the bus.
    pub fn replug(&self) {
        fs::write(self.node(), "").expect("written");
    }

    pub fn begin(&self, fault: Fault) {
        self.write(fault.file(), "");
    }

    pub fn end(&self, fault: Fault) {
        fs::remove_file(self.description().join(fault.file())).expect("it had begun");
    }

    /// A YUYV camera sees a flash at each full second of the monotonic clock. A
    /// frame of its first 100 ms has a luma of 235 less the milliseconds since.
    pub fn sees_claps(&self) {
        self.write("clap", "");
    }

    /// What a control was set to, if it was.
    pub fn control(&self, id: u32) -> Option<i32> {
        let path = self.description().join(format!("value-{id:08x}"));
        let text = fs::read_to_string(path).ok()?;
        // Empty while the device's process writes it.
        (!text.is_empty()).then(|| text.trim().parse().expect("a number"))
    }

    /// Another program streams from it while the returned value lives.
    pub fn in_use(&self) -> File {
        let node = File::open(self.node()).expect("it is plugged in");
        // The driver of tests/shims/camera.c looks at this very lock.
        node.try_lock().expect("nobody streams from it");
        node
    }
}

/// A microphone, plugged in. It is gone when dropped.
pub struct FakeMicrophone {
    folder: TempDir,
}

impl FakeMicrophone {
    /// The ALSA name that its device is configured with.
    pub const NAME: &str = "testmic";

    /// One that hears a sine.
    pub fn tone(hertz: u32) -> Self {
        Self::tone_at_pace(hertz, 0)
    }

    /// The same with a crystal that runs fast by so many parts in a million.
    pub fn tone_at_pace(hertz: u32, ppm: i32) -> Self {
        Self::with(&format!("frequency {hertz} ppm {ppm}"))
    }

    /// One that hears these samples, 48 kHz mono, over and over; its crystal
    /// runs fast by so many parts in a million.
    pub fn hearing(samples: &[i16], ppm: i32) -> Self {
        let this = Self::with(&format!("frequency 440 ppm {ppm}"));
        let sound = this.folder.path().join("sound");
        let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        fs::write(&sound, bytes).expect("written");
        this.configure(&format!("frequency 440 ppm {ppm} sound {sound:?}"));
        this
    }

    /// ALSA's `default`, all zeros, and beside it one that hears a sine and that
    /// the configuration describes.
    pub fn beside_a_silent_default(hertz: u32) -> Self {
        let this = Self::tone(hertz);
        let (silent, name) = (this.folder.path().join("default"), Self::NAME);
        fs::write(&silent, "").expect("written");
        fs::write(silent.with_extension("mute"), "").expect("written");
        let configuration = fs::read_to_string(this.configuration()).expect("it is there");
        let more = format!(
            "pcm.{name}.hint {{ show on description \"A Desk Microphone\" }}\n\
             pcm.!default {{ type testmic node {silent:?} frequency {hertz} }}\n"
        );
        fs::write(this.configuration(), configuration + &more).expect("written");
        this
    }

    pub(super) fn with(settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let microphone = Self { folder };
        microphone.configure(settings);
        microphone.replug();
        microphone
    }

    fn configure(&self, settings: &str) {
        let (library, node) = (plugin(), self.node());
        let name = Self::NAME;
        let configuration = format!(
            "</usr/share/alsa/alsa.conf>\n\
             pcm_type.testmic {{ lib {library:?} }}\n\
             pcm.{name} {{ type testmic node {node:?} {settings} }}\n"
        );
        fs::write(self.configuration(), configuration).expect("written");
    }

    pub(super) fn configuration(&self) -> PathBuf {
        self.folder.path().join("asound.conf")
    }

    fn node(&self) -> PathBuf {
        self.folder.path().join("microphone")
    }

    /// What the device's process needs in its environment.
    pub fn env(&self) -> Vec<(String, String)> {
        let path = self.configuration().display().to_string();
        vec![("ALSA_CONFIG_PATH".to_owned(), path)]
    }

    /// The table of the configuration that listens to it.
    pub fn toml() -> String {
        format!("[audio]\ndevice = \"{}\"\n", Self::NAME)
    }

    pub fn unplug(&self) {
        fs::remove_file(self.node()).expect("it is plugged in");
    }

    pub fn replug(&self) {
        fs::write(self.node(), "").expect("written");
    }

    /// An open does not come back, until it [comes](Self::comes_back).
    pub fn hang(&self) {
        fs::write(self.folder.path().join("microphone.hangs"), "").expect("written");
    }

    pub fn comes_back(&self) {
        fs::remove_file(self.folder.path().join("microphone.hangs")).expect("it hung");
    }

    /// No sound comes from now on, and no error.
    pub fn go_silent(&self) {
        fs::write(self.folder.path().join("microphone.silent"), "").expect("written");
    }

    pub fn sound_again(&self) {
        fs::remove_file(self.folder.path().join("microphone.silent")).expect("it was silent");
    }

    /// It hears 20 ms of 1 kHz at each full second of the monotonic clock.
    pub fn hears_claps(&self) {
        fs::write(self.folder.path().join("microphone.clap"), "").expect("written");
    }

    /// All that comes from now on is zeros.
    pub fn mute(&self) {
        fs::write(self.folder.path().join("microphone.mute"), "").expect("written");
    }
}

/// Where what is made for all tests is kept.
fn made() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shims");
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// The file or folder that `make` makes for `key`, made once. Test processes
/// run side by side: whoever is first puts it in place whole.
fn once(name: &str, key: impl Hash, make: impl FnOnce(&Path)) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
    let dot = if extension.is_empty() { "" } else { "." };
    let path = made().join(format!("{stem}-{:016x}{dot}{extension}", hasher.finish()));
    if !path.exists() {
        let draft = tempfile::tempdir_in(made()).expect("a folder");
        let draft = draft.path().join("draft");
        make(&draft);
        if let Err(e) = fs::rename(&draft, &path) {
            assert!(path.exists(), "{}: {e}", path.display());
        }
    }
    path
}

fn run(command: &mut Command, remedy: &str) {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}; {remedy}"));
    assert!(output.status.success(), "{command:?}: {output:?}; {remedy}");
}

/// Compiles sources of tests/shims/ to a shared object, by `cc` or a compiler for
/// another machine, with its first arguments.
pub fn shared_object(
    compiler: &str,
    name: &str,
    sources: &[&str],
    headers: &[&str],
    libraries: &[&str],
) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shims");
    let text = |file: &&str| fs::read(folder.join(file)).expect("it is in the tree");
    let all: Vec<_> = sources.iter().chain(headers).map(text).collect();
    once(name, (compiler, all), |path| {
        let mut words = compiler.split_ascii_whitespace();
        let mut cc = Command::new(words.next().expect("a compiler"));
        cc.current_dir(&folder).args(words);
        cc.args(["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror"]);
        cc.args(["-shared", "-fPIC", "-DPIC", "-o"]).arg(path);
        cc.args(sources).args(libraries);
        run(
            &mut cc,
            "install gcc, libc6-dev, libasound2-dev and libx264-dev",
        );
    })
}

fn preload() -> PathBuf {
    let sources = ["preload.c", "camera.c", "controls.c", "modes.c"];
    let headers = ["driver.h", "controls.h", "modes.h"];
    shared_object("cc", "camera.so", &sources, &headers, &[])
}

fn plugin() -> PathBuf {
    let libraries = ["-lasound", "-lm"];
    let (sources, headers) = (["microphone.c"], ["room.h"]);
    shared_object("cc", "testmic.so", &sources, &headers, &libraries)
}

/// A folder with the frames of a mode, a file each.
pub fn frames(format: Format, width: u32, height: u32, fps: u32) -> PathBuf {
    let (pixels, encode, count) = format.recipe();
    let source = match format {
        Format::MjpgCard | Format::YuyvCard { .. } => "filesrc",
        _ => "videotestsrc pattern=smpte75 horizontal-speed=8",
    };
    let source = format!(
        "{source} num-buffers={count} ! \
         video/x-raw,format={pixels},width={width},height={height},framerate={fps}/1 ! {encode}"
    );
    once("frames", (&source, format), |folder| {
        fs::create_dir(folder).expect("a folder");
        let raw = folder.with_extension("raw");
        let source = match format {
            Format::MjpgCard => source.replacen(
                "filesrc",
                &read(&raw, &card(width, height, true).planar()),
                1,
            ),
            Format::YuyvCard { full } => source.replacen(
                "filesrc",
                &read(&raw, &card(width, height, full).packed()),
                1,
            ),
            _ => source.clone(),
        };
        let mut launch = Command::new("gst-launch-1.0");
        launch.arg("-q").args(source.split_ascii_whitespace());
        launch.args(["!", "multifilesink"]);
        launch.arg(format!("location={}/%05d", folder.display()));
        run(&mut launch, "install gstreamer1.0-tools and its plug-ins");
    })
}

/// An element that reads a picture from a file that is written.
fn read(file: &Path, picture: &[u8]) -> String {
    fs::write(file, picture).expect("written");
    let (file, size) = (file.display(), picture.len());
    format!("filesrc location={file} blocksize={size}")
}
