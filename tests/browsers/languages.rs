//! The page in each language that it speaks: the one that the browser asks for, with
//! room for its words, and with nothing that keeps people out who hear it or use no
//! mouse (axe-core).

use crate::support::browser::{Browser, Person};
use crate::support::device::{Device, TEST_MEDIA};
use crate::support::{Chat, User};
use serde_json::{Value, json};

/// As the Makefile fetches it: `make test-packages`.
const AXE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/target/tools/axe-core-4.14.1/node_modules/axe-core/axe.min.js"
);

/// What a browser asks for, what the page calls that, and what it says once it is
/// connected.
const SPOKEN: [(&str, &str, &str); 5] = [
    ("en-GB,en", "en", "Connected. Choose who to call."),
    ("fr,de-AT,en", "de", "Verbunden. Wen möchten Sie anrufen?"),
    ("es-419,es,en", "es", "Conectado. Elige a quién llamar."),
    ("zh-CN,zh,en", "zh-Hans", "已连接。请选择要呼叫的对象。"),
    ("ja", "ja", "接続しました。相手を選んでください。"),
];

/// Keeps every line that can be seen, from the first frame on.
const SEEN: &str = "
    globalThis.seen = new Set();
    const look = () => {
        for (const line of document.body?.innerText.split('\\n') ?? []) seen.add(line.trim());
        requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
";

/// English texts that were seen, and are others in the page's language.
const STRANGE: &str = "Promise.all(['en', document.documentElement.lang.slice(0, 2)]
    .map((language) => import(`./words-${language}.js`)))
    .then(([{ default: english }, { default: own }]) => Object.keys(english)
        .filter((name) => own[name] !== english[name] && seen.has(english[name])))";

