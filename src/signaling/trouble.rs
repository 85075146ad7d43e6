//! What kept the device from the chat server, in words, and what to do: pure.
//!
//! Log, service status and doctor say the same. What a server or a proxy wrote
//! is bounded, and addresses are shown without credentials.

use rustls::CertificateError;
use url::Url;

use super::credentials::Credentials;
use super::failure::{Answer, Failure};
use super::proxy::Proxy;
use crate::config::{ServerUrl, show};
use crate::secret::without_credentials;
use crate::wire::DEFAULT_PORT;

/// Characters of another's text that are shown.
const MOST_SHOWN: usize = 200;

/// What the words depend on besides.
pub(super) struct Situation<'a> {
    pub url: &'a ServerUrl,
    pub credentials: &'a Credentials,
    pub proxy: Option<&'a Proxy>,
    pub has_ca_file: bool,
}

/// A failure in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// What the server does or is, to follow its address or "it".
    pub what: String,
    /// What to do.
    pub remedy: String,
    /// It stays so until somebody does that; otherwise the next try may go
    /// better.
    pub lasting: bool,
}

impl Trouble {
    fn passing(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
            lasting: false,
        }
    }

    fn lasting(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            lasting: true,
            ..Self::passing(what, remedy)
        }
    }

    /// One line for the log: the remedy is in it where waiting is none.
    pub(crate) fn line(&self) -> String {
        match self.lasting {
            true => format!("it {}; {}", self.what, self.remedy),
            false => format!("it {}", self.what),
        }
    }
}

/// Says what is so and what to do.
pub(super) fn explain(failure: &Failure, here: &Situation<'_>) -> Trouble {
    use Failure as F;
    if let Some(proxy) = here.proxy
        && let Some(trouble) = of_proxy(failure, proxy, here)
    {
        return trouble;
    }
    match failure {
        F::Unusable(why) => Trouble::lasting(
            format!("cannot be connected to: {why}"),
            "mend that; no restart is needed for a file",
        ),
        F::NoSuchHost(why) => Trouble::passing(
            format!("has a host that is not found: {}", shown(why)),
            "correct the host in server.url, or see that name resolution works: `getent hosts`",
        ),
        F::Unreachable(why) => Trouble::passing(
            format!("is not reached: {why}"),
            "see that this device has a network and that no firewall is in the way",
        ),
        F::Silent(seconds) => Trouble::passing(
            format!("is not reached: no answer within {seconds} s"),
            "see that the host is on, that this device has a network and that no firewall is in \
             the way; where only an HTTP proxy leads out, set server.proxy",
        ),
        F::Refused => Trouble::passing(
            "refuses the connection: nobody listens there",
            format!(
                "start the chat server (`camera-agent chat`), or correct host and port in \
                 server.url; the usual port is {DEFAULT_PORT}"
            ),
        ),
        F::NoTls(why) => Trouble::lasting(
            format!("does not speak TLS: {}", shown(why)),
            "write ws:// in server.url for a server without a certificate",
        ),
        F::NothingInCommon(why) => Trouble::lasting(
            format!(
                "refuses what this device has to offer for TLS: {}",
                shown(why)
            ),
            "let it take TLS 1.2 or 1.3 under the name in server.url, with a certificate of RSA, \
             ECDSA on P-256 or P-384, or Ed25519",
        ),
        F::Certificate(why) => of_certificate(why, here),
        F::Mute(seconds) => Trouble::passing(
            format!("accepts the connection and says nothing for {seconds} s"),
            "what listens there is no chat server, or it hangs; for a server with a certificate \
             write wss:// in server.url",
        ),
        F::NoWebSocket(why) => Trouble::lasting(
            format!("does not speak WebSocket: {}", shown(why)),
            "it is no chat server: correct host and port in server.url; for a server with a \
             certificate write wss://",
        ),
        F::Status(answer) => of_status(answer, here),
        F::OtherProtocol => Trouble::lasting(
            "opens a WebSocket without the subprotocol \"json\"",
            "it is no webrtc-from-chat server: correct server.url",
        ),
        F::ProxyTls(_) | F::NoProxy(_) | F::ProxyStatus(_) => {
            Trouble::passing("is not reached", "see the proxy's log")
        }
    }
}

