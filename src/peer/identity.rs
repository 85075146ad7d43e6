//! The certificate by which viewers know this device: made once, kept for life.
//!
//! It proves nothing by itself (RFC 8827 §6.5: its fingerprint in the answer
//! does), so it needs no end; and a board's clock is wrong at each start until
//! the network has told it the time. Browsers do not look at its dates. The
//! crate does, before each call, and gives a certificate that it makes on 32-bit
//! ARM two days; so the date by which it goes is set here.
//!
//! It is in `dtls.pem` of the state directory, readable by this user alone:
//! certificate and key in PEM, and above them the fingerprint, by which a
//! damaged file is found out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rtc::crypto::{RTCCrypto, SignatureScheme};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use tracing::{info, warn};
use webrtc::peer_connection::{RTCCertificate, crypto};

use super::PeerError;
use crate::state::{self, SERVICE};

const FILE: &str = "dtls.pem";
/// Longer is none of ours.
const LONGEST: u64 = 16 * 1024;
/// P-256: half the handshake time of RSA, and what browsers use.
const SCHEME: SignatureScheme = SignatureScheme::EcdsaP256Sha256;
/// The year 4000; where a clock counts no further, 2038.
const ENDS: [u64; 2] = [64_060_588_800, i32::MAX as u64];

/// The certificate and its fingerprint.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(super) certificate: RTCCertificate,
    fingerprint: String,
}

impl Identity {
    /// The one of this user, in their [state folder](state::folder). One is made where there is none, which takes seconds on a weak board.
    ///
    /// Where it cannot be kept, that is logged, and it is good for this run.
    pub(crate) fn of_this_device() -> Result<Self, PeerError> {
        match state::folder() {
            Some(folder) => Self::in_folder(&folder),
            None => {
                warn!(
                    "there is no state directory: the device's certificate is made anew at each start"
                );
                Self::new()
            }
        }
    }

    /// The one in this folder.
    pub(crate) fn in_folder(folder: &Path) -> Result<Self, PeerError> {
        let path = folder.join(FILE);
        match Self::read(&path) {
            Ok(identity) => return Ok(identity),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => warn!(
                path = %path.display(), %error,
                "the device's certificate cannot be used; another one is made"
            ),
        }
        let identity = Self::new()?;
        match identity.write(&path) {
            Ok(()) => {
                info!(path = %path.display(), fingerprint = %identity.fingerprint, "a certificate was made")
            }
            Err(error) => warn!(
                path = %path.display(), %error,
                "the device's certificate cannot be kept, and is another one after each start"
            ),
        }
        Ok(identity)
    }

    /// The one that is kept on this machine, of the service or else of this
    /// user, and where; none is made.
    pub(crate) fn kept() -> Option<(PathBuf, io::Result<Self>)> {
        let own = state::folder().map(|folder| folder.join(FILE));
        let all = [Some(Path::new(SERVICE).join(FILE)), own];
        all.into_iter()
            .flatten()
            .map(|path| {
                let read = Self::read(&path);
                (path, read)
            })
            .find(|(_, read)| !matches!(read, Err(e) if e.kind() == io::ErrorKind::NotFound))
    }

    /// A new one, which is kept nowhere.
    pub(crate) fn new() -> Result<Self, PeerError> {
        let provider = crypto::default_provider().map_err(failed)?;
        let made = RTCCertificate::generate(provider.crypto(), SCHEME, Default::default());
        Self::of(made.map_err(failed)?, provider.crypto())
    }

    /// The certificate's SHA-256, as its 32 bytes.
    pub(crate) fn sha256(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(self.fingerprint.split(':')) {
            *byte = u8::from_str_radix(digits, 16).unwrap_or_default();
        }
        bytes
    }

