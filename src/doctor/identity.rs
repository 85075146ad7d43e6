//! The certificate by which viewers know this device.

use std::io;
use std::path::PathBuf;

use super::finding::{Check, Finding};
use crate::peer::Identity;

const CHECK: Check = Check::Identity;

pub(super) fn check() -> Finding {
    let kept = Identity::kept();
    judge(kept.map(|(path, read)| (path, read.map(|identity| identity.fingerprint().to_owned()))))
}

/// A fingerprint is one word of 95 characters, too long for a line of the report.
fn in_halves(fingerprint: &str) -> String {
    match fingerprint.split_at_checked(48) {
        Some((first, second)) => format!("{first} {second}"),
        None => fingerprint.to_owned(),
    }
}

/// What is kept, and where: a fingerprint, or why it cannot be told.
fn judge(kept: Option<(PathBuf, io::Result<String>)>) -> Finding {
    match kept {
        None => Finding::ok(CHECK, "none yet: it is made at the first start"),
        Some((_, Ok(fingerprint))) => Finding::ok(
            CHECK,
            format!(
                "viewers know this device by sha-256 {}",
                in_halves(&fingerprint)
            ),
        ),
        Some((path, Err(error))) if error.kind() == io::ErrorKind::PermissionDenied => {
            Finding::hint(
                CHECK,
                format!("{} is for the service's user alone", path.display()),
                "run this as that user: `sudo -u camera-agent camera-agent doctor …`",
            )
        }
        Some((path, Err(error))) => Finding::warning(
            CHECK,
            format!("{} cannot be used: {error}", path.display()),
            "another one is made at the next start, and viewers see a device that they do not know",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    #[test]
    fn the_fingerprint_is_told_or_why_not() {
        let kept = |read| judge(Some((PathBuf::from("/x/dtls.pem"), read)));
        let told = kept(Ok("AB:CD".to_owned()));
        assert!(told.what.ends_with("sha-256 AB:CD") && told.severity == Severity::Ok);
        assert_eq!(judge(None).severity, Severity::Ok);
        let denied = kept(Err(io::ErrorKind::PermissionDenied.into()));
        assert!(denied.severity < Severity::Warning && denied.what.contains("/x/dtls.pem"));
        assert_eq!(
            kept(Err(io::Error::other("damaged"))).severity,
            Severity::Warning
        );
    }
}
