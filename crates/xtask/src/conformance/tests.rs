#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::tree::tree;

const TEST: &str = "// conformance: 1, 2\n#[test]\nfn it_holds() {}\n";

fn files<'a>(remarks: &'a str, test: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        (STATEMENTS, "1 One.\n2 Two.\n3 Three.\n"),
        (REMARKS, remarks),
        ("crates/a/tests/it/a.rs", test),
    ]
}

fn messages(remarks: &str, test: &str) -> Vec<String> {
    let (_, findings) = page(&tree(&files(remarks, test)));
    findings.into_iter().map(|finding| finding.message).collect()
}

#[test]
fn each_statement_has_a_row() {
    let tree = tree(&files("2 differs: on purpose\n3 not yet: no time\n", TEST));
    let (text, findings) = page(&tree);
    assert_eq!(findings, []);
    assert!(
        text.contains("| 1 | pass |\n| 2 | differs | on purpose |\n| 3 | not yet | no time |\n")
    );
    assert!(text.contains("1. One. (`it_holds`)\n"), "{text}");
}

#[test]
fn unproven_statement_needs_a_remark_and_proven_one_none() {
    assert_eq!(messages("", TEST), ["3: no test proves it, and no remark says why"]);
    let stale = messages("1 not yet: no time\n3 not yet: no time\n", TEST);
    assert_eq!(stale, ["1: tests prove what the remark says is not there yet"]);
    let unknown = messages("3 not yet: no time\n9 differs: why\n", TEST);
    assert_eq!(unknown, ["there is no statement 9"]);
}

#[test]
fn statement_about_a_guest_that_no_test_has_is_proven_on_the_wire_only() {
    let tree = tree(&files("2 wire proven: guest unproven\n3 not yet: no time\n", TEST));
    let (text, findings) = page(&tree);
    assert_eq!(findings, []);
    assert!(text.contains("| 2 | wire proven | guest unproven |\n"), "{text}");
    let without = messages("3 wire proven: guest unproven\n", TEST);
    assert_eq!(without, ["3: no test proves it on the wire"]);
}

#[test]
fn mark_without_a_test_is_found() {
    let remarks = "1 not yet: a\n2 not yet: b\n3 not yet: c\n";
    let wrong = ["// conformance: 1\nfn helper() {}\n", "// conformance: 1\nstruct Test;\n"];
    for text in wrong {
        assert_eq!(messages(remarks, text), ["there is no test below this mark"]);
    }
    assert_eq!(
        messages(remarks, "// conformance: one\n#[test]\nfn t() {}\n"),
        ["a mark is numbers with commas"]
    );
    let python =
        [(STATEMENTS, "1 One.\n"), ("tests/a.py", "# conformance: 1\n@mark\ndef test_it(x):\n")];
    assert_eq!(page(&tree(&python)).1, []);
}

#[test]
fn outdated_page_is_found() {
    let tree = Tree::load(&crate::repository()).unwrap();
    let findings = check(&tree);
    let first = findings.first();
    assert_eq!(first, None, "cargo xtask conformance writes the page");
}
