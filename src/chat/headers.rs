//! Headers of every answer: what the page may load, connect to and be framed by.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::origin;

/// The page loads nothing from elsewhere and runs no inline script.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; media-src 'self' blob: mediastream:; base-uri 'none'; \
    form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Part of that.
const NO_FORMS: &str = "form-action 'none'";

const FIXED: [(HeaderName, HeaderValue); 4] = [
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(self), microphone=(self), geolocation=(), payment=()"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// Who may show the page inside another one, as `frame-ancestors` has it (CSP
/// Level 3 §6.4.2): an origin, `'self'`, a scheme (`https:`) or `*`.
///
/// # Errors
/// What is wrong with `text`, and how it is written.
pub(crate) fn frame_ancestor(text: &str) -> Result<String, String> {
    let text = text.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:/[]*".contains(c);
    match text.trim_matches('\'') {
        "self" => return Ok("'self'".into()),
        "none" => return Ok("'none'".into()),
        "*" => return Ok("*".into()),
        "http:" | "https:" => return Ok(text.to_owned()),
        _ => {}
    }
    let host = text
        .split_once("://")
        .map(|(_, host)| host.trim_end_matches('/'));
    match host {
        Some(host) if !host.is_empty() && !host.contains('/') && text.chars().all(plain) => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        Some(_) | None => Err(
            "it is no origin; it is written https://home.example.org:8123, \"self\" for pages of \
             this server, or \"*\" for any page"
                .into(),
        ),
    }
}

/// Lets a page send its form to this server, and say with it where the page is
/// from: with `no-referrer` a form's `Origin` would be "null" (Fetch §3.2).
pub(super) fn of_form(headers: &mut HeaderMap) {
    let policy = headers.get(header::CONTENT_SECURITY_POLICY);
    let policy = policy.and_then(|policy| policy.to_str().ok());
    let policy = policy.map(|policy| policy.replace(NO_FORMS, "form-action 'self'"));
    if let Some(policy) = policy.and_then(|policy| HeaderValue::try_from(policy).ok()) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    let referrer = HeaderValue::from_static("same-origin");
    headers.insert(header::REFERRER_POLICY, referrer);
}

/// Adds what every answer has. `host` is the request's `Host`, `sockets` are
/// more addresses for the page's WebSocket, and without `ancestors` nobody may
/// frame the page.
pub(super) fn add(
    headers: &mut HeaderMap,
    host: Option<&str>,
    sockets: impl Iterator<Item = String>,
    ancestors: &[String],
) {
    // Safari before 15.4 takes 'self' for https alone, not for wss.
    let mut connect = String::from("connect-src 'self'");
    if let Some(host) = host.and_then(origin::safe_host) {
        connect.push_str(&format!(" ws://{host} wss://{host}"));
    }
    for socket in sockets {
        connect.push(' ');
        connect.push_str(&socket);
    }
    let framed_by = match ancestors {
        [] => "'none'".into(),
        some => some.join(" "),
    };
    let policy = format!("{POLICY}; {connect}; frame-ancestors {framed_by}");
    // Hosts and told origins hold nothing but plain characters.
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    if ancestors.is_empty() {
        // For browsers that know no frame-ancestors. It has no word for others
        // than nobody and the same origin.
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    }
    headers.extend(FIXED);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_frame_is_an_origin_and_brings_no_other_directive() {
        for (text, policy) in [
            ("self", "'self'"),
            ("'self'", "'self'"),
            ("*", "*"),
            ("https://ha.example:8123/", "https://ha.example:8123"),
            ("https://*.example", "https://*.example"),
            ("http://[fe80::1]:8123", "http://[fe80::1]:8123"),
        ] {
            assert_eq!(frame_ancestor(text).as_deref(), Ok(policy));
        }
        for bad in [
            "",
            "ha.example",
            "https://",
            "https://a; script-src *",
            "https://a/b",
            "https://a,b",
        ] {
            assert!(frame_ancestor(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_form_of_the_sign_in_page_may_be_sent_to_this_server_alone() {
        let mut headers = HeaderMap::new();
        add(&mut headers, None, std::iter::empty(), &[]);
        of_form(&mut headers);
        let policy = headers[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .expect("text");
        assert!(policy.contains("form-action 'self';") && !policy.contains(NO_FORMS));
        let referrers = headers.get_all(header::REFERRER_POLICY).iter();
        assert_eq!(referrers.collect::<Vec<_>>(), ["same-origin"]);
    }

    #[test]
    fn framing_is_refused_unless_somebody_is_named() {
        let policy = |ancestors: &[String], host| {
            let mut headers = HeaderMap::new();
            add(&mut headers, host, std::iter::empty(), ancestors);
            let text = headers[header::CONTENT_SECURITY_POLICY]
                .to_str()
                .expect("text");
            (
                text.to_owned(),
                headers.contains_key(header::X_FRAME_OPTIONS),
            )
        };
        let (refused, options) = policy(&[], Some("cam:6503"));
        assert!(
            refused.contains("frame-ancestors 'none'") && options,
            "{refused}"
        );
        assert!(
            refused.contains("connect-src 'self' ws://cam:6503 wss://cam:6503;"),
            "{refused}"
        );
        let (named, options) = policy(&["https://ha.example".into()], Some("x; y"));
        assert!(
            named.contains("frame-ancestors https://ha.example") && !options,
            "{named}"
        );
        assert!(named.contains("connect-src 'self';"), "{named}");
    }
}
