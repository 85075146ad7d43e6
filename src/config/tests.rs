use super::files::secret;
use super::*;

const DOCUMENTED: &str = include_str!("../../systemd/camera-agent.toml");

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("test.toml")).map_err(|e| e.to_string())
}

#[test]
fn the_documented_file_holds_the_defaults() {
    assert_eq!(parse(DOCUMENTED), Ok(Config::default()));
}

/// Every key of the structs, as serde itself names them in its refusal.
#[test]
fn every_key_is_documented() {
    for section in [
        "",
        "server",
        "video",
        "audio",
        "speaker",
        "viewers",
        "ice",
        "led",
        "access",
        "privacy",
        "log",
        "motion",
        "[motion.zones]",
        "recording",
        "[hooks]",
        "[encoders]",
    ] {
        let text = match section {
            "" => "no_such_key = 1".to_owned(),
            s => format!("[{s}]\nno_such_key = 1"),
        };
        let message = parse(&text).expect_err("an unknown key is refused");
        let section = section.trim_matches(['[', ']']);
        let expected = message.split("expected").nth(1).expect("serde lists keys");
        let keys = expected.split('`').skip(1).step_by(2);
        for key in keys {
            let shown = DOCUMENTED.lines().any(|line| {
                let line = line.trim_start_matches(['#', ':', ' ']);
                line.starts_with(&format!("{key} ="))
                    || line == format!("[{key}]")
                    || line == format!("[[{key}]]")
                    || line == format!("[{section}.{key}]")
                    || line == format!("[[{section}.{key}]]")
            });
            assert!(shown, "{section}.{key} is not in systemd/camera-agent.toml");
        }
    }
}

#[test]
fn every_documented_example_is_valid() {
    let uncommented: String = DOCUMENTED
        .lines()
        .map(|l| match l.strip_prefix("#:") {
            Some(example) => format!("{example}\n"),
            None => format!("{l}\n"),
        })
        .collect();
    assert!(uncommented.contains("[[ice.servers]]"));
    parse(&uncommented).expect("examples parse");
}

#[test]
fn a_file_that_nobody_filled_in_says_which_two_keys_to_set() {
    let error = Config::parse(
        "[server]\nurl = \"\"\nname = \"\"",
        Path::new("/etc/camera-agent/camera-agent.toml"),
    );
    let message = error.expect_err("refused").to_string();
    for word in ["server.url", "server.name", "/etc/camera-agent/", "setup"] {
        assert!(message.contains(word), "{word}: {message}");
    }
    assert_eq!(message.lines().count(), 1);
}

#[test]
fn a_secret_may_be_a_credential_of_systemd() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("turn"), "north\n").expect("written");
    let read = |path: &str, folder| secret("key", Path::new(path), folder);
    let loaded = Some(folder.path());
    assert_eq!(read("credential:turn", loaded).expect("there"), "north");
    for (path, folder, word) in [
        ("credential:turn", None, "LoadCredential=turn"),
        ("credential:other", loaded, "credential:other"),
        ("credential:../turn", loaded, "no name"),
        ("credential:", loaded, "no name"),
    ] {
        let message = read(path, folder).expect_err(path).to_string();
        assert!(message.contains(word), "{path}: {message}");
    }
}

#[test]
fn controls_are_numbers_switches_or_labels() {
    let text = "[video.controls]\na = 1\nb = false\nc = \"Manual\"";
    let controls = parse(text).expect("good").video.controls;
    let values: Vec<_> = controls.into_values().collect();
    let label = ControlValue::Label("Manual".into());
    assert_eq!(
        values,
        [ControlValue::Number(1), ControlValue::Switch(false), label]
    );
    let error = parse("[video.controls]\nzoom = 1.5").expect_err("no whole number");
    assert!(
        error.contains("line 2") && error.contains("a whole number"),
        "{error}"
    );
}

