use super::*;
use crate::config::ProxyUrl;

fn basic() -> Credentials {
    Credentials::Basic {
        user: "camera".into(),
        password: "/secret".into(),
    }
}

fn bearer() -> Credentials {
    Credentials::Bearer {
        token: "/secret".into(),
    }
}

fn proxy(url: &str) -> Proxy {
    Proxy {
        url: ProxyUrl::parse(url).expect("an address"),
        source: "HTTPS_PROXY",
    }
}

/// What is said of a failure at this address.
fn at(url: &str, failure: &Failure, credentials: &Credentials, proxy: Option<&Proxy>) -> Trouble {
    let url = ServerUrl::parse(url).expect("an address");
    explain(
        failure,
        &Situation {
            url: &url,
            credentials,
            proxy,
            has_ca_file: false,
        },
    )
}

fn status(code: u16) -> Failure {
    Failure::Status(Answer {
        code,
        location: None,
        challenge: String::new(),
    })
}

fn says(trouble: &Trouble, words: &[&str]) {
    let all = format!("{} → {}", trouble.what, trouble.remedy);
    for word in words {
        assert!(all.contains(word), "{word}: {all}");
    }
}

#[test]
fn each_failure_has_its_own_words_and_a_remedy() {
    let all = [
        Failure::Unusable("x".into()),
        Failure::NoSuchHost("x".into()),
        Failure::Unreachable("x".into()),
        Failure::Silent(10),
        Failure::Refused,
        Failure::NoTls("x".into()),
        Failure::NothingInCommon("x".into()),
        Failure::Certificate(CertificateError::Expired),
        Failure::Certificate(CertificateError::NotValidYet),
        Failure::Certificate(CertificateError::NotValidForName),
        Failure::Certificate(CertificateError::UnknownIssuer),
        Failure::Mute(10),
        Failure::NoWebSocket("x".into()),
        Failure::OtherProtocol,
        status(200),
        status(301),
        status(400),
        status(401),
        status(403),
        status(404),
        status(407),
        status(418),
        status(426),
        status(429),
        status(500),
        status(502),
    ];
    let troubles = all.map(|failure| at("ws://h/", &failure, &Credentials::None, None));
    let mut words: Vec<_> = troubles.iter().map(|t| t.what.clone()).collect();
    words.sort();
    words.dedup();
    assert_eq!(words.len(), troubles.len());
    for trouble in troubles {
        assert!(!trouble.remedy.is_empty() && !trouble.line().contains('\n'));
        assert_eq!(trouble.line().contains(&trouble.remedy), trouble.lasting);
    }
}

#[test]
fn a_login_is_called_one() {
    let challenged = |challenge: &str| {
        Failure::Status(Answer {
            code: 401,
            location: None,
            challenge: challenge.into(),
        })
    };
    let say = |challenge: &str, credentials: &Credentials| {
        at("wss://h/", &challenged(challenge), credentials, None)
    };
    let none = Credentials::None;
    let keys = [
        "asks for a login",
        "server.username and server.password_file",
    ];
    says(&say("Basic realm=\"camera\"", &none), &keys);
    says(&say("", &none), &keys);
    says(
        &say("Bearer", &none),
        &["asks for a login", "server.token_file"],
    );
    says(
        &say("Digest nonce=\"x\"", &none),
        &["Digest", "Basic or Bearer"],
    );
    says(
        &say("Basic", &basic()),
        &["refuses the login of \"camera\"", "password_file"],
    );
    says(
        &say("Bearer", &bearer()),
        &["refuses the token", "server.token_file"],
    );
    says(
        &at("wss://h/", &status(403), &basic(), None),
        &["403", "login that it has"],
    );
}

#[test]
fn a_redirect_is_named_with_the_address_to_set() {
    let moved = |code, location: &str| {
        let answer = Failure::Status(Answer {
            code,
            location: Some(location.into()),
            challenge: String::new(),
        });
        at("ws://h:8080/cam", &answer, &Credentials::None, None)
    };
    for (code, location, words) in [
        (301, "https://h/cam", "set server.url to wss://h/cam"),
        (301, "/cam/", "set server.url to ws://h:8080/cam/"),
        (308, "wss://other/", "set server.url to wss://other/"),
        (302, "https://h/cam/", "set server.url to wss://h/cam/"),
        (307, "https://login.example/?to=x", "a page to log in at"),
        (
            307,
            "https://login.example/?to=x",
            "moved to https://login.example/?… (307)",
        ),
        (301, "http://", "not where to"),
        (303, "mailto:x", "not where to"),
    ] {
        says(&moved(code, location), &[words]);
    }
    // Another's text, of any length, with anything in it.
    let long = moved(
        301,
        &format!("https://u:north@h/{}\x1b[2J\n", "x".repeat(9000)),
    );
    assert!(long.line().len() < 900, "{}", long.line());
    assert!(!long.line().contains(char::is_control) && !long.line().contains("north"));
}

#[test]
fn what_the_proxy_does_is_said_of_the_proxy() {
    let known = proxy("http://camera:north@p.example:3128");
    let unknown = proxy("http://p.example:3128");
    let none = Credentials::None;
    for (failure, proxy, words) in [
        (Failure::Refused, &unknown, "refuses the connection"),
        (Failure::NoSuchHost("x".into()), &unknown, "not found"),
        (Failure::Silent(10), &unknown, "within 10 s"),
        (
            Failure::ProxyStatus(407),
            &unknown,
            "asks for a login (407)",
        ),
        (
            Failure::ProxyStatus(407),
            &unknown,
            "http://USER@p.example:3128",
        ),
        (Failure::ProxyStatus(407), &known, "refuses the user"),
        (
            Failure::ProxyStatus(403),
            &known,
            "refuses a tunnel to h:443 (403)",
        ),
        (
            Failure::ProxyStatus(502),
            &known,
            "does not reach h:443 (502)",
        ),
        (
            Failure::NoProxy("x".into()),
            &known,
            "does not make a tunnel",
        ),
        (Failure::ProxyTls("x".into()), &known, "fails at TLS"),
    ] {
        let trouble = at("wss://h/", &failure, &none, Some(proxy));
        says(&trouble, &["http://p.example:3128 (HTTPS_PROXY)", words]);
        assert!(!format!("{trouble:?}").contains("north"));
    }
    // Behind a proxy that does its work the server is to blame.
    let trouble = at("wss://h/", &status(404), &none, Some(&known));
    assert!(!trouble.what.contains("p.example"), "{trouble:?}");
}

#[test]
fn a_certificate_that_is_none_of_the_file_s_says_how_to_get_the_right_one() {
    let url = ServerUrl::parse("wss://h:6503/").expect("an address");
    let trouble = explain(
        &Failure::Certificate(CertificateError::UnknownIssuer),
        &Situation {
            url: &url,
            credentials: &Credentials::None,
            proxy: None,
            has_ca_file: true,
        },
    );
    says(
        &trouble,
        &["none of those in server.ca_file", "-connect h:6503"],
    );
    let other = at(
        "wss://192.0.2.1/",
        &Failure::Certificate(CertificateError::NotValidForName),
        &Credentials::None,
        None,
    );
    says(&other, &["another name", "subjectAltName=IP:192.0.2.1"]);
}
