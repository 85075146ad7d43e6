//! The page's files, embedded in the binary.
//!
//! The page may stand under any folder (`/cam/`), since a proxy in front of this
//! server may take that folder's name away or leave it: only the last part of an
//! address counts, and the page refers to its parts relative to itself.

use std::hash::{DefaultHasher, Hash, Hasher};

/// One file of the page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asset {
    pub(super) name: &'static str,
    pub(super) content_type: &'static str,
    pub(super) body: &'static str,
}

impl Asset {
    /// Changes when the file does.
    pub(super) fn etag(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.body.hash(&mut hasher);
        format!("\"{:016x}\"", hasher.finish())
    }

    /// The one that people open.
    pub(super) fn is_page(&self) -> bool {
        self.name == PAGE
    }

    /// The sign-in page needs it.
    pub(super) fn is_public(&self) -> bool {
        matches!(self.name, "style.css" | "icon.svg")
    }

    /// The page for who is signed in as `user`.
    pub(super) fn of(&self, user: &str) -> String {
        let user = user.replace('&', "&amp;").replace('<', "&lt;");
        let user = user.replace('"', "&quot;");
        let named = format!("<html lang=\"en\" data-user=\"{user}\">");
        self.body.replacen(ROOT, &named, 1)
    }
}

const PAGE: &str = "index.html";
/// In [`PAGE`]: where what is for one reader alone goes in.
pub(super) const ROOT: &str = "<html lang=\"en\">";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! asset {
    ($file:literal, $content_type:expr) => {
        Asset {
            name: $file,
            content_type: $content_type,
            body: include_str!(concat!("page/", $file)),
        }
    };
}

pub(super) static ASSETS: &[Asset] = &[
    asset!("index.html", HTML),
    asset!("style.css", CSS),
    asset!("icon.svg", "image/svg+xml"),
    asset!("check.js", SCRIPT),
    asset!("start.js", SCRIPT),
    asset!("main.js", SCRIPT),
    asset!("access.js", SCRIPT),
    asset!("invitations.js", SCRIPT),
    asset!("invite.js", SCRIPT),
    asset!("invited.js", SCRIPT),
    asset!("keys.js", SCRIPT),
    asset!("scan.js", SCRIPT),
    asset!("server.js", SCRIPT),
    asset!("sha.js", SCRIPT),
    asset!("signaling.js", SCRIPT),
    asset!("call.js", SCRIPT),
    asset!("calls.js", SCRIPT),
    asset!("media.js", SCRIPT),
    asset!("latency.js", SCRIPT),
    asset!("sdp.js", SCRIPT),
    asset!("pace.js", SCRIPT),
    asset!("rings.js", SCRIPT),
    asset!("ui.js", SCRIPT),
    asset!("camera.js", SCRIPT),
    asset!("motion.js", SCRIPT),
    asset!("recordings.js", SCRIPT),
    asset!("recordings.css", CSS),
    asset!("thumbnails.js", SCRIPT),
    asset!("timeline.js", SCRIPT),
    asset!("files.js", SCRIPT),
    asset!("player.js", SCRIPT),
    asset!("seek.js", SCRIPT),
    asset!("elements.js", SCRIPT),
    asset!("picture.js", SCRIPT),
    asset!("guest.js", SCRIPT),
    asset!("tile.js", SCRIPT),
    asset!("wall.js", SCRIPT),
    asset!("wall.css", CSS),
    asset!("zones.js", SCRIPT),
    asset!("zones.css", CSS),
    asset!("stats.js", SCRIPT),
    asset!("talk.js", SCRIPT),
    asset!("words.js", SCRIPT),
    asset!("words-en.js", SCRIPT),
    asset!("words-zh.js", SCRIPT),
    asset!("words-de.js", SCRIPT),
    asset!("words-ja.js", SCRIPT),
    asset!("words-es.js", SCRIPT),
];

