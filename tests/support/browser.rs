//! A real browser, driven over WebDriver. One browser is one person.
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

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::bidi::Bidi;
use super::driver::{Driver, request};
pub use super::person::{Engine, Person};
use super::relay::Relay;
use super::{SOON, until};

/// The way to the server and back takes a while, for answers; and its sockets are there
/// for tests.
pub const FAR: &str = "
    globalThis.sockets = [];
    globalThis.WebSocket = class extends WebSocket {
        constructor(...a) { super(...a); sockets.push(this); }
    };
    const set = RTCPeerConnection.prototype.setRemoteDescription;
    RTCPeerConnection.prototype.setRemoteDescription = async function (description) {
        if (description.type === 'answer') await new Promise((done) => setTimeout(done, 400));
        return set.call(this, description);
    };
";

/// The camera's ICE user of the present call (RFC 8839 §5.4).
const UFRAG: &str = "cameraAgent.pc.remoteDescription.sdp.match(/a=ice-ufrag:(.*)/)[1]";

/// A running browser; dropping it ends it.
pub struct Browser {
    pub client: Client,
    session: String,
    /// Firefox's way to what chromedriver has commands of its own for.
    bidi: Option<Bidi>,
    driver: Driver,
    _profile: TempDir,
}

/// How a call is, for whoever reads why a test failed.
const CALL: &str = "(async () => {
    const { state, pc } = cameraAgent;
    const kinds = ['inbound-rtp', 'outbound-rtp', 'candidate-pair', 'transport'];
    const all = [...(await pc?.getStats())?.values() ?? []];
    return {
        state, connection: pc?.connectionState, ice: pc?.iceConnectionState,
        signaling: pc?.signalingState,
        stats: all.filter(({ type }) => kinds.includes(type)),
    };
})()";

