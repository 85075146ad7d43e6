//! The sign-in page, and what those are answered who are not let in: pure.

use std::time::Duration;

use axum::Extension;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Verdict;
use super::headers::COOKIE;
use crate::chat::language::Words;
use crate::login::{SESSION, Token};
use crate::secret::Secret;

/// The page, with a name in braces for each text on it.
const PAGE: &str = include_str!("../page/sign-in.html");
/// These names, but for that of what is wrong.
const SAID: [&str; 6] = [
    "language",
    "direction",
    "title",
    "signIn",
    "userName",
    "password",
];
/// That one.
const PROBLEM: &str = "{problem}";
const HTML: &str = "text/html; charset=utf-8";
const FORM: &str = "application/x-www-form-urlencoded";

/// What programs are told that show nothing.
const NOT_SIGNED_IN: &str = "sign in first: open this server's page, or send a name and a \
    password (HTTP Basic) or a token (Bearer)\n";

/// Marks the sign-in page: its form may be sent.
#[derive(Debug, Clone, Copy)]
pub(in crate::chat) struct IsForm;

/// What was typed.
pub(in crate::chat) struct Form {
    pub(super) user: String,
    pub(super) password: Secret,
}

/// Reads what the page's form sends; `None` where it is something else.
pub(in crate::chat) fn form(headers: &HeaderMap, body: &[u8]) -> Option<Form> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case(FORM) {
        return None;
    }
    let (mut user, mut password) = (None, None);
    for (name, value) in url::form_urlencoded::parse(body) {
        match &*name {
            "user" => user = Some(value.into_owned()),
            "password" => password = Some(Secret::new(value)),
            _ => {}
        }
    }
    let (user, password) = user.zip(password)?;
    // Telephones put a space behind a word that they complete.
    let user = user.trim().to_owned();
    Some(Form { user, password })
}

/// The sign-in page under whatever address was asked for, so that nothing of that
/// is lost, the part behind its `#` neither. `verdict` is what came of a form, and
/// `words` are those of the reader's language.
pub(in crate::chat) fn page(verdict: Option<&Verdict>, words: &Words) -> Response {
    let problem = match verdict {
        None | Some(Verdict::In(_)) => String::new(),
        Some(Verdict::Out) => words.say("wrongPassword").to_owned(),
        Some(Verdict::Wait(wait)) => words.say_with("tooManyAttempts", &time(*wait, words)),
    };
    let mut text = PAGE.to_owned();
    for name in SAID {
        text = text.replace(&format!("{{{name}}}"), words.say(name));
    }
    let text = text.replacen(PROBLEM, &problem, 1);
    let kind = [(header::CONTENT_TYPE, HTML)];
    with_status(verdict, (kind, Extension(IsForm), text).into_response())
}

/// What a request for anything else is answered. `asks` is true for programs,
/// which can answer Basic; browsers would show a window of their own for it.
pub(in crate::chat) fn refusal(verdict: &Verdict, asks: bool) -> Response {
    let text = match verdict {
        Verdict::Wait(wait) => format!("too many attempts; try again in {} s\n", seconds(*wait)),
        Verdict::In(_) | Verdict::Out => NOT_SIGNED_IN.to_owned(),
    };
    let mut answer = with_status(Some(verdict), text.into_response());
    if asks && answer.status() == StatusCode::UNAUTHORIZED {
        let basic = HeaderValue::from_static("Basic realm=\"camera chat\", charset=\"UTF-8\"");
        answer.headers_mut().append(header::WWW_AUTHENTICATE, basic);
    }
    answer
}

fn with_status(verdict: Option<&Verdict>, mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(Verdict::Wait(wait)) = verdict {
        headers.insert(header::RETRY_AFTER, seconds(*wait).into());
        *answer.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    } else {
        // Of a kind that browsers know nothing to ask for.
        let bearer = HeaderValue::from_static("Bearer realm=\"camera chat\"");
        headers.insert(header::WWW_AUTHENTICATE, bearer);
        *answer.status_mut() = StatusCode::UNAUTHORIZED;
    }
    answer
}

/// Leads to the page, which is in the folder of what was asked for. Without a
/// path of its own the cookie is for that folder as the browser sees it, whatever
/// a proxy has taken away of it (RFC 6265 §5.1.4).
pub(in crate::chat) fn signed_in(token: &Token, query: Option<&str>, is_secure: bool) -> Response {
    let to = match query {
        Some(query) => format!("./?{query}"),
        None => "./".to_owned(),
    };
    let seconds = SESSION.as_secs();
    let cookie = cookie(token.expose(), seconds, is_secure);
    let headers = [(header::LOCATION, to), (header::SET_COOKIE, cookie)];
    (StatusCode::SEE_OTHER, headers, "signed in\n").into_response()
}

/// Takes the cookie away.
pub(in crate::chat) fn signed_out(is_secure: bool) -> Response {
    let headers = [(header::SET_COOKIE, cookie("", 0, is_secure))];
    (StatusCode::NO_CONTENT, headers).into_response()
}

fn cookie(value: &str, seconds: u64, is_secure: bool) -> String {
    let secure = if is_secure { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// Whole ones, and not before the time.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

fn time(wait: Duration, words: &Words) -> String {
    match seconds(wait) {
        1 => words.say("aSecond").to_owned(),
        seconds @ 2..=90 => words.say_with("seconds", &seconds.to_string()),
        seconds => words.say_with("minutes", &seconds.div_ceil(60).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Uri;

    use super::*;
    use crate::chat::language;

    #[test]
    fn the_page_says_what_is_wrong_and_when_to_come_again() {
        let wait = Verdict::Wait(Duration::from_millis(7_100));
        let words = language::asked(&HeaderMap::new(), &Uri::default());
        let answer = page(Some(&wait), words);
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers()[header::RETRY_AFTER], "8");
        assert_eq!(page(None, words).status(), 401);
        let mut left = PAGE.replace(PROBLEM, "");
        for name in SAID {
            left = left.replace(&format!("{{{name}}}"), "");
        }
        assert!(left != PAGE && !left.contains('{'), "{left}");
        assert!(!PAGE.contains("<script"), "it works without");
        for (wait, said) in [(1, "a second"), (90, "90 seconds"), (300, "5 minutes")] {
            assert_eq!(time(Duration::from_secs(wait), words), said);
        }
        let programs = refusal(&Verdict::Out, true);
        let kinds = programs.headers().get_all(header::WWW_AUTHENTICATE).iter();
        assert_eq!(kinds.count(), 2);
    }

    #[test]
    fn a_form_is_read_and_nothing_else_taken_for_one() {
        let kind = |kind: &'static str| {
            HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))])
        };
        let body = b"user=alice+&password=n%C3%B6rth%26%3D&x=y";
        let read = form(
            &kind("application/x-www-form-urlencoded; charset=utf-8"),
            body,
        );
        let read = read.expect("a form");
        assert_eq!(
            (read.user.as_str(), read.password.expose()),
            ("alice", "nörth&=")
        );
        assert!(form(&kind("text/plain"), body).is_none());
        assert!(form(&kind(FORM), b"user=alice").is_none());
        assert!(form(&HeaderMap::new(), body).is_none());
    }

    #[test]
    fn a_cookie_is_for_this_server_alone() {
        let headers = signed_out(true);
        let cookie = headers.headers()[header::SET_COOKIE]
            .to_str()
            .expect("text");
        assert!(
            cookie.contains("; HttpOnly; SameSite=Strict; Secure"),
            "{cookie}"
        );
        assert!(
            !cookie.contains("Path") && !cookie.contains("Domain"),
            "{cookie}"
        );
    }
}