/// What an address means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A file of the page.
    Asset(&'static Asset),
    /// STUN and TURN servers, with credentials.
    IceServers,
    /// Whether the asking page may connect.
    Status,
    /// Where people sign out.
    SignOut,
    /// The folder of the page without the slash at its end; where to go.
    Folder(String),
    Nothing,
}

/// Looks an address up; `query` is what follows its question mark.
pub(super) fn find(path: &str, query: Option<&str>) -> Found {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    match name {
        "" => return find(PAGE, None),
        "ice-servers.json" => return Found::IceServers,
        "status.json" => return Found::Status,
        "sign-out" => return Found::SignOut,
        _ => {}
    }
    if let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) {
        return Found::Asset(asset);
    }
    // A folder's name has no dot; a file's has, and is none of ours.
    if name.contains('.') {
        return Found::Nothing;
    }
    // Relative, since a proxy may have taken the beginning away; "./" keeps
    // what looks like a scheme from being one.
    Found::Folder(match query {
        Some(query) => format!("./{name}/?{query}"),
        None => format!("./{name}/"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &str) -> Option<&'static str> {
        match find(path, None) {
            Found::Asset(asset) => Some(asset.name),
            Found::IceServers
            | Found::Status
            | Found::SignOut
            | Found::Folder(_)
            | Found::Nothing => None,
        }
    }

    #[test]
    fn the_page_stands_under_any_folder() {
        for (path, file) in [
            ("/", "index.html"),
            ("/index.html", "index.html"),
            ("/cam/", "index.html"),
            ("/api/hassio_ingress/x-Y_z/", "index.html"),
            ("/cam/main.js", "main.js"),
            ("//main.js", "main.js"),
            ("/a/b/style.css", "style.css"),
        ] {
            assert_eq!(name(path), Some(file), "{path}");
        }
        assert_eq!(find("/cam/ice-servers.json", None), Found::IceServers);
        assert_eq!(find("/cam/status.json", None), Found::Status);
        for none in [
            "/favicon.ico",
            "/../Cargo.toml",
            "/cam/.env",
            "/main.js.map",
        ] {
            assert_eq!(find(none, None), Found::Nothing, "{none}");
        }
    }

    #[test]
    fn a_folder_without_its_slash_is_led_to_it_and_nowhere_else() {
        let to = |path, query| match find(path, query) {
            Found::Folder(to) => to,
            other => panic!("{other:?}"),
        };
        assert_eq!(to("/cam", Some("name=bob")), "./cam/?name=bob");
        assert_eq!(to("/a/cam", None), "./cam/");
        assert_eq!(to("//evil", None), "./evil/");
        assert_eq!(to("/javascript:alert(1)", None), "./javascript:alert(1)/");
    }

    /// Safari 15 finds nothing of a module in a class field that has
    /// parentheses (webkit.org/b/236843); docs/browsers.md.
    #[test]
    fn class_fields_with_parentheses_name_nothing_of_their_module() {
        let globals = ["Map", "Set", "WeakMap", "MediaStream", "document"];
        let fields = ASSETS
            .iter()
            .filter(|asset| asset.body.contains("export class "))
            .flat_map(|asset| asset.body.lines().map(|line| (asset.name, line)))
            .filter(|(_, line)| line.starts_with("  ") && !line.starts_with("   "))
            .filter_map(|(name, line)| Some((name, line[2..].split_once(" = ")?)))
            .filter(|(_, (field, value))| !field.contains([' ', '.']) && value.contains('('));
        let mut count = 0;
        for (file, (_, value)) in fields {
            count += 1;
            let named = value.split_once("new ").map_or(value, |(_, rest)| rest);
            let end = named.find(|c: char| !c.is_alphanumeric()).unwrap_or(0);
            let name = &named[..end];
            assert!(
                name.is_empty() || globals.contains(&name),
                "{file}: {value}"
            );
        }
        assert!(count > 5, "{count}: are fields still written like this?");
    }
}
