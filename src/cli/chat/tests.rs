use std::collections::BTreeSet;

use clap::{CommandFactory, Parser};

use super::*;
use crate::cli::{Cli, Command};

const DOCUMENTED: &str = include_str!("../../../systemd/chat.toml");

fn chat(arguments: &[&str]) -> Result<Settings, String> {
    let cli = Cli::parse_from(["camera-agent", "chat"].iter().chain(arguments));
    match cli.command {
        Command::Chat(chat) => chat.settings().map_err(|e| e.to_string()),
        other => panic!("{other:?}"),
    }
}

fn of_file(text: &str) -> Result<Settings, String> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    let path = file.path().to_str().expect("text");
    let settings = chat(&["--config", path]);
    settings.map_err(|e| e.replace(path, "chat.toml"))
}

/// Every key, as serde itself names them in its refusal.
fn keys() -> BTreeSet<String> {
    let message = of_file("no_such_key = 1").expect_err("an unknown key is refused");
    let expected = message.split("expected").nth(1).expect("serde lists keys");
    let keys = expected.split('`').skip(1).step_by(2);
    keys.map(str::to_owned).collect()
}

#[test]
fn every_flag_is_a_key_by_the_same_name_and_every_key_a_flag() {
    let command = Cli::command();
    let chat = command.find_subcommand("chat").expect("there");
    let flags = chat.get_arguments().filter_map(|flag| flag.get_long());
    let flags: Vec<_> = flags.filter(|flag| *flag != "config").collect();
    assert!(flags.len() > 10, "{flags:?}");
    let keys = keys();
    // A list's key is in the plural.
    let key = |flag: &str| {
        let one = flag.replace('-', "_");
        let more = [format!("{one}s"), one.replace("proxy", "proxies"), one];
        more.into_iter().find(|key| keys.contains(key))
    };
    let found: BTreeSet<_> = flags
        .iter()
        .map(|flag| key(flag).unwrap_or_else(|| panic!("--{flag} is no key: {keys:?}")))
        .collect();
    assert_eq!(found, keys);
}

#[test]
fn the_documented_file_has_every_key_with_its_default_and_good_examples() {
    for key in keys() {
        let shown = |line: &str| {
            line.trim_start_matches("#:")
                .starts_with(&format!("{key} = "))
        };
        assert!(
            DOCUMENTED.lines().any(shown),
            "{key} is not in systemd/chat.toml"
        );
    }
    let said = of_file(DOCUMENTED).expect("valid");
    let options = |settings: &Settings| format!("{:?}", settings.options().expect("no credential"));
    assert_eq!(options(&said), options(&Settings::default()));
    assert_eq!(said.log_format, Some(LogFormat::Human));
    assert_eq!(
        said.announce,
        Some(true),
        "what a package may, a flag is to ask for"
    );
    let examples = of_file(&DOCUMENTED.replace("\n#:", "\n")).expect("examples are valid");
    assert_eq!(examples.ice().servers.len(), 2);
}

#[test]
fn the_defaults_that_help_names_are_those_in_force() {
    let command = Cli::command();
    let chat = command.find_subcommand("chat").expect("there");
    let help = |long: &str| {
        let flag = chat.get_arguments().find(|a| a.get_long() == Some(long));
        let help = flag.and_then(|flag| flag.get_help().cloned());
        help.expect(long).to_string()
    };
    let options = Settings::default().options().expect("valid");
    let limits = options.limits;
    for (flag, value) in [
        ("ipv6-prefix", options.ipv6_prefix.into()),
        ("max-connections", limits.connections),
        ("max-per-address", limits.per_source),
    ] {
        let words = format!("[default: {value}]");
        assert!(help(flag).contains(&words), "{flag}: {}", help(flag));
    }
}

#[test]
fn flags_win_over_the_file_and_the_rest_of_it_stays() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(
        file.path(),
        "listen = \"127.0.0.1:1\"\nallow_origins = [\"https://A.example:443\"]\n\
         cert = \"/c\"\nmax_connections = 7\nipv6_prefix = 56\n",
    )
    .expect("written");
    let path = file.path().to_str().expect("text");
    // Each needs the other, wherever that is said.
    let settings = chat(&[
        "--config", path, "--listen", "[::1]:2", "--key", "/k", "--stun", "stun:a",
    ]);
    let settings = settings.expect("valid");
    let options = settings.options().expect("no credential");
    assert_eq!(options.listen.to_string(), "[::1]:2");
    assert_eq!(options.allowed_origins, ["https://a.example"]);
    assert_eq!((options.limits.connections, options.ipv6_prefix), (7, 56));
    let tls = options.tls.expect("both");
    assert_eq!((tls.cert, tls.key), ("/c".into(), "/k".into()));
    assert_eq!(settings.ice().servers.len(), 1);
    // What a flag spoils is not the file's fault.
    let error = chat(&["--config", path, "--key", "/k", "--turn", "turn:a"]);
    let error = error.expect_err("no secret");
    let announce = |flags: &[&str]| chat(flags).expect("valid").announce;
    assert_eq!(announce(&["--announce"]), Some(true));
    assert_eq!(announce(&["--announce", "false"]), Some(false));
    assert_eq!(announce(&[]), None);
    assert!(
        error.contains("--turn") && !error.contains(path) && error.contains("turn_secret_file"),
        "{error}"
    );
}

