//! `doctor --report`: what somebody with a board sends, and what is made of it;
//! the real binary on this machine, with a camera of tests/shims.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::file;
use crate::support::shims::{FakeCamera, Format};
use serde_json::Value;

/// Who and what must not be told.
const PRIVATE: [&str; 9] = [
    "zqanna",
    "zqhut",
    "zqlogin",
    "zqhush",
    "zqcaller",
    "zqlabel",
    "198.51.100.7",
    "zqproxy",
    "0mmOlyWT6y8",
];

/// A journal of three lines, as journalctl prints them in JSON.
fn journal(folder: &Path) {
    let line = |text: &str| {
        let text = text.replace('"', "\\\"");
        format!("{{\"MESSAGE\":\"{text}\",\"PRIORITY\":\"6\",\"__REALTIME_TIMESTAMP\":\"1\"}}")
    };
    let lines = [
        line(
            " INFO call caller=zqcaller of 5 session=7 codec=H264 label=\"zqlabel\" key=0mmOlyWT6y8",
        ),
        line(
            " WARN no chat server server=wss://zqhut.example/ reason=nobody listens at 198.51.100.7",
        ),
        "this is no line of a journal".to_owned(),
        line(" INFO viewer{caller=zqcaller of 5 session=7}: closed"),
    ];
    let script = format!(
        "#!/bin/sh\n[ \"$2\" = camera-agent.service ] || exit 1\ncat <<'END'\n{}\nEND\n",
        lines.join("\n")
    );
    let path = folder.join("journalctl");
    fs::write(&path, script).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program");
}

fn agent(arguments: &[&str], env: &[(String, String)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_camera-agent"))
        .args(arguments)
        .env_remove("XDG_RUNTIME_DIR")
        .envs(env.iter().cloned())
        .output()
        .expect("the agent starts")
}

#[test]
fn a_report_tells_of_the_board_and_of_nobody_and_a_fixture_is_made_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    journal(folder.path());
    let camera = FakeCamera::new(Format::Yuyv, 640, 480, 30).and(Format::Mjpg, 1280, 720, 30);
    let password = file("zqhush\n");
    let config = file(&format!(
        "[server]\nurl = \"ws://zqhut.example:9/\"\nname = \"zqanna's door\"\n\
         username = \"zqlogin\"\npassword_file = {:?}\nproxy = \"http://zqproxy.test:9\"\n\
         [video]\ndevice = {:?}\nwidth = 1280\nheight = 720\n[audio]\nsource = \"none\"\n",
        password.path(),
        camera.node(),
    ));
    let config = config.path().display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    let own = [
        (
            "PATH".to_owned(),
            format!("{}:{path}", folder.path().display()),
        ),
        ("USER".to_owned(), "zqanna".to_owned()),
        ("HOME".to_owned(), at("home")),
    ];
    let env = [camera.env(), own.to_vec()].concat();
    let report = at("report.json");
    let doctor = [
        "doctor", "--quick", "--config", &config, "--report", &report,
    ];

    let output = agent(&doctor, &env);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("read it before you send it"), "{output:?}");
    // The chat server is not there; the rest was looked at.
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let mode = fs::metadata(&report).expect("written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(&report).expect("text");
    for word in PRIVATE {
        assert!(!text.contains(word), "{word}: {text}");
    }
    assert!(
        !text.contains(&folder.path().display().to_string()),
        "{text}"
    );
    is_about_this_machine(&serde_json::from_str(&text).expect("JSON"));

    // Never over what is there, and at once.
    let again = agent(&doctor, &env);
    let said = String::from_utf8_lossy(&again.stderr);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    assert!(
        said.contains("is not written over") && again.stdout.is_empty(),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&report).expect("text"), text);

    let made = agent(&["fixture", &report, &at("")], &[]);
    assert!(made.status.success() && made.stderr.is_empty(), "{made:?}");
    let path = String::from_utf8(made.stdout).expect("a path");
    assert!(path.contains("/reported-"), "{path}");
    let fixture = fs::read_to_string(path.trim()).expect("written");
    let fixture: Value = serde_json::from_str(&fixture).expect("JSON");
    assert_eq!(
        fixture["reported"]["encoder"], fixture["encoders"][0],
        "{fixture}"
    );
    let chosen = &fixture["reported"]["picture"]["mode"]["fourcc"];
    assert_eq!(chosen, "MJPG", "{fixture}");
}

fn is_about_this_machine(report: &Value) {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a kernel");
    assert_eq!(report["machine"]["kernel"], kernel.trim());
    let plugins = report["machine"]["plugins"].as_object().expect("plug-ins");
    assert!(plugins.contains_key("video4linux2"), "{plugins:?}");
    let camera = &report["devices"]["cameras"][0];
    assert_eq!(camera["driver"], "uvcvideo", "{camera}");
    assert_eq!(
        camera["modes"].as_array().map(Vec::len),
        Some(2),
        "{camera}"
    );
    assert_eq!(camera["device"], report["wanted"]["video"]["device"]);
    let controls = camera["controls"].as_array().expect("controls");
    assert!(
        controls.iter().any(|c| c["name"] == "power_line_frequency"),
        "{controls:?}"
    );
    let encoders = report["encoders"].as_array().expect("encoders");
    let x264 = encoders
        .iter()
        .find(|row| row["id"] == "x264")
        .expect("a row");
    assert!(x264["measured"]["frames_out"].as_u64() > Some(10), "{x264}");
    let findings = report["findings"].as_array().expect("findings");
    assert!(
        findings.iter().any(|f| f["check"] == "chat-server"),
        "{findings:?}"
    );
    let stages = report["latency"].as_array().expect("stages");
    assert_eq!(stages.len(), 4, "the device called itself: {stages:?}");
    let log = report["log"]["lines"].as_array().expect("lines");
    assert_eq!(log.len(), 3, "{log:?}");
    let has = |words: &str| {
        log.iter()
            .any(|l| l.as_str().is_some_and(|l| l.contains(words)))
    };
    assert!(
        has("session=7 codec=H264") && has("nobody listens at ip-1"),
        "{log:?}"
    );
}

#[test]
fn a_report_that_cannot_be_written_or_is_none_is_refused_in_a_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let output = agent(&["doctor", "--report", &at("no/such/file")], &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said.contains("its folder is not there: make it"), "{said}");

    let bad = at("bad.json");
    for text in ["", "{\"report\": \"\u{1b}[2J\"}", "[[[["] {
        fs::write(&bad, text).expect("written");
        let output = agent(&["fixture", &bad, &at("")], &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(said.contains("bad.json: this is no report"), "{said}");
        assert!(
            said.lines().count() == 1 && !said.contains('\u{1b}'),
            "{said}"
        );
    }
    let whole = agent(&["fixture", "/dev/zero", &at("")], &[]);
    let said = String::from_utf8_lossy(&whole.stderr);
    assert!(said.contains("none has more than"), "{said}");
}
