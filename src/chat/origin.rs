//! Which web pages may connect: those of this server under a name that nobody
//! else can own, and those that it was told of.
//!
//! A browser sends the `Origin` of a page with each WebSocket, and a page of
//! another site would otherwise look through a camera by way of a visitor's
//! browser. That page's host is this server's proves nothing by itself: the
//! owner of a name can let it point here once the page is loaded (DNS
//! rebinding). Over https they lack the certificate. Over http only those hosts
//! count that no name server has a say in (addresses, `localhost`) and this
//! machine's own name.

/// What counts as this server's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origins {
    /// This machine's names, in lower case.
    names: Vec<String>,
    /// Origins as they were told, in lower case.
    allowed: Vec<String>,
    /// `--allow-origin '*'`.
    any: bool,
}

/// Scheme, host and port of a page, or of a `Host` header.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    https: bool,
    host: String,
    port: u16,
}

impl Origins {
    /// This machine's own names, and what was told.
    pub(super) fn new(allowed: &[String]) -> Self {
        let known = rustix::system::uname();
        let hostname = known.nodename().to_str();
        Self::of(hostname.unwrap_or(""), allowed)
    }

    pub(super) fn of(hostname: &str, allowed: &[String]) -> Self {
        let hostname = hostname.trim_end_matches('.').to_ascii_lowercase();
        let short = hostname.split('.').next().unwrap_or("").to_owned();
        let mut names = vec![format!("{short}.local"), short, hostname];
        names.retain(|name| !name.is_empty() && name != ".local");
        Self {
            names,
            allowed: allowed.iter().map(|o| o.to_ascii_lowercase()).collect(),
            any: allowed.iter().any(|origin| origin == "*"),
        }
    }

    /// Whether a request with these headers comes from a page that may connect,
    /// or from no page at all: programs send no origin and are not held to this.
    pub(super) fn allows(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else {
            return true;
        };
        if self.any || self.allowed.iter().any(|a| a.eq_ignore_ascii_case(origin)) {
            return true;
        }
        let Some(origin) = parse(origin) else {
            return false;
        };
        let same = host
            .and_then(|host| authority(host, origin.https))
            .is_some_and(|host| host == origin);
        same && (origin.https || self.is_own(&origin.host))
    }

    /// Whether a request without an origin may read what only this server's
    /// pages are to know. `tls` is true where this server has the certificate.
    pub(super) fn trusts_host(&self, host: Option<&str>, tls: bool) -> bool {
        if self.any || tls {
            return true;
        }
        let Some(host) = host.and_then(|host| authority(host, false)) else {
            return false;
        };
        let told = |origin: &String| parse(origin).is_some_and(|o| o.host == host.host);
        self.is_own(&host.host) || self.allowed.iter().any(told)
    }

    /// WebSocket addresses of the told origins, for the page's content policy.
    pub(super) fn sockets(&self) -> impl Iterator<Item = String> {
        self.allowed.iter().filter_map(|origin| {
            let (scheme, rest) = origin.split_once("://")?;
            match scheme {
                "https" => Some(format!("wss://{rest}")),
                "http" => Some(format!("ws://{rest}")),
                _ => None,
            }
        })
    }

    fn is_own(&self, host: &str) -> bool {
        let address = host.trim_start_matches('[').trim_end_matches(']');
        address.parse::<std::net::IpAddr>().is_ok()
            || host == "localhost"
            || host.ends_with(".localhost")
            || self.names.iter().any(|name| name == host)
            || self.is_renamed(host)
    }

    /// Avahi numbers a host whose name another in the network has:
    /// `porch-2.local`. No name server has a say in that either (RFC 6762 §3).
    fn is_renamed(&self, host: &str) -> bool {
        let number = host
            .strip_suffix(".local")
            .and_then(|label| label.rsplit_once('-'))
            .filter(|(name, _)| self.names.iter().any(|own| own == name));
        number.is_some_and(|(_, n)| {
            (1..=3).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit())
        })
    }
}

/// An origin as it may be told on the command line: `https://cam.example:8443`,
/// or `*` for any.
///
/// # Errors
/// What is wrong with `text`, and how it is written.
pub fn told(text: &str) -> Result<String, String> {
    let origin = text.trim().trim_end_matches('/').to_ascii_lowercase();
    let origin = origin.as_str();
    if origin == "*" {
        return Ok("*".into());
    }
    let written = "it is written https://cam.example.org, with the port where it is not the usual";
    let Some((scheme, rest)) = origin.split_once("://") else {
        return Err(format!("no scheme in it; {written}"));
    };
    // RFC 3986 §3.1; and nothing behind it that no host has.
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || "/?#@*;,'\"".contains(c);
    if scheme.is_empty()
        || !scheme.chars().all(is_scheme)
        || rest.is_empty()
        || rest.contains(is_odd)
    {
        return Err(format!("it is no origin; {written}"));
    }
    let is_web = matches!(scheme, "http" | "https");
    let Some(parsed) = parse(origin) else {
        // Pages that are packed as programs have schemes of their own.
        return if is_web {
            Err(format!("it is no host and port; {written}"))
        } else {
            Ok(origin.to_owned())
        };
    };
    // As browsers write it: without the usual port.
    let usual = if parsed.https { 443 } else { 80 };
    Ok(if parsed.port == usual {
        format!("{scheme}://{}", parsed.host)
    } else {
        format!("{scheme}://{}:{}", parsed.host, parsed.port)
    })
}

