//! The walls of the house: what the table of layers in `src/lib.rs` says holds
//! for every `use`, what calls itself pure is, and nothing outgrows its room.
//!
//! Reads the source as a compiler does, so that it sees every path, however it
//! is written. Tests of a file are left out: they may look at everything.

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use syn::visit::Visit;

use source::{House, Module, Reader, is_pure, layers, sources};

/// Lines of a file. A table and its tests may be longer.
const MOST_LINES: usize = 500;
/// Lines of a function, from its name to its last brace.
const MOST_OF_A_FUNCTION: usize = 80;
/// Rows of data, one board, page or format each.
const TABLES: &[&str] = &["media/encoder/table.rs"];

/// What a pure file does not touch: files, clocks, threads, sockets, processes,
/// the runtime and GStreamer. `std::time` and `std::net` are here for their
/// types alone.
const IMPURE: &[&str] = &[
    "alsa",
    "gstreamer",
    "gstreamer_app",
    "rustix",
    "std::env",
    "std::fs",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::process",
    "std::thread",
    "tokio",
    "v4l::Device",
    "webrtc",
];
/// The clock, by the names that it is called by.
const CLOCKS: &[&str] = &["Instant::now", "SystemTime::now"];

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

#[test]
fn no_file_is_in_a_circle() {
    let house = House::read();
    let mut below = BTreeMap::<&Module, BTreeSet<Module>>::new();
    for (module, file) in house.real() {
        // A room's front and the files behind it share words, both ways.
        let targets = file
            .paths
            .iter()
            .filter_map(|(path, _)| house.target(module, path));
        let others = targets.filter(|to| !to.starts_with(module) && !module.starts_with(to));
        below.insert(module, others.collect());
    }
    // Takes away, again and again, what stands on nothing that is left.
    loop {
        let left: BTreeSet<Module> = below.keys().map(|module| (*module).clone()).collect();
        let before = below.len();
        below.retain(|_, targets| targets.iter().any(|target| left.contains(target)));
        if below.len() == before {
            break;
        }
    }
    // And what nothing that is left stands on.
    loop {
        let used: BTreeSet<Module> = below.values().flatten().cloned().collect();
        let before = below.len();
        below.retain(|module, _| used.contains(*module));
        if below.len() == before {
            break;
        }
    }
    let left: BTreeSet<Module> = below.keys().map(|module| (*module).clone()).collect();
    let circles: Vec<_> = below
        .iter()
        .map(|(module, targets)| {
            let inside = targets.intersection(&left).map(|t| t.join("::"));
            format!(
                "{} → {}",
                module.join("::"),
                inside.collect::<Vec<_>>().join(", ")
            )
        })
        .collect();
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn what_is_called_pure_touches_nothing() {
    let house = House::read();
    let layers = layers();
    let pure = layers.last().expect("rows");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (module, file) in house.real() {
        if !is_pure(module, file, pure) {
            continue;
        }
        seen += 1;
        for (path, line) in &file.paths {
            let path = path.join("::");
            let is = |name: &&str| path == **name || path.starts_with(&format!("{name}::"));
            let is_clock = CLOCKS.iter().any(|name| path.ends_with(name));
            if is_clock || IMPURE.iter().any(is) {
                wrong.push(format!("src/{}:{line}: {path}", file.path.display()));
            }
        }
    }
    assert!(seen > 40, "only {seen} files were found to be pure");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_of_tests_outgrows_its_room() {
    for path in sources(&["tests", "benches", "fuzz/fuzz_targets"]) {
        let lines = fs::read_to_string(&path).expect("text").lines().count();
        assert!(lines <= MOST_LINES, "{}: {lines} lines", path.display());
    }
}

#[test]
fn nothing_outgrows_its_room() {
    let house = House::read();
    let mut wrong = Vec::new();
    for file in house.files.values() {
        let path = file.path.display().to_string();
        if TABLES.contains(&path.as_str()) {
            continue;
        }
        let lines = file.text.lines().count();
        if lines > MOST_LINES {
            wrong.push(format!("src/{path} has {lines} lines"));
        }
        let mut reader = Reader::default();
        reader.visit_file(&file.syntax);
        for (name, first, last) in reader.functions {
            let lines = last - first + 1;
            if lines > MOST_OF_A_FUNCTION {
                wrong.push(format!("src/{path}:{first}: {name} has {lines} lines"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
