//! Why there is no call, no picture or no change of a control: a code for programs
//! beside the words for people.
//!
//! The words are English and may change. A code stays, so that a page can say the
//! same in another language; docs/protocol.md says where it travels, as `why`. The
//! page has words of its own for each code in every language that it speaks; a test
//! of [`chat`](crate::chat) holds both against each other.

use std::borrow::Cow;

use serde::Serialize;

/// Names the codes once: the type, its text and the list of all.
macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $text:literal,)*) => {
        /// Why, for programs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $code,)*
        }

        impl Code {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            /// As it travels: small letters, digits and hyphens.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $text,)*
                }
            }
        }
    };
}

codes! {
    /// As many people watch as can.
    Full = "full",
    /// Other calls are being made, and this one has to wait.
    OthersCall = "others-call",
    /// The caller called too often.
    TooManyCalls = "too-many-calls",
    /// Somebody else of the caller's name watches.
    NameTaken = "name-taken",
    /// The device ends.
    ShuttingDown = "shutting-down",
    /// ICE and DTLS did not come to an end in time.
    NoPath = "no-path",
    /// The viewer's name left the chat, and nothing is heard of them.
    ViewerLeft = "viewer-left",
    /// Nothing was heard of the viewer for too long.
    Unreachable = "unreachable",
    /// The viewer took no picture and no sound for too long.
    OnHold = "on-hold",
    /// The connection failed.
    PathLost = "path-lost",
    /// What goes on with a call that this device does not have: it began anew since.
    CallGone = "call-gone",
    /// The page opened one data channel after another.
    TooManyChannels = "too-many-channels",
    /// The device could not do what it should; the words say what.
    CameraFault = "camera-fault",
    /// The offer breaks a rule; the words say which.
    BadOffer = "bad-offer",
    /// The offer takes no picture.
    NoVideo = "no-video",
    /// The offer takes no format that the device has.
    NoFormat = "no-format",
    /// A later offer does not take the call's format any more.
    OtherFormats = "other-formats",
    /// The caller shows no invitation, and needs one.
    NotInvited = "not-invited",
    /// The device has no such invitation, or the proof of it is wrong.
    InvitationUnknown = "invitation-unknown",
    /// The invitation had an end.
    InvitationEnded = "invitation-ended",
    /// It has an end, and the device does not know the time.
    InvitationNoClock = "invitation-no-clock",
    /// It is for other things than watching.
    InvitationNotToWatch = "invitation-not-to-watch",
    /// It was taken back while its owner watched.
    InvitationTakenBack = "invitation-taken-back",
    /// What it allows was changed while its owner watched.
    InvitationChanged = "invitation-changed",
    /// This very offer was made before.
    OfferAgain = "offer-again",
    /// The device lets only invited people in from now on.
    InvitedOnlyNow = "invited-only-now",

    /// The camera is being opened, and gives nothing yet.
    CameraStarting = "camera-starting",
    /// The camera is gone or silent, and is tried again.
    CameraLost = "camera-lost",
    /// The encoder failed, and is started again.
    PictureStopped = "picture-stopped",
    /// There is no picture; it is tried again.
    NoPicture = "no-picture",
    /// There is no sound; it is tried again.
    NoSound = "no-sound",
    /// The owner has switched camera and microphone off.
    Privacy = "privacy",

    /// The viewer's invitation is not for the controls.
    ControlsNotInvited = "controls-not-invited",
    /// No viewer may set any control.
    ControlsClosed = "controls-closed",
    /// No viewer may set this control.
    ControlClosed = "control-closed",
    /// The camera has no such control.
    ControlUnknown = "control-unknown",
    /// The control does not take this value.
    ControlValue = "control-value",
    /// The control cannot be set.
    ControlReadOnly = "control-read-only",
    /// Another control has taken it over.
    ControlInactive = "control-inactive",
    /// The driver refused; the words say why.
    ControlFailed = "control-failed",
    /// What is shown comes from no camera with controls.
    NoControls = "no-controls",
    /// Earlier changes wait still.
    CameraBusy = "camera-busy",
    /// The camera's driver does not answer.
    CameraSilent = "camera-silent",
    /// The viewer was not invited to switch privacy.
    PrivacyNotInvited = "privacy-not-invited",
    /// Privacy is kept on, or what was wanted cannot be kept; the words say why.
    PrivacyKept = "privacy-kept",
    /// The viewer was not invited to draw zones.
    ZonesNotInvited = "zones-not-invited",
    /// There can be no such zone, or it cannot be kept; the words say why.
    ZoneRefused = "zone-refused",
    /// The device has no speaker.
    NoSpeaker = "no-speaker",
    /// The viewer may not talk.
    TalkNotInvited = "talk-not-invited",
    /// Somebody else talks.
    FloorTaken = "floor-taken",
    /// Nothing was heard of who had the floor.
    FloorSilent = "floor-silent",
    /// Others waited for the floor.
    FloorPassedOn = "floor-passed-on",
    /// The speaker is gone or cannot be opened, and is tried again.
    SpeakerLost = "speaker-lost",
    /// The viewer was not invited to see recordings.
    RecordingsNotInvited = "recordings-not-invited",
    /// Nothing is recorded here.
    RecordingsOff = "recordings-off",
    /// There is no such recording, or no more.
    RecordingGone = "recording-gone",
    /// It is being written still.
    RecordingBusy = "recording-busy",
    /// The disk refuses; the words say why.
    RecordingFailed = "recording-failed",
    /// The viewer was not invited to delete recordings.
    DeleteNotInvited = "delete-not-invited",
    /// Viewers may not make recordings.
    NoRecordButton = "no-record-button",
    /// More is asked for than is handed over at a time.
    FilesBusy = "files-busy",
    /// There is no picture of the camera's that could be given.
    NoStill = "no-still",
    /// The viewer asks for more pictures than they get.
    StillTooOften = "still-too-often",
    /// The viewer asks for the floor, or begins a recording, more often than anybody may.
    TooOften = "too-often",
    /// The page's message lacks what it needs; the words say what.
    BadMessage = "bad-message",
}

impl Code {
    /// It is that no invitation covers the call.
    pub(crate) fn is_uninvited(self) -> bool {
        matches!(
            self,
            Self::NotInvited
                | Self::InvitationUnknown
                | Self::InvitationEnded
                | Self::InvitationNoClock
                | Self::InvitationNotToWatch
                | Self::InvitationTakenBack
                | Self::OfferAgain
                | Self::InvitedOnlyNow
        )
    }
}

/// Why, for programs and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// For programs.
    pub code: Code,
    /// In English, with what to do about it where that is known.
    pub words: Cow<'static, str>,
}

impl Reason {
    /// One that is always said alike.
    pub(crate) const fn fixed(code: Code, words: &'static str) -> Self {
        Self {
            code,
            words: Cow::Borrowed(words),
        }
    }

    /// One whose words are made where it happens.
    pub fn new(code: Code, words: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            words: words.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Code;

    #[test]
    fn each_code_is_a_documented_word_of_its_own() {
        let words: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        for code in Code::ALL {
            let text = code.as_str();
            assert!(
                text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'),
                "{text}"
            );
            let json = serde_json::to_value(code).expect("a text");
            assert_eq!(json, text);
            let protocol = include_str!("../docs/protocol.md");
            let documented = protocol.contains(&format!("`{text}`"));
            assert!(documented, "{text} is not in docs/protocol.md");
        }
    }
}
