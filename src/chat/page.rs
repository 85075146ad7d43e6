//! The page's files, embedded in the binary.

use std::hash::{DefaultHasher, Hash, Hasher};

/// One file of the page.
pub(super) struct Asset {
    pub(super) path: &'static str,
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
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! asset {
    ($path:literal, $file:literal, $content_type:expr) => {
        Asset {
            path: $path,
            content_type: $content_type,
            body: include_str!(concat!("page/", $file)),
        }
    };
}

static ASSETS: &[Asset] = &[
    asset!("/", "index.html", HTML),
    asset!("/style.css", "style.css", CSS),
    asset!("/icon.svg", "icon.svg", "image/svg+xml"),
    asset!("/main.js", "main.js", SCRIPT),
    asset!("/signaling.js", "signaling.js", SCRIPT),
    asset!("/call.js", "call.js", SCRIPT),
    asset!("/calls.js", "calls.js", SCRIPT),
    asset!("/media.js", "media.js", SCRIPT),
    asset!("/latency.js", "latency.js", SCRIPT),
    asset!("/ui.js", "ui.js", SCRIPT),
    asset!("/camera.js", "camera.js", SCRIPT),
    asset!("/elements.js", "elements.js", SCRIPT),
    asset!("/stats.js", "stats.js", SCRIPT),
    asset!("/words.js", "words.js", SCRIPT),
];

pub(super) fn asset(path: &str) -> Option<&'static Asset> {
    let path = if path == "/index.html" { "/" } else { path };
    ASSETS.iter().find(|asset| asset.path == path)
}