/// What the proxy did not do.
fn of_proxy(failure: &Failure, proxy: &Proxy, here: &Situation<'_>) -> Option<Trouble> {
    use Failure as F;
    let (url, source, to) = (&proxy.url, proxy.source, here.url.authority());
    let behind = |what: &str| format!("is behind the proxy {url} ({source}), which {what}");
    let is_there = format!("see that the proxy runs, or correct {source}");
    Some(match failure {
        F::NoSuchHost(why) => Trouble::passing(
            behind(&format!("has a host that is not found: {}", shown(why))),
            is_there,
        ),
        F::Unreachable(why) => {
            Trouble::passing(behind(&format!("is not reached: {why}")), is_there)
        }
        F::Silent(seconds) => Trouble::passing(
            behind(&format!(
                "does not answer, or gets no answer from {to}, within {seconds} s"
            )),
            is_there,
        ),
        F::Refused => Trouble::passing(behind("refuses the connection"), is_there),
        F::ProxyTls(why) => Trouble::lasting(
            behind(&format!("fails at TLS: {}", shown(why))),
            format!(
                "write http:// in {source} for a proxy that is spoken to without it, or name \
                 who signed its certificate in server.ca_file"
            ),
        ),
        F::NoProxy(why) => Trouble::lasting(
            behind(&format!("does not make a tunnel: {}", shown(why))),
            format!("see that an HTTP proxy listens there, or correct {source}"),
        ),
        // tinyproxy, for one, answers 401.
        F::ProxyStatus(code @ (401 | 407)) if proxy.url.user.is_some() => Trouble::lasting(
            behind(&format!("refuses the user that it is told ({code})")),
            format!(
                "correct user and password in {source}, or the file in \
                 server.proxy_password_file"
            ),
        ),
        F::ProxyStatus(code @ (401 | 407)) => Trouble::lasting(
            behind(&format!("asks for a login ({code})")),
            format!(
                "name the user in server.proxy, as in \"{}\", and the file with the password in \
                 server.proxy_password_file",
                format!("{url}").replace("://", "://USER@")
            ),
        ),
        F::ProxyStatus(code @ (502..=504)) => Trouble::passing(
            behind(&format!("does not reach {to} ({code})")),
            "see that the chat server runs, or correct server.url",
        ),
        F::ProxyStatus(code) => Trouble::lasting(
            behind(&format!("refuses a tunnel to {to} ({code})")),
            format!(
                "let the proxy allow CONNECT to {to}, or set server.proxy to another or to \"none\""
            ),
        ),
        _ => return None,
    })
}

fn of_certificate(why: &CertificateError, here: &Situation<'_>) -> Trouble {
    use CertificateError as C;
    let what = |words: &str| format!("has a certificate that {words}");
    let host = here.url.host();
    match why {
        C::Expired | C::ExpiredContext { .. } => Trouble::lasting(
            what(&format!("has expired: {}", shown(&why.to_string()))),
            "renew it there, or set this device's clock",
        ),
        C::NotValidYet | C::NotValidYetContext { .. } => Trouble::passing(
            what(&format!("is not valid yet: {}", shown(&why.to_string()))),
            "set this device's clock: `timedatectl`",
        ),
        C::NotValidForName | C::NotValidForNameContext { .. } => Trouble::lasting(
            what(&format!("is for another name: {}", shown(&why.to_string()))),
            format!(
                "call the server in server.url by a name that is in its certificate, or give it \
                 one for {host}: openssl req -x509 … -addext subjectAltName={}:{host}",
                if host.parse::<std::net::IpAddr>().is_ok() {
                    "IP"
                } else {
                    "DNS"
                }
            ),
        ),
        C::Other(other) if format!("{other:?}").contains("UnsupportedCertVersion") => {
            Trouble::lasting(
                what("is of X.509 version 1, which is not taken"),
                format!(
                    "make one of version 3: openssl req -x509 … -addext subjectAltName=DNS:{host}, \
                     or with -extfile where an authority signs it"
                ),
            )
        }
        _ if here.has_ca_file => Trouble::lasting(
            what(&format!(
                "is none of those in server.ca_file and not signed by one: {}",
                shown(&why.to_string())
            )),
            format!(
                "copy the server's certificate as it is now, or that of the authority which \
                 signed it, into server.ca_file; `openssl s_client -showcerts -connect {}` shows \
                 what the server has",
                here.url.authority()
            ),
        ),
        _ => Trouble::lasting(
            what(&format!("is not trusted: {}", shown(&why.to_string()))),
            "name the server's own certificate, or that of the authority which signed it, in \
             server.ca_file; for one that is publicly trusted, let the server send its whole \
             chain and install ca-certificates here",
        ),
    }
}

