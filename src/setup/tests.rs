//! The set-up against files of its own.

use std::os::unix::fs::PermissionsExt;

use super::*;
use clap::Parser;

fn arguments(config: &std::path::Path, flags: &[&str]) -> cli::Setup {
    let path = config.to_str().expect("text");
    let chat = config.with_file_name("chat.toml");
    let chat = chat.to_str().expect("text");
    let begin = [
        "camera-agent",
        "setup",
        "--config",
        path,
        "--chat-config",
        chat,
    ];
    match cli::Cli::parse_from(begin.iter().chain(flags)).command {
        cli::Command::Setup(setup) => setup,
        other => panic!("{other:?}"),
    }
}

fn hardware() -> Hardware {
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    Hardware {
        cameras: vec![pair("/dev/v4l/by-id/usb-cam", "A Webcam")],
        microphones: vec![pair("plughw:CARD=mic,DEV=0", "A Microphone")],
    }
}

fn known() -> Known {
    Known {
        name: Some("porch.local".into()),
        address: Some([192, 168, 1, 5].into()),
    }
}

/// The set-up of a folder's file; with `typed`, a person types that.
fn set_up(
    folder: &tempfile::TempDir,
    flags: &[&str],
    typed: Option<&str>,
) -> (Result<Config, SetupError>, String) {
    let (done, asked) = all(folder, flags, typed);
    (done.map(|done| done.config), asked)
}

/// The same, with the chat server.
fn all(
    folder: &tempfile::TempDir,
    flags: &[&str],
    typed: Option<&str>,
) -> (Result<Done, SetupError>, String) {
    let path = folder.path().join("camera-agent.toml");
    let mut asked = Vec::new();
    let mut typed = typed.map(|text| text.as_bytes());
    let answers = typed.as_mut().map(|t| t as &mut dyn BufRead);
    let arguments = arguments(&path, flags);
    let result = run(&arguments, &hardware(), &known(), answers, &mut asked);
    (result, String::from_utf8(asked).expect("text"))
}

fn text(folder: &tempfile::TempDir) -> String {
    std::fs::read_to_string(folder.path().join("camera-agent.toml")).expect("written")
}

const BOTH: [&str; 4] = ["--server", "wss://chat.example/", "--name", "door"];

#[test]
fn flags_alone_make_a_whole_file_without_a_question() {
    let folder = tempfile::tempdir().expect("a folder");
    let (config, asked) = set_up(&folder, &BOTH, None);
    let config = config.expect("written");
    assert_eq!(asked, "");
    assert_eq!(config.server.url, "wss://chat.example/");
    assert_eq!(config.server.name, "door");
    // The rest is as documented, the words too.
    let expected = file::unconfigured()
        .replace("url = \"\"", "url = \"wss://chat.example/\"")
        .replace("name = \"\"", "name = \"door\"");
    assert_eq!(text(&folder), expected);
}

#[test]
fn without_somebody_to_ask_a_missing_flag_is_named_and_nothing_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let (result, _) = set_up(&folder, &["--name", "door"], None);
    assert!(
        result
            .expect_err("refused")
            .to_string()
            .contains("--server")
    );
    assert!(!folder.path().join("camera-agent.toml").exists());
}

#[test]
fn other_keys_comments_and_permissions_of_a_file_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("camera-agent.toml");
    let mine = "# mine\n[viewers]\nmax = 3 # small\n[server]\nname = \"old\" # the hall\n";
    std::fs::write(&path, mine).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("set");
    set_up(&folder, &BOTH, None).0.expect("written");
    assert_eq!(
        text(&folder),
        "# mine\n[viewers]\nmax = 3 # small\n[server]\nname = \"door\" # the hall\n\
         url = \"wss://chat.example/\"\n"
    );
    let mode = std::fs::metadata(&path)
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("there").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn what_the_device_would_refuse_is_not_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("camera-agent.toml");
    for (before, flags, word) in [
        (
            "",
            ["--server", "http://x/", "--name", "door"],
            "server.url",
        ),
        ("[video]\nfps = 0", BOTH, "video.fps"),
        ("[video]\nframes = 0", BOTH, "frames"),
        ("[video", BOTH, "line 1"),
        ("server = 3", BOTH, "line 1"),
    ] {
        std::fs::write(&path, before).expect("written");
        let error = set_up(&folder, &flags, None).0.expect_err(before);
        assert!(error.to_string().contains(word), "{before}: {error}");
        assert_eq!(text(&folder), before);
    }
}