    /// The certificate's SHA-256, as SDP has it (RFC 8122 §5) but in capitals,
    /// as browsers show it.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn of(mut certificate: RTCCertificate, crypto: &dyn RTCCrypto) -> Result<Self, PeerError> {
        let ends = ENDS.map(|s| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(s)));
        if let Some(end) = ends.into_iter().flatten().next() {
            certificate.expires = end;
        }
        let fingerprints = certificate.get_fingerprints(crypto).map_err(failed)?;
        let fingerprint = fingerprints.first().ok_or_else(|| failed("it is empty"))?;
        Ok(Self {
            fingerprint: fingerprint.value.to_ascii_uppercase(),
            certificate,
        })
    }

    fn read(path: &Path) -> io::Result<Self> {
        if fs::metadata(path)?.len() > LONGEST {
            return Err(io::Error::other("it is too long to be one"));
        }
        Self::parse(&fs::read_to_string(path)?).map_err(io::Error::other)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let words = |error: &dyn std::fmt::Display| error.to_string();
        let certificate = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|e| words(&e))?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(|e| words(&e))?;
        // The crate takes any two, and the first call would fail.
        let signing = any_supported_type(&PrivateKeyDer::Pkcs8(key.clone_key()));
        let pair = CertifiedKey::new(vec![certificate.clone()], signing.map_err(|e| words(&e))?);
        pair.keys_match().map_err(|e| words(&e))?;
        let provider = crypto::default_provider().map_err(|e| words(&e))?;
        let key = key.secret_pkcs8_der();
        let certificate = RTCCertificate::from_pkcs8(
            provider.crypto(),
            SCHEME,
            vec![certificate],
            key,
            SystemTime::UNIX_EPOCH,
        );
        let certificate = certificate.map_err(|e| words(&e))?;
        let this = Self::of(certificate, provider.crypto()).map_err(|e| words(&e))?;
        match text.lines().next() {
            Some(line) if line == this.first_line() => Ok(this),
            _ => Err("its fingerprint is not the one that is written in it".to_owned()),
        }
    }

    fn first_line(&self) -> String {
        format!("sha-256 {}", self.fingerprint)
    }

    fn text(&self) -> Result<String, String> {
        let dtls = &self.certificate.dtls_certificate;
        let key = dtls.private_key.signing_key.to_pkcs8_der();
        let key = key.map_err(|e| e.to_string())?;
        let key = key.ok_or("its key cannot be written")?;
        let mut text = self.first_line() + "\n";
        for certificate in &dtls.certificate {
            text += &pem("CERTIFICATE", certificate);
        }
        Ok(text + &pem("PRIVATE KEY", key.as_ref()))
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let text = self.text().map_err(io::Error::other)?;
        state::replace(path, &text)
    }
}

fn failed(error: impl std::fmt::Display) -> PeerError {
    PeerError::Certificate(error.to_string())
}

/// RFC 7468 §2.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut lines = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        lines += line;
        lines.push('\n');
        rest = more;
    }
    lines + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_made_once_and_is_the_same_ever_after() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("state/camera-agent");
        let first = Identity::in_folder(&state).expect("made");
        let again = Identity::in_folder(&state).expect("read");
        assert_eq!(first.fingerprint(), again.fingerprint());
        assert_eq!(first.certificate, again.certificate);
        assert_eq!(first.fingerprint().len(), 32 * 3 - 1);
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&state.join(FILE)), 0o600);
        assert_eq!(mode(&state), 0o700);
        assert_eq!(fs::read_dir(&state).expect("there").count(), 1, "no rest");
    }

    /// The crate refuses every call from the date on that a certificate has;
    /// one that is read has another maker than one that is made.
    #[test]
    fn it_outlives_the_device_whatever_the_clock_says() {
        let folder = tempfile::tempdir().expect("a folder");
        let made = Identity::in_folder(folder.path()).expect("made");
        let read = Identity::in_folder(folder.path()).expect("read");
        let year = Duration::from_secs(365 * 86_400);
        for identity in [made, read, Identity::new().expect("made")] {
            let ends = identity.certificate.expires;
            for clock in [SystemTime::UNIX_EPOCH, SystemTime::now() + 11 * year] {
                assert!(ends.duration_since(clock).expect("later") > year / 2);
            }
        }
    }

    #[test]
    fn a_damaged_file_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE);
        let good = Identity::new().expect("made").text().expect("exported");
        let other = Identity::new().expect("made").text().expect("exported");
        let (own_certificate, _) = good.split_once("-----BEGIN PRIVATE").expect("two parts");
        let (_, other_key) = other.split_once("-----BEGIN PRIVATE").expect("two parts");
        let flipped = good.replacen("MII", "MIJ", 1);
        let damaged = [
            String::new(),
            "\0\0\0\0".to_owned(),
            good[..good.len() / 2].to_owned(),
            good[good.find('\n').expect("a line") + 1..].to_owned(),
            flipped,
            format!("{own_certificate}-----BEGIN PRIVATE{other_key}"),
            good.clone() + &"x".repeat(20_000),
        ];
        for text in &damaged {
            fs::write(&path, text).expect("written");
            let made = Identity::in_folder(folder.path()).expect("another one");
            let kept = Identity::read(&path).expect("it is good");
            assert_eq!(made.fingerprint(), kept.fingerprint(), "{text:.80}");
        }
        fs::write(&path, &good).expect("written");
        let kept = Identity::in_folder(folder.path()).expect("good");
        assert!(good.starts_with(&kept.first_line()));
    }

    #[test]
    fn one_that_cannot_be_kept_is_good_all_the_same() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let nowhere = file.path().join("state");
        let identity = Identity::in_folder(&nowhere).expect("made");
        assert!(!identity.fingerprint().is_empty());
    }
}
