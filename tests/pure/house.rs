//! The walls of the house: what the table of layers in `src/lib.rs` says holds
//! for every `use`, what calls itself pure is, and nothing outgrows its room.
//!
//! Reads the source as a compiler does, so that it sees every path, however it
//! is written. Tests of a file are left out: they may look at everything.

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use source::{
    House, Module, dependencies, functions, is_pure, layers, locked, names, public,
    said_to_be_pure, sources,
};

/// Lines of a file. A table and its tests may be longer.
const MOST_LINES: usize = 500;
/// Lines of a function, from its name to its last brace.
const MOST_OF_A_FUNCTION: usize = 80;
/// Rows of data, one board, page or format each.
const TABLES: &[&str] = &["media/encoder/table.rs"];

/// Crates of which a pure file may name anything: words, numbers, formats.
/// Everything else in `Cargo.toml` is a file, a clock, a socket, a device, the
/// runtime or GStreamer.
const PURE_CRATES: &[&str] = &[
    "argon2",
    "base64",
    "bytes",
    "fastrand",
    "hmac",
    "percent_encoding",
    "ring",
    "realfft",
    "rtc",
    "serde",
    "serde_json",
    "sha1",
    "shiguredo_mp4",
    "thiserror",
    "time",
    "toml",
    "tracing",
    "unicode_normalization",
    "unicode_security",
    "url",
];
/// What one may name of the others.
const PURE_PARTS: &[&str] = &[
    "axum::Extension",
    "axum::http",
    "axum::response",
    "rustls::CertificateError",
    "v4l::v4l_sys",
];
/// What a pure file does not touch of the standard library. `std::net` is there
/// for its addresses, `std::io` for its errors, `std::time` for its types.
const IMPURE: &[&str] = &[
    "dbg",
    "eprint",
    "eprintln",
    "print",
    "println",
    "std::env",
    "std::fs",
    "std::io::stderr",
    "std::io::stdin",
    "std::io::stdout",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::os",
    "std::process",
    "std::thread",
];
/// What asks a clock, whichever type it is and whatever that is called here.
const CLOCKS: &[&str] = &["now", "now_local", "now_utc"];
/// What asks the clock, the file system or the resolver, and reads like any
/// other word.
const ASKING: &[&str] = &[
    "canonicalize",
    "elapsed",
    "exists",
    "is_dir",
    "is_file",
    "is_symlink",
    "metadata",
    "read_dir",
    "read_link",
    "symlink_metadata",
    "to_socket_addrs",
    "try_exists",
];

