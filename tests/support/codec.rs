//! A board's H.264 encoder without the board, for programs that take part in
//! a mount namespace of their own: a shared object under their C library
//! answers for /dev/videoN (tests/shims/codec.c), and GStreamer's own
//! `v4l2h264enc` finds it there through udev and drives it.
//!
//! ```ignore
//! let codec = FakeCodec::new(Board::RaspberryPi);
//! let device = Device::run(codec.agent(&[]), &toml).await;
//! codec.unplug();
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use super::SOON;
use super::device::Device;
use super::shims::shared_object;

/// Whose driver it behaves as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Board {
    /// bcm2835-codec.
    RaspberryPi,
    /// wave5.
    Wave5,
    /// venus.
    Venus,
    /// vsi_v4l2, over a Hantro H1.
    Hantro,
}

impl Board {
    /// A row of tests/shims/personality.c.
    fn personality(self) -> &'static str {
        match self {
            Self::RaspberryPi => "bcm2835-codec",
            Self::Wave5 => "wave5",
            Self::Venus => "venus",
            Self::Hantro => "vsi_v4l2",
        }
    }

    /// What sysfs calls the node: `video_device.name` in the driver.
    fn name(self) -> &'static str {
        match self {
            Self::RaspberryPi => "bcm2835-codec-encode",
            Self::Wave5 => "C&M Wave5 VPU encoder",
            Self::Venus => "qcom-venus-encoder",
            Self::Hantro => "",
        }
    }

    /// Its other node, where it has one.
    fn beside(self) -> Option<&'static str> {
        (self == Self::Hantro).then_some("dev/vsi_daemon_ctrl")
    }

    /// The row of the encoder table that is for it.
    pub fn row(self) -> &'static str {
        match self {
            Self::RaspberryPi => "raspberry-pi",
            Self::Wave5 => "ti-wave5",
            Self::Venus => "qualcomm-v4l2",
            Self::Hantro => "nxp-v4l2",
        }
    }
}

/// A fault of an encoder: a file of its description, with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodecFault {
    /// No frame comes out, and no error.
    Silent,
    /// The first frame comes out after so many ms.
    LateMs(u32),
    /// After so many frames the device has an error.
    BrokenAfter(u32),
    /// Frames from then on have no bytes.
    EmptyAfter(u32),
    IgnoresBitrate,
    IgnoresKeyFrames,
    /// A picture of this size, or larger, takes it down.
    ResetsAt(u32, u32),
    /// It does not come back from being started.
    StartHangs,
    /// It cannot read other devices' memory.
    Scattered,
    /// So many run at a time.
    Contexts(u32),
}

impl CodecFault {
    fn file(self) -> (&'static str, String) {
        match self {
            Self::Silent => ("silent", String::new()),
            Self::LateMs(ms) => ("late-ms", ms.to_string()),
            Self::BrokenAfter(frames) => ("broken-after", frames.to_string()),
            Self::EmptyAfter(frames) => ("empty-after", frames.to_string()),
            Self::IgnoresBitrate => ("ignores-bitrate", String::new()),
            Self::IgnoresKeyFrames => ("ignores-key-frames", String::new()),
            Self::ResetsAt(width, height) => ("resets-at", format!("{width} {height}")),
            Self::StartHangs => ("start-hangs", String::new()),
            Self::Scattered => ("scattered", String::new()),
            Self::Contexts(count) => ("contexts", count.to_string()),
        }
    }
}

/// What the driver did since it was made, for all who have opened it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodecCounts {
    /// Frames that came in the encoder's own memory: a processor wrote each.
    pub frames_written: u64,
    /// Frames that came as a handle of another device's memory.
    pub frames_imported: u64,
    pub frames_coded: u64,
    pub key_frames: u64,
    /// Key frames that were asked for.
    pub keys_forced: u64,
    pub bytes_coded: u64,
    /// Contexts that began to stream.
    pub contexts: u64,
    /// The bitrate that was asked for last, in bit/s.
    pub bitrate: u64,
}

