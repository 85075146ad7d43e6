//! The owner's privacy holds for the doctor, too.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn while_the_owner_wants_privacy_the_doctor_opens_neither_camera_nor_microphone() {
    let chat = Chat::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    // A camera that no driver answers for: to open it is an error.
    let toml = server(
        &format!("ws://{}/", chat.addr),
        &format!(
            "[video]\ndevice = \"/dev/video99\"\nwidth = 320\nheight = 180\n\
             [audio]\ndevice = \"hw:99\"\n[access]\nfolder = {:?}\n",
            folder.path()
        ),
    );
    let looked = examine(&toml, &[]).await;
    assert_eq!(looked.worst("camera").0, "error", "{:#}", looked.report);
    assert!(looked.of("privacy").is_empty());

    std::fs::write(folder.path().join("privacy"), "owner\n").expect("written");
    let found = examine(&toml, &[]).await;
    found.is_well_formed();
    let (severity, what, remedy) = found.worst("privacy");
    assert_eq!(severity, "hint");
    assert!(what.contains("privacy is on"), "{what}");
    assert!(remedy.contains("privacy off"), "{remedy}");
    for check in ["camera", "microphone"] {
        assert!(found.of(check).is_empty(), "{:#}", found.report);
    }
    assert!(found.called_itself().contains("test picture"));
}
