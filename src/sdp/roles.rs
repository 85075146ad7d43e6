//! What becomes of each section of an offer.

/// What a section of the offer is in the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// Gets the picture, or stands still while the caller does not take it.
    Video {
        /// It is taken.
        sends: bool,
    },
    /// The same of the sound.
    Sound {
        /// It is taken.
        sends: bool,
    },
    /// Data channels.
    Data,
    /// Accepted, with nothing on it in either direction: the bundle hangs on it
    /// (RFC 9143 §7.3.3), or the device has no sound.
    Idle {
        /// The format that it is answered with, of the section's own.
        payload_type: u8,
        /// Its `a=rtpmap`, where it had one.
        name: String,
    },
    /// Port 0.
    Rejected,
}

impl Role {
    pub(super) fn carries(&self, kind: &str) -> bool {
        match self {
            Self::Video { .. } => kind == "video",
            Self::Sound { .. } => kind == "audio",
            Self::Data | Self::Idle { .. } | Self::Rejected => false,
        }
    }
}

/// A section, as the answer repeats it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub kind: String,
    pub protocol: String,
    pub format: String,
    pub mid: Option<String>,
    pub rtcp_rsize: bool,
    pub sctpmap: bool,
    pub role: Role,
}
