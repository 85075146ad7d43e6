//! The source as a compiler reads it: files, the paths that they name, the rooms
//! that those are in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// A module, as the segments of its path below the crate.
pub(super) type Module = Vec<String>;

/// What a file names.
pub(super) struct File {
    pub path: PathBuf,
    pub text: String,
    syntax: syn::File,
    /// Every path that it uses, with the line.
    pub paths: Vec<(Vec<String>, usize)>,
    /// Every method that it calls, with the line.
    pub methods: Vec<(String, usize)>,
}

/// Collects paths and methods, tests left out.
#[derive(Default)]
struct Reader {
    paths: Vec<(Vec<String>, usize)>,
    methods: Vec<(String, usize)>,
}

/// Collects functions: name, first and last line.
#[derive(Default)]
struct Functions(Vec<(String, usize, usize)>);

impl Functions {
    fn add(&mut self, name: &syn::Ident, block: &syn::Block) {
        let (first, last) = (name.span().start().line, block.span().end().line);
        self.0.push((name.to_string(), first, last));
    }
}

impl<'a> Visit<'a> for Functions {
    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        self.add(&item.sig.ident, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        self.add(&item.sig.ident, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'a syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.add(&item.sig.ident, block);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

/// The functions of a file, those of tests too: name, first and last line.
pub(super) fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let mut functions = Functions::default();
    functions.visit_file(&syn::parse_file(text).expect("Rust"));
    functions.0
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

    /// The paths and methods in what is no Rust yet, such as the arms of a
    /// `select!`.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path = Vec::new();
        // Colons, or a dot, since the last name.
        let (mut colons, mut dot) = (0, false);
        let mut line = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons < 2 {
                        self.paths.push((std::mem::take(&mut path), line));
                    }
                    line = name.span().start().line;
                    match dot {
                        true => self.methods.push((name.to_string(), line)),
                        false => path.push(name.to_string()),
                    }
                    (colons, dot) = (0, false);
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Punct(punct) => {
                    dot = punct.as_char() == '.';
                    colons = 0;
                }
                TokenTree::Group(group) => {
                    self.tokens(group.stream());
                    (colons, dot) = (0, false);
                }
                TokenTree::Literal(_) => (colons, dot) = (0, false),
            }
        }
        self.paths.push((path, line));
        self.paths.retain(|(path, _)| !path.is_empty());
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
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        if !is_for_tests(&item.attrs) {
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

    fn visit_expr_method_call(&mut self, call: &'a syn::ExprMethodCall) {
        let line = call.method.span().start().line;
        self.methods.push((call.method.to_string(), line));
        visit::visit_expr_method_call(self, call);
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
        } else {
            self.tokens(item.tokens.clone());
        }
        visit::visit_macro(self, item);
    }
}

/// All files under `src`, but those of tests.
pub(super) struct House {
    pub files: BTreeMap<Module, File>,
}