impl CodecCounts {
    /// Those of the board of this folder, which `BOARD` names where a program runs
    /// on it.
    pub fn of(folder: &Path) -> Self {
        let file = folder.join(format!("{NODE}.d/counts"));
        let bytes = fs::read(file).unwrap_or_default();
        let mut numbers = bytes
            .chunks_exact(8)
            .map(|chunk| u64::from_ne_bytes(chunk.try_into().expect("eight bytes")));
        let mut next = || numbers.next().unwrap_or_default();
        Self {
            frames_written: next(),
            frames_imported: next(),
            frames_coded: next(),
            key_frames: next(),
            keys_forced: next(),
            bytes_coded: next(),
            contexts: next(),
            bitrate: next(),
        }
    }
}

/// Makes /dev and /sys of a folder those of what runs in it.
const ENTER: &str = "\
    for n in null zero full random urandom tty shm pts; do \
        mount --bind /dev/$n $BOARD/dev/$n || exit; \
    done; \
    for n in fs/cgroup class/net devices/system; do \
        mount --bind /sys/$n $BOARD/sys/$n || exit; \
    done; \
    mount --rbind $BOARD/dev /dev && mount --rbind $BOARD/sys /sys && exec \"$@\"";

/// Test cameras, and encoders. tests/support/shims.rs makes cameras alone, which
/// need no x264.
fn library(compiler: &str) -> PathBuf {
    let sources = [
        "preload.c",
        "camera.c",
        "controls.c",
        "modes.c",
        "codec.c",
        "codec_formats.c",
        "codec_controls.c",
        "coder.c",
        "queue.c",
        "personality.c",
        "h264.c",
    ];
    let headers = [
        "driver.h",
        "controls.h",
        "modes.h",
        "codec.h",
        "queue.h",
        "personality.h",
        "h264.h",
    ];
    shared_object(compiler, "board.so", &sources, &headers, &["-lx264"])
}

/// The node that it has.
const NODE: &str = "video11";

/// An encoder, plugged in. It is gone when dropped.
pub struct FakeCodec {
    folder: TempDir,
    library: PathBuf,
}

impl FakeCodec {
    pub fn new(board: Board) -> Self {
        let codec = Self::made_by("cc", board);
        codec.share_registry();
        codec
    }

    /// For programs of the machine that this compiler compiles for, with what
    /// GStreamer knows of the plug-ins there. They see this machine's /tmp.
    pub fn for_machine(compiler: &str, registry: &Path, board: Board) -> Self {
        let mut codec = Self::made_by(compiler, board);
        let library = codec.path("board.so");
        fs::copy(&codec.library, &library).expect("copied");
        codec.library = library;
        fs::copy(registry, codec.path("registry.bin")).expect("copied");
        codec
    }

    fn made_by(compiler: &str, board: Board) -> Self {
        let codec = Self {
            folder: tempfile::tempdir().expect("a folder"),
            library: library(compiler),
        };
        codec.write(&format!("{NODE}.d/personality"), board.personality());
        for file in ["null", "zero", "full", "random", "urandom", "tty"] {
            codec.write(&format!("dev/{file}"), "");
        }
        for folder in [
            "dev/shm",
            "dev/pts",
            "sys/fs/cgroup",
            "sys/class/net",
            "sys/class/video4linux",
            "sys/bus/platform",
            "sys/devices/system",
        ] {
            fs::create_dir_all(codec.path(folder)).expect("a folder");
        }
        codec.describe(board);
        if let Some(node) = board.beside() {
            codec.write(node, "");
        }
        codec.replug();
        codec
    }

    /// What sysfs tells of it.
    fn describe(&self, board: Board) {
        let parent = "sys/devices/platform/codec";
        let place = format!("{parent}/video4linux/{NODE}");
        self.write(&format!("{parent}/uevent"), "DRIVER=codec\n");
        let uevent = format!("MAJOR=81\nMINOR=11\nDEVNAME={NODE}\n");
        self.write(&format!("{place}/uevent"), &uevent);
        self.write(&format!("{place}/dev"), "81:11\n");
        self.write(&format!("{place}/index"), "0\n");
        self.write(&format!("{place}/name"), &format!("{}\n", board.name()));
        for (from, to) in [
            (format!("{parent}/subsystem"), "../../../bus/platform"),
            (
                format!("{place}/subsystem"),
                "../../../../../class/video4linux",
            ),
            (format!("{place}/device"), "../.."),
            (
                format!("sys/class/video4linux/{NODE}"),
                "../../devices/platform/codec/video4linux/video11",
            ),
        ] {
            std::os::unix::fs::symlink(to, self.path(&from)).expect("a link");
        }
    }

