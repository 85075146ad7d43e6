use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::fixture::Fixture;
use super::log::{Line, Log};
use super::redact::Kind;
use super::*;
use crate::config::{AudioConfig, VideoConfig};
use crate::device::{Camera, Cameras, Microphone};
use crate::media::latency::LatencyReport;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/devices")
}

/// Every described machine: its name and its text.
fn described() -> Vec<(String, Value)> {
    let entries = std::fs::read_dir(folder()).expect("the fixtures are there");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let json = paths.filter(|path| path.extension().is_some_and(|e| e == "json"));
    json.map(|path| {
        let text = std::fs::read_to_string(&path).expect("readable");
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        (name, serde_json::from_str(&text).expect("JSON"))
    })
    .collect()
}

/// As if the doctor had met these devices.
fn gathered(
    video: VideoConfig,
    audio: AudioConfig,
    formats: &[String],
    devices: Value,
) -> Gathered {
    let part = |key: &str| devices[key].clone();
    let cameras: Vec<Camera> = serde_json::from_value(part("cameras")).expect("cameras");
    let heard: Vec<Microphone> = serde_json::from_value(part("microphones")).expect("sound");
    let config = Config {
        video: video.clone(),
        audio: audio.clone(),
        ..Config::default()
    };
    let found = Cameras {
        cameras,
        others: Vec::new(),
    };
    let raw: Vec<_> = formats.iter().cloned().map(Into::into).collect();
    Gathered {
        machine: Machine {
            board: "A board".into(),
            kernel: "6.1.0".into(),
            ..Machine::default()
        },
        video,
        audio,
        nodes: vec![seen::SeenNode {
            device: "/dev/video0".into(),
            driver: "uvcvideo".into(),
            caps: "0x04200001".into(),
            is: "camera".into(),
        }],
        inventory: inventory::report(&config, found, heard, Vec::new(), &raw, false),
        encoders: Vec::new(),
        chosen: Some("x264".into()),
        formats: formats.to_vec(),
        report: Report::new(Vec::new(), LatencyReport::default()),
        log: Log {
            unit: "camera-agent.service".into(),
            lines: Ok(Vec::new()),
        },
    }
}

fn of_described(machine: &Value) -> Gathered {
    let part = |key: &str| machine[key].clone();
    gathered(
        serde_json::from_value(part("video")).expect("[video]"),
        serde_json::from_value(part("audio")).expect("[audio]"),
        &serde_json::from_value::<Vec<String>>(part("formats")).expect("formats"),
        machine.clone(),
    )
}

fn bundle() -> String {
    let (_, machine) = described()
        .into_iter()
        .find(|(name, _)| name == "laptop-webcam.json")
        .expect("it is described");
    written::text(&of_described(&machine), &mut Redactor::new([]))
}

#[test]
fn what_a_board_reports_is_answered_the_same_where_it_is_not() {
    let machines = described();
    assert!(machines.len() > 12, "{}", machines.len());
    for (name, machine) in machines {
        let text = written::text(&of_described(&machine), &mut Redactor::new([]));
        let fixture = Fixture::of_bundle(&text).unwrap_or_else(|e| panic!("{name}: {e}\n{text}"));
        assert_eq!(fixture.differences(), Ok(vec![]), "{name}");
        let again: Fixture = serde_json::from_str(&fixture.text()).expect("a fixture");
        assert_eq!(again, fixture, "{name}");
    }
}

