//! Limits for the lines of a file and of a crate, and for the bytes of a tracked file. Clippy limits
//! functions.

use std::collections::BTreeMap;

use crate::{finding::Finding, tree::Tree};

const FILE_LINES: usize = 600;
const CRATE_LINES: usize = 10_000;
const FILE_BYTES: usize = 1 << 20;

/// Files that may be longer, each with its reason.
const LONGER: &[(&str, &str)] = &[];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        if file.bytes > FILE_BYTES {
            findings.push(Finding::new(
                &file.path,
                0,
                "is larger than 1 MiB; download or generate it instead",
            ));
        }
    }
    for (path, text) in tree.texts(".rs") {
        let lines = lines_without_tests(path, text);
        if lines > FILE_LINES && !LONGER.iter().any(|(longer, _)| *longer == path) {
            let message =
                format!("{lines} lines without tests, the limit is {FILE_LINES}: split it");
            findings.push(Finding::new(path, 0, message));
        }
    }
    for (name, lines) in lines_of_crates(tree).into_iter().filter(|(_, lines)| *lines > CRATE_LINES)
    {
        let message = format!("{lines} lines without tests, the limit is {CRATE_LINES}");
        findings.push(Finding::new(&format!("crates/{name}"), 0, message));
    }
    findings
}

/// The lines of each crate without its tests.
pub(super) fn lines_of_crates(tree: &Tree) -> BTreeMap<&str, usize> {
    let mut crates = BTreeMap::new();
    for (path, text) in tree.texts(".rs") {
        if let Some((name, _)) = path.strip_prefix("crates/").and_then(|rest| rest.split_once('/'))
        {
            *crates.entry(name).or_default() += lines_without_tests(path, text);
        }
    }
    crates
}

/// By convention, tests are the last module of a file, or a separate file.
fn lines_without_tests(path: &str, text: &str) -> usize {
    if path.ends_with("/tests.rs") || path.contains("/tests/") {
        return 0;
    }
    for (number, line) in text.lines().enumerate() {
        if line == "#[cfg(test)]" {
            // Attributes may precede the module, such as `allow` with a reason.
            let rest = text.lines().skip(number + 1).find(|line| !line.starts_with('#'));
            if rest.is_some_and(|line| line.starts_with("mod ") && line.ends_with('{')) {
                return number;
            }
        }
    }
    text.lines().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree;

    #[test]
    fn long_file_is_found_and_tests_do_not_count() {
        let code = "fn f() {}\n".repeat(FILE_LINES);
        let long = format!("{code}fn g() {{}}\n");
        let tested = format!("{code}#[cfg(test)]\n#[allow(x)]\nmod tests {{\n{code}}}\n");
        let tree = tree(&[
            ("crates/a/src/long.rs", &long),
            ("crates/a/src/tested.rs", &tested),
            ("crates/a/src/x/tests.rs", &long),
            ("crates/a/tests/it/main.rs", &long),
        ]);
        let findings = check(&tree);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].path, "crates/a/src/long.rs");
        assert!(findings[0].message.starts_with("601 lines"), "{findings:?}");
    }

    #[test]
    fn test_module_in_its_own_file_does_not_end_the_count() {
        let text = format!("#[cfg(test)]\nmod tests;\n{}", "fn f() {}\n".repeat(FILE_LINES));
        assert_eq!(lines_without_tests("crates/a/src/a.rs", &text), FILE_LINES + 2);
    }

    #[test]
    fn long_crate_is_found() {
        let part = "fn f() {}\n".repeat(FILE_LINES);
        let paths: Vec<String> = (0..17).map(|n| format!("crates/a/src/{n}.rs")).collect();
        let files: Vec<(&str, &str)> =
            paths.iter().map(|path| (path.as_str(), part.as_str())).collect();
        let findings = check(&tree(&files));
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].path, "crates/a");
    }

    #[test]
    fn large_file_is_found() {
        let heavy = "x".repeat(FILE_BYTES + 1);
        assert_eq!(check(&tree(&[("docs/picture.svg", &heavy)])).len(), 1);
    }
}
