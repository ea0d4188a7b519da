//! References between the modules of a folder must not form a circle.
//!
//! A module refers to another if it names an item that is defined there, also through several `use`
//! lines. References between a parent and its children are not checked.

mod graph;
mod names;

use std::collections::BTreeMap;

use self::{graph::Graph, names::Crate};
use crate::{finding::Finding, tree::Tree};

/// Folders whose modules may form a circle, with the reason.
const MAY: &[(&str, &str)] = &[
    ("crates/api/src/template", "one grammar, whose rules name one another"),
    ("crates/api/src/template/read", "one grammar, whose rules name one another"),
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut crates: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for (path, text) in tree.texts(".rs") {
        if let Some((root, file)) = path.split_once("/src/")
            && root.starts_with("crates/")
            && !is_test(file)
        {
            crates.entry(root).or_default().push((file, text));
        }
    }
    let mut findings: Vec<Finding> =
        crates.into_iter().flat_map(|(root, files)| circles(root, &files)).collect();
    let allowed = |folder: &str| MAY.iter().any(|(may, _)| *may == folder);
    for (may, _) in MAY {
        let is_here = tree.texts(".rs").any(|(path, _)| path.starts_with(may));
        if is_here && !findings.iter().any(|finding| finding.path == *may) {
            let text = "no circle any more: remove it from the list in xtask's circles";
            findings.push(Finding::new(may, 0, text));
        }
    }
    findings.retain(|finding| finding.message.starts_with("no circle") || !allowed(&finding.path));
    findings
}

/// Whether a file belongs to a separate program, which is its own crate.
fn is_test(file: &str) -> bool {
    file.starts_with("bin/") || file.split('/').any(|part| part == "tests" || part == "tests.rs")
}

fn circles(root: &str, files: &[(&str, &str)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let all = match Crate::read(files) {
        Ok(all) => all,
        Err((file, error)) => {
            return vec![Finding::new(&format!("{root}/src/{file}"), 0, error)];
        }
    };
    // The references between the children of each module.
    let mut levels: BTreeMap<Vec<String>, Graph> = BTreeMap::new();
    for reference in all.references() {
        let shared = reference
            .from
            .iter()
            .zip(&reference.to)
            .take_while(|(one, other)| one == other)
            .count();
        if let (Some(from), Some(to)) = (reference.from.get(shared), reference.to.get(shared)) {
            let level = levels.entry(reference.from[..shared].to_vec()).or_default();
            level.add(from, to, format!("{}:{}", reference.file, reference.line));
        }
    }
    for (level, graph) in &levels {
        let folder = [vec![format!("{root}/src")], level.clone()].concat().join("/");
        for circle in graph.circles() {
            findings.push(Finding::new(&folder, 0, format!("a circle of modules: {circle}")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        check(&tree(files)).into_iter().map(|f| format!("{}: {}", f.path, f.message)).collect()
    }

    #[test]
    fn references_in_one_direction_are_accepted() {
        let files = [
            ("crates/a/src/lib.rs", "mod one; mod two; pub use one::One;"),
            ("crates/a/src/one.rs", "pub struct One;"),
            ("crates/a/src/two.rs", "use crate::One; use std::fs; fn f(_: crate::one::One) {}"),
        ];
        assert_eq!(found(&files), Vec::<String>::new());
    }

    #[test]
    fn circle_through_reexports_is_found() {
        let files = [
            (
                "crates/a/src/lib.rs",
                "mod one; mod two; pub use one::One; use two::{deep::Two as Other};",
            ),
            ("crates/a/src/one/mod.rs", "pub struct One;\nfn f() { let _ = super::Other; }"),
            ("crates/a/src/two/mod.rs", "pub mod deep;"),
            ("crates/a/src/two/deep.rs", "\nuse crate::{One};\npub struct Two;"),
        ];
        let circle = "crates/a/src: a circle of modules: one → two (one/mod.rs:2), two → one (two/deep.rs:2)";
        assert_eq!(found(&files), [circle]);
    }

    #[test]
    fn circle_in_a_folder_is_found() {
        let files = [
            ("crates/a/src/lib.rs", "mod room;"),
            ("crates/a/src/room/mod.rs", "mod x; mod y; mod z; use x::X;"),
            ("crates/a/src/room/x.rs", "use super::y::Y; pub struct X;"),
            ("crates/a/src/room/y.rs", "use super::{z::Z}; pub struct Y;"),
            ("crates/a/src/room/z.rs", "use super::X; pub struct Z;"),
        ];
        let circle = "crates/a/src/room: a circle of modules: x → y (room/x.rs:1), y → z (room/y.rs:1), z → x (room/z.rs:1)";
        assert_eq!(found(&files), [circle]);
    }

    #[test]
    fn tests_and_parents_are_skipped() {
        let files = [
            ("crates/a/src/lib.rs", "mod one; mod two; pub struct Root; use one::One;"),
            (
                "crates/a/src/one.rs",
                "use crate::Root; pub struct One; #[cfg(test)] mod tests { use crate::two::Two; }",
            ),
            ("crates/a/src/two.rs", "use crate::one::One; pub struct Two;"),
            ("crates/a/src/one/tests.rs", "use crate::two::Two;"),
        ];
        assert_eq!(found(&files), Vec::<String>::new());
    }
}
