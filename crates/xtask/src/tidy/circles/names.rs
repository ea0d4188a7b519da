//! Collects the references between the modules of a crate.

use std::collections::{BTreeMap, BTreeSet};

use syn::{
    Attribute, Item, ItemUse, UseTree,
    spanned::Spanned,
    visit::{self, Visit},
};

/// Limits the resolution, because re-exports may form a circle.
const DEEP: usize = 16;

type Path = Vec<String>;

/// The modules of a crate.
pub(super) struct Crate<'a> {
    modules: BTreeSet<Path>,
    /// The imports of each module: a name, and its path.
    names: BTreeMap<Path, BTreeMap<String, Path>>,
    /// The paths in the code that lie within the crate, with their locations.
    written: Vec<Written<'a>>,
}

struct Written<'a> {
    file: &'a str,
    line: usize,
    module: Path,
    path: Path,
}

/// A module that names an item of another module.
pub(super) struct Reference<'a> {
    pub(super) file: &'a str,
    pub(super) line: usize,
    pub(super) from: Path,
    pub(super) to: Path,
}

impl<'a> Crate<'a> {
    /// Reads files by their paths below `src`. The error has the path of a file that cannot be parsed.
    pub(super) fn read(files: &[(&'a str, &str)]) -> Result<Self, (&'a str, String)> {
        let mut all =
            Self { modules: BTreeSet::new(), names: BTreeMap::new(), written: Vec::new() };
        for (file, text) in files {
            let parsed = syn::parse_file(text).map_err(|error| (*file, error.to_string()))?;
            let mut reader = Reader { all: &mut all, file, module: module(file) };
            reader.all.modules.insert(reader.module.clone());
            reader.visit_file(&parsed);
        }
        Ok(all)
    }

    pub(super) fn references(&self) -> impl Iterator<Item = Reference<'a>> {
        self.written.iter().map(|Written { file, line, module, path }| Reference {
            file,
            line: *line,
            from: module.clone(),
            to: self.home(path, 0),
        })
    }

    /// The module that defines the item of a path.
    fn home(&self, path: &[String], depth: usize) -> Path {
        let mut module = Path::new();
        for (at, segment) in path.iter().enumerate() {
            let below = [module.as_slice(), std::slice::from_ref(segment)].concat();
            if self.modules.contains(&below) {
                module = below;
                continue;
            }
            let passed_on = self.names.get(&module).and_then(|names| names.get(segment));
            return match passed_on {
                Some(target) if depth < DEEP => {
                    self.home(&[target.as_slice(), &path[at + 1..]].concat(), depth + 1)
                }
                _ => module,
            };
        }
        module
    }
}

/// The module of a file.
fn module(file: &str) -> Path {
    let file = file.trim_end_matches(".rs");
    let mut path: Path = file.split('/').map(str::to_owned).collect();
    if matches!(path.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        path.pop();
    }
    path
}

struct Reader<'all, 'a> {
    all: &'all mut Crate<'a>,
    file: &'a str,
    module: Path,
}

impl Reader<'_, '_> {
    /// The path from the crate's root; `None` if it leaves the crate.
    fn absolute(&self, path: &[String]) -> Option<Path> {
        let (first, rest) = path.split_first()?;
        let start = match first.as_str() {
            "crate" => Path::new(),
            "self" => self.module.clone(),
            "super" => {
                let mut up = self.module.clone();
                up.pop();
                let more = rest.iter().take_while(|segment| *segment == "super").count();
                up.truncate(up.len().saturating_sub(more));
                return Some([up.as_slice(), &rest[more..]].concat());
            }
            // A child module, which this file declares.
            _ => return None,
        };
        Some([start.as_slice(), rest].concat())
    }

    fn write(&mut self, path: &[String], line: usize) {
        if let Some(path) = self.absolute(path) {
            let module = self.module.clone();
            self.all.written.push(Written { file: self.file, line, module, path });
        }
    }

    fn leaf(&mut self, path: Path, name: &str, line: usize) {
        self.write(&path, line);
        let target = self.absolute(&path).unwrap_or_else(|| {
            // A child module, or another crate, whose name is not a module.
            [self.module.as_slice(), &path].concat()
        });
        let names = self.all.names.entry(self.module.clone()).or_default();
        names.insert(name.to_owned(), target);
    }

    fn tree(&mut self, tree: &UseTree, mut path: Path) {
        let line = tree.span().start().line;
        match tree {
            UseTree::Path(part) => {
                path.push(part.ident.to_string());
                self.tree(&part.tree, path);
            }
            UseTree::Name(part) if part.ident == "self" => {
                let name = path.last().cloned().unwrap_or_default();
                self.leaf(path, &name, line);
            }
            UseTree::Name(part) => {
                let name = part.ident.to_string();
                path.push(name.clone());
                self.leaf(path, &name, line);
            }
            UseTree::Rename(part) => {
                path.push(part.ident.to_string());
                self.leaf(path, &part.rename.to_string(), line);
            }
            UseTree::Glob(_) => self.write(&path, line),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.tree(tree, path.clone());
                }
            }
        }
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

impl<'ast> Visit<'ast> for Reader<'_, '_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        if item.content.is_some() {
            self.all.modules.insert(self.module.clone());
        }
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.tree(&item.tree, Path::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Path =
            path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.write(&segments, path.span().start().line);
        visit::visit_path(self, path);
    }
}
