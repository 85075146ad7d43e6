//! Who may say where motion counts, over the data channel.

use super::*;

fn looks_for_motion(home: &Home, url: String) -> Device {
    let folder = home.folder.path().to_owned();
    Device::configured(url, |config| {
        config.access.mode = Some(AccessMode::Invited);
        config.access.folder = Some(folder);
        config.motion.enabled = true;
    })
}

/// Of a message that has these zones.
fn has_zones(names: &'static [&'static str], may_draw: bool) -> impl Fn(&Value) -> bool {
    move |message| {
        let zones = message["zones"].as_array().into_iter().flatten();
        let all: Vec<_> = zones.map(|zone| zone["name"].clone()).collect();
        message["type"] == "zones" && message["may_draw"] == may_draw && all == names
    }
}

async fn draws(viewer: &Viewer, wish: Value) {
    viewer.tell(&wish.to_string()).await.expect("a channel");
}

#[tokio::test]
async fn who_may_control_the_camera_draws_zones_that_all_see_and_that_outlast_a_restart() {
    let (chat, home) = (Chat::start().await, Home::new());
    let url = format!("ws://{}/", chat.addr);
    let owner_s = home.invite("owner", |i| {
        i.may = May::everything();
        i.stage = Stage::Shared;
    });
    let guest_s = home.invite("guest", |i| i.stage = Stage::Shared);
    let device = looks_for_motion(&home, url.clone());
    let (mut owner, mut guest) = (device.viewer("owner").await, device.viewer("guest").await);
    for (viewer, link) in [(&mut owner, &owner_s), (&mut guest, &guest_s)] {
        viewer.holds(Some(Held::of(link)));
        gets_in(viewer).await;
    }
    owner.told("none", has_zones(&[], true)).await;
    guest.told("none", has_zones(&[], false)).await;
    let corners = json!([[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]);
    let gate = json!({"type": "zone", "name": "gate", "corners": corners, "sensitivity": 7});

    draws(&guest, gate.clone()).await;
    let about = |m: &Value| m["type"] == "error" && m["about"] == "zones";
    let refused = guest.told("a refusal", about).await;
    assert_eq!(refused["why"], "zones-not-invited", "{refused}");
    let outside = json!({"type": "zone", "name": "gate", "corners": [[0, 0], [2, 0], [0, 1]]});
    draws(&owner, outside).await;
    let refused = owner.told("a refusal", about).await;
    assert_eq!(refused["why"], "zone-refused", "{refused}");
    let text = refused["text"].as_str().unwrap_or_default();
    assert!(text.contains("2 is not in the picture"), "{refused}");

    draws(&owner, gate).await;
    owner.told("its zone", has_zones(&["gate"], true)).await;
    guest.told("it, too", has_zones(&["gate"], false)).await;
    let file = home.folder.path().join("zones.toml");
    let written = std::fs::read_to_string(&file).expect("it is kept");
    assert!(written.contains("gate"), "{written}");
    device.stop().await;

    let device = looks_for_motion(&home, url);
    let mut owner = device.viewer("owner again").await;
    owner.holds(Some(Held::of(&owner_s)));
    gets_in(&mut owner).await;
    let kept = owner
        .told("what was kept", has_zones(&["gate"], true))
        .await;
    assert_eq!(kept["drawn"], true);
    assert_eq!(kept["zones"][0]["sensitivity"], 7);
    draws(&owner, json!({"type": "zones", "configured": true})).await;
    owner.told("none again", has_zones(&[], true)).await;
    assert!(!file.exists());
    device.stop().await;
    chat.stop().await;
}
