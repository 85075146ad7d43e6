//! `camera-agent setup` as a person has it, at a terminal, and the test call.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use crate::support::ports::Port;
use crate::support::qr::scanned_text;
use crate::support::viewer::{Held, Viewer};
use crate::support::{Chat, SOON};
use camera_agent::access::Link;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

/// The set-up at a terminal of script(1)'s, with these lines typed; how it
/// ended and what the terminal showed.
async fn at_a_terminal(config: &Path, flags: &str, typed: &str) -> (bool, String) {
    let setup = format!(
        "{} setup --config {} {flags}",
        env!("CARGO_BIN_EXE_camera-agent"),
        config.display()
    );
    let mut script = Command::new("script")
        .args(["--quiet", "--return", "--command", &setup, "/dev/null"])
        // No sound server of the session that runs the tests.
        .env_remove("XDG_RUNTIME_DIR")
        .env("XDG_STATE_HOME", config.with_file_name("state"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("script is part of Debian's bsdutils");
    let mut keyboard = script.stdin.take().expect("it is piped");
    keyboard.write_all(typed.as_bytes()).await.expect("typed");
    let output = timeout(SOON, script.wait_with_output()).await;
    let output = output.expect("it ends").expect("it runs");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), shown)
}

#[tokio::test]
async fn a_person_answers_and_the_file_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("camera-agent.toml");
    let typed = "n\nwss://chat.example/\nfront door\ntest\nnone\nn\n";
    let (done, shown) = at_a_terminal(&config, "", typed).await;
    assert!(done, "{shown}");
    for question in [
        "Does this board run the chat server, too? [y/N]: ",
        "Chat server (ws:// or wss://): ",
        "Name that people click: ",
        "test (a generated picture)",
        "none (no sound)",
        "is written",
        "Make a test call now? [y/N]: ",
        "systemctl restart camera-agent",
        "owner may watch, listen",
        "https://chat.example/#camera=front%20door&invite=",
    ] {
        assert!(shown.contains(question), "{question}: {shown}");
    }
    let text = std::fs::read_to_string(&config).expect("written");
    for line in [
        "url = \"wss://chat.example/\"",
        "name = \"front door\"",
        "source = \"test\"",
        "source = \"none\"",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }

    // A second time its own answers are offered.
    let (done, shown) = at_a_terminal(&config, "", "\n\nback door\n\n\n\n").await;
    assert!(done && shown.contains("[wss://chat.example/]"), "{shown}");
    let text = std::fs::read_to_string(&config).expect("written");
    assert!(text.contains("name = \"back door\""), "{text}");
    assert!(text.contains("\nmode = \"invited\""), "{text}");
    assert!(!shown.contains("owner may"), "once: {shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_call_ends_with_the_first_second_of_picture() {
    test_call("").await;
}

/// Of a camera for invited people the link is shown that opens the test call, and
/// it opens that alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_test_call_of_a_camera_for_invited_people_has_an_invitation() {
    test_call("[access]\nmode = \"invited\"\n").await;
}

async fn test_call(access: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("camera-agent.toml");
    let media = "[video]\nsource = \"test\"\nwidth = 320\nheight = 180\n[ice]\nloopback = true\n";
    std::fs::write(&config, format!("{access}{media}")).expect("written");
    let chat = Chat::start().await;
    let url = format!("ws://{}/", chat.addr);
    // Where anybody may run it, as after an installation.
    let open = std::fs::Permissions::from_mode(0o755);
    let installed = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(installed.path(), open).expect("it is ours");
    let program = installed.path().join("camera-agent");
    std::fs::copy(env!("CARGO_BIN_EXE_camera-agent"), &program).expect("there is room");
    let mut setup = Command::new(program)
        .args(["setup", "--server", &url, "--name", "camera"])
        .args(["--camera", "test", "--microphone", "test", "--test-call"])
        .arg("--config")
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the agent starts");
    let mut lines = BufReader::new(setup.stdout.take().expect("it is piped")).lines();
    let (mut link, begins) = (None, "there are 120 s");
    let mut said = String::new();
    while !said.contains(begins) {
        let line = lines.next_line().await.expect("text").expect("it goes on");
        link = link.or(Link::parse(&line).ok());
        said += &format!("{line}\n");
    }
    assert_eq!(link.is_some(), !access.is_empty(), "{said}");
    let name = link.as_ref().map_or("camera", |link| &link.camera);
    let mut viewer = Viewer::join(&url, "viewer", name).await;
    is_not_root(&setup);
    if let Some(link) = &link {
        assert_eq!(name, "camera (test)");
        viewer.call().await;
        let words = viewer
            .wait("a refusal", |heard, _| heard.hung_up.clone())
            .await;
        assert!(words.contains("only invited people"), "{words}");
        viewer.holds(Some(Held::of(link)));
    }
    viewer.call().await;
    while let Some(line) = lines.next_line().await.expect("text") {
        said += &format!("{line}\n");
    }
    let status = timeout(SOON, setup.wait()).await;
    assert!(
        status.expect("it ends").expect("it runs").success(),
        "{said}"
    );
    assert!(said.contains("The call came"), "{said}");
    assert!(viewer.received(|r| r.video.frames) > 0);
    chat.stop().await;
}

/// Nothing of root's speaks to devices and strangers.
fn is_not_root(setup: &tokio::process::Child) {
    let id = setup.id().expect("it runs");
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    let child = children.expect("it has one").trim().to_owned();
    let status = std::fs::read_to_string(format!("/proc/{child}/status")).expect("it runs");
    let user = status.lines().find_map(|l| l.strip_prefix("Uid:"));
    let users = user.expect("a user").split_whitespace();
    assert!(users.into_iter().all(|id| id != "0"), "{status}");
}

/// A program of ours, from a line that set-up has printed.
fn start(line: &str, folder: &Path) -> tokio::process::Child {
    let words = line.trim().strip_prefix("camera-agent ").expect("ours");
    Command::new(env!("CARGO_BIN_EXE_camera-agent"))
        .args(words.split(' '))
        .env("XDG_STATE_HOME", folder.join("state"))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the agent starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_board_alone_is_set_up_and_the_code_leads_to_its_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("camera-agent.toml");
    let chat = folder.path().join("chat.toml");
    let held = Port::held();
    let addr = held.addr;
    std::fs::write(&chat, format!("listen = \"{addr}\"\n")).expect("written");
    let flags = format!("--chat-config {} --page http://{addr}/", chat.display());
    let (done, shown) = at_a_terminal(&config, &flags, "y\nporch\ntest\nnone\nn\n").await;
    assert!(done, "{shown}");
    let link = scanned_text(&shown);
    assert!(
        link.starts_with(&format!("http://{addr}/#camera=porch&invite=")),
        "{link}"
    );
    assert!(shown.contains(&link), "{shown}");
    // It ends with what the phone is held to, and what that means.
    let code = shown.find("Code to type: ").expect("a code");
    assert!(code > shown.find("systemctl restart").expect("a hint"));

    let mut lines = shown.lines();
    let by_hand = lines.find_map(|l| l.strip_prefix("Now start the chat server: "));
    let mut server = start(by_hand.expect("no service's"), folder.path());
    let camera = format!("camera-agent run --config {}", config.display());
    let _camera = start(&camera, folder.path());
    crate::support::until("the page", SOON, || async {
        tokio::net::TcpStream::connect(addr).await.ok()
    })
    .await;
    // It is there when the camera is.
    let url = format!("ws://{addr}/");
    Viewer::join(&url, "viewer", "porch").await;
    assert!(server.try_wait().expect("asked").is_none());
}
