//! Origins and hosts as anybody writes them: for fuzzing and for property
//! tests. Not part of the program.

use axum::http::HeaderMap;

use super::headers;
use super::origin::{Origins, safe_host, told};
use crate::fuzzing::Draw;

/// A page's origin and a request's host, at a server that was told some. Over
/// http a page may connect only from an address, this machine's names, or what
/// was told; and no host gets anything into the content policy.
pub fn origins(data: &[u8]) {
    let mut draw = Draw(data);
    let (origin, host, allowed) = (draw.text(), draw.text(), draw.text());
    if let Ok(written) = told(&allowed) {
        assert_eq!(told(&written), Ok(written.clone()), "as it is kept");
        assert!(!written.contains(char::is_whitespace) || !written.starts_with("http"));
        let origins = Origins::of("camera", std::slice::from_ref(&written));
        assert!(origins.allows(Some(&written), None), "{written}");
    }
    let origins = Origins::of("camera", &[]);
    if origins.allows(Some(&origin), Some(&host)) {
        let lower = origin.to_ascii_lowercase();
        let own =
            lower.strip_prefix("http://").is_none_or(|rest| {
                let name = rest.rsplit_once(':').map_or(rest, |(name, port)| {
                    if port.ends_with(']') { rest } else { name }
                });
                let name = name.strip_suffix('.').unwrap_or(name);
                let address = name.trim_start_matches('[').trim_end_matches(']');
                address.parse::<std::net::IpAddr>().is_ok()
                    || ["localhost", "camera", "camera.local"].contains(&name)
                    || name.ends_with(".localhost")
            });
        assert!(own && lower.starts_with("http"), "{origin} at {host}");
    }
    let _ = origins.trusts_host(Some(&host), false);
    if let Some(host) = safe_host(&host) {
        let steers = |c: char| c.is_whitespace() || c.is_control() || ";,'\"*/?#@\\".contains(c);
        assert!(!host.contains(steers), "{host}");
    }
    let mut headers = HeaderMap::new();
    headers::add(&mut headers, Some(&host), origins.sockets(), &[]);
    let policy = headers.get("content-security-policy");
    let policy = policy.and_then(|p| p.to_str().ok()).expect("always there");
    let mut plain = HeaderMap::new();
    headers::add(&mut plain, Some("camera"), origins.sockets(), &[]);
    let usual = plain["content-security-policy"].to_str().expect("text");
    let directives = |text: &str| text.matches(';').count();
    assert_eq!(directives(policy), directives(usual), "{policy}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_origin_and_host(
            parts in proptest::collection::vec(
                prop_oneof![
                    "(https?://)?[a-zA-Z.\\-_]{0,12}(:[0-9]{0,6})?",
                    "(https?://)?\\[?[0-9a-f:.%]{0,20}\\]?(:[0-9]{0,6})?",
                    "\\PC{0,30}",
                ], 3),
        ) {
            let mut data = Vec::new();
            for part in &parts {
                let part = &part.as_bytes()[..part.len().min(255)];
                data.push(part.len() as u8);
                data.extend_from_slice(part);
            }
            super::origins(&data);
        }
    }
}
