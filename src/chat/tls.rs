//! The certificate and key for `https` and `wss`: read at the start, and again
//! when their files change or a signal asks for it.
//!
//! Connections that are open keep what they began with. A new file that cannot
//! be used changes nothing: the one read before stays in use.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tracing::{debug, error, info};

use super::{Error, Tls};
use crate::lock::lock;

/// Certificate and key are written one after the other: until so long after a
/// change, two that do not go together are no fault.
const SETTLE: Duration = Duration::from_secs(5);

/// The certificate in use, and what is known of its files.
pub(super) struct Certificates {
    files: Tls,
    state: Mutex<State>,
}

struct State {
    acceptor: TlsAcceptor,
    /// The files that `acceptor` was made from.
    taken: Stamp,
    /// Files that differ from those, and were of no use so far.
    pending: Option<Pending>,
}

struct Pending {
    stamp: Stamp,
    since: Instant,
    told: bool,
}

impl Certificates {
    /// Reads both files.
    pub(super) fn load(files: Tls) -> Result<Self, Error> {
        let taken = Stamp::of(&files);
        let acceptor = acceptor(&files)?;
        let state = Mutex::new(State {
            acceptor,
            taken,
            pending: None,
        });
        Ok(Self { files, state })
    }

    /// What the next connection is accepted with.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.state().acceptor.clone()
    }

    /// Looks whether the files are others than those in use, and takes them.
    /// `asked` is true where somebody waits for it: then they are read in any
    /// case, and what is wrong with them is said at once.
    pub(super) fn look(&self, asked: bool, now: Instant) {
        let stamp = Stamp::of(&self.files);
        let mut state = self.state();
        if !asked {
            if stamp == state.taken {
                state.pending = None;
                return;
            }
            if state
                .pending
                .as_ref()
                .is_some_and(|p| p.told && p.stamp == stamp)
            {
                return;
            }
        }
        match acceptor(&self.files) {
            Ok(acceptor) => {
                let certificate = self.files.cert.display();
                if asked || stamp != state.taken {
                    info!(%certificate, "took the certificate and key anew");
                }
                state.acceptor = acceptor;
                state.taken = stamp;
                state.pending = None;
            }
            Err(problem) => {
                let since = match &state.pending {
                    Some(pending) if pending.stamp == stamp => pending.since,
                    Some(_) | None => now,
                };
                let told = asked || now.saturating_duration_since(since) >= SETTLE;
                if told {
                    error!("{problem}. The certificate read before stays in use");
                } else {
                    debug!(%problem, "a changed certificate is of no use yet");
                }
                state.pending = Some(Pending { stamp, since, told });
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Tells the certificate's and the key's files from others under their names,
/// symbolic links followed.
#[derive(PartialEq, Eq)]
struct Stamp([Option<FileStamp>; 2]);

#[derive(PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(files: &Tls) -> Self {
        let of = |path: &Path| {
            let known = std::fs::metadata(path).ok()?;
            Some(FileStamp {
                device: known.dev(),
                inode: known.ino(),
                size: known.size(),
                modified: (known.mtime(), known.mtime_nsec()),
            })
        };
        Self([of(&files.cert), of(&files.key)])
    }
}

fn acceptor(tls: &Tls) -> Result<TlsAcceptor, Error> {
    let bad_cert = |why: String| Error::Certificate {
        path: tls.cert.clone(),
        why,
    };
    let certs = CertificateDer::pem_file_iter(&tls.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| bad_cert(e.to_string()))?;
    if certs.is_empty() {
        return Err(bad_cert("no certificate in it".into()));
    }
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|e| Error::Key {
        path: tls.key.clone(),
        why: e.to_string(),
    })?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has what TLS 1.2 and 1.3 need")
        .with_no_client_auth()
        .with_single_cert(certs, key)
        .map_err(|e| Error::Pair {
            cert: tls.cert.clone(),
            key: tls.key.clone(),
            why: e.to_string(),
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(files: &Tls) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("made");
        std::fs::write(&files.cert, made.cert.pem()).expect("written");
        std::fs::write(&files.key, made.signing_key.serialize_pem()).expect("written");
    }

    fn told(certificates: &Certificates) -> Option<bool> {
        certificates.state().pending.as_ref().map(|p| p.told)
    }

    fn in_use(certificates: &Certificates) -> *const ServerConfig {
        Arc::as_ptr(certificates.acceptor().config())
    }

    #[test]
    fn changed_files_are_taken_and_bad_ones_are_told_once_and_change_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Tls {
            cert: folder.path().join("cert.pem"),
            key: folder.path().join("key.pem"),
        };
        write(&files);
        let certificates = Certificates::load(files.clone()).expect("good files");
        let start = Instant::now();
        let first = in_use(&certificates);
        certificates.look(false, start);
        assert_eq!(in_use(&certificates), first, "nothing changed");

        write(&files);
        certificates.look(false, start);
        let second = in_use(&certificates);
        assert_ne!(second, first);

        // Half of a renewal: the key comes a moment later.
        let key = std::fs::read(&files.key).expect("there");
        write(&files);
        let new_key = std::fs::read(&files.key).expect("there");
        std::fs::write(&files.key, key).expect("written");
        certificates.look(false, start);
        assert_eq!(
            (told(&certificates), in_use(&certificates)),
            (Some(false), second)
        );
        certificates.look(false, start + SETTLE);
        assert_eq!(
            (told(&certificates), in_use(&certificates)),
            (Some(true), second)
        );
        std::fs::write(&files.key, new_key).expect("written");
        certificates.look(false, start + SETTLE);
        let third = in_use(&certificates);
        assert_eq!(told(&certificates), None);
        assert_ne!(third, second);

        std::fs::remove_file(&files.cert).expect("removed");
        certificates.look(true, start);
        assert_eq!(
            (told(&certificates), in_use(&certificates)),
            (Some(true), third)
        );
    }
}
