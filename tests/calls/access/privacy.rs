//! Who may close camera and microphone for the owner's privacy, over the data
//! channel.

use super::*;

/// Waits until the viewer was told that the picture is in this state, last of all.
async fn picture_is(viewer: &Viewer, state: &str) {
    let what = format!("the picture is {state}");
    viewer
        .wait(&what, |heard, _| {
            let last = heard.messages.iter().rfind(|m| m["type"] == "status")?;
            (last["video"]["state"] == state).then_some(())
        })
        .await;
}

#[tokio::test]
async fn who_may_control_the_camera_switches_privacy_and_nobody_else_does() {
    let (chat, home) = (Chat::start().await, Home::new());
    let owner_s = home.invite("owner", |i| i.may = May::everything());
    let guest_s = home.invite("guest", |_| {});
    let device = home.device(format!("ws://{}/", chat.addr));
    let (mut owner, mut guest) = (device.viewer("owner").await, device.viewer("guest").await);
    for (viewer, link) in [(&mut owner, &owner_s), (&mut guest, &guest_s)] {
        viewer.holds(Some(Held::of(link)));
        gets_in(viewer).await;
        viewer.watch(10).await;
        picture_is(viewer, "live").await;
    }
    let wants = |on: bool| json!({"type": "privacy", "on": on}).to_string();
    let is = |on: bool| move |m: &Value| *m == json!({"type": "privacy", "on": on});
    let kept = || home.folder.path().join("privacy").exists();
    owner.told("it is off", is(false)).await;

    guest.tell(&wants(true)).await.expect("a channel");
    let about = |m: &Value| m["type"] == "error" && m["about"] == "privacy";
    let refused = guest.told("a refusal", about).await;
    assert!(
        refused["text"]
            .as_str()
            .is_some_and(|t| t.contains("control")),
        "{refused}"
    );
    assert!(!kept());

    owner.tell(&wants(true)).await.expect("a channel");
    owner.told("it is on", is(true)).await;
    for viewer in [&owner, &guest] {
        picture_is(viewer, "private").await;
    }
    // It is told before it is written.
    until("the file", SOON, || async { kept().then_some(()) }).await;
    // Who may not switch it cannot open the camera either.
    guest.tell(&wants(false)).await.expect("a channel");
    guest
        .wait("two refusals", |heard, _| {
            (heard.messages.iter().filter(|m| about(m)).count() == 2).then_some(())
        })
        .await;
    assert!(kept());
    owner.tell(&wants(false)).await.expect("a channel");
    for viewer in [&owner, &guest] {
        picture_is(viewer, "live").await;
        viewer.heard(|h| assert_eq!(h.hung_up, None));
    }
    until("no file", SOON, || async { (!kept()).then_some(()) }).await;
    // What a command beside the device closed, nobody opens over a call.
    let file = home.folder.path().join("privacy");
    std::fs::write(&file, "owner: closed\n").expect("written");
    picture_is(&owner, "private").await;
    owner.tell(&wants(false)).await.expect("a channel");
    let refused = owner.told("a refusal", about).await;
    assert_eq!(refused["why"], "privacy-kept", "{refused}");
    assert!(kept());
    std::fs::remove_file(&file).expect("removed");
    picture_is(&owner, "live").await;
    guest.heard(|h| assert!(h.messages.iter().all(|m| m["type"] != "privacy")));
    device.stop().await;
    chat.stop().await;
}
