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

/// The echo is a quarter of what is played, 5 ms later.
#[tokio::test]
async fn the_echo_is_measured_and_what_the_canceller_makes_of_it_is_told() {
    let picture = "[video]\nsource = \"test\"\nwidth = 320\nheight = 180\n";
    let media = format!("{picture}{}{}", FakeMicrophone::toml(), FakeSpeaker::toml());
    let (_speaker, microphone) = FakeSpeaker::in_a_room();
    for (echo, severity, words) in [
        ("cancel", "ok", "the echo canceller takes"),
        ("half-duplex", "hint", "nobody hears it"),
        ("off", "warning", "who talks hears themselves"),
    ] {
        let media = format!("{media}echo = \"{echo}\"\n");
        let found = examine_in(&media, &[], &microphone.env()).await;
        let (is, what, remedy) = found.worst("echo");
        assert_eq!(is, severity, "{echo}: {what}");
        assert!(what.contains(words), "{what}");
        let later = what.strip_prefix("the microphone hears the speaker ");
        let later = later.and_then(|what| what.split_once(" ms later"));
        let later = later.and_then(|(ms, _)| ms.parse::<u32>().ok());
        assert!(later.is_some_and(|ms| ms <= 25), "{what}");
        if echo == "half-duplex" {
            assert!(remedy.contains("speaker.echo = \"cancel\""), "{remedy}");
        }
    }
    // Where the microphone does not hear it there is none.
    let microphone = FakeMicrophone::tone(440);
    let _speaker = FakeSpeaker::beside(&microphone);
    let found = examine_in(&media, &[], &microphone.env()).await;
    let (severity, what, _) = found.worst("echo");
    assert_eq!(severity, "hint", "{what}");
    assert!(what.contains("there is no echo"), "{what}");
}
