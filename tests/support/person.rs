//! Who sits at a browser: which one, what it has, how it looks.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::path::Path;

use fantoccini::wd::Capabilities;
use serde_json::{Value, json};

/// A browser's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Chromium,
    /// Debian's has no H.264.
    Firefox,
}

/// What a browser has and how it looks.
#[derive(Debug, Clone)]
pub struct Person {
    pub engine: Engine,
    /// A fake camera, else only a fake microphone. Firefox's come together.
    pub camera: bool,
    /// The permission prompt is answered with yes, else with no.
    pub allows: bool,
    /// Dark colours.
    pub dark: bool,
    /// The window, in CSS pixels.
    pub size: (u32, u32),
    /// Which languages they read, the best first: `de-AT,de`.
    pub languages: &'static str,
    /// Accept certificates that nobody signed.
    pub insecure_tls: bool,
    /// The browser's candidates show its addresses, not names.
    pub plain_addresses: bool,
    /// More flags for Chromium.
    pub flags: Vec<String>,
}

impl Default for Person {
    fn default() -> Self {
        Self {
            engine: Engine::Chromium,
            camera: true,
            allows: true,
            dark: false,
            size: (1280, 800),
            languages: "en-US,en",
            insecure_tls: false,
            plain_addresses: false,
            flags: Vec::new(),
        }
    }
}

impl Person {
    /// Somebody with a Firefox.
    pub fn with_firefox() -> Self {
        Self {
            engine: Engine::Firefox,
            ..Self::default()
        }
    }

    /// What chromedriver is asked for.
    pub fn chromium(&self, profile: &Path) -> Capabilities {
        let mut flags: Vec<String> = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            // Tests run without a network: calls go over the loopback.
            "--allow-loopback-in-peer-connection",
        ]
        .map(String::from)
        .to_vec();
        flags.push(format!("--user-data-dir={}", profile.display()));
        flags.push(no_names());
        flags.push(format!("--accept-lang={}", self.languages));
        flags.push(match self.allows {
            true => "--use-fake-ui-for-media-stream".into(),
            false => "--deny-permission-prompts".into(),
        });
        flags.push(match self.camera {
            true => "--use-fake-device-for-media-stream".into(),
            false => "--use-fake-device-for-media-stream=device-count=0".into(),
        });
        if self.dark {
            flags.push("--blink-settings=preferredColorScheme=0".into());
        }
        if self.plain_addresses {
            flags.push("--disable-features=WebRtcHideLocalIpsWithMdns".into());
        }
        flags.extend(self.flags.iter().cloned());
        let mut capabilities = Capabilities::new();
        capabilities.insert(
            "goog:chromeOptions".into(),
            json!({"args": flags, "mobileEmulation": {
                "deviceMetrics": {
                    "width": self.size.0, "height": self.size.1, "pixelRatio": 1,
                    "mobile": self.size.0 < 600, "touch": self.size.0 < 600,
                }
            }}),
        );
        capabilities.insert("goog:loggingPrefs".into(), json!({"browser": "ALL"}));
        capabilities.insert("acceptInsecureCerts".into(), json!(self.insecure_tls));
        capabilities
    }

    /// What geckodriver is asked for.
    ///
    /// # Panics
    /// Where a Firefox cannot be had like that.
    pub fn firefox(&self) -> Capabilities {
        assert!(self.camera, "Firefox's fake devices come together");
        assert_eq!(self.flags, Vec::<String>::new(), "they are Chromium's");
        let mut preferences = vec![
            ("media.navigator.streams.fake", json!(true)),
            ("media.navigator.permission.disabled", json!(self.allows)),
            // Tests run without a network: calls go over the loopback.
            ("media.peerconnection.ice.loopback", json!(true)),
            (
                "media.peerconnection.ice.obfuscate_host_addresses",
                json!(!self.plain_addresses),
            ),
            ("intl.accept_languages", json!(self.languages)),
            // Nothing is loaded from elsewhere, a codec for H.264 least of all.
            ("media.gmp-manager.updateEnabled", json!(false)),
            ("media.gmp-provider.enabled", json!(false)),
            (
                "layout.css.prefers-color-scheme.content-override",
                json!(if self.dark { 0 } else { 1 }),
            ),
        ];
        if !self.allows {
            preferences.push(("permissions.default.camera", json!(2)));
            preferences.push(("permissions.default.microphone", json!(2)));
        }
        let preferences: serde_json::Map<String, Value> = preferences
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let mut capabilities = Capabilities::new();
        capabilities.insert(
            "moz:firefoxOptions".into(),
            json!({"args": ["-headless"], "prefs": preferences}),
        );
        capabilities.insert("webSocketUrl".into(), json!(true));
        capabilities.insert("acceptInsecureCerts".into(), json!(self.insecure_tls));
        capabilities
    }
}

/// Nothing is looked up but the names of candidates; addresses end in a digit.
/// Where names cannot be looked up, a first page waits twelve seconds for some.
fn no_names() -> String {
    let addresses: String = (0..10).map(|digit| format!(", EXCLUDE *{digit}")).collect();
    format!("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.local{addresses}")
}