/// Those that were sent: `make fixture REPORT=FILE`. That of QEMU is of the virtual
/// machine of `make test-vm-boards`.
#[test]
fn boards_that_were_tried_get_the_answers_that_they_had() {
    let mut wrong = Vec::new();
    let mut tried = 0;
    for (name, machine) in described() {
        if machine.get("reported").is_none() {
            continue;
        }
        tried += 1;
        let fixture: Fixture = serde_json::from_value(machine).expect("a fixture");
        match fixture.differences() {
            Ok(differences) => wrong.extend(differences.iter().map(|d| format!("{name}: {d}"))),
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 0, "no board and no machine was tried");
}

#[test]
fn another_answer_than_the_board_s_is_named() {
    let whole: Value = serde_json::from_str(&bundle()).expect("JSON");
    let differ = |change: &dyn Fn(&mut Value)| {
        let mut bundle = whole.clone();
        change(&mut bundle);
        let fixture = Fixture::of_bundle(&bundle.to_string()).expect("a bundle");
        fixture.differences().expect("it makes sense").join("\n")
    };
    let rate = differ(&|b| b["plan"]["picture"]["reason"] = json!("otherwise"));
    assert!(
        rate.starts_with("picture.reason was \"otherwise\" on the board"),
        "{rate}"
    );
    let node = differ(&|b| b["devices"]["nodes"][0]["is"] = json!("M2M codec"));
    assert!(
        node.starts_with("/dev/video0 (uvcvideo, 0x04200001) was taken for"),
        "{node}"
    );
    let sound = differ(&|b| b["plan"]["sound"] = Value::Null);
    assert!(sound.starts_with("sound.what was null"), "{sound}");
    let camera = differ(&|b| b["devices"]["cameras"] = json!([]));
    assert!(camera.starts_with("picture.problem was null"), "{camera}");
}

#[test]
fn what_is_no_report_is_refused_in_one_short_line() {
    let whole: Value = serde_json::from_str(&bundle()).expect("JSON");
    let with = |pointer: &str, value: Value| {
        let mut bundle = whole.clone();
        *bundle.pointer_mut(pointer).expect(pointer) = value;
        bundle.to_string()
    };
    let long = "x\n".repeat(5_000);
    for (text, words) in [
        (String::new(), "EOF"),
        ("[]".into(), "report"),
        ("{}".into(), "invalid type"),
        ("[".repeat(100_000), "recursion limit"),
        (" ".repeat(written::MOST + 1), "none has more than"),
        (with("/report/format", json!(2)), "take the version"),
        (
            with("/report/by", json!(long)),
            "a text in it has 10000 bytes",
        ),
        (
            with("/machine/board", json!("a\u{1b}[2J")),
            "control characters",
        ),
        (with("/machine", json!({})), "missing field"),
        (
            with("/wanted/video/width", json!(7)),
            "video.width: 7 is not between",
        ),
        (
            with("/wanted/video", json!({"x".repeat(8_000): 1})),
            "unknown field",
        ),
        (
            with("/devices/cameras", json!(vec![0; 6_000])),
            "6000 entries",
        ),
        (
            with("/devices/cameras/0/kind", json!("eye")),
            "unknown variant",
        ),
        (with("/devices/nodes/0/caps", json!("many")), "no 0x"),
        (with("/plan/memory", json!("none")), "plan.memory"),
        (
            with("/plan/formats", json!(vec!["I420"; 300])),
            "more than 256",
        ),
        (with("/plan/picture", json!(1)), "did not match"),
    ] {
        let error = Fixture::of_bundle(&text).expect_err(words).to_string();
        assert!(error.contains(words), "{words}: {error}");
        assert!(
            error.chars().count() < 240 && !error.contains(char::is_control),
            "{error}"
        );
    }
}

/// A word that is in no text of ours.
fn word() -> impl Strategy<Value = String> {
    "zq[a-z0-9]{5,12}"
}

/// A configuration with secrets in files of `folder`.
fn private(folder: &Path, w: &[String]) -> (Config, Vec<(Kind, String)>) {
    for (file, secret) in [("password", &w[0]), ("token", &w[1]), ("turn", &w[2])] {
        std::fs::write(folder.join(file), format!("{secret}\n")).expect("written");
    }
    let at = |file: &str| folder.join(file).display().to_string();
    let text = format!(
        "[server]\nurl = \"wss://{}.example/x?key={}\"\nname = \"{} {}\"\nusername = \"{}\"\n\
         password_file = {:?}\nproxy = \"http://{}@{}.test:3128\"\n\
         [video]\ndevice = \"/dev/v4l/by-id/usb-ACME_Cam_{}-video-index0\"\n\
         [access]\npage = \"https://{}.example/\"\n\
         [[ice.servers]]\nurls = [\"turn:{}.example\"]\nusername = \"{}\"\ncredential_file = {:?}\n",
        w[3],
        w[4],
        w[5],
        w[6],
        w[7],
        at("password"),
        w[8],
        w[9],
        w[10],
        w[11],
        w[12],
        w[13],
        at("turn"),
    );
    let config = Config::parse(&text, Path::new("cam.toml")).expect("valid");
    let known = known::of(
        Some(Path::new("/etc/camera-agent/camera-agent.toml")),
        &config,
    );
    (config, known)
}

/// What the checks and the log may say of such a device.
fn told(config: &Config, w: &[String]) -> (Vec<Finding>, Vec<Line>) {
    let password = config.server.password_file.clone().unwrap_or_default();
    let what = [
        format!("{} does not let {} in", config.server.url, w[7]),
        format!("{}: permission denied", password.display()),
        format!("the proxy {}.test:3128 refuses {}: {}", w[9], w[8], w[0]),
        format!(
            "turn:{}.example:3478 says no to {} and {}",
            w[12], w[13], w[2]
        ),
        format!("{} is held by \"{} {}\"", config.video.device, w[5], w[6]),
        format!(
            "http://{}/#{} and /home/{}/cam.toml, 192.0.2.44, aa:bb:cc:dd:ee:f0",
            w[11], w[14], w[15]
        ),
        format!(
            "rtspsrc location=rtsp://{}:{}@h/ user-pw={} ssid=\"{}\"",
            w[7], w[0], w[16], w[17]
        ),
    ];
    let findings = what
        .iter()
        .map(|what| Finding::hint(Check::Call, what, what))
        .collect();
    let lines = [
        format!(
            " INFO call caller={} of {} session=4 codec=H264 label=\"{}\" key=0mmOlyWT6y8",
            w[18], w[19], w[20]
        ),
        format!(
            " INFO viewer{{caller={} of {} session=4}}: closed by {} of {}",
            w[18], w[19], w[18], w[19]
        ),
        format!(
            "{{\"message\":\"call\",\"caller\":\"{}\",\"why\":\"https://{}.net/\"}}",
            w[21], w[22]
        ),
        what.join(" "),
    ];
    let lines = lines.map(|text| Line {
        ago: 1.0,
        priority: 6,
        text,
    });
    (findings, lines.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Nothing private of any configuration, and nothing that callers chose, is in
    /// the text; and what is left still has the same answers.
    #[test]
    fn nothing_private_comes_through(w in prop::collection::vec(word(), 23)) {
        let folder = tempfile::tempdir().expect("a folder");
        let (config, known) = private(folder.path(), &w);
        let (findings, lines) = told(&config, &w);
        let camera = json!({
            "device": config.video.device, "aliases": ["/dev/video0"], "kind": "v4l2",
            "name": "Cam", "driver": "uvcvideo", "bus": "usb-0000:00:14.0-3", "usb_mbit": 480,
            "modes": [{"fourcc": "YUYV", "width": 1280, "height": 720, "rate": [30, 1]}],
        });
        let devices = json!({"cameras": [camera], "microphones": [
            {"device": format!("pulse:usb-ACME_{}-02", w[10]), "kind": "sound-server", "name": format!("{}'s", w[18])},
        ]});
        let formats = ["I420".to_owned()];
        let mut gathered = gathered(config.video, config.audio, &formats, devices);
        gathered.report = Report::new(findings, LatencyReport::default());
        gathered.log.lines = Ok(lines);
        let known = known.into_iter().chain([(Kind::Serial, w[10].clone())]);
        let text = written::text(&gathered, &mut Redactor::new(known));
        for word in &w {
            prop_assert!(!text.contains(word), "{word}: {text}");
        }
        for part in ["192.0.2.44", "aa:bb", "0mmOlyWT6y8", "3128 refuses hush"] {
            prop_assert!(!text.contains(part), "{part}: {text}");
        }
        prop_assert!(text.contains("session=4") && text.contains("3478 says no"), "{text}");
        let fixture = Fixture::of_bundle(&text).expect("a bundle");
        prop_assert_eq!(fixture.differences(), Ok(vec![]), "{}", text);
        prop_assert!(matches!(fixture.reported.picture, Outcome::Plan { .. }), "{text}");
    }

    /// A report that somebody has changed is one, or is refused in a short line.
    #[test]
    fn any_text_is_a_report_or_none(
        at in any::<prop::sample::Index>(), cut in 0_usize..40, put in "[-0-9\"\\[\\]{}:,a-z\\\\]{0,12}",
    ) {
        let mut text = bundle();
        let from = at.index(text.len());
        let to = (from + cut).min(text.len());
        if text.is_char_boundary(from) && text.is_char_boundary(to) {
            text.replace_range(from..to, &put);
        }
        match Fixture::of_bundle(&text) {
            Ok(fixture) => prop_assert!(fixture.name().len() < 80, "{}", fixture.name()),
            Err(error) => {
                let words = error.to_string();
                prop_assert!(words.chars().count() < 240 && !words.contains(char::is_control));
            }
        }
    }
}
