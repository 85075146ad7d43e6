//! The source as a compiler reads it: files, the paths that they name, the rooms
//! that those are in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// A module, as the segments of its path below the crate.
pub(super) type Module = Vec<String>;

/// What a file names.
pub(super) struct File {
    pub path: PathBuf,
    pub text: String,
    pub syntax: syn::File,
    /// Every path that it uses, with the line.
    pub paths: Vec<(Vec<String>, usize)>,
}

/// Collects paths and functions, tests left out.
#[derive(Default)]
pub(super) struct Reader {
    paths: Vec<(Vec<String>, usize)>,
    /// Name, first and last line.
    pub functions: Vec<(String, usize, usize)>,
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

/// A file is pure when its room is, or when its own first lines say so.
pub(super) fn is_pure(module: &Module, file: &File, pure: &BTreeSet<String>) -> bool {
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