impl House {
    pub(super) fn read() -> Self {
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
                methods: reader.methods,
            };
            (module(name), file)
        });
        Self {
            files: files.collect(),
        }
    }

    /// Those that are not for tests alone.
    pub(super) fn real(&self) -> impl Iterator<Item = (&Module, &File)> {
        const FOR_TESTS: &[&str] = &["tests", "fuzzing", "rehearsal"];
        self.files
            .iter()
            .filter(|(module, _)| !module.iter().any(|name| FOR_TESTS.contains(&name.as_str())))
    }

    /// Who uses what, both of them ours.
    pub(super) fn arrows(&self) -> Vec<(Module, Module)> {
        let from = |(module, file): (&Module, &File)| -> Vec<(Module, Module)> {
            let paths = file.paths.iter();
            let targets = paths.filter_map(|(path, _)| self.target(module, path));
            targets.map(|to| (module.clone(), to)).collect()
        };
        self.real().flat_map(from).collect()
    }

    /// The module of a path that is used in another, where it is one of ours.
    pub(super) fn target(&self, from: &Module, path: &[String]) -> Option<Module> {
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
pub(super) fn layers() -> Vec<BTreeSet<String>> {
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

/// A file's first lines.
fn head(file: &File) -> String {
    let lines = file.text.lines();
    let head: Vec<_> = lines.take_while(|line| line.starts_with("//!")).collect();
    head.join(" ").replace("//!", "").trim_start().to_owned()
}

/// A file is pure when its room is, when its own first lines say so, or those of
/// the front that it stands behind.
pub(super) fn is_pure(house: &House, module: &Module, pure: &BTreeSet<String>) -> bool {
    let Some(own) = house.files.get(module).map(head) else {
        return false;
    };
    if own.starts_with("Shell:") {
        return false;
    }
    let lower = own.to_lowercase();
    let says = lower.contains(" pure.") || lower.starts_with("pure:") || lower.contains(" pure:");
    let front = |end: usize| house.files.get(&module[..end]).map(head);
    let mut fronts = (1..module.len()).filter_map(front);
    says || module.first().is_some_and(|room| pure.contains(room))
        || fronts.any(|head| head.contains("Pure.") || head.contains("Pure:"))
}

/// The rooms within rooms that `docs/architecture.md` calls pure.
pub(super) fn said_to_be_pure() -> Vec<Module> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md");
    let text = fs::read_to_string(path).expect("text");
    let ticks = |text: &str| -> Vec<String> {
        let parts = text.split('`').skip(1).step_by(2);
        parts.map(str::to_owned).collect()
    };
    let rows = text.lines().filter_map(|row| row.split_once("pure: "));
    rows.flat_map(|(room, names)| {
        let room = ticks(room).into_iter().take(1);
        room.flat_map(|room| {
            ticks(names)
                .into_iter()
                .map(move |name| vec![room.clone(), name])
        })
        .collect::<Vec<_>>()
    })
    .collect()
}

/// Collects the functions and constants that are `pub`.
#[derive(Default)]
struct Public(Vec<(String, usize)>);

impl Public {
    fn add(&mut self, how: &syn::Visibility, name: &syn::Ident) {
        if matches!(how, syn::Visibility::Public(_)) {
            self.0.push((name.to_string(), name.span().start().line));
        }
    }
}

impl<'a> Visit<'a> for Public {
    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        self.add(&item.vis, &item.sig.ident);
    }

    fn visit_item_const(&mut self, item: &'a syn::ItemConst) {
        self.add(&item.vis, &item.ident);
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        self.add(&item.vis, &item.sig.ident);
    }

    fn visit_impl_item_const(&mut self, item: &'a syn::ImplItemConst) {
        self.add(&item.vis, &item.ident);
    }
}

/// The functions and constants of a file that are `pub`, with their lines.
pub(super) fn public(file: &File) -> Vec<(String, usize)> {
    let mut public = Public::default();
    public.visit_file(&file.syntax);
    public.0
}

/// Every name in a file.
pub(super) fn names(text: &str, into: &mut BTreeSet<String>) {
    fn walk(tokens: TokenStream, into: &mut BTreeSet<String>) {
        for token in tokens {
            match token {
                TokenTree::Ident(name) => drop(into.insert(name.to_string())),
                TokenTree::Group(group) => walk(group.stream(), into),
                _ => {}
            }
        }
    }
    walk(text.parse().expect("Rust"), into);
}

/// The packages of a lock file, each with its versions.
pub fn locked(file: &str) -> BTreeMap<String, BTreeSet<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(path).expect("text");
    let lock: toml::Table = text.parse().expect("TOML");
    let mut found = BTreeMap::<_, BTreeSet<_>>::new();
    for package in lock["package"].as_array().expect("packages") {
        let of = |key: &str| package[key].as_str().expect("text").to_owned();
        found.entry(of("name")).or_default().insert(of("version"));
    }
    found
}

/// What `Cargo.toml` calls the crates that the program is made of.
pub(super) fn dependencies() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let text = fs::read_to_string(path).expect("text");
    let manifest: toml::Table = text.parse().expect("TOML");
    let crates = manifest["dependencies"].as_table().expect("a table");
    crates.keys().map(|name| name.replace('-', "_")).collect()
}

/// Rust files below these folders of the project.
pub(super) fn sources(folders: &[&str]) -> Vec<PathBuf> {
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
