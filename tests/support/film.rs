//! Whether a recording is a good file, by others who read such files.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::path::Path;

use tokio::process::Command;

use super::SOON;

/// Three who read it find nothing to say: both tracks are decoded to their end.
pub async fn plays(path: &Path) {
    decodes(path).await;
    let mut program = Command::new("ffprobe");
    program.args("-v warning -count_frames -of csv=p=0 -show_entries".split(' '));
    program.args(["stream=codec_name,nb_read_frames"]).arg(path);
    let (said, words) = ran(program, path).await;
    let frames = |codec: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(codec));
        line.and_then(|line| line[1..].parse::<u32>().ok())
    };
    assert!(words.is_empty(), "{path:?}: {words}");
    let counted = (frames("h264"), frames("opus"));
    assert!(
        matches!(counted, (Some(10..), Some(10..))),
        "{path:?}: {said}"
    );
    let mut program = Command::new("gst-discoverer-1.0");
    program.arg(path);
    let (said, words) = ran(program, path).await;
    assert!(words.is_empty(), "{path:?}: {words}");
    for part in ["H.264", "Opus", "Seekable"] {
        assert!(said.contains(part), "{path:?}: {said}");
    }
    for bad in ["rror", "arning", "issing"] {
        assert!(!said.contains(bad), "{path:?}: {said}");
    }
}

/// What it says, and what it complains of.
async fn ran(mut program: Command, path: &Path) -> (String, String) {
    let output = tokio::time::timeout(SOON, program.output()).await;
    let output = output.expect("in time").expect("make test-packages");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, words) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{path:?}: {said} {words}");
    (said, words)
}

/// Both tracks are decoded to their end, without a word.
async fn decodes(path: &Path) {
    let mut program = Command::new("gst-launch-1.0");
    program.args(["--quiet", "filesrc"]);
    program.arg(format!("location={}", path.display()));
    program
        .args("! qtdemux name=d d.video_0 ! queue ! h264parse ! openh264dec ! fakesink".split(' '));
    program.args("d.audio_0 ! queue ! opusdec ! fakesink".split(' '));
    let (_, words) = ran(program, path).await;
    assert!(words.is_empty(), "{path:?}: {words}");
}
