//! Why there is no picture or no sound.

use std::time::Duration;

use crate::device::discovery::video4linux::NO_SIGNAL;
use crate::device::led::LedError;
use crate::sdp::VideoCodec;

/// An element had no buffers to stream into: GStreamer's words (1.22) for whatever a
/// driver answered to REQBUFS or STREAMON, where they say as much.
pub(in crate::media) fn is_of_buffers(words: &str) -> bool {
    let all = [
        "activate bufferpool",
        "Buffer pool activation failed",
        "streamon failed",
    ];
    all.iter().any(|no| words.contains(no))
}

/// What an encoder's element says, its `detail` only where that says more, and
/// what it means where it says too little.
pub(in crate::media) fn of_encoder(message: &str, detail: &str) -> String {
    let more = !detail.is_empty() && detail != message;
    let words = match more {
        true => format!("{message} ({detail})"),
        false => message.to_owned(),
    };
    let remedy = if is_of_buffers(&words) {
        "; its driver starts no other one: it may be in use by another program, or be short of memory"
    } else if words.contains("reason not-negotiated") {
        "; its driver may not take pictures of this size"
    } else {
        ""
    };
    format!("{words}{remedy}")
}

/// Why there is no picture or no sound. Each names the device or element and
/// what to do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MediaError {
    /// GStreamer itself does not work.
    #[error("GStreamer does not start: {0}")]
    Init(String),
    /// An element's plug-in is not installed.
    #[error("GStreamer has no element \"{element}\"; install the package {package}")]
    MissingElement {
        /// The element.
        element: String,
        /// Who ships it.
        package: String,
    },
    /// No row of the encoder table works here.
    #[error("no encoder for {codec} works here: {reasons}")]
    NoEncoder {
        /// The codec.
        codec: VideoCodec,
        /// What was tried, and why not.
        reasons: String,
    },
    /// The configuration asks for an encoder that is not in the table.
    #[error("video.encoder: there is no encoder \"{wanted}\"; known are {known}")]
    UnknownEncoder {
        /// What was asked for.
        wanted: String,
        /// The table's ids.
        known: String,
    },
    /// No camera.
    #[error(
        "no camera was found; plug one in, name its node in video.device, or set video.source = \"test\""
    )]
    NoCamera,
    /// A camera that cannot be used.
    #[error("camera {device}: {problem}")]
    Camera {
        /// Its node.
        device: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// No microphone.
    #[error(
        "no microphone was found; plug one in, name its PCM in audio.device, or set audio.source = \"none\""
    )]
    NoMicrophone,
    /// The description in the configuration does not parse.
    #[error("{key}: GStreamer does not take this description: {problem}")]
    Description {
        /// The configuration key.
        key: &'static str,
        /// GStreamer's words.
        problem: String,
    },
    /// The light that tells people that the camera is on cannot be switched on.
    #[error(transparent)]
    Led(#[from] LedError),
    /// It runs, and nothing comes out.
    #[error("nothing came for {:.1} s, and no error either; unplug the device and plug it in again if this goes on", .0.as_secs_f64())]
    Stalled(Duration),
    /// A pipeline did not start, or failed while running.
    #[error("{what} stopped: {problem}")]
    Pipeline {
        /// Picture or sound, and from where.
        what: String,
        /// GStreamer's words, with a remedy where one is known.
        problem: String,
    },
}

impl MediaError {
    /// There is no device to open, so looking again costs nothing.
    pub(crate) fn is_absent(&self) -> bool {
        match self {
            Self::NoCamera | Self::NoMicrophone => true,
            Self::Camera { problem, .. } => problem.contains("is not there"),
            _ => false,
        }
    }

    /// An HDMI bridge waits for a signal, whose return nothing announces.
    pub(crate) fn is_of_signal(&self) -> bool {
        matches!(self, Self::Camera { problem, .. } if problem.starts_with(NO_SIGNAL))
    }

    /// This machine has not got it: a new process would find the same.
    pub(crate) fn is_final(&self) -> bool {
        matches!(
            self,
            Self::MissingElement { .. } | Self::NoEncoder { .. } | Self::UnknownEncoder { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_encoder_says_is_said_once_and_with_what_it_means() {
        let bare = of_encoder("it broke", "");
        assert_eq!(bare, "it broke");
        assert_eq!(of_encoder("it broke", "line 7"), "it broke (line 7)");
        let words = "failed to activate bufferpool";
        let said = of_encoder(words, words);
        assert_eq!(said.matches(words).count(), 1, "{said}");
        assert!(said.contains("another program"), "{said}");
        let detail = "streaming stopped, reason not-negotiated (-4)";
        let said = of_encoder("Internal data stream error.", detail);
        assert!(said.contains("of this size"), "{said}");
    }
}
