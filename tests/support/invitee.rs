//! What tests of the page say and see of invitations.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use camera_agent::access::{Invite, Link};
use serde_json::{Value, json};

use super::browser::Browser;
use super::standin::StandIn;
use super::{Chat, User};

/// What the browser has in its database: a camera each, without its key.
pub const KEPT: &str = "new Promise((done) => {
    indexedDB.open('camera-agent').onsuccess = ({ target: { result: database } }) => {
        database.transaction('cameras').objectStore('cameras').getAll().onsuccess = ({ target: { result } }) => {
            database.close();
            done(result.map(({ key, added, seen, ...rest }) => ({
                ...rest, seen: seen > 0,
                key: key instanceof CryptoKey ? [key.type, key.extractable, key.algorithm.name]
                    : key.constructor.name + key.length,
            })));
        };
    };
})";

pub const IMPOSTOR: &str = "This is not the camera that invited you";

pub fn link(chat: &Chat, person: &str, camera: &str, invite: &Invite) -> String {
    Link {
        page: chat.page(person),
        camera: camera.into(),
        invite: invite.clone(),
    }
    .text()
}

/// Watches by a link.
pub async fn watching(browser: &Browser, camera: &mut StandIn, link: &str) {
    browser.client.goto(link).await.expect("the page");
    camera.takes().await;
    browser.state("connected").await;
    browser.frames_rise(5).await;
}

pub async fn lock(browser: &Browser) -> Value {
    browser
        .js("document.getElementById('lock').hidden ? null : document.getElementById('lock').innerText")
        .await
}

pub async fn reload(browser: &Browser) {
    browser.client.refresh().await.expect("it loads again");
    let online =
        "document.body?.dataset.online === 'true' && !!document.querySelector('#users .own')";
    browser.until_js("the page again", online).await;
}

/// All that `alice` sent to this user until now.
pub async fn sent_until_now(alice: &Browser, user: &mut User) -> Vec<Value> {
    alice.click("#chat-input").await;
    alice.keys("so far\u{e007}").await;
    let mut sent = Vec::new();
    loop {
        let frame = user.any().await;
        if frame["type"] == "message" {
            return sent;
        }
        if frame["name"] == "alice" {
            sent.push(frame);
        }
    }
}

pub async fn focused(browser: &Browser) -> Value {
    browser
        .js("(({ id, ariaLabel, innerText }) => ariaLabel || innerText || id)(document.activeElement)")
        .await
}

/// What is wrong, as the screen says it.
pub async fn complains(browser: &Browser, words: &str) {
    let problem = "document.querySelector('#invited .problem').innerText";
    browser
        .until_js(words, &format!("{problem}.includes({})", json!(words)))
        .await;
}
