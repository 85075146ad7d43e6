//! How long the frames of the sound are: short for a few who watch over good
//! paths.

use super::*;
use crate::support::viewer::Viewer;

/// Samples of a packet that came to a page of late, by the browser's own counters.
async fn samples_a_packet(browser: &Browser) -> f64 {
    let mut counted = Vec::new();
    for _ in 0..2 {
        let count = async |field| browser.inbound("audio", field).await.expect("a counter");
        let samples = count("totalSamplesReceived").await - count("concealedSamples").await;
        counted.push((samples, count("packetsReceived").await));
        tokio::time::sleep(5 * SECOND).await;
    }
    (counted[1].0 - counted[0].0) / (counted[1].1 - counted[0].1)
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_sound_are_short_for_a_few_on_good_paths_and_long_for_more() {
    let chat = Chat::start().await;
    let device = device(&chat).await;
    let alice = viewer(&chat, "alice").await;
    device.logs("the sound is encoded so", 1, SOON).await;
    let samples = samples_a_packet(&alice).await;
    assert!(
        (400.0..600.0).contains(&samples),
        "{samples}, 480 are 10 ms"
    );

    let url = format!("ws://{}/", chat.addr);
    let mut others = Vec::new();
    for i in 0..4 {
        let mut other = Viewer::join(&url, &format!("viewer{i}"), "camera").await;
        other.call_with(&[]).await;
        others.push(other);
    }
    device.logs("the sound is encoded so", 2, SOON).await;
    let samples = samples_a_packet(&alice).await;
    assert!(
        (850.0..1_100.0).contains(&samples),
        "{samples}, 960 are 20 ms"
    );
    alice.clean_console().await;
}
