//! What a check looked at, what it found, and how bad that is. Pure.

use serde::Serialize;

use crate::secret::without_credentials;

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Check {
    /// The file, its values, the secrets that it names.
    Configuration,
    /// GStreamer's elements.
    Elements,
    /// Whether this user may open the devices.
    Permissions,
    /// Who has the devices open.
    InUse,
    /// Pictures, and how many a second.
    Camera,
    /// Sound, and how loud.
    Microphone,
    /// Whether viewers can be heard.
    Speaker,
    /// Whether they hear themselves.
    Echo,
    /// The encoder table on this machine.
    Encoder,
    /// The time of day.
    Clock,
    /// The certificate that viewers see.
    Identity,
    /// Who is let in.
    Access,
    /// Whether camera and microphone are to stay closed.
    Privacy,
    /// Where recordings are kept.
    Recording,
    /// The chat server.
    ChatServer,
    /// Each STUN and TURN server.
    IceServer,
    /// The addresses that callers are offered.
    Candidates,
    /// A call to itself.
    Call,
    /// How the last real calls began.
    Begun,
}

impl Check {
    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Elements => "GStreamer",
            Self::Permissions => "permissions",
            Self::InUse => "devices in use",
            Self::Camera => "camera",
            Self::Microphone => "microphone",
            Self::Speaker => "speaker",
            Self::Echo => "echo",
            Self::Encoder => "encoder",
            Self::Clock => "clock",
            Self::Identity => "certificate",
            Self::Access => "who may watch",
            Self::Privacy => "privacy",
            Self::Recording => "recordings",
            Self::ChatServer => "chat server",
            Self::IceServer => "STUN and TURN",
            Self::Candidates => "addresses",
            Self::Call => "test call",
            Self::Begun => "last calls",
        }
    }
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// As it should be.
    Ok,
    /// Works; worth knowing.
    Hint,
    /// The device works, and not fully.
    Warning,
    /// The device does not work.
    Error,
}

impl Severity {
    /// The process's exit code. 1 and 2 are left to a doctor that could not
    /// run and to a command line that makes no sense.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Ok | Self::Hint => 0,
            Self::Warning => 3,
            Self::Error => 4,
        }
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// By which check.
    pub check: Check,
    /// How bad it is.
    pub severity: Severity,
    /// What is so.
    pub what: String,
    /// What to do; there for everything that is not [`Severity::Ok`].
    pub remedy: Option<String>,
}

impl Finding {
    /// As it should be.
    pub(crate) fn ok(check: Check, what: impl Into<String>) -> Self {
        Self {
            check,
            severity: Severity::Ok,
            what: without_credentials(&what.into()),
            remedy: None,
        }
    }

    /// Works; worth knowing.
    pub(crate) fn hint(check: Check, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::with(check, Severity::Hint, what, remedy)
    }

    /// The device works, and not fully.
    pub(crate) fn warning(
        check: Check,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::with(check, Severity::Warning, what, remedy)
    }

    /// The device does not work.
    pub(crate) fn error(check: Check, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::with(check, Severity::Error, what, remedy)
    }

    pub(super) fn with(
        check: Check,
        severity: Severity,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            check,
            severity,
            // Others' words are in it, and reports are sent to people.
            what: without_credentials(&what.into()),
            remedy: Some(without_credentials(&remedy.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_stay_clear_of_the_command_line_s() {
        let codes = [
            Severity::Ok,
            Severity::Hint,
            Severity::Warning,
            Severity::Error,
        ]
        .map(Severity::exit_code);
        assert_eq!(codes, [0, 0, 3, 4]);
    }

    #[test]
    fn no_finding_shows_the_credentials_of_an_address() {
        let address = "rtsp://camera:north@h/";
        for finding in [
            Finding::ok(Check::Camera, address),
            Finding::error(Check::Camera, address, address),
        ] {
            assert!(!format!("{finding:?}").contains("north"), "{finding:?}");
            assert_eq!(finding.what, "rtsp://…@h/");
        }
    }
}