#[test]
fn every_room_has_its_place_and_nothing_looks_up() {
    let house = House::read();
    let layers = layers();
    assert!(layers.len() > 4, "the table was not found: {layers:?}");
    let floor = |room: &str| layers.iter().position(|row| row.contains(room));
    let mut wrong = Vec::new();
    for (module, file) in house.real() {
        let Some(room) = module.first() else { continue };
        let Some(here) = floor(room) else {
            wrong.push(format!("{room} is not in the table of layers"));
            continue;
        };
        for (path, line) in &file.paths {
            let Some(target) = house.target(module, path) else {
                continue;
            };
            if floor(&target[0]).is_some_and(|there| there < here) {
                wrong.push(format!(
                    "src/{}:{line} looks up to {}",
                    file.path.display(),
                    target.join("::")
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What stands in a circle: takes away, again and again, what stands on nothing
/// that is left, and what nothing that is left stands on.
fn circles(mut below: BTreeMap<Module, BTreeSet<Module>>) -> Vec<String> {
    loop {
        let before = below.len();
        let left: BTreeSet<Module> = below.keys().cloned().collect();
        below.retain(|_, targets| !targets.is_disjoint(&left));
        let used: BTreeSet<Module> = below.values().flatten().cloned().collect();
        below.retain(|module, _| used.contains(module));
        if below.len() == before {
            break;
        }
    }
    let inside = |targets: &BTreeSet<Module>| {
        let names = targets.iter().filter(|target| below.contains_key(*target));
        names.map(|t| t.join("::")).collect::<Vec<_>>().join(", ")
    };
    let lines = below.iter();
    lines
        .map(|(module, targets)| format!("{} → {}", module.join("::"), inside(targets)))
        .collect()
}

/// Two rooms may stand in a circle where no two files do: by way of their
/// fronts, or of one file up and another down.
#[test]
fn no_file_and_no_room_is_in_a_circle() {
    let mut files = BTreeMap::<Module, BTreeSet<Module>>::new();
    let mut rooms = BTreeMap::<Module, BTreeSet<Module>>::new();
    for (module, target) in House::read().arrows() {
        let shared = module.iter().zip(&target).take_while(|(a, b)| a == b);
        let apart = shared.count() + 1;
        // A room's front and the files behind it share words, both ways.
        let (Some(room), Some(other)) = (module.get(..apart), target.get(..apart)) else {
            continue;
        };
        let (room, other) = (room.to_vec(), other.to_vec());
        rooms.entry(room).or_default().insert(other);
        files.entry(module).or_default().insert(target);
    }
    assert!(
        files.len() > 100 && rooms.len() > 100,
        "they were not found"
    );
    let wrong = [circles(files), circles(rooms)].concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// True where the path is, or begins with, one of `names`.
fn is_of(path: &str, names: &[&str]) -> bool {
    names.iter().any(|name| {
        let rest = path.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    })
}

#[test]
fn what_is_called_pure_touches_nothing() {
    let house = House::read();
    let layers = layers();
    let pure = layers.last().expect("rows");
    let crates = dependencies();
    assert!(crates.contains("gstreamer_video"), "{crates:?}");
    let mut wrong = Vec::new();
    let said = said_to_be_pure();
    assert!(said.len() > 5, "{said:?}");
    for module in said.iter().filter(|m| !is_pure(&house, m, pure)) {
        wrong.push(format!(
            "{} does not say that it is pure",
            module.join("::")
        ));
    }
    let mut seen = 0;
    for (module, file) in house.real() {
        if !is_pure(&house, module, pure) {
            continue;
        }
        seen += 1;
        let mut say = |line: &usize, what: &str| {
            wrong.push(format!("src/{}:{line}: {what}", file.path.display()));
        };
        for (path, line) in &file.paths {
            let whole = path.join("::");
            let is_clock = path.len() > 1 && CLOCKS.contains(&path[path.len() - 1].as_str());
            let is_crate = crates.contains(&path[0]) && house.target(module, path).is_none();
            let is_foreign =
                is_crate && !PURE_CRATES.contains(&path[0].as_str()) && !is_of(&whole, PURE_PARTS);
            if is_clock || is_foreign || is_of(&whole, IMPURE) {
                say(line, &whole);
            }
        }
        for (method, line) in &file.methods {
            if ASKING.contains(&method.as_str()) {
                say(line, method);
            }
        }
    }
    assert!(seen > 40, "only {seen} files were found to be pure");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_outgrows_its_room() {
    let mut wrong = Vec::new();
    for path in sources(&["src", "tests", "benches", "fuzz/fuzz_targets"]) {
        if TABLES.iter().any(|table| path.ends_with(table)) {
            continue;
        }
        let text = fs::read_to_string(&path).expect("text");
        let path = path.display();
        let lines = text.lines().count();
        if lines > MOST_LINES {
            wrong.push(format!("{path} has {lines} lines"));
        }
        for (name, first, last) in functions(&text) {
            let lines = last - first + 1;
            if lines > MOST_OF_A_FUNCTION {
                wrong.push(format!("{path}:{first}: {name} has {lines} lines"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The compiler says what is wider than its module is, and what nobody uses
/// where it knows all users. So what is `pub` has to have one outside.
#[test]
fn what_is_public_is_named_outside() {
    let mut named = BTreeSet::new();
    for path in sources(&["tests", "benches", "fuzz/fuzz_targets"]) {
        names(&fs::read_to_string(path).expect("text"), &mut named);
    }
    let house = House::read();
    names(&house.files[&vec!["main".to_owned()]].text, &mut named);
    let mut wrong = Vec::new();
    for (_, file) in house.real() {
        for (name, line) in public(file) {
            if !named.contains(&name) {
                wrong.push(format!("src/{}:{line}: {name}", file.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `make fuzz` is no part of the tests, and once did not build: a crate
/// in its own lock file was newer than the program's.
#[test]
fn fuzz_targets_are_built_of_the_program_s_own_crates() {
    let (ours, theirs) = (locked("Cargo.lock"), locked("fuzz/Cargo.lock"));
    let wrong: Vec<_> = theirs
        .iter()
        .filter(|(name, versions)| ours.get(*name).is_some_and(|own| !versions.is_subset(own)))
        .collect();
    assert!(ours.len() > 100 && theirs.len() > 100, "they were read");
    assert!(wrong.is_empty(), "copy Cargo.lock there: {wrong:?}");
}
