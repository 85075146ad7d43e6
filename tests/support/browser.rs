//! A real Chromium, driven over WebDriver. One browser is one person.
//!
//! ```ignore
//! let alice = Browser::start(Person::default()).await;
//! alice.open(&chat.page("alice")).await;
//! alice.call("camera").await;
//! alice.state("connected").await;
//! alice.frames_rise(25).await;
//! alice.screenshot("/tmp/call.png").await;
//! ```

use std::time::Duration;

use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Child;

use super::driver::{driver, request};
use super::relay::Relay;
use super::{SOON, until};

/// What a browser has and how it looks.
#[derive(Debug, Clone)]
pub struct Person {
    /// A fake camera, else only a fake microphone.
    pub camera: bool,
    /// The permission prompt is answered with yes, else with no.
    pub allows: bool,
    /// Dark colours.
    pub dark: bool,
    /// The window, in CSS pixels.
    pub size: (u32, u32),
    /// Accept certificates that nobody signed.
    pub insecure_tls: bool,
    /// More flags for Chromium.
    pub flags: Vec<String>,
}

impl Default for Person {
    fn default() -> Self {
        Self {
            camera: true,
            allows: true,
            dark: false,
            size: (1280, 800),
            insecure_tls: false,
            flags: Vec::new(),
        }
    }
}

/// The camera's ICE user of the present call (RFC 8839 §5.4).
const UFRAG: &str = "cameraAgent.pc.remoteDescription.sdp.match(/a=ice-ufrag:(.*)/)[1]";

/// The browser's candidates show its addresses, not names.
pub const PLAIN_ADDRESSES: &str = "--disable-features=WebRtcHideLocalIpsWithMdns";

/// A running browser; dropping it ends it.
pub struct Browser {
    pub client: Client,
    session: String,
    port: u16,
    _driver: Child,
    _profile: TempDir,
}

/// Nothing is looked up but the names of candidates; addresses end in a digit.
/// Where names cannot be looked up, a first page waits twelve seconds for some.
fn no_names() -> String {
    let addresses: String = (0..10).map(|digit| format!(", EXCLUDE *{digit}")).collect();
    format!("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.local{addresses}")
}

