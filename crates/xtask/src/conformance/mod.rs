//! `docs/conformance.md`: which statements of the contract's checklist hold, and which tests prove them.
//!
//! ```text
//! statements.txt   number, statement
//! remarks.txt      number, `differs` or `not yet`, why
//! the tests        // conformance: 41, 42      # conformance: 41
//! ```
//!
//! A statement that tests prove passes; one that none proves needs a remark. The page is written by
//! `cargo xtask conformance` and compared by `cargo xtask tidy`.

mod marks;

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use crate::{Result, finding::Finding, tree::Tree};
use marks::Mark;

const PAGE: &str = "docs/conformance.md";
const STATEMENTS: &str = "crates/xtask/src/conformance/statements.txt";
const REMARKS: &str = "crates/xtask/src/conformance/remarks.txt";

/// Writes the page.
pub(crate) fn run(repository: &Path) -> Result<()> {
    let tree = Tree::load(repository)?;
    let (text, findings) = page(&tree);
    if let Some(Finding { path, line, message }) = findings.first() {
        let more = findings.len() - 1;
        return Err(format!("{path}:{line}: {message} (and {more} more)"));
    }
    std::fs::write(repository.join(PAGE), text).map_err(|error| format!("{PAGE}: {error}"))
}

/// The rule of `tidy`: the page is what the tests say, and every statement has its row.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    // A tree without statements is one of the other rules' tests.
    if tree.text(STATEMENTS).is_none() {
        return Vec::new();
    }
    let (text, mut findings) = page(tree);
    if tree.text(PAGE) != Some(text.as_str()) {
        findings.push(Finding::new(PAGE, 0, "is out of date: cargo xtask conformance"));
    }
    findings
}

/// How a statement stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing<'a> {
    Pass,
    /// What goes to the guest and back is proven, what the guest makes of it is not.
    OnTheWire(&'a str),
    /// On purpose.
    Differs(&'a str),
    NotYet(&'a str),
}

fn page(tree: &Tree) -> (String, Vec<Finding>) {
    let mut findings = Vec::new();
    let statements = numbered(tree, STATEMENTS, &mut findings);
    let remarks = numbered(tree, REMARKS, &mut findings);
    let mut proofs: BTreeMap<u32, Vec<Mark>> = BTreeMap::new();
    for mark in marks::all(tree, &mut findings) {
        if !statements.contains_key(&mark.number) {
            let message = format!("there is no statement {}", mark.number);
            findings.push(Finding::new(&mark.path, mark.line, message));
        }
        proofs.entry(mark.number).or_default().push(mark);
    }
    for (number, (line, _)) in &remarks {
        if !statements.contains_key(number) {
            findings.push(Finding::new(REMARKS, *line, format!("there is no statement {number}")));
        }
    }
    let mut rows = String::new();
    let mut meanings = String::new();
    for (number, (line, statement)) in &statements {
        let tests = proofs.get(number).map_or(&[][..], Vec::as_slice);
        let remark = remarks.get(number).copied();
        let row = match standing(remark, tests) {
            Ok(Standing::Pass) => format!("| {number} | pass |"),
            Ok(Standing::OnTheWire(why)) => format!("| {number} | wire proven | {why} |"),
            Ok(Standing::Differs(why)) => format!("| {number} | differs | {why} |"),
            Ok(Standing::NotYet(why)) => format!("| {number} | not yet | {why} |"),
            Err(why) => {
                let at = remark.map_or((STATEMENTS, *line), |(line, _)| (REMARKS, line));
                findings.push(Finding::new(at.0, at.1, format!("{number}: {why}")));
                continue;
            }
        };
        let _ = writeln!(rows, "{row}");
        let _ = writeln!(meanings, "{number}. {statement}{}", names(tests));
    }
    let text = format!(
        "# Conformance\n\n\
         How Goldsmith stands to each statement of its contract with clients of Azure VM Image Builder. Written by `cargo xtask conformance`\n\
         from marks at the tests; `make test` fails when it is out of date.\n\n\
         | number | result | why |\n|---|---|---|\n{rows}\n\
         ## What the numbers mean, and which tests prove them\n\n{meanings}"
    );
    (text, findings)
}

fn standing<'a>(
    remark: Option<(usize, &'a str)>,
    tests: &[Mark],
) -> std::result::Result<Standing<'a>, &'static str> {
    let Some((_, remark)) = remark else {
        return if tests.is_empty() {
            Err("no test proves it, and no remark says why")
        } else {
            Ok(Standing::Pass)
        };
    };
    match remark.split_once(": ") {
        Some(("differs", why)) => Ok(Standing::Differs(why)),
        Some(("wire proven", _)) if tests.is_empty() => Err("no test proves it on the wire"),
        Some(("wire proven", why)) => Ok(Standing::OnTheWire(why)),
        Some(("not yet", _)) if !tests.is_empty() => {
            Err("tests prove what the remark says is not there yet")
        }
        Some(("not yet", why)) => Ok(Standing::NotYet(why)),
        _ => Err("a remark begins with `differs: `, `wire proven: ` or `not yet: `"),
    }
}

/// The tests of a statement, as a sentence's end.
fn names(tests: &[Mark]) -> String {
    let mut names: Vec<String> = tests.iter().map(|mark| format!("`{}`", mark.test)).collect();
    names.sort();
    names.dedup();
    if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
}

/// Lines of a number and a text, with the line they are in.
fn numbered<'t>(
    tree: &'t Tree,
    path: &str,
    findings: &mut Vec<Finding>,
) -> BTreeMap<u32, (usize, &'t str)> {
    let mut all = BTreeMap::new();
    for (index, line) in tree.text(path).unwrap_or_default().lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let read =
            line.split_once(' ').and_then(|(number, text)| Some((number.parse().ok()?, text)));
        match read {
            Some((number, text)) if !text.contains('|') => {
                if all.insert(number, (index + 1, text)).is_some() {
                    findings.push(Finding::new(
                        path,
                        index + 1,
                        format!("{number} is there twice"),
                    ));
                }
            }
            _ => findings.push(Finding::new(
                path,
                index + 1,
                "a line is a number and a text without |",
            )),
        }
    }
    all
}

#[cfg(test)]
mod tests;
