//! Strangers and cameras that ask the page for more than a person can take.

use super::*;

const FAKES: &str = include_str!("../../support/hostile_camera.js");
const SOCKETS: &str = "globalThis.sockets = []; globalThis.WebSocket = class extends WebSocket { \
    constructor(...all) { super(...all); sockets.push(this); } }";

async fn page(chat: &Chat) -> Browser {
    let alice = Browser::start(Person::default()).await;
    alice.before_each_page(SOCKETS).await;
    alice.before_each_page(FAKES).await;
    alice.open(&chat.page("alice")).await;
    alice
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_declined_does_not_ring_again_and_after_two_nobody_does() {
    let chat = Chat::start().await;
    let alice = page(&chat).await;
    let offer = json!({"type": "video-offer", "target": "alice",
        "sdp": {"type": "offer", "sdp": "v=0"}});
    for name in ["bob", "carol"] {
        let mut caller = User::join(chat.addr, name).await;
        caller.send(offer.clone()).await;
        alice.state("ringing").await;
        alice.click("#decline").await;
        assert_eq!(caller.frame("hang-up").await["reason"], "declined");
        caller.send(offer.clone()).await;
        assert_eq!(caller.frame("hang-up").await["reason"], "no answer");
        assert_eq!(alice.js("cameraAgent.state").await, "idle");
        if name == "bob" {
            alice.says("bob called").await;
        }
    }
    let mut dave = User::join(chat.addr, "dave").await;
    dave.send(offer).await;
    assert_eq!(dave.frame("hang-up").await["reason"], "no answer");
    let open = "document.getElementById('ring').hasAttribute('open')";
    assert_eq!(alice.js(open).await, false);
    alice.clean_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_ask_for_has_a_pace() {
    let chat = Chat::start().await;
    let alice = page(&chat).await;
    let made = alice.promise("simulated()").await;
    assert_eq!(made["atOnce"], 100);
    assert!(
        (28..=30).contains(&made["inASecond"].as_u64().expect("a number")),
        "{made}"
    );
    assert_eq!(made["drawn"], json!([8, "b"]));
    assert_eq!(made["given"], json!(["x1", "a1", "b2", "a3", "c1", "x4"]));
    assert_eq!(made["first"], true);
    assert_eq!(made["again"], json!([false, false, true]));
    assert_eq!(made["quiet"], json!([false, false, true]));
    assert_eq!(
        made["hungUp"],
        json!([true, false]),
        "twice in half a minute"
    );
    assert_eq!(made["other"], true, "who did nothing rings");
    assert_eq!(made["shutOut"], 0, "by one name alone");
    assert_eq!(made["many"], 4, "rings of ever new names in a minute");
    assert_eq!(made["wanted"], true);
    assert_eq!(made["tells"], json!([true, false, true]));
    assert_eq!(
        made["order"],
        json!(["yard", "!cam", "0 eve", "bob", "zoe"])
    );
    let lines = alice.promise("floodOfLines(500)").await;
    assert_eq!(lines["lines"], 200);
    assert_eq!(lines["last"], "eveline 499");
    assert!(lines["layouts"].as_u64().expect("a number") <= 4, "{lines}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_floods_the_page_has_its_last_word_shown_once() {
    let chat = Chat::start().await;
    let alice = page(&chat).await;
    let mut mallory = User::connect(chat.addr).await;
    let id = mallory.id.clone();
    mallory
        .send(json!({"type": "username", "name": "mallory", "id": id, "device": true}))
        .await;
    alice.call("mallory").await;
    alice.state("calling").await;
    let made = alice.promise("floodOfControls()").await;
    assert!(made["built"].as_u64().expect("a number") <= 3, "{made}");
    assert_eq!(made["choices"], 256);
    assert_eq!(made["last"], "999", "a last state is not lost: {made}");
    assert_eq!(made["privacy"], "true");
    assert_eq!(made["name"], 80);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_whose_files_have_no_end_fills_no_page() {
    let chat = Chat::start().await;
    let alice = page(&chat).await;
    const PART: u64 = 512 * 1024;
    let made = alice.promise("endless()").await;
    assert_eq!(made["grows"], json!([10 * PART, 10]), "as it was at first");
    assert_eq!(made["lacks"], json!(["no: no size", 1]));
    assert_eq!(made["huge"], json!(["no: no size", 1]));
    assert_eq!(made["stopped"], json!(["nothing", 4]));
    let made = alice.promise("oddAnswers()").await;
    assert_eq!(made["half"], 4, "{made}");
    assert_eq!(made["asked"], 2, "one after the other");
    assert_eq!(made["first"], "no: no answer");
    assert_eq!(made["late"], "waits");
    assert_eq!(made["second"], 5);
    let made = alice.promise("pauses()").await;
    assert_eq!(
        made["away"],
        json!([15_000, 15_000, 15_000, "waits"]),
        "{made}"
    );
    assert_eq!(made["back"], json!([1, 15_000, "waits"]));
    assert_eq!(made["came"], 4);
    assert_eq!(made["still"], 15_000);
    assert_eq!(made["read"], json!([4, 0]));
    assert_eq!(made["silent"], json!(["no: no answer", 2]));
    assert_eq!(made["again"], 4);
    assert_eq!(made["film"], "yard does not answer.");
    let made = alice.promise("thumbnailsBesideOneThatIsRefused()").await;
    assert_eq!(made, json!([3, true]));
    let made = alice.promise("longLists()").await;
    assert_eq!(made["long"], 100, "{made}");
    assert_eq!(made["apart"], 100, "no hole: {made}");
    assert_eq!(made["more"], 140, "what is known stays: {made}");
    assert_eq!(made["opened"], 50, "what was rotated away is gone: {made}");
    assert_eq!(made["day"], 300, "{made}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_keeps_its_row_and_one_that_was_stopped_stays_so() {
    let chat = Chat::start().await;
    let alice = page(&chat).await;
    let made = alice.promise("saves()").await;
    assert_eq!(made["reopened"], json!([4, 3, "Stop", false]), "{made}");
    assert_eq!(made["apart"], json!([4, 3, "Stop", false]), "{made}");
    assert_eq!(made["more"], true, "what lies between is to be had");
    assert_eq!(
        made["asked"],
        json!([true, false]),
        "from the last that was listed on"
    );
    assert_eq!(made["older"], json!([6, 4, "Stop", false]), "in its place");
    assert_eq!(made["stopped"], json!(["Save", true]));
    assert_eq!(made["begun"], json!(["Stop", false]));
    assert_eq!(made["goesOn"], json!(["Stop", false]), "{made}");
    assert_eq!(made["ended"], json!(["Save", true]));
    assert_eq!(
        made["gets"],
        json!([0, 4, 8, 12, 0, 4, 8, 12, 16, 20]),
        "one save, not two"
    );
    assert_eq!(made["saved"], 1);
    alice.clean_console().await;
}