fn parse(origin: &str) -> Option<Origin> {
    let (scheme, rest) = origin.split_once("://")?;
    let https = match scheme.to_ascii_lowercase().as_str() {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    authority(rest, https)
}

/// `host[:port]`, the port by the scheme where it is left out. `None` where it
/// holds anything that a host does not.
fn authority(text: &str, https: bool) -> Option<Origin> {
    let (host, port) = match text.rsplit_once(':') {
        // The last colon of "[::1]" is inside.
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (text, if https { 443 } else { 80 }),
    };
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let in_brackets = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let good = match in_brackets {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let labels = host.split('.').all(|label| !label.is_empty());
            labels && host.len() <= 253 && host.chars().all(plain)
        }
    };
    good.then_some(Origin { https, host, port })
}

/// A `Host` header that may stand in a content policy: a host and a port, and
/// nothing that means anything there.
pub(super) fn safe_host(host: &str) -> Option<&str> {
    authority(host, false).map(|_| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins() -> Origins {
        Origins::of("Porch", &["https://friend.example".into()])
    }

    #[test]
    fn a_page_of_this_server_may_connect_and_its_port_counts() {
        for (origin, host, allowed) in [
            ("http://127.0.0.1:6503", "127.0.0.1:6503", true),
            ("http://[::1]:6503", "[::1]:6503", true),
            ("http://192.168.1.5:6503", "192.168.1.5:6503", true),
            ("http://192.168.1.5", "192.168.1.5", true),
            ("http://localhost:80", "localhost", true),
            ("http://porch:6503", "porch:6503", true),
            ("http://PORCH.local:6503", "porch.local.:6503", true),
            ("http://porch-2.local:6503", "porch-2.local:6503", true),
            ("https://cam.example", "cam.example", true),
            ("https://cam.example:8443", "cam.example:8443", true),
            // A told one, by whatever way it comes.
            ("https://friend.example", "127.0.0.1:6503", true),
            // Another program of the same machine.
            ("http://127.0.0.1", "127.0.0.1:6503", false),
            ("http://127.0.0.1:8080", "127.0.0.1:6503", false),
            ("https://cam.example:8443", "cam.example", false),
            ("http://friend.example", "127.0.0.1:6503", false),
        ] {
            assert_eq!(
                origins().allows(Some(origin), Some(host)),
                allowed,
                "{origin} at {host}"
            );
        }
        assert!(origins().allows(None, Some("x")), "no page");
    }

    #[test]
    fn a_name_that_somebody_else_may_own_is_none_of_this_server() {
        for host in [
            "evil.example:6503",
            "x.lan:6503",
            "router:6503",
            "porch.lan:6503",
            "other.local:6503",
            "other-2.local:6503",
            "porch-x.local:6503",
            "porch-2.lan:6503",
            "porch.local.evil.example:6503",
            "x.internal:6503",
            "x.home.arpa:6503",
            "127.0.0.1.evil.example:6503",
            "localhost.evil.example:6503",
        ] {
            let origin = format!("http://{host}");
            assert!(!origins().allows(Some(&origin), Some(host)), "{host}");
            assert!(!origins().trusts_host(Some(host), false), "{host}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for origin in [
            "null",
            "",
            "http://",
            "://x",
            "file://",
            "http://a b",
            "http://127.0.0.1:99999",
            "http://[::1",
            "http://127.0.0.1:6503/",
            "http://u@127.0.0.1:6503",
        ] {
            assert!(
                !origins().allows(Some(origin), Some("127.0.0.1:6503")),
                "{origin}"
            );
        }
    }

    #[test]
    fn hosts_that_may_read_credentials() {
        for host in [
            "127.0.0.1:6503",
            "[fe80::1]:6503",
            "porch",
            "friend.example",
            "localhost:1",
        ] {
            assert!(origins().trusts_host(Some(host), false), "{host}");
        }
        assert!(origins().trusts_host(Some("any.example"), true));
        assert!(!origins().trusts_host(None, false));
    }

    #[test]
    fn an_origin_is_told_as_browsers_write_it() {
        assert_eq!(
            told("https://Cam.example:443/").as_deref(),
            Ok("https://cam.example")
        );
        assert_eq!(
            told("http://[::1]:6503").as_deref(),
            Ok("http://[::1]:6503")
        );
        assert_eq!(
            told("HTTPS://cam.example").as_deref(),
            Ok("https://cam.example")
        );
        assert_eq!(told("*").as_deref(), Ok("*"));
        assert_eq!(told("app://camera").as_deref(), Ok("app://camera"));
        for bad in [
            "cam.example",
            "https://",
            "https://a/b",
            "https://*.example",
            "https://a:b",
            "hTtps://a\tb",
            "httpx://a b",
            "a b://c",
            "https://cam..example",
            "http://..",
        ] {
            assert!(
                told(bad).is_err_and(|e| e.contains("https://cam.example.org")),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_host_header_brings_nothing_else_into_the_policy() {
        assert_eq!(safe_host("cam.example:6503"), Some("cam.example:6503"));
        for bad in ["a; script-src *", "a,b", "a b", "'self'", "*", "[x]", ""] {
            assert_eq!(safe_host(bad), None, "{bad}");
        }
    }
}
