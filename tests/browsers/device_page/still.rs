//! What is on the screen, as a file.

use super::*;

/// Notes what the page gives the browser to save.
const CATCH: &str = "(() => {
    globalThis.saved = [];
    const create = URL.createObjectURL;
    URL.createObjectURL = (blob) => {
        globalThis.blob = blob;
        return create(blob);
    };
    HTMLAnchorElement.prototype.click = function () {
        saved.push({ name: this.download, blob });
    };
})()";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_camera_shows_is_saved_in_its_own_size_under_its_name_and_time() {
    let chat = Chat::start().await;
    let _device = device(&chat).await;
    let alice = visitor(&chat, CATCH).await;
    let hidden = "document.getElementById('save').hidden";
    assert_eq!(alice.js(hidden).await, true, "there is nothing to save");
    alice.call("camera").await;
    alice.frames_rise(5).await;
    alice.click("#save").await;
    alice.until_js("a picture", "saved.length === 1").await;
    let name = alice.js("saved[0].name").await;
    let name = name.as_str().expect("a name");
    let time = name.strip_prefix("camera ").expect("the camera's name");
    assert!(
        time.starts_with("20") && time.ends_with("Z.jpg") && !time.contains(':'),
        "{name}"
    );
    // It is a picture, and the one that is seen: the test picture's bars.
    let seen = alice
        .promise(
            "createImageBitmap(saved[0].blob).then((bitmap) => {
                const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
                const context = canvas.getContext('2d');
                context.drawImage(bitmap, 0, 0);
                const [red, green, blue] = context.getImageData(bitmap.width * 0.21, bitmap.height * 0.4, 1, 1).data;
                return [saved[0].blob.type, bitmap.width, bitmap.height,
                    red > 150 && green > 150 && blue < 60];
            })",
        )
        .await;
    assert_eq!(seen, serde_json::json!(["image/jpeg", 640, 360, true]));
    alice.click("#hangup").await;
    alice.state("idle").await;
    assert_eq!(alice.js(hidden).await, true);
    alice.clean_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_there_is_a_picture_the_button_says_so() {
    let chat = Chat::start().await;
    let _device = device(&chat).await;
    // The answer is on its way for ever.
    let never = "RTCPeerConnection.prototype.setRemoteDescription = () => new Promise(() => {})";
    let alice = visitor(&chat, &format!("({never}, {CATCH})")).await;
    alice.call("camera").await;
    alice.click("#save").await;
    alice.says("There is no picture yet").await;
    assert_eq!(alice.js("saved.length").await, 0);
}

/// A camera's name is anybody's words.
#[tokio::test(flavor = "multi_thread")]
async fn a_camera_s_name_makes_no_path_of_the_file_s() {
    let chat = Chat::start().await;
    let alice = visitor(&chat, CATCH).await;
    let save = |name: &str| {
        format!(
            "import('/picture.js').then(({{ savePicture }}) => savePicture(
                Object.assign(document.createElement('canvas'),
                    {{ width: 8, height: 8, videoWidth: 8, videoHeight: 8 }}),
                {}))",
            serde_json::json!(name)
        )
    };
    for (camera, file) in [
        ("../../etc/passwd", "_.._etc_passwd"),
        ("C:\\x\u{202e}gpj.exe", "C__x_gpj.exe"),
        (" . ", "camera"),
        ("Garten Süd", "Garten Süd"),
        (&"n".repeat(500), &"n".repeat(60)),
    ] {
        alice.promise(&save(camera)).await;
        let name = alice.js("saved.pop().name").await;
        let name = name.as_str().expect("a name");
        // A time follows.
        let end = name.len() - " 2026-01-01T00-00-00Z.jpg".len();
        assert_eq!(&name[..end], file, "{camera}");
    }
    alice.clean_console().await;
}
