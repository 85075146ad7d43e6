//! Vendors' plug-ins without their boards: elements of the vendors' names, made
//! of descriptions of the vendors' sources (tests/standins/), with x264 inside.
//!
//! ```text
//! let board = Board::of("rockchip-mpp");
//! let report = board.probe(&encoder, &video, Fault::None).await;
//! let device = Device::run(board.agent(), &toml).await;   // it has the node, too
//! ```

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use camera_agent::config::VideoConfig;
use camera_agent::media::element;
use camera_agent::media::encoder::Encoder;
use camera_agent::media::probe::{Job, Report, child};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

/// Each row of the table that is not of a V4L2 encoder, and the folder that
/// stands for the vendor's plug-in.
pub const ROWS: [(&str, &str); 9] = [
    ("rockchip-mpp", "rockchipmpp"),
    ("jetson", "nvvideo4linux2"),
    ("nxp-vpu", "vpu"),
    ("qualcomm-c2", "qtic2venc"),
    ("stm32mp2", "v4l2codecs"),
    ("va", "va"),
    ("va-lp", "va"),
    ("qsv", "qsv"),
    ("vaapi", "vaapi"),
];

const LIBRARY: &str = "libgststandins.so";
const SOURCES: [&str; 4] = ["read.c", "encoder.c", "inside.c", "converter.c"];

/// Lays the node `$2` over a copy of /dev in the folder `$1`, for what follows.
const WITH_NODE: &str = "set -e
dev=$1 node=$dev/${2#/dev/}; shift 2
mount -t tmpfs none \"$dev\"
for each in /dev/*; do
    copy=$dev/${each#/dev/}
    if [ -L \"$each\" ]; then cp -P \"$each\" \"$copy\"
    elif [ -d \"$each\" ]; then mkdir \"$copy\"; mount --rbind \"$each\" \"$copy\"
    else touch \"$copy\"; mount --bind \"$each\" \"$copy\"; fi
done
mkdir -p \"${node%/*}\"
[ -e \"$node\" ] || touch \"$node\"
mount --rbind \"$dev\" /dev
exec \"$@\"";

/// What is wrong with the encoder; encoder.c says more of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    Silent,
    Error,
    Fail,
    NoBitrate,
    NoKey,
    BFrames,
    NoHeaders,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Silent => "silent",
            Self::Error => "error",
            Self::Fail => "fail",
            Self::NoBitrate => "no-bitrate",
            Self::NoKey => "no-key",
            Self::BFrames => "bframes",
            Self::NoHeaders => "no-headers",
        }
    }
}

/// A machine with one vendor's plug-in, and the node that its row looks for.
pub struct Board {
    row: &'static str,
    plugin: &'static str,
    files: TempDir,
}

impl Board {
    /// The one that this row of the table is for.
    pub fn of(row: &str) -> Self {
        let known = ROWS.iter().find(|(id, _)| *id == row);
        let (row, plugin) = known.expect("a row that has a stand-in");
        let files = tempfile::tempdir().expect("a folder");
        Self { row, plugin, files }
    }

    /// The row.
    pub fn encoder(&self) -> std::sync::Arc<Encoder> {
        Encoder::row(self.row).expect("a row of the table")
    }

    /// The first path that the row looks for; any number in the place of a `*`.
    fn node(&self) -> String {
        let encoder = self.encoder();
        let mut paths = encoder.nodes.iter().filter(|n| n.starts_with("/dev/"));
        paths.next().expect("a path").replace('*', "128")
    }

    /// What lets a process find the plug-in, and remember nothing of others.
    fn environment(&self, fault: Fault) -> [(&'static str, PathBuf); 4] {
        let folder = built().join(self.plugin);
        [
            ("GST_REGISTRY", folder.join("registry.bin")),
            ("GST_PLUGIN_PATH", folder),
            ("CACHE_DIRECTORY", self.files.path().to_owned()),
            ("STANDIN_FAULT", fault.name().into()),
        ]
    }

    /// Its plug-in in this process.
    pub fn install(&self) {
        element::init().expect("GStreamer is installed");
        let library = built().join(self.plugin).join(LIBRARY);
        gstreamer::Plugin::load_file(library).expect("a plug-in");
    }

    /// The program on this board: a command that arguments are added to.
    pub fn agent(&self, fault: Fault) -> tokio::process::Command {
        let dev = self.files.path().join("dev");
        std::fs::create_dir_all(&dev).expect("a folder");
        let mut command = tokio::process::Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", WITH_NODE, "sh"])
            .arg(&dev)
            .arg(self.node())
            .arg(env!("CARGO_BIN_EXE_camera-agent"))
            .envs(self.environment(fault));
        command
    }

    /// What the program's probe finds of the row, asked for what is configured.
    pub async fn probe(&self, video: &VideoConfig, fault: Fault) -> Report {
        let job = Job::new(&self.encoder(), video);
        let mut probe = tokio::process::Command::new(env!("CARGO_BIN_EXE_camera-agent"))
            .arg(child::COMMAND)
            .envs(self.environment(fault))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let job = serde_json::to_string(&job).expect("written") + "\n";
        let mut input = probe.stdin.take().expect("piped");
        input.write_all(job.as_bytes()).await.expect("it reads");
        let output = probe.wait_with_output().await.expect("it ran");
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text
            .lines()
            .filter_map(|line| line.split_once('{'))
            .next_back();
        let (_, report) = last.unwrap_or_else(|| panic!("no report: {output:?}"));
        serde_json::from_str(&format!("{{{report}")).expect("a report")
    }
}

/// The folder with a folder for each plug-in, built if need be.
fn built() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/standins");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("standins");
        let libraries = ROWS.map(|(_, plugin)| folder.join(plugin).join(LIBRARY));
        let newest = std::fs::read_dir(&source)
            .expect("the sources are there")
            .map(|entry| entry.and_then(|e| e.metadata()?.modified()).expect("read"))
            .max();
        let is_new = |library: &PathBuf| {
            let built = library.metadata().and_then(|m| m.modified()).ok();
            built.is_some_and(|built| Some(built) > newest)
        };
        if !libraries.iter().all(is_new) {
            build(&source, &folder, &libraries);
        }
        folder
    })
}

/// The same library for all: it looks at the name of the folder that it is in.
fn build(source: &Path, folder: &Path, libraries: &[PathBuf]) {
    std::fs::create_dir_all(folder).expect("a folder");
    let flags = Command::new("pkg-config")
        .args(["--cflags", "--libs", "gstreamer-1.0", "gstreamer-video-1.0"])
        .output()
        .expect("pkg-config is a build dependency");
    assert!(flags.status.success(), "{flags:?}");
    // Tests run beside each other, in processes of their own.
    let own = |path: &Path| path.with_extension(std::process::id().to_string());
    let fresh = own(&folder.join(LIBRARY));
    let built = Command::new("cc")
        .current_dir(source)
        .args(["-std=gnu11", "-shared", "-fPIC", "-O1"])
        .args(["-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"])
        .arg(format!("-DSTANDINS=\"{}\"", source.display()))
        .arg("-o")
        .arg(&fresh)
        .args(SOURCES)
        .args(String::from_utf8_lossy(&flags.stdout).split_whitespace())
        .output()
        .expect("cc is a build dependency");
    assert!(built.status.success(), "{built:?}");
    for library in libraries {
        std::fs::create_dir_all(library.parent().expect("a folder")).expect("a folder");
        std::fs::copy(&fresh, own(library)).expect("copied");
        std::fs::rename(own(library), library).expect("renamed");
    }
    std::fs::remove_file(fresh).expect("removed");
}
