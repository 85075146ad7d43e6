use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use clap::Parser;

use super::*;
use crate::access::{Guests, Right};
use scan::{scanned, scanned_text};

#[allow(unreachable_pub, reason = "tests of their own read it too")]
#[path = "../../tests/support/qr.rs"]
mod scan;

/// A camera's folder, and commands beside it.
struct Camera {
    folder: tempfile::TempDir,
}

impl Camera {
    fn new(access: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("state");
        let text = format!(
            "[server]\nurl = \"wss://chat.example/cam/\"\nname = \"front door\"\n[access]\n{access}\n\
             folder = {state:?}\n"
        );
        std::fs::write(folder.path().join("camera.toml"), text).expect("written");
        Self { folder }
    }

    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let config = self.folder.path().join("camera.toml");
        let config = config.to_str().expect("text");
        let line = ["camera-agent"].iter().chain(arguments);
        let of = ["--config", config];
        let line = line.chain(&of);
        let mut out = Vec::new();
        match cli::Cli::try_parse_from(line)
            .map_err(|e| e.to_string())?
            .command
        {
            cli::Command::Invite(arguments) => invite(&arguments, &mut out),
            cli::Command::Viewers(arguments) => viewers(&arguments, &mut out),
            cli::Command::Revoke(arguments) => revoke(&arguments, &mut out),
            other => panic!("{other:?}"),
        }
        .map_err(|e| e.to_string())?;
        Ok(String::from_utf8(out).expect("text"))
    }

    fn book(&self) -> Book {
        Book::in_folder(self.folder.path().join("state"))
    }
}

/// A pipe that nobody reads.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_invitation_that_nobody_was_shown_is_none() {
    let camera = Camera::new("mode = \"invited\"");
    let config = camera.folder.path().join("camera.toml");
    let config = config.to_str().expect("text");
    let line = ["camera-agent", "invite", "alice", "--config", config];
    let cli::Command::Invite(arguments) = cli::Cli::parse_from(line).command else {
        panic!("another command")
    };
    invite(&arguments, &mut Closed).expect_err("nobody reads it");
    assert!(camera.book().read().expect("a list").is_empty());
    camera.run(&["invite", "alice"]).expect("now it is shown");
}

fn link(printed: &str) -> Link {
    let line = printed.lines().find(|l| l.contains("#camera="));
    Link::parse(line.expect("a link")).expect("an invitation")
}

#[test]
fn a_link_a_code_and_a_qr_code_are_one_invitation() {
    let camera = Camera::new("mode = \"invited\"");
    let png = camera.folder.path().join("alice.png");
    let printed = camera
        .run(&["invite", "alice", "--png", png.to_str().expect("text")])
        .expect("invited");
    let link = link(&printed);
    assert_eq!(link.page, "https://chat.example/cam/");
    assert_eq!(link.camera, "front door");
    assert!(printed.contains(&format!("Code to type: {}\n", link.invite.code())));
    assert!(printed.contains('█') && printed.contains("alice may watch, listen"));
    assert!(!printed.contains("This camera is open") && !printed.contains("this machine alone"));
    let list = camera.book().read().expect("a list");
    assert_eq!(list[0].key, (link.invite.id(), link.invite.key()));
    assert_eq!(list[0].stage, Stage::Link);
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    for path in [&png, &camera.book().path()] {
        assert_eq!(mode(path), 0o600, "{}", path.display());
    }
    assert_eq!(mode(camera.book().folder()), 0o700);
    // Both pictures are read by a reader of somebody else's making.
    let file = std::fs::File::open(&png).expect("there");
    let decoder = png::Decoder::new(std::io::BufReader::new(file));
    let mut reader = decoder.read_info().expect("a picture");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    let info = reader.next_frame(&mut pixels).expect("whole");
    let (width, height) = (info.width as usize, info.height as usize);
    let read = scanned(width, height, |x, y| pixels[y * width + x]);
    assert_eq!(read, link.text());
    assert_eq!(scanned_text(&printed), link.text());
}

