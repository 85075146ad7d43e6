//! Who is let in.

use std::path::PathBuf;

use super::finding::{Check, Finding};
use crate::access::Invitation;
use crate::config::Config;
use crate::guestbook::{Book, BookError};

const CHECK: Check = Check::Access;

/// `service` is the service's state folder, where the configuration is one's.
pub(super) fn check(config: &Config, service: Option<PathBuf>) -> Finding {
    if !config.access.is_invited() {
        return Finding::hint(
            CHECK,
            "THIS CAMERA IS OPEN: everybody who reaches the chat server sees and hears it, and \
             whoever runs that server",
            "set access.mode = \"invited\" in the configuration, and invite people with \
             `camera-agent invite LABEL`",
        );
    }
    judge(Book::of(config, service).and_then(|book| book.read()))
}

fn judge(list: Result<Vec<Invitation>, BookError>) -> Finding {
    match list {
        Ok(list) if list.is_empty() => Finding::hint(
            CHECK,
            "only invited people are let in, and nobody was invited yet",
            "`camera-agent invite LABEL` makes a link, a QR code and a code to type",
        ),
        Ok(list) => Finding::ok(
            CHECK,
            format!(
                "only invited people are let in: {} of at most 256 invitations",
                list.len()
            ),
        ),
        Err(error @ BookError::Denied(_)) => Finding::hint(
            CHECK,
            format!("only invited people are let in; {error}"),
            "run this as that user: `sudo -u camera-agent camera-agent doctor …`",
        ),
        Err(error) => Finding::error(
            CHECK,
            error.to_string(),
            "until the list can be read, a camera that starts lets nobody in",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AccessMode;
    use crate::doctor::Severity;

    #[test]
    fn an_open_camera_is_told_loudly_and_a_list_that_cannot_be_read_is_an_error() {
        let mut config = Config::default();
        let open = check(&config, None);
        assert!(open.severity == Severity::Hint && open.what.contains("CAMERA IS OPEN"));
        let folder = tempfile::tempdir().expect("a folder");
        config.access.mode = Some(AccessMode::Invited);
        config.access.folder = Some(folder.path().to_owned());
        let empty = check(&config, None);
        assert!(empty.severity == Severity::Hint && empty.what.contains("nobody was invited"));
        std::fs::write(folder.path().join("access.toml"), "[[invitation]]").expect("written");
        let damaged = check(&config, None);
        assert!(damaged.severity == Severity::Error, "{damaged:?}");
        std::fs::remove_file(folder.path().join("access.toml")).expect("there");
        let denied = judge(Err(BookError::Denied("/x/access.toml".into())));
        assert!(denied.severity == Severity::Hint && denied.what.contains("/x/access.toml"));
    }
}