#[test]
fn flags_say_what_it_takes_to_get_to_the_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let login = ["--username", "cam", "--password-file", "credential:chat"];
    let proxy = [
        "--proxy",
        "http://u@p:3128",
        "--proxy-password-file",
        "/p",
        "--ca-file",
        "/ca.pem",
    ];
    let config = set_up(&folder, &[&BOTH[..], &login, &proxy].concat(), None).0;
    let server = config.expect("written").server;
    assert_eq!(server.username.as_deref(), Some("cam"));
    assert_eq!(server.password_file, Some("credential:chat".into()));
    assert_eq!(server.ca_file, Some("/ca.pem".into()));
    assert_eq!(server.proxy_password_file, Some("/p".into()));
    // One login takes the place of the other; the rest stays.
    let config = set_up(&folder, &["--token-file", "/t"], None).0;
    let server = config.expect("written").server;
    assert_eq!((server.username, server.password_file), (None, None));
    assert_eq!(server.token_file, Some("/t".into()));
    assert_eq!(server.ca_file, Some("/ca.pem".into()));
    let config = set_up(&folder, &login, None).0.expect("written");
    assert_eq!(config.server.token_file, None);

    let secret = "http://u:north@p:99999";
    let error = set_up(&folder, &["--proxy", secret], None)
        .0
        .expect_err("no port");
    let error = error.to_string();
    assert!(
        error.contains("server.proxy") && !error.contains("north"),
        "{error}"
    );
}

#[test]
fn a_person_is_asked_for_all_and_offered_what_there_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let (config, asked) = set_up(&folder, &[], Some("n\nws://h/\nporch\n2\n3\n"));
    let config = config.expect("written");
    assert_eq!(config.server.url, "ws://h/");
    assert_eq!(config.server.name, "porch");
    assert_eq!(config.video.device, "/dev/v4l/by-id/usb-cam");
    assert_eq!(config.audio.source, AudioSource::None);
    assert!(
        asked.contains("A Webcam") && asked.contains("A Microphone"),
        "{asked}"
    );
}

#[test]
fn an_empty_answer_keeps_what_is_there_and_is_asked_again_where_nothing_is() {
    let folder = tempfile::tempdir().expect("a folder");
    set_up(&folder, &BOTH, None).0.expect("written");
    let before = text(&folder);
    set_up(&folder, &[], Some("\n\n\n\n\n")).0.expect("written");
    assert_eq!(text(&folder), before);

    let fresh = tempfile::tempdir().expect("a folder");
    let (config, _) = set_up(&fresh, &[], Some("\n\nws://h/\nporch\n\n\n"));
    assert_eq!(config.expect("written").server.name, "porch");
}

/// As it was written before there were invitations.
#[test]
fn who_may_watch_an_older_camera_is_asked_and_said() {
    const OLD: &str = "[server]\nurl = \"ws://chat.example/\"\nname = \"porch\"\n";
    for (flags, typed, mode) in [
        (&[][..], Some("n\n\n\n\n\n\n"), Some("invited")),
        (&[], Some("n\n\n\n\n\nn\n"), Some("open")),
        (&["--invite"], Some("n\n\n\n\n\n"), Some("invited")),
        (&["--invite"], None, Some("invited")),
        (&[], None, None),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("camera-agent.toml"), OLD).expect("written");
        let (done, asked) = set_up(&folder, flags, typed);
        let config = done.expect("written");
        let is_invited = mode == Some("invited");
        assert_eq!(
            config.access.is_invited(),
            is_invited,
            "{flags:?} {typed:?}"
        );
        assert_eq!(config.access.mode.is_none(), mode.is_none());
        let is_asked = asked.contains("people alone whom you invite");
        assert_eq!(is_asked, typed.is_some() && flags.is_empty(), "{asked}");
    }
}

#[test]
fn a_person_who_goes_away_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = set_up(&folder, &[], Some("n\nws://h/\n"))
        .0
        .expect_err("broken off");
    assert!(error.to_string().contains("nothing was written"), "{error}");
    assert!(!folder.path().join("camera-agent.toml").exists());
}

#[test]
fn a_pipeline_of_the_owner_s_is_not_asked_about() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("camera-agent.toml");
    let mine = "[server]\nurl = \"ws://h/\"\nname = \"a\"\n[video]\nsource = \"custom\"\n\
                pipeline = \"videotestsrc\"\n";
    std::fs::write(&path, mine).expect("written");
    let (config, asked) = set_up(&folder, &[], Some("\n\n\ntest\n\n"));
    assert_eq!(config.expect("written").video.source, VideoSource::Custom);
    assert!(asked.contains("which stays"), "{asked}");
}

#[test]
fn the_file_of_the_package_is_one_that_nobody_filled_in() {
    let path = std::path::Path::new("x");
    let error = Config::parse(&file::unconfigured(), path).expect_err("unfilled");
    assert!(matches!(error, ConfigError::Unconfigured { .. }), "{error}");
}