impl Browser {
    /// Starts chromedriver on a free port and Chromium in a new profile.
    pub async fn start(person: Person) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let (driver, port) = driver().await;
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
        flags.push(format!("--user-data-dir={}", profile.path().display()));
        flags.push(no_names());
        flags.push(match person.allows {
            true => "--use-fake-ui-for-media-stream".into(),
            false => "--deny-permission-prompts".into(),
        });
        flags.push(match person.camera {
            true => "--use-fake-device-for-media-stream".into(),
            false => "--use-fake-device-for-media-stream=device-count=0".into(),
        });
        if person.dark {
            flags.push("--blink-settings=preferredColorScheme=0".into());
        }
        flags.extend(person.flags);
        let mut capabilities = Capabilities::new();
        capabilities.insert(
            "goog:chromeOptions".into(),
            json!({"args": flags, "mobileEmulation": {
                "deviceMetrics": {
                    "width": person.size.0, "height": person.size.1, "pixelRatio": 1,
                    "mobile": person.size.0 < 600, "touch": person.size.0 < 600,
                }
            }}),
        );
        capabilities.insert("goog:loggingPrefs".into(), json!({"browser": "ALL"}));
        capabilities.insert("acceptInsecureCerts".into(), json!(person.insecure_tls));
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("Chromium starts");
        let session = client.session_id().await.unwrap().expect("it is new");
        Self {
            client,
            session,
            port,
            _driver: driver,
            _profile: profile,
        }
    }

    /// Runs a script in every page that is opened from now on, before its own.
    pub async fn before_each_page(&self, script: &str) {
        let path = format!("/session/{}/goog/cdp/execute", self.session);
        let port = self.port;
        let body = json!({
            "cmd": "Page.addScriptToEvaluateOnNewDocument", "params": {"source": script},
        });
        let answer =
            tokio::task::spawn_blocking(move || request(port, "POST", &path, &body.to_string()))
                .await
                .unwrap()
                .expect("chromedriver answers");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(answer["value"]["identifier"].is_string(), "{answer}");
    }

    /// Opens a page and waits until it has a name in the chat.
    pub async fn open(&self, address: &str) {
        self.client.goto(address).await.unwrap();
        self.until_js("a name in the chat", "document.body.dataset.online === 'true' && [...document.querySelectorAll('#users .own')].length === 1")
            .await;
    }

    /// Evaluates a JavaScript expression.
    pub async fn js(&self, expression: &str) -> Value {
        let script = format!("return ({expression});");
        self.client
            .execute(&script, vec![])
            .await
            .unwrap_or_else(|e| panic!("{expression}: {e}"))
    }

    /// Evaluates a JavaScript promise; an exception gives null.
    pub async fn promise(&self, expression: &str) -> Value {
        let script = format!(
            "const done = arguments[0]; Promise.resolve({expression}).then(done, () => done(null));"
        );
        self.client.execute_async(&script, vec![]).await.unwrap()
    }

    /// Waits until an expression is true.
    pub async fn until_js(&self, what: &str, expression: &str) {
        let deadline = tokio::time::Instant::now() + SOON;
        while self.js(expression).await != json!(true) {
            if tokio::time::Instant::now() > deadline {
                panic!(
                    "not in time: {what}; state {}, status {}, console {:?}",
                    self.js("globalThis.cameraAgent?.state").await,
                    self.js("document.getElementById('status')?.textContent")
                        .await,
                    self.console().await
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the page is in this state: `idle`, `calling`, `ringing`,
    /// `connecting`, `connected` or `interrupted`.
    pub async fn state(&self, state: &str) {
        self.until_js(
            &format!("state {state}"),
            &format!("cameraAgent.state === '{state}'"),
        )
        .await;
    }

    /// Waits until the status line says this.
    pub async fn says(&self, words: &str) {
        let quoted = json!(words);
        self.until_js(
            &format!("the words {words:?}"),
            &format!("document.getElementById('status').textContent.includes({quoted})"),
        )
        .await;
    }

    /// Waits until `name` can be called, and calls by a click.
    pub async fn call(&self, name: &str) {
        let button = format!("#users button[data-name=\"{name}\"]:enabled");
        self.click(&button).await;
    }

    /// From the next call on all media goes through `relay`: the device is told
    /// its address, and no candidate of the device is taken. Needs
    /// [`PLAIN_ADDRESSES`].
    pub async fn go_through(&self, relay: &Relay) {
        let front = relay.front();
        self.js(&format!(
            "(() => {{
              const send = WebSocket.prototype.send;
              WebSocket.prototype.send = function (text) {{
                const frame = JSON.parse(text);
                if (frame.type === 'new-ice-candidate') {{
                  const fields = frame.candidate.candidate.split(' ');
                  if (fields[2] !== 'udp' || fields[4] !== '127.0.0.1') return;
                  globalThis.ownPort = Number(fields[5]);
                  [fields[4], fields[5]] = ['{}', '{}'];
                  frame.candidate.candidate = fields.join(' ');
                }}
                send.call(this, JSON.stringify(frame));
              }};
              RTCPeerConnection.prototype.addIceCandidate = async () => {{}};
            }})(), null",
            front.ip(),
            front.port()
        ))
        .await;
    }

    /// Tells `relay` where the browser is, once a call has begun.
    pub async fn lead(&self, relay: &Relay) {
        let port = until("a candidate of the browser", SOON, || async {
            let port = self.js("globalThis.ownPort ?? null").await.as_u64()?;
            self.js("delete globalThis.ownPort").await;
            u16::try_from(port).ok()
        })
        .await;
        relay.lead_to(([127, 0, 0, 1], port).into());
    }

    /// Remembers the present call for [`Self::is_same_call`].
    pub async fn remember_call(&self) {
        self.js(&format!(
            "globalThis.remembered = [cameraAgent.pc, {UFRAG}], null"
        ))
        .await;
    }

    /// The connection is the one that was remembered, and was not negotiated
    /// or connected anew.
    pub async fn is_same_call(&self) -> bool {
        let same = format!("remembered[0] === cameraAgent.pc && remembered[1] === {UFRAG}");
        self.js(&same).await == json!(true) && self.js("cameraAgent.state").await == "connected"
    }

    /// Waits for an element and clicks it.
    pub async fn click(&self, css: &str) {
        until(css, SOON, || async {
            let element = self.client.find(Locator::Css(css)).await.ok()?;
            element.click().await.ok()
        })
        .await;
    }

    /// Types into the element that has the focus.
    pub async fn keys(&self, keys: &str) {
        let focused = self.client.active_element().await.unwrap();
        focused.send_keys(keys).await.unwrap();
    }

    /// A statistic of the incoming stream of this kind (`video`, `audio`).
    pub async fn inbound(&self, kind: &str, field: &str) -> Option<f64> {
        let expression = format!(
            "cameraAgent.pc?.getStats().then((all) => [...all.values()].find((s) => \
             s.type === 'inbound-rtp' && s.kind === '{kind}')?.{field} ?? null)"
        );
        self.promise(&expression).await.as_f64()
    }

    /// Video frames decoded so far in this call.
    pub async fn frames_decoded(&self) -> f64 {
        self.inbound("video", "framesDecoded").await.unwrap_or(0.0)
    }

    /// Energy of the sound received so far in this call.
    pub async fn audio_energy(&self) -> f64 {
        self.inbound("audio", "totalAudioEnergy")
            .await
            .unwrap_or(0.0)
    }

    /// Waits until this many more frames are decoded.
    pub async fn frames_rise(&self, frames: u32) {
        let before = self.frames_decoded().await;
        let wanted = before + f64::from(frames);
        until("more decoded frames", SOON, || async {
            (self.frames_decoded().await >= wanted).then_some(())
        })
        .await;
    }

    /// Waits until there is sound.
    pub async fn hears(&self) {
        until("sound", SOON, || async {
            (self.audio_energy().await > 0.0).then_some(())
        })
        .await;
    }

    /// Writes a PNG of the window.
    pub async fn screenshot(&self, path: impl AsRef<std::path::Path>) {
        let png = self.client.screenshot().await.unwrap();
        std::fs::write(path, png).unwrap();
    }

    /// What the console said at level warning or error since the last time:
    /// script errors, failed loads, violations of the content policy.
    pub async fn console(&self) -> Vec<String> {
        let path = format!("/session/{}/se/log", self.session);
        let port = self.port;
        let body = tokio::task::spawn_blocking(move || {
            request(port, "POST", &path, r#"{"type":"browser"}"#)
        })
        .await
        .unwrap()
        .expect("chromedriver answers");
        let answer: Value = serde_json::from_str(&body).unwrap();
        let entries = answer["value"].as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING")
            .map(|entry| entry["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Nothing was wrong on the page.
    pub async fn clean_console(&self) {
        assert_eq!(self.console().await, Vec::<String>::new());
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium outlives a killed chromedriver, so it is asked to end it.
        let path = format!("/session/{}", self.session);
        let _ = request(self.port, "DELETE", &path, "");
    }
}
