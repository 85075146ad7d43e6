//! What a request shows of who sends it: pure.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::secret::Secret;

/// The cookie of a session.
pub(super) const COOKIE: &str = "camera_chat_session";
/// Cookies of that name that are looked at: a folder's and those above it.
const MOST_COOKIES: usize = 4;

/// What it shows.
pub(super) enum Shown {
    Nothing,
    /// HTTP Basic (RFC 7617).
    Password(String, Secret),
    /// HTTP Bearer (RFC 6750).
    Token(Secret),
    /// Sessions of a browser.
    Cookies(Vec<String>),
}

/// Reads them. `Authorization` counts before cookies.
pub(super) fn shown(headers: &HeaderMap) -> Shown {
    let mut told = headers.get_all(header::AUTHORIZATION).iter();
    match (told.next(), told.next()) {
        (None, _) => match cookies(headers) {
            none if none.is_empty() => Shown::Nothing,
            some => Shown::Cookies(some),
        },
        (Some(one), None) => one
            .to_str()
            .ok()
            .and_then(authorization)
            .unwrap_or(Shown::Nothing),
        (Some(_), Some(_)) => Shown::Nothing,
    }
}

fn authorization(text: &str) -> Option<Shown> {
    let (scheme, rest) = text.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Shown::Token(Secret::new(rest)));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    let (name, password) = pair.split_once(':')?;
    Some(Shown::Password(name.to_owned(), Secret::new(password)))
}

/// The tokens of this server's cookies.
pub(super) fn cookies(headers: &HeaderMap) -> Vec<String> {
    let all = headers.get_all(header::COOKIE).iter();
    let pairs = all
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'));
    pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value.to_owned())
        .take(MOST_COOKIES)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn basic_bearer_and_cookies_are_read_and_all_else_shows_nothing() {
        // RFC 7617 §2.
        let basic = shown(&of(&[(
            "authorization",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        )]));
        let Shown::Password(name, password) = basic else {
            panic!("no password")
        };
        assert_eq!(
            (name.as_str(), password.expose()),
            ("Aladdin", "open sesame")
        );
        let Shown::Token(token) = shown(&of(&[("authorization", "bearer  north")])) else {
            panic!("no token")
        };
        assert_eq!(token.expose(), "north");
        let cookie = format!("a=b; {COOKIE}=one;{COOKIE}=two; x{COOKIE}=three");
        let Shown::Cookies(cookies) = shown(&of(&[("cookie", &cookie)])) else {
            panic!("no cookies")
        };
        assert_eq!(cookies, ["one", "two"]);
        for bad in [
            "Basic",
            "Basic !",
            "Basic bm9ydGg=",
            "Digest x",
            "",
            "Basic //8=",
        ] {
            let headers = of(&[("authorization", bad), ("cookie", &cookie)]);
            assert!(matches!(shown(&headers), Shown::Nothing), "{bad}");
        }
        let twice = of(&[("authorization", "Bearer a"), ("authorization", "Bearer b")]);
        assert!(matches!(shown(&twice), Shown::Nothing));
        let many = format!("{COOKIE}=x; ").repeat(100);
        assert_eq!(
            super::cookies(&of(&[("cookie", &many)])).len(),
            MOST_COOKIES
        );
    }
}
