//! The main job on real devices: in a virtual machine the agent, as a systemd
//! service, has a V4L2 camera (vivid) and an ALSA microphone (snd-aloop); a
//! browser outside of the machine calls it. `make test-vm` makes all that
//! (tests/lab/run.sh) and runs this; without it these tests fail.
//!
//! Times are bounds for an emulated processor that shares two real ones with
//! the browser. Numbers seen are printed.

mod support;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::browser::{Browser, Person};
use support::until;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

/// What tests/lab/guest/ sets up.
const NAME: &str = "vivid";
const CAMERA: &str = "/dev/video0";
const TONE_HZ: f64 = 1000.0;

/// The camera gives 30 frames a second. So many come through emulation when the
/// two real processors have nothing else to do, about 20 when they do.
const FRAMES_PER_SECOND: f64 = 15.0;
/// The agent keeps devices open this long after the last viewer (src/media/hub.rs).
const GRACE: Duration = Duration::from_secs(5);
/// More than that, for closing the device and asking whether it is closed.
const SLACK: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm"]
async fn a_browser_sees_the_camera_and_hears_the_microphone() {
    let lab = Lab::with_fresh_agent().await;
    assert!(!lab.camera_is_open().await, "open before anybody calls");
    let viewer = lab.browser().await;
    let clicked = Instant::now();
    viewer.call(NAME).await;
    viewer.frames_rise(1).await;
    println!("click to first frame: {:?}", clicked.elapsed());
    assert!(lab.camera_is_open().await, "closed during the call");

    // The first seconds are for the encoder and the jitter buffer to settle.
    sleep(Duration::from_secs(2)).await;
    let (begun, frames) = (Instant::now(), viewer.frames_decoded().await);
    let energy = viewer.audio_energy().await;
    let before = row(&viewer).await;
    sleep(Duration::from_secs(10)).await;
    let decoded = viewer.frames_decoded().await - frames;
    let rate = decoded / begun.elapsed().as_secs_f64();
    let freezes = viewer.inbound("video", "freezeCount").await;
    println!("{rate:.1} frames a second decoded; freezes so far: {freezes:?}");
    assert!(rate >= FRAMES_PER_SECOND, "{rate:.1} frames a second");

    let after = row(&viewer).await;
    assert_bars(&after);
    let moved = difference(&before, &after);
    println!("mean change of a colour value within 10 s: {moved:.0} of 255");
    assert!(moved > 5.0, "a still picture: {moved}");

    let energy = viewer.audio_energy().await - energy;
    let level = viewer.inbound("audio", "audioLevel").await.unwrap_or(0.0);
    println!("audio energy in 10 s: {energy:.3}, level {level:.3}");
    assert!(energy > 0.01 && level > 0.01, "{energy}, {level}");
    let pitch = pitch(&viewer).await;
    println!("the tone: {pitch:.0} Hz");
    assert!((pitch - TONE_HZ).abs() < 50.0, "{pitch} Hz");

    viewer.screenshot(lab.out.join("call.png")).await;
    let hung_up = Instant::now();
    viewer.click("#hangup").await;
    viewer.state("idle").await;
    println!("hang-up to idle page: {:?}", hung_up.elapsed());
    until("the session's end in the log", SLACK, || async {
        lab.log().await.contains("hung up").then_some(())
    })
    .await;
    println!("hang-up to the session's end: {:?}", hung_up.elapsed());
    lab.camera_closes(hung_up).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm"]
async fn a_camera_in_use_is_named_once_and_the_viewer_hears_and_later_sees() {
    let lab = Lab::with_fresh_agent().await;
    lab.vm(&format!(
        "systemd-run --quiet --unit=other v4l2-ctl -d {CAMERA} --stream-mmap --stream-count=0"
    ))
    .await;
    until("another program streams", support::SOON, || async {
        let held = lab
            .vm(&format!(
                "ls -l /proc/$(systemctl show -P MainPID other)/fd | grep -c {CAMERA} || true"
            ))
            .await;
        (held.trim() == "1").then_some(())
    })
    .await;

    let viewer = lab.browser().await;
    viewer.call(NAME).await;
    viewer.hears().await;
    sleep(Duration::from_secs(5)).await;
    let energy = viewer.audio_energy().await;
    sleep(Duration::from_secs(3)).await;
    assert!(viewer.audio_energy().await > energy, "the sound stopped");
    assert_eq!(viewer.frames_decoded().await, 0.0);
    let log = lab.log().await;
    let trouble = |line: &&str| line.contains("WARN") || line.contains("ERROR");
    let lines: Vec<_> = log.lines().filter(trouble).collect();
    println!("the log on a camera in use: {lines:#?}");
    assert_eq!(lines.len(), 1, "{log}");
    assert!(
        lines[0].contains(CAMERA) && lines[0].contains("another program uses"),
        "{log}"
    );

    lab.vm("systemctl stop other").await;
    let freed = Instant::now();
    viewer.frames_rise(1).await;
    println!("camera free to first frame: {:?}", freed.elapsed());
    viewer.click("#hangup").await;
    lab.camera_closes(Instant::now()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm"]
async fn a_stop_during_a_call_says_goodbye_and_exits_0_within_2_seconds() {
    let lab = Lab::with_fresh_agent().await;
    let viewer = lab.browser().await;
    viewer.call(NAME).await;
    viewer.frames_rise(1).await;

    lab.vm("systemctl stop camera-agent").await;
    // In systemd's own words, since the way there takes longer.
    let told = lab.property("ActiveExitTimestampMonotonic").await;
    let gone = lab.property("ExecMainExitTimestampMonotonic").await;
    let micros = |text: &str| text.parse::<u64>().expect("systemd gives microseconds");
    let took = Duration::from_micros(micros(&gone) - micros(&told));
    println!("SIGTERM to exit: {took:?}");
    assert!(took > Duration::ZERO, "systemd has forgotten the unit");
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(lab.property("Result").await, "success");
    assert_eq!(lab.property("ExecMainStatus").await, "0");
    viewer.says("the camera is shutting down").await;
    viewer.state("idle").await;
}

/// The guest's configuration sets the saturation, and lets viewers set the
/// brightness and the hue.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm"]
async fn a_viewer_sets_brightness_within_its_range_and_nothing_else() {
    let lab = Lab::with_fresh_agent().await;
    lab.vm(&format!(
        "v4l2-ctl -d {CAMERA} --set-ctrl brightness=128,saturation=128"
    ))
    .await;
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
    viewer.frames_rise(1).await;
    assert_eq!(
        lab.control("saturation").await,
        100,
        "from the configuration"
    );

    viewer
        .until_js(
            "the panel has what may be set, as it stands",
            "JSON.stringify([...document.querySelectorAll('#camera:not([hidden]) .list [data-name]')]
                .map((e) => [e.dataset.name, e.min, e.max, e.value]).sort()) ===
                '[[\"brightness\",\"0\",\"255\",\"128\"],[\"hue\",\"-128\",\"128\",\"0\"]]'",
        )
        .await;
    let light = brightness(&row(&viewer).await);
    viewer.click("#camera summary").await;
    viewer
        .js("(() => {
            const slider = document.querySelector('#camera [data-name=brightness]');
            slider.value = 20;
            slider.dispatchEvent(new Event('input'));
        })()")
        .await;
    until("the camera has it", support::SOON, || async {
        (lab.control("brightness").await == 20).then_some(())
    })
    .await;
    viewer
        .until_js(
            "every viewer is told",
            "told.some((m) => m.type === 'controls' &&
                m.controls.some((c) => c.name === 'brightness' && c.value === 20))",
        )
        .await;
    until("the picture is darker", support::SOON, || async {
        (brightness(&row(&viewer).await) < light - 30.0).then_some(())
    })
    .await;
    viewer.screenshot(lab.out.join("controls.png")).await;

    for (name, value, words) in [
        ("brightness", 256, "it goes from 0 to 255"),
        ("contrast", 1, "viewers may not set contrast"),
    ] {
        viewer
            .js(&format!(
                "cameraAgent.channel.send(JSON.stringify({{type: 'control', name: '{name}', value: {value}}}))"
            ))
            .await;
        viewer
            .until_js(
                "a refusal",
                &format!("told.some((m) => m.type === 'error' && m.text.includes('{words}'))"),
            )
            .await;
    }
    assert_eq!(lab.control("brightness").await, 20);
    assert_ne!(lab.control("contrast").await, 1);
    viewer.click("#hangup").await;
    lab.vm(&format!(
        "v4l2-ctl -d {CAMERA} --set-ctrl brightness=128,saturation=128"
    ))
    .await;
}