impl Browser {
    /// Starts a driver on a free port and its browser in a new profile.
    pub async fn start(person: Person) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let (driver, capabilities) = match person.engine {
            Engine::Chromium => (Driver::chromium().await, person.chromium(profile.path())),
            Engine::Firefox => (Driver::firefox().await, person.firefox()),
        };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{}", driver.port))
            .await
            .unwrap_or_else(|e| panic!("{:?} starts: {e}", person.engine));
        let session = client.session_id().await.unwrap().expect("it is new");
        let bidi = match person.engine {
            Engine::Chromium => None,
            Engine::Firefox => {
                let known = client.capabilities().expect("a new session has them");
                Some(Bidi::connect(known["webSocketUrl"].as_str().expect("an address")).await)
            }
        };
        let browser = Self {
            client,
            session,
            bidi,
            driver,
            _profile: profile,
        };
        if person.engine == Engine::Firefox {
            browser.resize(person.size).await;
        }
        browser
    }

    /// Runs a script in every page that is opened from now on, before its own.
    pub async fn before_each_page(&self, script: &str) {
        if let Some(bidi) = &self.bidi {
            let function = format!("() => {{ {script} }}");
            bidi.run(
                "script.addPreloadScript",
                json!({"functionDeclaration": function}),
            )
            .await;
            return;
        }
        let body = json!({
            "cmd": "Page.addScriptToEvaluateOnNewDocument", "params": {"source": script},
        });
        let answer = self.post("goog/cdp/execute", body).await;
        assert!(answer["value"]["identifier"].is_string(), "{answer}");
    }

    /// Makes a Firefox's page this large, in CSS pixels.
    pub async fn resize(&self, (width, height): (u32, u32)) {
        let bidi = self.bidi.as_ref().expect("a Chromium keeps its size");
        let window = self.client.window().await.expect("a window");
        let viewport = json!({
            "context": String::from(window), "viewport": {"width": width, "height": height},
        });
        bidi.run("browsingContext.setViewport", viewport).await;
    }

    /// A command that WebDriver's client does not know.
    async fn post(&self, command: &str, body: Value) -> Value {
        let path = format!("/session/{}/{command}", self.session);
        let port = self.driver.port;
        let answer =
            tokio::task::spawn_blocking(move || request(port, "POST", &path, &body.to_string()))
                .await
                .unwrap()
                .expect("the driver answers");
        serde_json::from_str(&answer).unwrap()
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
        let deadline = Instant::now() + SOON;
        while self.js(expression).await != json!(true) {
            if Instant::now() > deadline {
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

    /// Waits until the page has drawn what it was told of so far: some of it waits for the
    /// next frame (src/chat/page/pace.js).
    pub async fn drawn(&self) {
        let drawn = "new Promise((drawn) => requestAnimationFrame(() => drawn(true)))";
        assert_eq!(self.promise(drawn).await, true);
    }

    /// Waits until the page is in this state: `idle`, `calling`, `ringing`,
    /// `connecting`, `connected` or `interrupted`. A page that has loaded has none
    /// before it has its words.
    pub async fn state(&self, state: &str) {
        self.until_js(
            &format!("state {state}"),
            &format!("globalThis.cameraAgent?.state === '{state}'"),
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
    /// [`Person::plain_addresses`].
    pub async fn go_through(&self, relay: &Relay) {
        // A Firefox has no candidate for the loopback where there is a network.
        let own = match self.bidi {
            None => "fields[4] === '127.0.0.1'",
            Some(_) => "/^[0-9.]+$/.test(fields[4])",
        };
        let front = relay.front();
        self.js(&format!(
            "(() => {{
              const send = WebSocket.prototype.send;
              WebSocket.prototype.send = function (text) {{
                const frame = JSON.parse(text);
                if (frame.type === 'new-ice-candidate') {{
                  const fields = frame.candidate.candidate.split(' ');
                  const rtp = fields[1] === '1' && fields[2].toLowerCase() === 'udp';
                  if (!rtp || frame.candidate.sdpMLineIndex > 0 || !({own})) return;
                  window.ownAddress = `${{fields[4]}}:${{fields[5]}}`;
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
        let own = until("a candidate of the browser", SOON, || async {
            // In one go: one that came in between would be lost.
            let take = "(() => { const own = window.ownAddress ?? null;
                delete window.ownAddress; return own; })()";
            let own = self.js(take).await;
            own.as_str()?.parse().ok()
        })
        .await;
        relay.lead_to(own);
    }

    /// Has the page restart ICE, as it does by itself when it finds the
    /// connection failed, and waits until the other end answered.
    pub async fn restart_ice(&self) {
        let ufrag = "/ice-ufrag:(\\S+)/.exec(cameraAgent.pc.localDescription.sdp)[1]";
        let before = self.js(ufrag).await;
        self.js("Object.defineProperty(cameraAgent.pc, 'connectionState',
                { value: 'failed', configurable: true }).onconnectionstatechange(), null")
            .await;
        assert_eq!(self.js("cameraAgent.state").await, "interrupted");
        self.js("delete cameraAgent.pc.connectionState").await;
        let renewed = format!("{ufrag} !== {before} && cameraAgent.pc.signalingState === 'stable'");
        self.until_js("a new ICE generation", &renewed).await;
        // What the page does when it finds it whole again.
        self.until_js(
            "a connection",
            "cameraAgent.pc.connectionState === 'connected'",
        )
        .await;
        self.js("cameraAgent.pc.onconnectionstatechange(), null")
            .await;
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
        let deadline = Instant::now() + SOON;
        while self.frames_decoded().await < wanted {
            if Instant::now() > deadline {
                let now = self.promise(CALL).await;
                let status = self
                    .js("document.getElementById('status')?.textContent")
                    .await;
                panic!(
                    "not within {SOON:?}: {wanted} decoded frames, after {before}: \
                     status {status}, {now}"
                );
            }
            sleep(Duration::from_millis(50)).await;
        }
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
        if let Some(bidi) = &self.bidi {
            return bidi.console().await;
        }
        let answer = self.post("se/log", json!({"type": "browser"})).await;
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
        // A browser outlives a killed driver, so that is asked to end it.
        let path = format!("/session/{}", self.session);
        let _ = request(self.driver.port, "DELETE", &path, "");
    }
}