    /// GStreamer looks anew at the plug-ins that depend on /dev/video*, and
    /// takes the rest from where this user's programs keep it.
    fn share_registry(&self) {
        let kept = std::env::home_dir().map(|home| {
            let machine = std::env::consts::ARCH;
            home.join(format!(".cache/gstreamer-1.0/registry.{machine}.bin"))
        });
        if let Some(kept) = kept.filter(|kept| kept.exists()) {
            fs::copy(kept, self.path("registry.bin")).expect("copied");
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        fs::write(path, text).expect("written");
    }

    /// This program, on the board, with more in its environment. `LD_PRELOAD` in
    /// `more`, as a camera needs it, is one with this one's.
    pub fn program(&self, program: impl AsRef<Path>, more: &[(String, String)]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", ENTER, "sh"]);
        command.arg(program.as_ref());
        command.envs(more.iter().cloned());
        command
            .env("BOARD", self.folder.path())
            .env("CODEC_SHIM_DIR", self.folder.path())
            .env("CACHE_DIRECTORY", self.path("cache"))
            .env("GST_REGISTRY", self.path("registry.bin"))
            // Else libudev asks whether this is the kernel's own /sys.
            .env("SYSTEMD_DEVICE_VERIFY_SYSFS", "0")
            .env("LD_PRELOAD", &self.library);
        command
    }

    /// What stands under the C library of programs on the board.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// Starts the agent on the board.
    pub async fn start(&self, toml: &str, more: &[(String, String)]) -> Device {
        Device::run(self.agent(more), toml).await
    }

    /// Waits until the agent has chosen its encoder; its id.
    pub async fn chosen(&self, device: &Device) -> String {
        device.logs("\"message\":\"encoder\"", 1, 2 * SOON).await;
        let log = device.log();
        let line = log.iter().find(|line| line["message"] == "encoder");
        let id = line.and_then(|line| line["encoder"].as_str());
        id.expect("it is named").to_owned()
    }

    /// What the probe found of a row of the encoder table: `probe::Report`.
    pub fn report(&self, row: &str) -> Value {
        let file = fs::read(self.path("cache/encoders.json")).expect("a probe was made");
        let file: Value = serde_json::from_slice(&file).expect("JSON");
        let entries = file["entries"].as_object().expect("entries");
        let mut found = entries
            .iter()
            .filter(|(key, _)| key.starts_with(&format!("{row} ")));
        found.next().expect("it was probed").1["report"].clone()
    }

    /// The agent, on the board.
    pub fn agent(&self, more: &[(String, String)]) -> Command {
        self.program(env!("CARGO_BIN_EXE_camera-agent"), more)
    }

    /// The node goes, and whoever has it open gets `ENODEV`.
    pub fn unplug(&self) {
        fs::remove_file(self.path(&format!("dev/{NODE}"))).expect("it is plugged in");
    }

    /// It is back, as another device.
    pub fn replug(&self) {
        self.write(&format!("dev/{NODE}"), "");
    }

    pub fn begin(&self, fault: CodecFault) {
        let (file, value) = fault.file();
        self.write(&format!("{NODE}.d/{file}"), &value);
    }

    pub fn end(&self, fault: CodecFault) {
        let path = self.path(&format!("{NODE}.d/{}", fault.file().0));
        fs::remove_file(path).expect("it had begun");
    }

    pub fn with(self, fault: CodecFault) -> Self {
        self.begin(fault);
        self
    }

    pub fn counts(&self) -> CodecCounts {
        CodecCounts::of(self.folder.path())
    }
}
