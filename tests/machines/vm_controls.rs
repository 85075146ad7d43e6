//! The controls of a real kernel driver (vivid), in the virtual machine of
//! `make test-vm`: from the configuration, and by a viewer.

use crate::support::lab::{CAMERA, Lab, NAME};
use crate::support::picture::row;
use crate::support::{SOON, until};

/// Under `[video]`.
const CONTROLS: &[(&str, &str)] = &[
    ("viewer_controls", "[\"brightness\", \"hue\"]"),
    ("controls.saturation", "100"),
];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm"]
async fn a_viewer_sets_brightness_within_its_range_and_nothing_else() {
    let lab = Lab::with_agent(CONTROLS).await;
    let defaults = format!("v4l2-ctl -d {CAMERA} -c brightness=128,saturation=128,hue=0");
    lab.vm(&defaults).await;
    let viewer = lab.browser().await;
    viewer
        .js("(() => {
            globalThis.told = [];
            const create = RTCPeerConnection.prototype.createDataChannel;
            RTCPeerConnection.prototype.createDataChannel = function (...a) {
                const channel = create.apply(this, a);
                channel.addEventListener('message', ({ data }) => told.push(JSON.parse(data)));
                return channel;
            };
        })()")
        .await;
    viewer.call(NAME).await;
    viewer.frames_rise(10).await;
    camera_has(&lab, "saturation", 100).await;

    viewer
        .until_js(
            "the panel has what may be set, as it stands",
            "JSON.stringify([...document.querySelectorAll('#camera:not([hidden]) .list [data-name]')]
                .map((e) => [e.dataset.name, e.min, e.max, e.value]).sort()) ===
                '[[\"brightness\",\"0\",\"255\",\"128\"],[\"hue\",\"-128\",\"128\",\"0\"]]'",
        )
        .await;
    let light = mean(&row(&viewer).await);
    viewer.click("#camera summary").await;
    viewer
        .js("(() => {
            const slider = document.querySelector('#camera [data-name=brightness]');
            slider.value = 20;
            slider.dispatchEvent(new Event('input'));
        })()")
        .await;
    camera_has(&lab, "brightness", 20).await;
    viewer
        .until_js(
            "viewers are told",
            "told.some((m) => m.type === 'controls' &&
                m.controls.some((c) => c.name === 'brightness' && c.value === 20))",
        )
        .await;
    until("the picture is darker", SOON, || async {
        (mean(&row(&viewer).await) < light - 30.0).then_some(())
    })
    .await;
    viewer.screenshot(lab.out.join("controls.png")).await;

    for (name, value, words) in [
        ("brightness", 256, "it goes from 0 to 255"),
        ("contrast", 1, "viewers may not set contrast"),
    ] {
        let message = format!("{{type: 'control', name: '{name}', value: {value}}}");
        viewer
            .js(&format!(
                "cameraAgent.channel.send(JSON.stringify({message}))"
            ))
            .await;
        let refused = format!("told.some((m) => m.type === 'error' && m.text.includes('{words}'))");
        viewer.until_js("a refusal", &refused).await;
    }
    assert_eq!(control(&lab, "brightness").await, 20);
    assert_ne!(control(&lab, "contrast").await, 1);
    viewer.click("#hangup").await;
    lab.vm(&defaults).await;
}

/// A control of the camera, as `v4l2-ctl` reads it.
async fn control(lab: &Lab, name: &str) -> i64 {
    let line = lab.vm(&format!("v4l2-ctl -d {CAMERA} -C {name}")).await;
    let value = line.split(": ").nth(1).and_then(|v| v.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no number in {line:?}"))
}

async fn camera_has(lab: &Lab, name: &str, value: i64) {
    until(name, SOON, || async {
        (control(lab, name).await == value).then_some(())
    })
    .await;
}

/// The mean of a row's values.
fn mean(row: &[[f64; 3]]) -> f64 {
    row.iter().flatten().sum::<f64>() / (row.len() * 3) as f64
}
