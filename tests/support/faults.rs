//! The encoder that goes wrong on purpose, `tests/faults/faults.c`: built with
//! the C compiler that GStreamer's bindings need anyway, and found by the
//! agent through its environment.
//!
//! ```text
//! let trigger = folder.path().join("now");
//! let row = faults::Row::new("stall").trigger(&trigger);
//! Command::new(agent).envs(faults::environment());     // finds the plug-in
//! let config = format!("[video]\n…\n{row}");           // ranks first
//! std::fs::write(&trigger, "");                        // now it stalls
//! ```

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The folder with the plug-in, built if need be.
pub fn plugin_dir() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/faults.c");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults");
        let plugin = folder.join("libgstfaults.so");
        let changed = |path: &Path| std::fs::metadata(path).and_then(|m| m.modified());
        let source_changed = changed(Path::new(source)).expect("the source is there");
        if changed(&plugin).is_ok_and(|built| built > source_changed) {
            return folder;
        }
        std::fs::create_dir_all(&folder).expect("a folder");
        let flags = Command::new("pkg-config")
            .args(["--cflags", "--libs", "gstreamer-1.0", "gstreamer-video-1.0"])
            .output()
            .expect("pkg-config is a build dependency");
        assert!(flags.status.success(), "{flags:?}");
        // Tests run beside each other, in processes of their own.
        let fresh = folder.join(format!("{}.tmp", std::process::id()));
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-Wall", "-Werror", "-O1", "-o"])
            .arg(&fresh)
            .arg(source)
            .args(String::from_utf8_lossy(&flags.stdout).split_whitespace())
            .output()
            .expect("cc is a build dependency");
        assert!(built.status.success(), "{built:?}");
        std::fs::rename(&fresh, &plugin).expect("renamed");
        folder
    })
}

/// What lets a process find the plug-in, with a registry of its own so that
/// the user's does not change to and fro.
pub fn environment() -> [(&'static str, PathBuf); 2] {
    [
        ("GST_PLUGIN_PATH", plugin_dir().to_owned()),
        ("GST_REGISTRY", plugin_dir().join("registry.bin")),
    ]
}

/// A row of `[[encoders]]` for it, called like its fault, ahead of all others.
pub struct Row {
    fault: &'static str,
    rank: u8,
    after: u32,
    trigger: Option<PathBuf>,
    more: String,
}

impl Row {
    /// With one of the faults that `faults.c` lists.
    pub fn new(fault: &'static str) -> Self {
        Self {
            fault,
            rank: 200,
            after: 0,
            trigger: None,
            more: String::new(),
        }
    }

    /// Another rank than 200; x264 has 10.
    pub fn rank(self, rank: u8) -> Self {
        Self { rank, ..self }
    }

    /// Frames before it goes wrong.
    pub fn after(self, after: u32) -> Self {
        Self { after, ..self }
    }

    /// Nothing goes wrong, and it passes the probe, until this file is there.
    pub fn trigger(self, file: &Path) -> Self {
        Self {
            trigger: Some(file.to_owned()),
            ..self
        }
    }

    /// More lines of the row.
    pub fn with(mut self, lines: &str) -> Self {
        self.more.push_str(lines);
        self.more.push('\n');
        self
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            fault,
            rank,
            after,
            trigger,
            more,
        } = self;
        let trigger = trigger.as_deref().unwrap_or(Path::new("")).display();
        // Where the profile or the order is wrong the caps must let it pass.
        let caps = match *fault {
            "profile" | "bframes" => "video/x-h264,stream-format=byte-stream",
            _ => "",
        };
        write!(
            f,
            "[[encoders]]\nid = \"{fault}\"\nfactory = \"faultenc\"\npackage = \"of the tests\"\n\
             rank = {rank}\nformats = [\"I420\"]\ngop = \"key-int-max\"\nrate = \"bitrate\"\n\
             rate_unit = \"kbit/s\"\ncaps = \"{caps}\"\n\
             properties = {{ fault = \"{fault}\", after = {after}, trigger = \"{trigger}\" }}\n{more}"
        )
    }
}
