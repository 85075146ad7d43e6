//! Which certificates are trusted: those that lead to an authority of the
//! system's or of `server.ca_file`, and those that are in that file themselves.
//!
//! The usual certificate of one's own making (`openssl req -x509`) calls itself
//! an authority and is the server's own at the same time. WebPKI refuses an
//! authority as a server, whereas OpenSSL, and with it `curl --cacert`, takes a
//! certificate that the user named. So does this: one that is in the file byte
//! for byte is good for the time and the names that it says.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tracing::debug;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::SignalingError;

/// Certificates to trust.
#[derive(Debug, Clone)]
pub(super) struct Trust {
    system: Arc<RootCertStore>,
    ca_file: Option<PathBuf>,
}

impl Trust {
    /// Those of the system and of a file, which is read for each connection.
    pub(super) fn new(ca_file: Option<PathBuf>) -> Self {
        let mut system = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in found.errors {
            debug!(%error, "a system certificate was not read");
        }
        system.add_parsable_certificates(found.certs);
        Self {
            system: Arc::new(system),
            ca_file,
        }
    }

    /// How TLS is set up, with the file as it is now.
    pub(super) fn tls(&self) -> Result<Arc<ClientConfig>, SignalingError> {
        let mut roots = RootCertStore::clone(&self.system);
        let mut own = Vec::new();
        if let Some(path) = &self.ca_file {
            own = read(path)?;
            for certificate in &own {
                roots
                    .add(certificate.clone())
                    .map_err(|e| unusable(path, e.to_string()))?;
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let failed = |e: rustls::Error| SignalingError::Tls(e.to_string());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(failed)?;
        let config = if own.is_empty() {
            builder.with_root_certificates(roots)
        } else {
            let inner =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                    .build()
                    .map_err(|e| SignalingError::Tls(e.to_string()))?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Verifier {
                    inner,
                    own,
                    provider,
                }))
        }
        .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

/// What `openssl x509 -trustout` writes; nobody else reads it.
const OPENSSL_TRUSTED: &[u8] = b"BEGIN TRUSTED CERTIFICATE";

fn unusable(path: &Path, problem: String) -> SignalingError {
    SignalingError::Authority {
        path: path.to_owned(),
        problem,
    }
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, SignalingError> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|e| unusable(path, e.to_string()))?;
    if certificates.is_empty() {
        let text = std::fs::read(path).unwrap_or_default();
        let is_openssl = text
            .windows(OPENSSL_TRUSTED.len())
            .any(|w| w == OPENSSL_TRUSTED);
        let problem = match is_openssl {
            true => {
                "it is one of OpenSSL's own form, BEGIN TRUSTED CERTIFICATE: write it anew with \
                 openssl x509 -in FILE -out NEW"
            }
            false => "there is no certificate in it, which begins with -----BEGIN CERTIFICATE-----",
        };
        return Err(unusable(path, problem.into()));
    }
    Ok(certificates)
}

/// WebPKI, and certificates that are trusted as they are.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    own: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let by_authority = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match by_authority {
            Err(_) if self.own.iter().any(|own| own == end_entity) => {
                as_it_is(end_entity, server_name, now)
            }
            judged => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Whether a certificate that the user named is in force and that of this name.
fn as_it_is(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, rustls::Error> {
    let bad = rustls::Error::InvalidCertificate;
    let (_, read) =
        X509Certificate::from_der(certificate).map_err(|_| bad(CertificateError::BadEncoding))?;
    let time =
        |at: i64| UnixTime::since_unix_epoch(std::time::Duration::from_secs(at.max(0) as u64));
    let not_before = time(read.validity().not_before.timestamp());
    let not_after = time(read.validity().not_after.timestamp());
    if now < not_before {
        return Err(bad(CertificateError::NotValidYetContext {
            time: now,
            not_before,
        }));
    }
    if now > not_after {
        return Err(bad(CertificateError::ExpiredContext {
            time: now,
            not_after,
        }));
    }
    let parsed = ParsedCertificate::try_from(certificate)?;
    match rustls::client::verify_server_name(&parsed, name) {
        Ok(()) => Ok(ServerCertVerified::assertion()),
        Err(_) if has_common_name(&read, name) => Ok(ServerCertVerified::assertion()),
        Err(error) => Err(error),
    }
}

/// The certificate has no names but the one in its subject, and that is this.
/// `openssl req -x509` makes such a certificate unless it is told the names
/// (RFC 6125 §6.4.4 lets a client look there).
fn has_common_name(certificate: &X509Certificate<'_>, name: &ServerName<'_>) -> bool {
    if !matches!(certificate.subject_alternative_name(), Ok(None)) {
        return false;
    }
    let common = certificate.subject().iter_common_name().last();
    common
        .and_then(|common| common.as_str().ok())
        .is_some_and(|common| common.eq_ignore_ascii_case(&name.to_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use std::time::Duration;

    /// A certificate of one's own making, changed in some way.
    fn certificate(
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> rcgen::Certificate {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("signed")
    }

    fn authority(params: &mut CertificateParams) {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }

    fn common_name(params: &mut CertificateParams, name: &str) {
        authority(params);
        params.distinguished_name = rcgen::DistinguishedName::new();
        let kind = rcgen::DnType::CommonName;
        params.distinguished_name.push(kind, name);
    }

    /// Whether a server with this certificate is taken, with `named` in the
    /// file.
    fn judged(
        named: &rcgen::Certificate,
        shown: &rcgen::Certificate,
        name: &str,
        now: UnixTime,
    ) -> Result<(), String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(named.der().clone()).expect("a certificate");
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let verifier = Verifier {
            inner: inner.build().expect("a verifier"),
            own: vec![named.der().clone()],
            provider,
        };
        let name = ServerName::try_from(name).expect("a name");
        verifier
            .verify_server_cert(shown.der(), &[], &name, &[], now)
            .map(drop)
            .map_err(|e| e.to_string())
    }

    #[test]
    fn a_certificate_that_was_named_is_taken_whatever_it_calls_itself() {
        let now = UnixTime::now();
        let plain = certificate(&["cam.example", "192.0.2.1"], |_| {});
        let ca = certificate(&["cam.example", "192.0.2.1"], authority);
        for made in [&plain, &ca] {
            for name in ["cam.example", "CAM.example", "192.0.2.1"] {
                assert_eq!(judged(made, made, name, now), Ok(()), "{name}");
            }
            let other = judged(made, made, "other.example", now).expect_err("another name");
            assert!(other.contains("cam.example"), "{other}");
        }
        // The same names and the same subject with another key.
        let forged = certificate(&["cam.example"], authority);
        judged(&ca, &forged, "cam.example", now).expect_err("not the one");
    }

    #[test]
    fn it_is_good_for_the_time_that_it_says() {
        let made = certificate(&["cam.example"], |params| {
            authority(params);
            params.not_before = rcgen::date_time_ymd(2024, 1, 1);
            params.not_after = rcgen::date_time_ymd(2024, 12, 31);
        });
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let judge = |now| judged(&made, &made, "cam.example", now);
        assert_eq!(judge(at(1_720_000_000)), Ok(()));
        let early = judge(at(1_600_000_000)).expect_err("not yet");
        assert!(early.contains("not valid yet"), "{early}");
        let late = judge(at(1_780_000_000)).expect_err("no longer");
        assert!(late.contains("expired"), "{late}");
    }

    #[test]
    fn one_without_names_has_that_of_its_subject() {
        let now = UnixTime::now();
        for name in ["cam.example", "192.0.2.1"] {
            let made = certificate(&[], |params| common_name(params, name));
            assert_eq!(judged(&made, &made, name, now), Ok(()));
            judged(&made, &made, "other.example", now).expect_err("another name");
        }
        // With names, that of the subject does not count.
        let made = certificate(&["a.example"], |params| common_name(params, "b.example"));
        judged(&made, &made, "b.example", now).expect_err("not among the names");
    }

    #[test]
    fn a_certificate_of_openssls_own_form_is_called_so() {
        let text = certificate(&["a.example"], |_| {}).pem();
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(
            file.path(),
            text.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
        )
        .expect("written");
        let error = Trust::new(Some(file.path().to_owned())).tls();
        let error = error.expect_err("unusable").to_string();
        assert!(error.contains("openssl x509 -in"), "{error}");
    }

    #[test]
    fn a_file_without_a_certificate_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for path in [file.path(), Path::new("/no/such.pem")] {
            let error = Trust::new(Some(path.to_owned()))
                .tls()
                .expect_err("unusable");
            let text = error.to_string();
            assert!(
                text.contains("server.ca_file") && text.contains(&path.display().to_string()),
                "{text}"
            );
        }
    }
}
