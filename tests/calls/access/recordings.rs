//! Who may see, make and delete recordings, over the data channel.

use super::*;

const FILES: &str = "camera-agent-files";

/// Of a device that records while somebody watches, and has a button.
fn recording(home: &Home, url: String) -> Device {
    let folder = home.folder.path().to_owned();
    Device::configured(url, |config| {
        config.access.mode = Some(AccessMode::Invited);
        config.recording.button = true;
        config.recording.pre_roll_s = 1;
        config.recording.free_mb = 0;
        config.access.folder = Some(folder);
    })
}

async fn ask(viewer: &Viewer, message: Value) {
    viewer.tell(&message.to_string()).await.expect("a channel");
}

/// Waits until the last message of this type is so.
async fn last(viewer: &Viewer, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    viewer
        .wait(kind, |heard, _| {
            let last = heard.messages.iter().rfind(|m| m["type"] == kind)?;
            wanted(last).then(|| last.clone())
        })
        .await
}

fn may(words: &str) -> impl FnOnce(&mut Invitation) {
    let may = May::parse(words).expect("words");
    move |invitation| invitation.may = may
}

async fn listed(viewer: &Viewer, wanted: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let before = viewer.heard(|h| h.messages.iter().filter(|m| m["type"] == "list").count());
        ask(viewer, json!({"type": "list", "before": null})).await;
        let list = viewer
            .wait("a list", |heard, _| {
                heard
                    .messages
                    .iter()
                    .filter(|m| m["type"] == "list")
                    .nth(before)
                    .cloned()
            })
            .await;
        if wanted(&list["recordings"]) {
            return list["recordings"].clone();
        }
        assert!(began.elapsed() < SOON, "{list}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Whatever a guest asks for.
async fn is_told_that_they_may_not(guest: &Viewer) {
    for message in [
        json!({"type": "list", "before": null}),
        json!({"type": "get", "id": "20261130T103515Z", "from": 0, "length": 1}),
        json!({"type": "delete", "id": "20261130T103515Z"}),
        json!({"type": "record", "on": true}),
    ] {
        let about = message["type"].clone();
        ask(guest, message).await;
        let refused = last(guest, "error", |m| m["about"] == about).await;
        assert_eq!(refused["why"], "recordings-not-invited", "{refused}");
    }
    guest.heard(|h| assert!(h.messages.iter().all(|m| m["type"] == "error")));
}

/// Part by part; its size.
async fn gets_all(sees: &Viewer, recording: &Value) -> usize {
    let size = recording["bytes"].as_u64().expect("a size") as usize;
    let mut got = 0;
    while got < size {
        ask(
            sees,
            json!({"type": "get", "id": recording["id"], "from": got, "length": 100_000}),
        )
        .await;
        let part = last(sees, "part", |m| m["from"] == got).await;
        assert_eq!(part["size"], size);
        got += part["length"].as_u64().expect("a length") as usize;
        sees.wait("its bytes", |heard, _| {
            (heard.bytes.len() == got).then_some(())
        })
        .await;
    }
    size
}

#[tokio::test]
async fn who_was_invited_to_recordings_makes_and_sees_them_and_who_controls_deletes_them() {
    let (chat, home) = (Chat::start().await, Home::new());
    let owner_s = home.invite("owner", may("watch,listen,control,recordings"));
    let sees_s = home.invite("sees", may("watch,recordings"));
    let guest_s = home.invite("guest", |_| {});
    let device = recording(&home, format!("ws://{}/", chat.addr));
    let mut viewers = Vec::new();
    for (name, link) in [("owner", &owner_s), ("sees", &sees_s), ("guest", &guest_s)] {
        let mut viewer = device.viewer(name).await;
        viewer.holds(Some(Held::of(link)));
        viewer.call_with(&[FILES]).await;
        viewer.watch(10).await;
        viewers.push(viewer);
    }
    let [owner, sees, guest] = &viewers[..] else {
        panic!("three");
    };
    is_told_that_they_may_not(guest).await;
    last(sees, "recording", |m| {
        *m == json!({"type": "recording", "now": null, "button": true, "may_delete": false})
    })
    .await;
    ask(sees, json!({"type": "record", "on": true})).await;
    for viewer in [owner, sees] {
        last(viewer, "recording", |m| m["now"] == "button").await;
    }
    listed(owner, |list| list[0]["bytes"].as_u64() > Some(50_000)).await;
    let going_on = listed(sees, |list| list[0]["seconds"].is_null()).await[0]["id"].clone();
    ask(owner, json!({"type": "delete", "id": going_on})).await;
    let refused = last(owner, "error", |m| m["about"] == "delete").await;
    assert_eq!(refused["why"], "recording-busy", "{refused}");
    ask(sees, json!({"type": "record", "on": false})).await;
    last(owner, "recording", |m| m["now"].is_null()).await;
    let recording = listed(sees, |list| list[0]["seconds"].is_u64()).await[0].clone();
    assert_eq!(recording["why"], "button", "{recording}");

    // All of it, in parts.
    let size = gets_all(sees, &recording).await;
    let files = home.folder.path().join("recordings");
    let file = std::fs::read_dir(&files)
        .expect("a folder")
        .next()
        .expect("one")
        .expect("one");
    let kept = std::fs::read(file.path()).expect("read");
    sees.heard(|heard| assert!(heard.bytes == kept, "it is another"));
    assert!(kept.len() == size && &kept[4..8] == b"ftyp");

    let delete = json!({"type": "delete", "id": recording["id"]});
    ask(sees, delete.clone()).await;
    let refused = last(sees, "error", |m| m["about"] == "delete").await;
    assert_eq!(refused["why"], "delete-not-invited", "{refused}");
    ask(owner, delete.clone()).await;
    last(owner, "deleted", |m| m["id"] == recording["id"]).await;
    assert_eq!(std::fs::read_dir(&files).expect("a folder").count(), 0);
    for message in [
        delete,
        json!({"type": "get", "id": recording["id"], "from": 0, "length": 1}),
    ] {
        let about = message["type"].clone();
        ask(owner, message).await;
        last(owner, "error", |m| {
            m["about"] == about && m["why"] == "recording-gone"
        })
        .await;
    }
    device.stop().await;
    chat.stop().await;
}

#[tokio::test]
async fn a_camera_that_records_nothing_says_so() {
    let (chat, home) = (Chat::start().await, Home::new());
    let link = home.invite("owner", |i| i.may = May::everything());
    let device = home.device(format!("ws://{}/", chat.addr));
    let mut owner = device.viewer("owner").await;
    owner.holds(Some(Held::of(&link)));
    owner.call_with(&[FILES]).await;
    owner.watch(10).await;
    ask(&owner, json!({"type": "list"})).await;
    let refused = last(&owner, "error", |m| m["about"] == "list").await;
    assert_eq!(refused["why"], "recordings-off", "{refused}");
    device.stop().await;
    chat.stop().await;
}