/// The machine and what is around it.
struct Lab {
    page: String,
    ssh_config: PathBuf,
    out: PathBuf,
}

impl Lab {
    async fn with_fresh_agent() -> Self {
        let variable = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| {
                panic!("{name} is not set: this test needs the virtual machine; run make test-vm")
            })
        };
        let lab = Self {
            page: variable("CAMERA_AGENT_LAB_PAGE"),
            ssh_config: variable("CAMERA_AGENT_LAB_SSH_CONFIG").into(),
            out: variable("CAMERA_AGENT_LAB_OUT").into(),
        };
        lab.vm("systemctl stop other 2>/dev/null; systemctl restart camera-agent")
            .await;
        until("the agent is registered", support::SOON, || async {
            lab.log().await.contains("connected").then_some(())
        })
        .await;
        lab
    }

    /// A browser on the page.
    async fn browser(&self) -> Browser {
        let browser = Browser::start(Person::default()).await;
        browser.open(&format!("{}?name=viewer", self.page)).await;
        browser
    }

    /// What a command in the machine prints.
    async fn vm(&self, command: &str) -> String {
        let mut ssh = Command::new("ssh");
        ssh.kill_on_drop(true).stdin(Stdio::null());
        ssh.arg("-F")
            .arg(&self.ssh_config)
            .args(["lab-vm", command]);
        let output = timeout(support::SOON, ssh.output())
            .await
            .unwrap_or_else(|_| panic!("no answer in {:?}: {command}", support::SOON))
            .expect("ssh is installed");
        assert!(output.status.success(), "{command}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A control of the camera, as `v4l2-ctl` reads it.
    async fn control(&self, name: &str) -> i64 {
        let line = self
            .vm(&format!("v4l2-ctl -d {CAMERA} --get-ctrl {name}"))
            .await;
        let value = line.split(": ").nth(1).and_then(|v| v.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no number in {line:?}"))
    }

    /// A property of the agent's unit.
    async fn property(&self, name: &str) -> String {
        self.vm(&format!("systemctl show -P {name} camera-agent"))
            .await
    }

    /// All that this run of the agent logged.
    async fn log(&self) -> String {
        self.vm(
            "journalctl --no-pager -o cat _SYSTEMD_INVOCATION_ID=$(systemctl show -P InvocationID camera-agent)",
        )
        .await
    }

    /// The agent has the camera's node open.
    async fn camera_is_open(&self) -> bool {
        let count = self
            .vm("ls -l /proc/$(systemctl show -P MainPID camera-agent)/fd | grep -c /dev/video || true")
            .await;
        count.parse::<u32>().expect("grep counts") > 0
    }

    /// The camera's node is closed when the last viewer is gone for a while.
    async fn camera_closes(&self, last_viewer_left: Instant) {
        until("the camera's node is closed", GRACE + SLACK, || async {
            (!self.camera_is_open().await).then_some(())
        })
        .await;
        let took = last_viewer_left.elapsed();
        println!("last viewer left to closed device: {took:?}");
        assert!(took < GRACE + SLACK, "{took:?}");
    }
}

/// The row in the middle of the picture, as 64 red, green and blue values.
async fn row(viewer: &Browser) -> Vec<[f64; 3]> {
    let bytes = viewer
        .js("(() => {
            const canvas = new OffscreenCanvas(64, 36);
            const context = canvas.getContext('2d');
            context.drawImage(document.getElementById('remote'), 0, 0, 64, 36);
            return [...context.getImageData(0, 18, 64, 1).data];
        })()")
        .await;
    let bytes = bytes.as_array().expect("pixels");
    let value = |v: &Value| v.as_f64().expect("a number");
    bytes
        .chunks(4)
        .map(|p| [value(&p[0]), value(&p[1]), value(&p[2])])
        .collect()
}

/// vivid's picture: the bars of a test card, all of their colours.
fn assert_bars(row: &[[f64; 3]]) {
    for (colour, [r, g, b]) in [
        ("yellow", [1, 1, 0]),
        ("cyan", [0, 1, 1]),
        ("green", [0, 1, 0]),
        ("magenta", [1, 0, 1]),
        ("red", [1, 0, 0]),
        ("blue", [0, 0, 1]),
    ] {
        let seen = row.iter().any(|pixel| {
            pixel.iter().zip([r, g, b]).all(|(value, on)| match on {
                1 => *value > 130.0,
                _ => *value < 70.0,
            })
        });
        assert!(seen, "no {colour} bar in {row:?}");
    }
}

/// The mean of a row's values.
fn brightness(row: &[[f64; 3]]) -> f64 {
    row.iter().flatten().sum::<f64>() / (row.len() * 3) as f64
}

/// The mean difference of two rows' values.
fn difference(a: &[[f64; 3]], b: &[[f64; 3]]) -> f64 {
    let values = a.iter().flatten().zip(b.iter().flatten());
    let count = a.len() * 3;
    values.map(|(a, b)| (a - b).abs()).sum::<f64>() / count as f64
}

/// The loudest frequency that arrives, in Hz.
async fn pitch(viewer: &Browser) -> f64 {
    let pitch = viewer
        .promise(
            "(async () => {
            const context = new AudioContext();
            await context.resume();
            const analyser = new AnalyserNode(context, { fftSize: 8192 });
            const stream = document.getElementById('remote').srcObject;
            context.createMediaStreamSource(stream).connect(analyser);
            await new Promise((done) => setTimeout(done, 1500));
            const levels = new Float32Array(analyser.frequencyBinCount);
            analyser.getFloatFrequencyData(levels);
            const loudest = levels.indexOf(Math.max(...levels));
            await context.close();
            return loudest * context.sampleRate / analyser.fftSize;
        })()",
        )
        .await;
    pitch.as_f64().expect("the page can analyse its sound")
}
