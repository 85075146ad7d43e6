//! What viewers and the log are told of picture and sound.
//!
//! The JSON form is part of the data channel's protocol, which docs/protocol.md
//! describes: fields may be added, none changes its meaning.

use serde::Serialize;

use crate::reason::{Code, Reason};

/// Picture and sound.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct MediaStatus {
    /// The picture.
    pub video: StreamStatus,
    /// The sound.
    pub audio: StreamStatus,
}

/// One of the two.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct StreamStatus {
    /// How it is.
    pub state: State,
    /// For people who watch: what is missing and what is being done about it.
    /// Empty when there is nothing to say.
    pub text: String,
    /// The same for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<Code>,
    /// For whoever mends it: what the device or the element said. Often empty.
    pub reason: String,
}

impl StreamStatus {
    /// A stream that does not flow: `why` for people who watch, `fault` for whoever
    /// mends it.
    pub(crate) fn troubled(state: State, why: Reason, fault: &str) -> Self {
        Self {
            state,
            text: why.words.into_owned(),
            why: Some(why.code),
            reason: fault.to_owned(),
        }
    }
}

impl From<State> for StreamStatus {
    /// There is nothing to say.
    fn from(state: State) -> Self {
        Self {
            state,
            ..Self::default()
        }
    }
}

/// How a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nobody watches.
    #[default]
    Idle,
    /// The device is being opened; nothing came yet.
    Starting,
    /// It flows.
    Live,
    /// The device is gone or silent and is tried again until it works. Viewers
    /// see a slate.
    Lost,
    /// The device is closed, since the owner wants privacy. Viewers see a slate.
    Private,
}

/// What viewers are told of a picture or a sound that is [`State::Private`].
pub(crate) const PRIVATE: Reason = Reason::fixed(
    Code::Privacy,
    "The owner has switched camera and microphone off.",
);