async fn is_spoken_to(person: Person, tag: &str, online: &str) {
    let chat = Chat::start().await;
    let _bob = User::join(chat.addr, "bob").await;
    let asked = person.languages;
    let alice = Browser::start(person).await;
    alice.before_each_page(SEEN).await;
    alice.open(&chat.page("alice")).await;
    alice.says(online).await;
    let root = "[document.documentElement.lang, document.documentElement.dir]";
    assert_eq!(alice.js(root).await, json!([tag, "ltr"]), "{asked}");
    let seen = "[...document.querySelectorAll('h1, h2, #hangup, #people button')]
        .every((each) => each.textContent.trim() !== '')";
    assert_eq!(alice.js(seen).await, true, "{asked}: everything has words");
    assert_eq!(alice.promise(STRANGE).await, json!([]), "{asked}");
    alice.clean_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chromium_is_spoken_to_in_its_language_from_the_first_frame_on() {
    for (languages, tag, online) in SPOKEN {
        let person = Person {
            languages,
            ..Person::default()
        };
        is_spoken_to(person, tag, online).await;
    }
}

/// Each in a test of its own: it starts slowly.
async fn a_firefox_is_spoken_to(number: usize) {
    let (languages, tag, online) = SPOKEN[number];
    let person = Person {
        languages,
        ..Person::with_firefox()
    };
    is_spoken_to(person, tag, online).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_firefox_is_spoken_to_in_english() {
    a_firefox_is_spoken_to(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_firefox_is_spoken_to_in_german() {
    a_firefox_is_spoken_to(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_firefox_is_spoken_to_in_spanish() {
    a_firefox_is_spoken_to(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_firefox_is_spoken_to_in_chinese() {
    a_firefox_is_spoken_to(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_firefox_is_spoken_to_in_japanese() {
    a_firefox_is_spoken_to(4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_asks_before_the_browser_does_and_an_unknown_language_is_passed_over() {
    let chat = Chat::start().await;
    let alice = Browser::start(Person {
        languages: "de",
        ..Person::default()
    })
    .await;
    for (typed, tag) in [
        ("es", "es"),
        ("tlh", "de"),
        ("JA-x", "ja"),
        ("__proto__", "de"),
    ] {
        alice
            .open(&format!("{}&lang={typed}", chat.page("alice")))
            .await;
        assert_eq!(
            alice.js("document.documentElement.lang").await,
            tag,
            "{typed}"
        );
    }
    alice.clean_console().await;
}

/// Known codes are said in the page's own words, others as the device puts it.
#[tokio::test(flavor = "multi_thread")]
async fn why_a_call_ends_is_said_in_the_readers_language() {
    let chat = Chat::start().await;
    let mut bob = User::join(chat.addr, "bob").await;
    let ann = Browser::start(Person {
        languages: "de",
        ..Person::default()
    })
    .await;
    ann.open(&chat.page("ann")).await;
    for (why, reason, said) in [
        (
            json!("full"),
            "it is full",
            "Mehr Zuschauer schafft die Kamera nicht",
        ),
        (
            json!("camera-fault"),
            "no {control}",
            "schiefgegangen (no {control}).",
        ),
        (
            json!("of-tomorrow"),
            "<b>it</b> is Sunday",
            "<b>it</b> is Sunday",
        ),
        (json!("constructor"), "it was built", "it was built"),
        (json!(["full"]), "it is odd", "it is odd"),
        (Value::Null, "it is old", "it is old"),
    ] {
        ann.call("bob").await;
        bob.frame("video-offer").await;
        bob.send(json!({"type": "hang-up", "target": "ann", "reason": reason, "why": why}))
            .await;
        ann.says(&format!(
            "bob hat den Anruf beendet: {}",
            said_in(why.as_str(), said)
        ))
        .await;
        ann.state("idle").await;
    }
    ann.clean_console().await;
}

/// The whole sentence, of which `said` is a part.
fn said_in(why: Option<&str>, said: &str) -> String {
    match why {
        Some("camera-fault") => format!("In der Kamera ist etwas {said}"),
        _ => said.to_owned(),
    }
}

/// The device's own: of a control that it does not set, of a lost picture, of its end.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_says_is_said_in_the_readers_language() {
    let chat = Chat::start().await;
    let device = Device::start(chat.addr, TEST_MEDIA).await;
    device.registered().await;
    let alice = Browser::start(Person {
        languages: "es",
        ..Person::default()
    })
    .await;
    alice.open(&chat.page("alice")).await;
    alice.call("camera").await;
    alice.state("connected").await;
    let open = "cameraAgent.channel?.readyState === 'open'";
    alice.until_js("a data channel", open).await;
    let control = json!({"type": "control", "name": "gain", "value": 1}).to_string();
    alice
        .js(&format!(
            "(cameraAgent.channel.send({}), null)",
            json!(control)
        ))
        .await;
    let problem = "document.querySelector('#camera .problem').textContent
        === 'Los espectadores no pueden ajustar esta cámara.'";
    alice.until_js("why it is not set", problem).await;
    let lost = json!({"type": "status", "audio": {"state": "live"}, "video": {
        "state": "lost", "why": "camera-lost", "text": "gone", "reason": "<i>poll</i>"}});
    let event = format!(
        "cameraAgent.channel.dispatchEvent(new MessageEvent('message', {{data: {}}}))",
        json!(lost.to_string())
    );
    alice.js(&event).await;
    let media =
        "['media-text', 'media-reason'].map((id) => document.getElementById(id).textContent)";
    alice.drawn().await;
    assert_eq!(
        alice.js(media).await,
        json!([
            "No hay cámara. La imagen seguirá cuando vuelva.",
            "<i>poll</i>"
        ])
    );
    device.signal("TERM").await;
    alice
        .says("camera terminó la llamada: la cámara se está apagando")
        .await;
    alice.clean_console().await;
}

/// Whatever there is to read or to click is in the window, and no text is cut off.
pub async fn fits(browser: &Browser, what: &str) {
    let outside = "[...document.querySelectorAll('button, input, select, h1, h2, h3, label, dt, dd, p, dialog[open]')]
        .filter((each) => each.getClientRects().length > 0 && !each.closest('.unseen, [hidden]'))
        .filter((each) => {
            const { left, right } = each.getBoundingClientRect();
            const { display } = getComputedStyle(each);
            const cut = display !== 'inline' && !each.matches('input, select')
                && each.scrollWidth > each.clientWidth + 1;
            return left < -.5 || right > innerWidth + .5 || cut;
        })
        .map((each) => each.id || each.textContent)";
    assert_eq!(browser.js(outside).await, json!([]), "{what}");
    let wide = "document.documentElement.scrollWidth - innerWidth";
    let wide = browser.js(wide).await;
    assert!(wide.as_f64().is_some_and(|wide| wide <= 0.0), "{what}");
}

/// Nothing that axe-core calls serious or worse.
pub async fn is_accessible(browser: &Browser, what: &str) {
    let axe = std::fs::read_to_string(AXE).expect("axe-core; fetch it: make test-packages");
    browser
        .client
        .execute(&axe, vec![])
        .await
        .expect("it is a script");
    let found = browser
        .promise(
            "axe.run(document).then(({ violations, passes }) => [passes.length > 5, violations
                .filter(({ impact }) => ['serious', 'critical'].includes(impact))
                .map(({ id, nodes }) => [id, nodes.map(({ html, failureSummary }) => html + failureSummary)])])",
        )
        .await;
    assert_eq!(found, json!([true, []]), "{what}");
}

async fn looks_well(browser: &Browser, what: &str) {
    let shot = format!("{}/language-{what}.png", env!("CARGO_TARGET_TMPDIR"));
    browser.screenshot(shot).await;
    fits(browser, what).await;
    is_accessible(browser, what).await;
}

/// Idle, in a call, with all that it can show, refused, and among invitations.
async fn goes_through_its_states(chat: &Chat, person: Person) {
    let what = format!(
        "{}-{}{}",
        person.languages,
        person.size.0,
        if person.dark { "-dark" } else { "" }
    );
    let mut bob = User::join(chat.addr, &format!("bob {what}")).await;
    let alice = Browser::start(person).await;
    alice.open(&chat.page("alice")).await;
    looks_well(&alice, &format!("{what}-idle")).await;
    alice.call("camera").await;
    alice.state("connected").await;
    alice.click("#stats-toggle").await;
    let numbers = "document.querySelectorAll('#stats dl div:not([hidden])').length >= 6";
    alice.until_js("numbers", numbers).await;
    for message in [
        json!({"type": "qualities", "count": 3}),
        json!({"type": "controls", "controls": [
            {"name": "brightness", "minimum": 0, "maximum": 255, "step": 1, "default": 1, "value": 100},
            {"name": "white_balance_automatic", "minimum": 0, "maximum": 1, "step": 1, "default": 1, "value": 1},
            {"name": "auto_exposure", "minimum": 0, "maximum": 3, "step": 1, "default": 3, "value": 3,
                "menu": [{"value": 1, "label": "Manual Mode"}, {"value": 3, "label": "Aperture Priority Mode"}]}]}),
        json!({"type": "privacy", "on": false}),
        json!({"type": "motion", "zone": "the door", "began_ms": 1_795_529_471_123_u64, "ended_ms": 1_795_529_478_323_u64, "past": true}),
        json!({"type": "motion", "zone": "the door", "began_ms": 1_795_529_571_123_u64, "past": true}),
        json!({"type": "zones", "sensitivity": 5, "drawn": true, "may_draw": true, "zones": [
            {"name": "the door", "corners": [[0.1, 0.1], [0.5, 0.1], [0.3, 0.6]]}]}),
        json!({"type": "error", "about": "control", "why": "control-inactive", "text": "", "control": "gain"}),
    ] {
        let event = format!(
            "cameraAgent.channel.dispatchEvent(new MessageEvent('message', {{data: {}}}))",
            json!(message.to_string())
        );
        alice.js(&event).await;
    }
    alice.drawn().await;
    alice
        .js("(document.getElementById('camera').open = true, null)")
        .await;
    looks_well(&alice, &format!("{what}-call")).await;
    alice.click("#motion summary").await;
    alice.click("#zones .row.all button").await;
    looks_well(&alice, &format!("{what}-zones")).await;
    alice.click("#zones .cancel").await;
    alice.click("#hangup").await;
    alice.state("idle").await;
    alice.call(&format!("bob {what}")).await;
    bob.frame("video-offer").await;
    bob.send(json!({"type": "hang-up", "target": "alice", "reason": "full", "why": "full"}))
        .await;
    alice.state("idle").await;
    looks_well(&alice, &format!("{what}-refused")).await;
    alice.click("#invited-open").await;
    looks_well(&alice, &format!("{what}-invited")).await;
    alice.clean_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_each_language_the_page_fits_a_desk_and_a_telephone_and_keeps_nobody_out() {
    let chat = Chat::start().await;
    let device = Device::start(chat.addr, TEST_MEDIA).await;
    device.registered().await;
    for (languages, number) in ["en", "de", "es", "zh", "ja"].into_iter().zip(0..) {
        // Colours are the same in all.
        for (size, dark) in [((1280, 800), number == 0), ((390, 844), number % 2 == 0)] {
            let person = Person {
                languages,
                size,
                dark,
                ..Person::default()
            };
            goes_through_its_states(&chat, person).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn by_day_the_page_keeps_nobody_out_either() {
    let chat = Chat::start().await;
    let device = Device::start(chat.addr, TEST_MEDIA).await;
    device.registered().await;
    for size in [(1280, 800), (390, 844)] {
        let person = Person {
            size,
            ..Person::default()
        };
        goes_through_its_states(&chat, person).await;
    }
}