fn chat_text(folder: &tempfile::TempDir) -> Option<String> {
    std::fs::read_to_string(folder.path().join("chat.toml")).ok()
}

#[test]
fn a_board_that_runs_the_chat_server_has_both_files_by_flags_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (done, asked) = all(&folder, &["--chat-server", "--name", "door"], None);
    let Done { config, board } = done.expect("written");
    assert_eq!(asked, "");
    assert_eq!(config.server.url, "ws://localhost:6503/");
    assert_eq!(
        config.access.page.as_deref(),
        Some("http://porch.local:6503/")
    );
    assert!(config.access.is_invited());
    assert_eq!(chat_text(&folder).as_deref(), Some(board::TEMPLATE));
    // One that is no service's is not started.
    let board = board.expect("it is to run");
    assert!(!board.start().expect("nothing is done"));
    assert!(board.command().ends_with("/chat.toml"));

    // What the owner has written stays, and counts.
    let mine = "listen = \"[::]:8080\" # mine\n";
    std::fs::write(folder.path().join("chat.toml"), mine).expect("written");
    let page = ["--chat-server", "--page", "https://home.example/"];
    let config = set_up(&folder, &page, None).0.expect("written");
    assert_eq!(config.server.url, "ws://localhost:8080/");
    assert_eq!(config.access.page.as_deref(), Some("https://home.example/"));
    let config = set_up(&folder, &["--chat-server"], None)
        .0
        .expect("written");
    assert_eq!(config.access.page.as_deref(), Some("https://home.example/"));
    assert_eq!(chat_text(&folder).as_deref(), Some(mine));
}

#[test]
fn a_person_is_asked_whether_the_chat_server_is_here_and_for_its_page_then() {
    let folder = tempfile::tempdir().expect("a folder");
    let (done, asked) = all(&folder, &[], Some("perhaps\nY\nporch\n\n\n\n"));
    let Done { config, board } = done.expect("written");
    assert!(board.is_some());
    assert_eq!(config.server.url, "ws://localhost:6503/");
    assert!(!asked.contains("Chat server (ws://"), "{asked}");
    assert!(
        asked.contains("Where telephones open the page [http://porch.local:6503/]: "),
        "{asked}"
    );
    // The second time yes is what is there already.
    let typed = "\n\n\n\nhttp://10.0.0.1:6503/\n";
    let (config, asked) = set_up(&folder, &[], Some(typed));
    let config = config.expect("written");
    assert!(asked.contains("[Y/n]"), "{asked}");
    assert_eq!(config.access.page.as_deref(), Some("http://10.0.0.1:6503/"));
    // One elsewhere, said by a flag, is not asked about.
    let (done, asked) = all(&folder, &BOTH, Some("\n\n"));
    assert!(done.expect("written").board.is_none());
    assert!(!asked.contains("too?"), "{asked}");
}

#[test]
fn a_chat_server_with_a_certificate_wants_its_name_and_a_bad_file_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let chat = |text: &str| std::fs::write(folder.path().join("chat.toml"), text).expect("written");
    chat("cert = \"/c\"\nkey = \"/k\"\n");
    let flags = ["--chat-server", "--name", "door"];
    let error = set_up(&folder, &flags, None).0.expect_err("no name");
    assert!(
        error.to_string().contains("--server wss://NAME:PORT/"),
        "{error}"
    );
    let named = [&flags[..], &["--server", "wss://cam.example:6503/"]].concat();
    let config = set_up(&folder, &named, None).0.expect("written");
    assert_eq!(config.server.url, "wss://cam.example:6503/");
    assert_eq!(config.access.page, None);
    // The second time it is known.
    set_up(&folder, &["--chat-server"], None)
        .0
        .expect("written");
    let asked = set_up(&folder, &["--chat-server"], Some("\n\n\n\n")).1;
    assert!(asked.contains("[wss://cam.example:6503/]"), "{asked}");

    let before = text(&folder);
    chat("\nlisten = 1\n");
    let error = set_up(&folder, &flags, None).0.expect_err("a bad file");
    assert!(
        error.to_string().contains("chat.toml, line 2: listen"),
        "{error}"
    );
    assert_eq!(text(&folder), before);
}

#[test]
fn each_configuration_has_its_unit() {
    for (config, name) in [
        ("/etc/camera-agent/camera-agent.toml", "camera-agent"),
        ("/etc/camera-agent/garden.toml", "camera-agent@garden"),
        ("/home/x/garden.toml", "camera-agent"),
    ] {
        assert_eq!(unit(std::path::Path::new(config)), name);
    }
}