#[test]
fn what_is_wrong_in_the_file_is_named_with_line_key_and_remedy() {
    for (text, words) in [
        ("\nlisten = 6503", "line 2: listen: invalid type: integer"),
        (
            "\n\nlisten = \"6503\"",
            "line 3: listen: \"6503\": it is no address with a port; it is written",
        ),
        (
            "port = 6503",
            "line 1: unknown field `port`, expected one of",
        ),
        (
            "allow_origins = [\n  \"https://a\",\n  \"cam.example\"\n]",
            "allow_origins: \"cam.example\": no scheme in it; it is written https://",
        ),
        (
            "trusted_proxies = [\"10.0.0.0/99\"]",
            "line 1: trusted_proxies: \"10.0.0.0/99\": it is no address or network",
        ),
        (
            "frame_ancestors = [\"x\"]",
            "line 1: frame_ancestors: \"x\": it is no origin",
        ),
        (
            "max_connections = 0",
            "line 1: max_connections: invalid value: integer `0`",
        ),
        (
            "ipv6_prefix = 129",
            "line 1: ipv6_prefix: \"129\": it is no number from 32 to 128",
        ),
        (
            "log_format = \"xml\"",
            "line 1: log_format: unknown variant",
        ),
        ("\ncert = \"/c\"", "line 2: cert: it needs the key"),
        ("key = \"/k\"", "line 1: key: it needs its certificate"),
        (
            "\nstun = [\"turn:a\"]",
            "line 2: stun: turn:a is a TURN server, which turn is for",
        ),
        (
            "stun = [\"stun://a\"]",
            "line 1: stun: \"stun://a\": no slashes follow the colon; write \"stun:a\"",
        ),
        ("turn = [\"turn:a\"]", "line 1: turn: it needs the file"),
        (
            "turn_secret_file = \"/x\"",
            "line 1: turn_secret_file: it needs the server",
        ),
        ("stun = [", "line 1"),
    ] {
        let error = of_file(text).expect_err(text);
        assert!(
            error.contains("chat.toml, ") && error.contains(words),
            "{text}: {error}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let error = chat(&["--config", "/no/such"]).expect_err("nothing there");
    assert!(error.contains("/no/such"), "{error}");
}

#[test]
fn a_password_in_the_file_is_not_shown() {
    for text in [
        "stun = [\"stun:u:north@a b\"]",
        "allow_origins = [\"https://u:north@a/b\"]",
        "turn = [\"turn:u:north@a\"]\nturn_secret_file = \"/x\"",
    ] {
        let error = of_file(text).expect_err(text);
        assert!(!error.contains("north"), "{error}");
    }
}

#[test]
fn a_chat_server_takes_the_addresses_that_a_device_takes() {
    let good = [
        "--stun",
        "stun:a",
        "--turn",
        "turns:b",
        "--turn-secret-file",
        "/x",
    ];
    let servers = chat(&good).expect("valid").ice().servers;
    assert_eq!(servers.len(), 2);
    for (bad, words) in [
        (["--stun", "stun://a"].as_slice(), "write \"stun:a\""),
        (&["--stun", "turn:a"], "turn is for"),
        (&["--turn", "turn:a"], "turn_secret_file"),
        (&["--cert", "/c"], "--cert: it needs the key"),
        (
            &["--turn", "turn:a?transport=UDP", "--turn-secret-file", "/x"],
            "write \"turn:a?transport=udp\"",
        ),
    ] {
        let error = chat(bad).expect_err("refused");
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn certificate_and_key_may_be_credentials_of_systemd() {
    let settings = Settings {
        cert: Some("credential:chat-cert".into()),
        key: Some("credential:chat-key".into()),
        ..Settings::default()
    };
    let error = settings.options().expect_err("systemd passed none");
    assert!(
        error.to_string().contains("LoadCredential=chat-cert:FILE"),
        "{error}"
    );
}
