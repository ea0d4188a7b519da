//! Resolves paths in the code of a file by its imports and modules.

use std::collections::{BTreeMap, BTreeSet};

use syn::{Item, UseTree};

/// A path that begins with the crate: `engine`, `ledger`, `Ledger`, `open`.
pub(super) type Full = Vec<String>;

/// The meaning of the names in one file.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// The module of the file.
    pub(super) module: Full,
    imports: BTreeMap<String, Full>,
    /// Modules and types that the file declares.
    declared: BTreeSet<String>,
}

impl Paths {
    /// The names of a file below `crates/<name>/src`; `None` elsewhere.
    pub(super) fn of(path: &str, items: &[Item]) -> Option<Self> {
        let (crate_name, inside) = path.strip_prefix("crates/")?.split_once("/src/")?;
        let mut module = vec![crate_name.to_owned()];
        module.extend(inside.strip_suffix(".rs")?.split('/').map(str::to_owned));
        if matches!(module.last()?.as_str(), "mod" | "lib" | "main") {
            module.pop();
        }
        let mut paths = Self { module, ..Self::default() };
        for item in items {
            match item {
                Item::Mod(item) => paths.declared.insert(item.ident.to_string()),
                Item::Struct(item) => paths.declared.insert(item.ident.to_string()),
                Item::Enum(item) => paths.declared.insert(item.ident.to_string()),
                Item::Trait(item) => paths.declared.insert(item.ident.to_string()),
                _ => continue,
            };
        }
        for item in items {
            if let Item::Use(item) = item {
                paths.import(&item.tree, &mut Vec::new());
            }
        }
        Some(paths)
    }

    fn import(&mut self, tree: &UseTree, before: &mut Full) {
        match tree {
            UseTree::Path(part) => {
                before.push(part.ident.to_string());
                self.import(&part.tree, before);
                before.pop();
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, before)),
            UseTree::Name(name) if name.ident == "self" => self.note(before.last(), before.clone()),
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                self.note(Some(&name), with(before, &name));
            }
            UseTree::Rename(rename) => {
                let full = match rename.ident.to_string() {
                    own if own == "self" => before.clone(),
                    name => with(before, &name),
                };
                self.note(Some(&rename.rename.to_string()), full);
            }
            UseTree::Glob(_) => {}
        }
    }

    fn note(&mut self, name: Option<&String>, path: Full) {
        let Some(name) = name else { return };
        let full = self.anchored(path);
        self.imports.insert(name.clone(), full);
    }

    /// Replaces a leading `crate`, `self` or `super` by the module.
    fn anchored(&self, path: Full) -> Full {
        let mut module = match path.first().map(String::as_str) {
            Some("crate") => self.module[..1].to_vec(),
            Some("self" | "super") => self.module.clone(),
            Some(first) if self.declared.contains(first) => {
                return self.module.iter().cloned().chain(path).collect();
            }
            _ => return path,
        };
        let ups = path.iter().filter(|part| *part == "super").count();
        module.truncate(module.len().saturating_sub(ups));
        let rest = path.into_iter().skip_while(|part| ANCHORS.contains(&part.as_str()));
        module.into_iter().chain(rest).collect()
    }

    /// The full path of a path in the code; `owner` is the type of the enclosing `impl`.
    pub(super) fn full(&self, path: &syn::Path, owner: Option<&str>) -> Full {
        let mut parts: Full = path.segments.iter().map(|part| part.ident.to_string()).collect();
        let first = parts[0].clone();
        if first == "Self" {
            let Some(owner) = owner else { return parts };
            owner.clone_into(&mut parts[0]);
        }
        match self.imports.get(&parts[0]) {
            Some(import) => import.iter().cloned().chain(parts.into_iter().skip(1)).collect(),
            None if parts.len() == 1 && !ANCHORS.contains(&first.as_str()) => {
                with(&self.module, &parts[0])
            }
            None => self.anchored(parts),
        }
    }
}

const ANCHORS: &[&str] = &["crate", "self", "super"];

fn with(before: &Full, last: &str) -> Full {
    before.iter().cloned().chain([last.to_owned()]).collect()
}
