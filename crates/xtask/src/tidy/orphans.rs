//! Rust files without a `mod` line, which are never compiled.

use std::collections::BTreeSet;

use crate::{finding::Finding, tree::Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut open: Vec<&str> =
        tree.texts(".rs").map(|(path, _)| path).filter(|p| is_root(p)).collect();
    let mut reached: BTreeSet<&str> = BTreeSet::new();
    while let Some(path) = open.pop() {
        if !reached.insert(path) {
            continue;
        }
        for child in children(path, tree.text(path).unwrap_or_default()) {
            open.extend(tree.files.iter().map(|file| file.path.as_str()).filter(|p| *p == child));
        }
    }
    let orphans = tree.texts(".rs").map(|(path, _)| path).filter(|path| !reached.contains(path));
    orphans.map(|path| Finding::new(path, 0, "no `mod` line declares this file")).collect()
}

/// Whether the file is the root of a crate.
fn is_root(path: &str) -> bool {
    let Some((_, inside)) = path.strip_prefix("crates/").and_then(|rest| rest.split_once('/'))
    else {
        return true;
    };
    matches!(
        inside.split('/').collect::<Vec<_>>().as_slice(),
        ["build.rs"]
            | ["src", "lib.rs" | "main.rs"]
            | ["src", "bin", _]
            | ["src", "bin", _, "main.rs"]
            | ["tests" | "examples" | "benches", _]
            | ["tests" | "examples" | "benches", _, "main.rs"]
    )
}

/// The files that the `mod` lines of a file may refer to.
fn children(path: &str, text: &str) -> Vec<String> {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.trim_end_matches(".rs");
    let children = if matches!(stem, "lib" | "main" | "mod") || is_root(path) {
        folder.to_owned()
    } else {
        format!("{folder}/{stem}")
    };
    let mut files = Vec::new();
    let mut explicit: Option<&str> = None;
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("#[path = \"") {
            explicit = rest.strip_suffix("\"]");
            continue;
        }
        let Some(name) = declared(line) else { continue };
        match explicit.take() {
            Some(file) => files.push(format!("{folder}/{file}")),
            None => {
                files.push(format!("{children}/{name}.rs"));
                files.push(format!("{children}/{name}/mod.rs"));
            }
        }
    }
    files
}

/// The name in `mod name;`, with or without visibility.
fn declared(line: &str) -> Option<&str> {
    let name = line.strip_suffix(';')?;
    let (before, name) = name.rsplit_once("mod ")?;
    let visible = before.is_empty() || before.trim_end().starts_with("pub");
    (visible && name.chars().all(|c| c.is_alphanumeric() || c == '_')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree;

    #[test]
    fn file_without_mod_line_is_an_orphan() {
        let tree = tree(&[
            (
                "crates/a/src/lib.rs",
                "pub mod one;\npub(crate) mod two;\n#[path = \"odd.rs\"]\nmod three;\n",
            ),
            ("crates/a/src/one.rs", "mod deep;\n#[cfg(test)]\nmod tests;\n"),
            ("crates/a/src/one/deep.rs", ""),
            ("crates/a/src/one/tests.rs", ""),
            ("crates/a/src/two/mod.rs", "mod inner;\n// mod lost;\n"),
            ("crates/a/src/two/inner.rs", ""),
            ("crates/a/src/two/lost.rs", ""),
            ("crates/a/src/odd.rs", ""),
            ("crates/a/tests/it/main.rs", "mod part;\n"),
            ("crates/a/tests/it/part.rs", ""),
            ("crates/a/src/bin/tool.rs", ""),
            ("crates/a/build.rs", ""),
        ]);
        let orphans: Vec<String> = check(&tree).into_iter().map(|finding| finding.path).collect();
        assert_eq!(orphans, ["crates/a/src/two/lost.rs"]);
    }

    #[test]
    fn prose_and_inline_modules_declare_no_file() {
        assert_eq!(declared("mod tests {"), None);
        assert_eq!(declared("//! a mod here;"), None);
        assert_eq!(declared("let modest = model;"), None);
        assert_eq!(declared("pub(super) mod wire;"), Some("wire"));
    }
}
