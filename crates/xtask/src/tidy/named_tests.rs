//! `docs/hardening.md` names the test that guards against each fault. The tests must exist.

use std::collections::BTreeSet;

use crate::{finding::Finding, tree::Tree};

const PAGE: &str = "docs/hardening.md";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let rust = tree.texts(".rs").flat_map(|(_, text)| names_after(text, "fn "));
    let python = tree.texts(".py").flat_map(|(_, text)| names_after(text, "def "));
    let known: BTreeSet<&str> = rust.chain(python).collect();
    let mut findings = Vec::new();
    for (number, line) in tree.text(PAGE).unwrap_or_default().lines().enumerate() {
        for name in named(line).filter(|name| !known.contains(name)) {
            findings.push(Finding::new(PAGE, number + 1, format!("there is no test {name}")));
        }
    }
    findings
}

/// The identifiers that follow a keyword at the start of a declaration.
fn names_after<'a>(text: &'a str, keyword: &'static str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| {
        let (_, rest) = line.split_once(keyword)?;
        rest.split(|c: char| !is_part(c)).next()
    })
}

/// The last segments of the paths in a line. A path with a wildcard at its end names no single test.
fn named(line: &str) -> impl Iterator<Item = &str> {
    let paths = line.split(|c: char| !is_part(c) && !matches!(c, ':' | '*' | '…' | '/' | '.'));
    paths.filter_map(|path| {
        let (_, name) = path.rsplit_once("::")?;
        let is_name = !name.is_empty() && name.chars().all(is_part) && name.contains('_');
        is_name.then_some(name)
    })
}

fn is_part(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree;

    #[test]
    fn test_that_does_not_exist_is_a_finding() {
        let page = "| fault | where | api::it::a_fault_is_found, ::another_is_too; tests/clients/test_x.py::test_a_b |\n\
                    | fault | where | vm::tests::* (all), db::…::gone_for_good |\n";
        let files = [
            ("docs/hardening.md", page),
            (
                "crates/api/tests/it/main.rs",
                "fn a_fault_is_found() {}\nasync fn another_is_too() {}",
            ),
            ("tests/clients/test_x.py", "def test_a_b(service):\n"),
        ];
        let expected = Finding::new(PAGE, 2, "there is no test gone_for_good");
        assert_eq!(check(&tree(&files)), [expected]);
    }
}