#[test]
fn a_password_where_a_name_belongs_is_not_shown() {
    for user in ["camera:north", "://camera:north@", "camera\\n:north"] {
        let text = format!("[server]\nusername = \"{user}\"\npassword_file = \"/x\"");
        let message = parse(&text).expect_err(user);
        assert!(message.contains("server.password_file"), "{message}");
        assert!(!message.contains("north"), "{message}");
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let message = parse("[video]\nwidht = 1280\n").expect_err("refused");
    assert!(
        message.contains("line 2") && message.contains("widht"),
        "{message}"
    );
}

#[test]
fn bad_values_name_the_key() {
    for (text, key) in [
        ("[server]\nurl = \"http://x\"", "server.url"),
        ("[server]\nname = \"\"", "server.name"),
        ("[speaker]\ndevice = \"\"", "speaker.device"),
        ("[speaker]\ndevice = \"a\\nb\"", "speaker.device"),
        ("[video]\nwidth = 1281", "video.width"),
        ("[video]\nfps = 0", "video.fps"),
        ("[video]\nsource = \"custom\"", "video.pipeline"),
        ("[video]\npipeline = \"x\"", "video.pipeline"),
        (
            "[[video.tiers]]\nheight = 361\nbitrate_kbps = 500",
            "video.tiers.height",
        ),
        (
            "[[video.tiers]]\nheight = 180\nbitrate_kbps = 300\n\
             [[video.tiers]]\nheight = 360\nbitrate_kbps = 500",
            "largest comes first",
        ),
        ("[viewers]\nmax = 0", "viewers.max"),
        ("[access]\nmode = \"some\"", "line 2"),
        ("[access]\npage = \"ws://x/\"", "access.page"),
        ("[access]\npage = \"https://u:p@x/\"", "access.page"),
        ("[access]\npage = \"https://x/#y\"", "access.page"),
        ("[access]\nlog = \"calls\"", "access.log"),
        ("[motion]\nsensitivity = 11", "motion.sensitivity"),
        ("[motion]\ninitial_s = 0", "motion.initial_s"),
        ("[motion]\ninitial_s = 90", "motion.maximum_s"),
        (
            "[[motion.zones]]\nname = \"a\"\ncorners = [[0, 0], [1, 1]]",
            "motion.zones.corners: \"a\" has 2",
        ),
        (
            "[[motion.zones]]\nname = \"a\"\ncorners = [[0, 0], [640, 0], [1, 1]]",
            "640 is not in the picture",
        ),
        (
            "[[motion.zones]]\nname = \"\"\ncorners = [[0, 0], [1, 0], [1, 1]]",
            "motion.zones.name",
        ),
        (
            "[[motion.zones]]\nname = \"a\"\ncorners = [[0, 0], [1, 0], [1, 1]]\n\
             [[motion.zones]]\nname = \"a\"\ncorners = [[0, 0], [1, 0], [1, 1]]",
            "\"a\" is there twice",
        ),
        ("[[hooks]]\non = []\ncommand = [\"/x\"]", "hooks.on"),
        ("[[hooks]]\non = [\"rain\"]\ncommand = [\"/x\"]", "line 2"),
        (
            "[[hooks]]\non = [\"motion\"]\ncommand = []",
            "hooks.command",
        ),
        (
            "[[hooks]]\non = [\"motion\"]\ncommand = [\"logger it moves\"]",
            "no shell is between",
        ),
        (
            "[[hooks]]\non = [\"motion\"]\ncommand = [\"/x\"]\ntime_limit_s = 0",
            "hooks.time_limit_s",
        ),
        ("[ice]\nports = \"5-\"", "ice.ports"),
        (
            "[ice]\npublic_addresses = [\"::1\"]",
            "ice.public_addresses",
        ),
        ("[ice]\npublic_addresses = [\"cam.example\"]", "line 2"),
        ("[[ice.servers]]\nurls = []", "ice.servers"),
        ("[[ice.servers]]\nurls = [\"turn:x\"]", "ice.servers"),
        ("[[ice.servers]]\nurls = [\"http:x\"]", "ice.servers"),
        (
            "[[ice.servers]]\nurls = [\"stun:a?transport=udp\"]",
            "line 2: ice.servers.urls: \"stun:a?transport=udp\"",
        ),
    ] {
        let message = parse(text).expect_err(text);
        assert!(message.contains(key), "{text}: {message}");
    }
}
