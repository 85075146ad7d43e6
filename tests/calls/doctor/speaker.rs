//! What the doctor says of the speaker.

use serde_json::Value;

use super::examine_in;
use crate::support::shims::FakeMicrophone;
use crate::support::speaker::FakeSpeaker;

#[tokio::test]
async fn a_speaker_is_heard_by_the_microphone_in_its_room_and_by_no_other() {
    let picture = "[video]\nsource = \"test\"\nwidth = 320\nheight = 180\n";
    let media = format!("{picture}{}{}", FakeMicrophone::toml(), FakeSpeaker::toml());
    let (speaker, microphone) = FakeSpeaker::in_a_room();
    let found = examine_in(&media, &[], &microphone.env()).await;
    let (severity, what, _) = found.worst("speaker");
    assert_eq!(severity, "ok", "{what}");
    assert!(what.contains("hears its tone"), "{what}");
    speaker.unplug();
    let found = examine_in(&media, &[], &microphone.env()).await;
    let (severity, what, remedy) = found.worst("speaker");
    assert_eq!(severity, "warning", "{what}");
    assert!(what.contains("nobody can be heard"), "{what}");
    assert!(remedy.contains("aplay -L"), "{remedy}");
    // Far away from the microphone.
    let microphone = FakeMicrophone::tone(440);
    let _speaker = FakeSpeaker::beside(&microphone);
    let found = examine_in(&media, &[], &microphone.env()).await;
    let (severity, what, remedy) = found.worst("speaker");
    assert_eq!(severity, "warning", "{what}");
    assert!(
        what.contains("does not hear it") && remedy.contains("alsamixer"),
        "{what}"
    );
    // None is configured.
    let found = examine_in(
        &format!("{picture}{}", FakeMicrophone::toml()),
        &[],
        &microphone.env(),
    )
    .await;
    assert_eq!(found.of("speaker"), Vec::<&Value>::new());
}
