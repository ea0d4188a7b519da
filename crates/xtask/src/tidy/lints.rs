//! Clippy reads only the nearest `clippy.toml`, so each crate's file must repeat the repository's lines.

use crate::{finding::Finding, tree::Tree};

const ROOT: &str = "clippy.toml";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(root) = tree.text(ROOT) else { return Vec::new() };
    let mut findings = Vec::new();
    for (path, text) in tree.texts("/clippy.toml") {
        let lacks = root
            .lines()
            .filter(|line| !is_prose(line) && !text.lines().any(|other| other == *line));
        findings.extend(
            lacks.map(|line| {
                Finding::new(path, 0, format!("lacks a line of {ROOT}: {}", line.trim()))
            }),
        );
    }
    findings
}

fn is_prose(line: &str) -> bool {
    line.trim().is_empty() || line.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree;

    #[test]
    fn crate_file_without_a_line_of_the_repository_is_found() {
        let root = "# prose\na = 1\nlist = [\n  { path = \"x\" },\n]\n";
        let own = "# other prose\na = 1\nlist = [\n  { path = \"y\" },\n]\n";
        let tree =
            tree(&[(ROOT, root), ("crates/a/clippy.toml", own), ("crates/b/clippy.toml", root)]);
        let found = check(&tree);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].path, "crates/a/clippy.toml");
        assert!(found[0].message.contains("path = \"x\""));
    }
}
