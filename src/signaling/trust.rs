//! Which certificates are trusted.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tracing::debug;

use super::SignalingError;

pub(super) fn tls_config(
    ca_file: Option<&PathBuf>,
) -> Result<rustls::ClientConfig, SignalingError> {
    let mut roots = rustls::RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in system.errors {
        debug!(%error, "a system certificate was not read");
    }
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = ca_file {
        let failed = |problem: String| SignalingError::Authority {
            path: path.clone(),
            problem,
        };
        let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|e| failed(e.to_string()))?;
        if certificates.is_empty() {
            return Err(failed("there is no certificate in it".into()));
        }
        for certificate in certificates {
            roots.add(certificate).map_err(|e| failed(e.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| SignalingError::Tls(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
