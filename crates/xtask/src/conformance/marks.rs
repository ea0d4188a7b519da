//! The marks of tests: a comment on a separate line, directly above the test's attributes or name.

use crate::{finding::Finding, tree::Tree};

/// A statement that a test proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) number: u32,
    /// The name of the test function.
    pub(super) test: String,
    pub(super) path: String,
    pub(super) line: usize,
}

/// The beginning of a mark in each language.
const BEGINNINGS: [(&str, &str); 2] = [(".rs", "// conformance:"), (".py", "# conformance:")];

/// All marks. A malformed mark is a finding.
pub(super) fn all(tree: &Tree, findings: &mut Vec<Finding>) -> Vec<Mark> {
    let mut marks = Vec::new();
    for (end, beginning) in BEGINNINGS {
        for (path, text) in tree.texts(end) {
            // The text in this chore's files is not a mark.
            if !path.starts_with("crates/xtask/") {
                of_file(path, text, beginning, &mut marks, findings);
            }
        }
    }
    marks
}

fn of_file(
    path: &str,
    text: &str,
    beginning: &str,
    marks: &mut Vec<Mark>,
    findings: &mut Vec<Finding>,
) {
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let Some(numbers) = line.trim_start().strip_prefix(beginning) else {
            continue;
        };
        let line = index + 1;
        let Some(test) = test_below(&lines[line..]) else {
            findings.push(Finding::new(path, line, "there is no test below this mark"));
            continue;
        };
        for number in numbers.split(',') {
            match number.trim().parse() {
                Ok(number) => {
                    let (test, path) = (test.to_owned(), path.to_owned());
                    marks.push(Mark { number, test, path, line });
                }
                Err(_) => findings.push(Finding::new(path, line, "a mark is numbers with commas")),
            }
        }
    }
}

/// The name of the test that begins here, after any attributes and decorators.
fn test_below<'t>(lines: &[&'t str]) -> Option<&'t str> {
    let mut is_rust_test = false;
    for line in lines.iter().map(|line| line.trim_start()).take_while(|line| !line.is_empty()) {
        let name = |after: &'t str| after.split(|c: char| !c.is_alphanumeric() && c != '_').next();
        if let Some(after) = line.strip_prefix("def ") {
            return name(after).filter(|name| name.starts_with("test"));
        }
        if let Some(after) = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn ")) {
            return name(after).filter(|_| is_rust_test);
        }
        is_rust_test |= line.starts_with("#[") && line.contains("test");
    }
    None
}
