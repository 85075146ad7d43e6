//! The page as files, for any web server: one that the chat server's owner does
//! not run cannot be made to send another page.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;
use url::Url;

use super::headers::POLICY;
use super::page::{ASSETS, ROOT};

/// Beside the page; it names the chat server.
const CONFIG: &str = "config.json";
/// What a telephone reads to install the page.
const MANIFEST: &str = "manifest.webmanifest";
const NAME: &str = "Camera chat";
/// In the start of a page of ours.
const MARK: &str = " data-config";
/// In `index.html`: where what is for this page alone goes in.
const HEAD: &str = "<meta charset=\"utf-8\">";

/// Where a page is to find its server, and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    server: Url,
    name: Option<String>,
}

impl Export {
    /// `server` is the chat server's address, of WebSockets (`wss://`) or of its
    /// own page (`https://`).
    ///
    /// # Errors
    /// What is wrong with it, and how it is written.
    pub fn new(server: &str, name: Option<String>) -> Result<Self, String> {
        let bad = |problem: &str| {
            Err(format!(
                "--server {problem}; it is written wss://cam.example.org:6503/"
            ))
        };
        if name.as_deref().is_some_and(|name| name.trim().is_empty()) {
            return Err("--name is empty: leave it out, or say what the page is called".to_owned());
        }
        let Ok(mut server) = server.parse::<Url>() else {
            return bad("is no address");
        };
        if !server.username().is_empty() || server.password().is_some() {
            return bad("has a login in it, which everybody could read");
        }
        let scheme = match server.scheme() {
            "https" | "wss" => "wss",
            "http" | "ws" => "ws",
            _ => return bad("has another scheme than wss or ws"),
        };
        if server.host_str().is_none_or(str::is_empty) || server.set_scheme(scheme).is_err() {
            return bad("has no host");
        }
        server.set_query(None);
        server.set_fragment(None);
        if !server.path().ends_with('/') {
            let folder = format!("{}/", server.path());
            server.set_path(&folder);
        }
        Ok(Self { server, name })
    }

    /// Whether a page of https may connect: browsers refuse it a server without a
    /// certificate.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.server.scheme() == "wss"
    }

    /// Writes all files to a folder, which is made where it is missing.
    ///
    /// # Errors
    /// The file that could not be written, and why.
    pub fn write(&self, folder: &Path) -> Result<(), (PathBuf, io::Error)> {
        let put =
            |path: PathBuf, text: &str| std::fs::write(&path, text).map_err(|error| (path, error));
        std::fs::create_dir_all(folder).map_err(|error| (folder.to_owned(), error))?;
        let index = folder.join("index.html");
        let is_anothers =
            std::fs::read(&index).is_ok_and(|text| !String::from_utf8_lossy(&text).contains(MARK));
        if is_anothers {
            let words = "it is the start of another page; name a folder for this one alone";
            return Err((index, io::Error::new(io::ErrorKind::AlreadyExists, words)));
        }
        for asset in ASSETS {
            let text = match asset.name {
                "index.html" => self.index(asset.body),
                _ => asset.body.to_owned(),
            };
            put(folder.join(asset.name), &text)?;
        }
        let mut config = json!({"server": self.server.as_str()});
        if let Some(name) = &self.name {
            config["name"] = json!(name);
        }
        put(folder.join(CONFIG), &format!("{config:#}\n"))?;
        put(folder.join(MANIFEST), &format!("{:#}\n", self.manifest()))
    }

    /// A policy as strict as the chat server's own, which other web servers do not
    /// send along.
    fn index(&self, text: &str) -> String {
        let authority = &self.server[url::Position::BeforeHost..url::Position::AfterPort];
        let (socket, web) = match self.is_encrypted() {
            true => ("wss", "https"),
            false => ("ws", "http"),
        };
        let policy = format!(
            "{POLICY}; manifest-src 'self'; connect-src 'self' {socket}://{authority} {web}://{authority}"
        );
        let head = format!(
            "{HEAD}\n  <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n  \
             <meta name=\"referrer\" content=\"no-referrer\">\n  \
             <link rel=\"manifest\" href=\"{MANIFEST}\">"
        );
        text.replacen(ROOT, &format!("<html lang=\"en\"{MARK}>"), 1)
            .replacen(HEAD, &head, 1)
    }

    fn manifest(&self) -> serde_json::Value {
        let name = self.name.as_deref().unwrap_or(NAME);
        json!({
            "name": name, "short_name": name, "start_url": "./", "scope": "./", "id": "./",
            "display": "standalone", "background_color": "#14171c", "theme_color": "#14171c",
            "icons": [{"src": "icon.svg", "sizes": "any", "type": "image/svg+xml", "purpose": "any"}],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_an_address_without_a_login() {
        for (text, server) in [
            ("wss://cam.example:6503", "wss://cam.example:6503/"),
            ("https://cam.example/chat?x#y", "wss://cam.example/chat/"),
            ("ws://192.0.2.1:6503/", "ws://192.0.2.1:6503/"),
            ("http://[2001:db8::1]:6503/", "ws://[2001:db8::1]:6503/"),
        ] {
            let export = Export::new(text, None).expect(text);
            assert_eq!(export.server.as_str(), server);
        }
        for bad in [
            "",
            "cam.example",
            "ftp://cam.example",
            "wss://me:x@cam.example",
            "wss://me@cam.example",
            "data:,x",
        ] {
            let problem = Export::new(bad, None).expect_err(bad);
            assert!(problem.contains("wss://cam.example.org:6503/"), "{problem}");
        }
    }

    #[test]
    fn another_page_is_not_written_over_and_ours_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let export = Export::new("wss://cam.example:6503/", None).expect("an address");
        export.write(folder.path()).expect("written");
        export.write(folder.path()).expect("anew");
        let index = folder.path().join("index.html");
        // Whatever its letters are.
        std::fs::write(&index, b"<html>T\xfcr</html>").expect("written");
        let (path, error) = export.write(folder.path()).expect_err("another's");
        assert_eq!(path, index);
        assert!(error.to_string().contains("another page"), "{error}");
        Export::new("wss://cam.example/", Some(" ".into())).expect_err("no name");
    }

    #[test]
    fn the_page_may_reach_its_server_and_nothing_else() {
        let export = Export::new("wss://cam.example:6503/x/", None).expect("an address");
        let folder = tempfile::tempdir().expect("a folder");
        export.write(&folder.path().join("page")).expect("written");
        let read = |name: &str| {
            std::fs::read_to_string(folder.path().join("page").join(name)).expect(name)
        };
        let index = read("index.html");
        assert!(
            index.contains("connect-src 'self' wss://cam.example:6503 https://cam.example:6503\">")
        );
        let policy = index.find("http-equiv").expect("a policy");
        assert!(policy < index.find("<script").expect("scripts"));
        assert!(index.contains("<html lang=\"en\" data-config>"));
        assert_eq!(
            read(CONFIG),
            "{\n  \"server\": \"wss://cam.example:6503/x/\"\n}\n"
        );
        for asset in ASSETS.iter().filter(|asset| asset.name != "index.html") {
            assert_eq!(read(asset.name), asset.body);
        }
    }
}