#[test]
fn what_an_owner_types_is_taken_or_refused_in_words() {
    let camera = Camera::new("page = \"http://localhost:8080/\"");
    let printed = camera
        .run(&[
            "invite",
            "bob",
            "--may",
            "watch,control",
            "--until",
            "7d",
            "--shared",
        ])
        .expect("invited");
    assert!(printed.contains("This camera is open") && printed.contains("this machine alone"));
    let list = camera.book().read().expect("a list");
    assert!(list[0].may.has(Right::Control) && !list[0].may.has(Right::Listen));
    assert_eq!(list[0].stage, Stage::Shared);
    assert!(
        list[0]
            .until
            .is_some_and(|until| until == list[0].made + 604_800)
    );
    for (arguments, words) in [
        (
            ["invite", "bob", "--shared"].as_slice(),
            "was invited already",
        ),
        (&["invite", "", "--shared"], "the label"),
        (&["invite", "x", "--may", "fly"], "is none of watch"),
        (&["invite", "x", "--may", ","], "has to allow something"),
        (&["invite", "x", "--may", "listen,talk"], "--may watch"),
        (&["invite", "x", "--until", "tomorrow"], "neither a day"),
        (&["invite", "x", "--until", "2020-01-01"], "over already"),
        (
            &["invite", "x", "--png", "/no/such/folder/x.png"],
            "/no/such/folder/x.png",
        ),
        (&["revoke", "alice"], "there are bob"),
    ] {
        let error = camera.run(arguments).expect_err("refused");
        assert!(error.contains(words), "{arguments:?}: {error}");
    }
    assert_eq!(
        camera.book().read().expect("a list").len(),
        1,
        "nothing else"
    );
    camera.run(&["revoke", "bob"]).expect("taken back");
    assert!(camera.book().read().expect("a list").is_empty());
    let error = camera.run(&["revoke", "bob"]).expect_err("once");
    assert!(error.contains("nobody was invited"));
    assert!(
        camera
            .run(&["viewers"])
            .expect("a table")
            .contains("nobody was invited")
    );
}

#[test]
fn viewers_are_listed_with_no_key() {
    let camera = Camera::new("mode = \"invited\"");
    camera.run(&["invite", "alice"]).expect("invited");
    camera.run(&["invite", "bob", "--shared"]).expect("invited");
    let list = camera.book().read().expect("a list");
    let mut device = watching::Watching::begin(camera.book().folder()).expect("it can write");
    let now = list[0].made + 100;
    let invited = |label: &str| list.iter().any(|i| i.label.as_str() == label);
    let people = ["bob", "bob"].into_iter();
    device.are(people, invited, now).expect("written");
    let table = camera.run(&["viewers"]).expect("a table");
    assert!(table.contains("watches now, 2 times"), "{table}");
    let json = camera.run(&["viewers", "--json"]).expect("JSON");
    let read: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(read[0]["label"], "alice");
    assert_eq!(read[0]["last_seen"], serde_json::Value::Null);
    assert_eq!(
        (&read[1]["watching"], &read[1]["may"][1]),
        (&json!(2), &json!("listen"))
    );
    for invitation in &list {
        let key = invitation.key.1.expose();
        assert!(!table.contains(&key) && !json.contains(&key));
    }
    // A device that is gone watches nobody, whatever it left behind.
    drop(device);
    let json = camera.run(&["viewers", "--json"]).expect("JSON");
    let read: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(read[1]["watching"], 0);
    assert_eq!(read[1]["last_seen"], time::rfc3339(now));
}

#[test]
fn a_browser_s_own_key_takes_the_place_of_the_link_s() {
    let camera = Camera::new("mode = \"invited\"");
    let printed = camera.run(&["invite", "alice"]).expect("invited");
    let link = link(&printed).invite.id();
    let book = camera.book();
    let (first, _) = book.give(link).expect("kept").expect("a key");
    let (second, _) = book.give(link).expect("kept").expect("another key");
    let guests = |book: &Book| Guests::of(&book.read().expect("a list"), 1);
    let before = guests(&book);
    assert!(
        [link, first, second]
            .iter()
            .all(|id| before.get(*id).is_some())
    );
    assert!(book.keep(second).expect("written"));
    let after = guests(&book);
    assert!(after.get(second).is_some_and(|g| !g.needs_key()));
    assert!([link, first].iter().all(|id| after.get(*id).is_none()));
    assert!(!book.keep(first).expect("looked"), "too late");
    assert_eq!(book.give(link).expect("looked"), None);
}

#[test]
fn a_damaged_list_is_left_alone_and_named() {
    let camera = Camera::new("mode = \"invited\"");
    camera.run(&["invite", "alice"]).expect("invited");
    let path = camera.book().path();
    let text = std::fs::read_to_string(&path).expect("there");
    std::fs::write(&path, format!("{text}\n[[invitation]]\n")).expect("written");
    for arguments in [
        ["viewers"].as_slice(),
        &["invite", "bob"],
        &["revoke", "alice"],
    ] {
        let error = camera.run(arguments).expect_err("damaged");
        assert!(error.contains("access.toml is damaged: line"), "{error}");
    }
    std::fs::remove_file(&path).expect("there");
    std::os::unix::fs::symlink("/etc/hostname", &path).expect("a link");
    let error = camera
        .run(&["viewers"])
        .expect_err("a link is not followed");
    assert!(error.contains("access.toml"), "{error}");
}
