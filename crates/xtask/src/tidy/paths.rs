//! Absolute paths of the author's machine, which do not exist elsewhere.

use crate::{finding::Finding, tree::Tree};

/// Files that may contain such paths, with the reason.
const ALLOWED: &[(&str, &str)] = &[("crates/xtask/src/tidy/paths.rs", "this rule")];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts("") {
        if ALLOWED.iter().any(|(allowed, _)| *allowed == path) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            if let Some(prefix) = machine_path(line) {
                let message = format!("`{prefix}` is a path of the author's machine");
                findings.push(Finding::new(path, number + 1, message));
            }
        }
    }
    findings
}

fn machine_path(line: &str) -> Option<&'static str> {
    let prefixes = ["/root/", "/work/", "../shared", "/tmp/gs/"];
    prefixes.into_iter().find(|needle| {
        line.match_indices(needle).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = &line[at + needle.len()..];
            match *needle {
                "/root/" => starts_a_path(before) && !is_a_guests_home(after),
                "/work/" => starts_a_path(before),
                _ => true,
            }
        })
    })
}

/// `/work/x` is absolute; `runs/work/x` and `{cache}/work/x` are not.
fn starts_a_path(before: Option<char>) -> bool {
    before.is_none_or(|c| c.is_whitespace() || "\"'`(=:,[<".contains(c))
}

/// Files that every Linux guest has in root's home folder.
fn is_a_guests_home(after: &str) -> bool {
    after.starts_with('.') && !after.starts_with(".cargo") && !after.starts_with(".rustup")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree;

    #[test]
    fn path_of_the_authors_machine_is_found() {
        for line in [
            "cd /work/main",
            "let p = \"/root/.cargo/bin\";",
            "see ../shared/notes.md",
            "(/root/project)",
            "cp x /tmp/gs/y",
        ] {
            assert!(machine_path(line).is_some(), "{line}");
        }
    }

    #[test]
    fn path_of_a_guest_or_below_a_folder_is_accepted() {
        for line in [
            "rm -f /root/.bash_history",
            "cat /root/.ssh/authorized_keys",
            "layout.join(\"runs/work/x\")",
            "$dir/work/x",
            "the network /workbench/",
        ] {
            assert_eq!(machine_path(line), None, "{line}");
        }
    }

    #[test]
    fn finding_has_the_line_number() {
        let findings = check(&tree(&[("README.md", "fine\nrun /work/x\n")]));
        assert_eq!(findings.len(), 1);
        assert_eq!((findings[0].path.as_str(), findings[0].line), ("README.md", 2));
    }
}