fn of_status(answer: &Answer, here: &Situation<'_>) -> Trouble {
    let path = here.url.path();
    match answer.code {
        401 => of_login(answer, here.credentials),
        407 => Trouble::lasting(
            "is behind a proxy that asks for a login (407)",
            "name that proxy in server.proxy, with its user, and the file with the password in \
             server.proxy_password_file",
        ),
        403 => Trouble::lasting(
            match here.credentials {
                Credentials::None => "forbids this device to connect (403)",
                _ => "forbids this device to connect, with the login that it has (403)",
            },
            "let the proxy or firewall in front of the chat server allow this device's address, \
             its user, and WebSockets from a program that is no browser",
        ),
        301 | 302 | 303 | 307 | 308 => of_redirect(answer, here.url),
        404 | 410 => Trouble::lasting(
            format!("has no chat server at {path} ({})", answer.code),
            "correct the path in server.url: behind a proxy it is the one under which the proxy \
             has the chat server, as in wss://host/cam/",
        ),
        400 if !here.url.is_encrypted() => Trouble::lasting(
            "does not understand the request (400)",
            "for a server with a certificate write wss:// in server.url; else it is another web \
             server, or a proxy that does not pass WebSockets on",
        ),
        200 | 426 => Trouble::lasting(
            format!("answers {} instead of opening a WebSocket", answer.code),
            format!(
                "let the proxy in front of it pass WebSockets on (nginx: proxy_http_version 1.1 \
                 and the headers Upgrade and Connection), or correct server.url: no chat server \
                 may be at {path}"
            ),
        ),
        429 => Trouble::passing(
            "says that this device connects too often, or that too many wrong passwords came from \
             its address (429)",
            "correct server.username and the file that server.password_file names, or let the \
             proxy in front of the chat server allow it more",
        ),
        502..=504 => Trouble::passing(
            format!(
                "is a proxy that does not reach the chat server ({})",
                answer.code
            ),
            "start the chat server (`camera-agent chat`), or correct the address in the proxy's \
             configuration",
        ),
        code @ 500.. => Trouble::passing(
            format!("answers {code}, which is a fault on its side"),
            "see the log of the chat server, or of the proxy in front of it",
        ),
        code => Trouble::lasting(
            format!("answers {code} instead of opening a WebSocket"),
            "it is another web server, or a proxy that does not pass WebSockets on: correct \
             server.url or the proxy",
        ),
    }
}

fn of_login(answer: &Answer, credentials: &Credentials) -> Trouble {
    let challenge = answer.challenge.to_ascii_lowercase();
    let takes = |scheme: &str| challenge.contains(scheme);
    match credentials {
        _ if !challenge.is_empty() && !takes("basic") && !takes("bearer") => Trouble::lasting(
            format!(
                "asks for a login of a kind that a device has not (401, {})",
                shown(&answer.challenge)
            ),
            "let it take Basic or Bearer for this device",
        ),
        Credentials::None if takes("bearer") && !takes("basic") => Trouble::lasting(
            "asks for a login (401)",
            "put the token into a file and name that in server.token_file",
        ),
        Credentials::None if takes("bearer") => Trouble::lasting(
            "asks for a login (401)",
            "set server.username and server.password_file, or server.token_file to a file with a \
             token (`camera-agent chat-user token NAME` where the chat server runs)",
        ),
        Credentials::None => Trouble::lasting(
            "asks for a login (401)",
            "set server.username and server.password_file",
        ),
        Credentials::Basic { user, .. } => Trouble::lasting(
            format!("refuses the login of {user:?} (401)"),
            "correct server.username and the password in the file that server.password_file names",
        ),
        Credentials::Bearer { .. } => Trouble::lasting(
            "refuses the token (401)",
            "put a valid token into the file that server.token_file names; it is read at the next \
             try",
        ),
    }
}

fn of_redirect(answer: &Answer, from: &ServerUrl) -> Trouble {
    let code = answer.code;
    let target = answer.location.as_deref().and_then(|l| from.join(l));
    let Some(target) = target.filter(Url::has_host) else {
        return Trouble::lasting(
            format!("says that it moved, and not where to ({code})"),
            "correct server.url",
        );
    };
    let there = cut(&ServerUrl::of_web(&target));
    let what = format!("says that it moved to {} ({code})", cut(&show(&target)));
    let same = target.host_str().is_some_and(|h| h == from.host().as_str());
    if matches!(code, 301 | 308) || same {
        return Trouble::lasting(what, format!("set server.url to {there}"));
    }
    // A portal at which people log in.
    Trouble::lasting(
        what,
        format!(
            "if that is a page to log in at, let the proxy take Basic or Bearer from this device \
             and set server.username and server.password_file, or server.token_file; else set \
             server.url to {there}"
        ),
    )
}

/// Another's words: one line, not too long, nothing that steers a terminal.
fn shown(text: &str) -> String {
    cut(&text.replace(char::is_control, " "))
}

fn cut(text: &str) -> String {
    let text = &without_credentials(text);
    match text.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.clone(),
    }
}

#[cfg(test)]
mod tests;
