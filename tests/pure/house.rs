//! The walls of the house: what the table of layers in `src/lib.rs` says holds
//! for every `use`, what calls itself pure is, and nothing outgrows its room.
//!
//! Reads the source as a compiler does, so that it sees every path, however it
//! is written. Tests of a file are left out: they may look at everything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

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

/// A module, as the segments of its path below the crate.
type Module = Vec<String>;

/// What a file names.
struct File {
    path: PathBuf,
    text: String,
    syntax: syn::File,
    /// Every path that it uses, with the line.
    paths: Vec<(Vec<String>, usize)>,
}

/// Collects paths and functions, tests left out.
#[derive(Default)]
struct Reader {
    paths: Vec<(Vec<String>, usize)>,
    /// Name, first and last line.
    functions: Vec<(String, usize, usize)>,
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else {
            return attribute.path().is_ident("test");
        };
        list.path.is_ident("cfg")
            && list
                .tokens
                .to_string()
                .split_whitespace()
                .any(|t| t == "test")
            || list.path.is_ident("cfg") && list.tokens.to_string().contains("any (test")
    })
}

impl Reader {
    fn tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let line = tree.span().start().line;
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.tree(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.paths.push((with(&name.ident), line)),
            syn::UseTree::Rename(name) => self.paths.push((with(&name.ident), line)),
            syn::UseTree::Glob(_) => self.paths.push((before.to_vec(), line)),
            syn::UseTree::Group(group) => {
                for item in &group.items {
                    self.tree(before, item);
                }
            }
        }
    }

    fn function(&mut self, name: &syn::Ident, block: &syn::Block) {
        let (first, last) = (name.span().start().line, block.span().end().line);
        self.functions.push((name.to_string(), first, last));
    }
}

impl<'a> Visit<'a> for Reader {
    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        if !is_for_tests(&item.attrs) {
            self.tree(&[], &item.tree);
        }
    }

    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        if !is_for_tests(&item.attrs) {
            self.function(&item.sig.ident, &item.block);
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            self.function(&item.sig.ident, &item.block);
            visit::visit_impl_item_fn(self, item);
        }
    }

    /// `pub(in crate::peer)` takes nothing from there.
    fn visit_visibility(&mut self, _: &'a syn::Visibility) {}

    fn visit_path(&mut self, path: &'a syn::Path) {
        let segments = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.paths.push((segments, path.span().start().line));
        visit::visit_path(self, path);
    }

    /// What stands in a macro is tokens to the parser; most are a list of
    /// expressions.
    fn visit_macro(&mut self, item: &'a syn::Macro) {
        use syn::punctuated::Punctuated;
        let list = Punctuated::<syn::Expr, syn::Token![,]>::parse_terminated;
        if let Ok(expressions) = item.parse_body_with(list) {
            for expression in &expressions {
                self.visit_expr(expression);
            }
        }
        visit::visit_macro(self, item);
    }
}

/// All files under `src`, but those of tests.
struct House {
    files: BTreeMap<Module, File>,
}

impl House {
    fn read() -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let files = sources(&["src"]).into_iter().map(|path| {
            let name = path.strip_prefix(&source).expect("it is in there");
            let text = fs::read_to_string(&path).expect("text");
            let syntax =
                syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", name.display()));
            let mut reader = Reader::default();
            reader.visit_file(&syntax);
            let file = File {
                path: name.to_owned(),
                text,
                syntax,
                paths: reader.paths,
            };
            (module(name), file)
        });
        Self {
            files: files.collect(),
        }
    }

    /// Those that are not for tests alone.
    fn real(&self) -> impl Iterator<Item = (&Module, &File)> {
        const FOR_TESTS: &[&str] = &["tests", "fuzzing", "rehearsal"];
        self.files
            .iter()
            .filter(|(module, _)| !module.iter().any(|name| FOR_TESTS.contains(&name.as_str())))
    }

    /// The module of a path that is used in another, where it is one of ours.
    fn target(&self, from: &Module, path: &[String]) -> Option<Module> {
        let first = path.first()?.as_str();
        let absolute: Vec<String> = match first {
            "crate" | "camera_agent" => path[1..].to_vec(),
            "self" => [from, &path[1..]].concat(),
            "super" => {
                let up = path.iter().take_while(|name| *name == "super").count();
                [from.get(..from.len().checked_sub(up)?)?, &path[up..]].concat()
            }
            _ => {
                let child = [from.as_slice(), &path[..1]].concat();
                self.files.contains_key(&child).then_some(())?;
                [from, path].concat()
            }
        };
        (1..=absolute.len())
            .rev()
            .map(|end| absolute[..end].to_vec())
            .find(|module| self.files.contains_key(module) && module != from)
    }
}

fn module(name: &Path) -> Module {
    let mut module: Module = name
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    match module.last().map(String::as_str) {
        Some("mod") => drop(module.pop()),
        Some("lib") => module.clear(),
        _ => {}
    }
    module
}

/// The rows of the table in `src/lib.rs`, the highest first.
fn layers() -> Vec<BTreeSet<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let text = fs::read_to_string(path).expect("text");
    let rows = text.lines().filter(|line| line.starts_with("//! | "));
    rows.skip(1)
        .map(|row| {
            // Rooms stand in ticks, with or without a link.
            let mut parts = row.split('`');
            parts.next();
            parts.step_by(2).map(str::to_owned).collect()
        })
        .collect()
}

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

/// A file is pure when its room is, or when its own first lines say so.
fn is_pure(module: &Module, file: &File, pure: &BTreeSet<String>) -> bool {
    let head: Vec<_> = file
        .text
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .collect();
    let head = head.join(" ").to_lowercase().replace("//!", "");
    if head.trim_start().starts_with("shell:") {
        return false;
    }
    let says = head.contains(" pure.")
        || head.trim_start().starts_with("pure:")
        || head.contains(" pure:");
    says || module.first().is_some_and(|room| pure.contains(room))
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

/// Rust files below these folders of the project.
fn sources(folders: &[&str]) -> Vec<PathBuf> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<_> = folders.iter().map(|name| project.join(name)).collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files
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
