//! Receivers of guest output. A sink that stores all output lets a guest fill the host's memory, so
//! each sink must be listed here.

use crate::{finding::Finding, tree::Tree};

/// Files with a sink, and the limit of each.
const ALLOWED: &[(&str, &str)] = &[
    ("crates/vm/src/bounded.rs", "Answer stores 64 KiB of each stream"),
    ("crates/vm/src/guest/mod.rs", "Discard stores nothing"),
    ("crates/guests/src/linux/copy.rs", "a digest's line, by Bounded; the rest to StepOutput"),
    ("crates/engine/src/metadata/mod.rs", "a bounded channel; a full one cuts the guest off"),
    ("crates/guests/src/output.rs", "StepOutput holds lines, waits for events and caps its log"),
    ("crates/guests/src/windows/call.rs", "2 MiB, of which it keeps answers and one line"),
    ("crates/guests/src/windows/marked.rs", "one line, cut at 16 KiB; the rest to StepOutput"),
    ("crates/guests/src/windows/script.rs", "one line, cut at 16 KiB; the rest to StepOutput"),
    ("crates/goldsmith/src/cmd/shell.rs", "prints, and stores nothing"),
    ("crates/xtask/src/tidy/sinks.rs", "this rule"),
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts(".rs") {
        let is_test = path.ends_with("/tests.rs") || path.contains("/tests/");
        if is_test || ALLOWED.iter().any(|(allowed, _)| *allowed == path) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            if line.contains("impl") && line.contains(" Sink for ") {
                let message = "a new sink of a guest's output: use vm::Answer, vm::Discard or StepOutput, \
                               or say in xtask's sinks.rs what bounds it";
                findings.push(Finding::new(path, number + 1, message));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree;

    #[test]
    fn unlisted_sink_is_found() {
        let text = "struct All(Vec<u8>);\nimpl Sink for All {}\n";
        let tree = tree(&[
            ("crates/engine/src/validate/mod.rs", text),
            ("crates/guests/src/output.rs", text),
            ("crates/engine/src/metadata/tests.rs", text),
        ]);
        let findings = check(&tree);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(
            (findings[0].path.as_str(), findings[0].line),
            ("crates/engine/src/validate/mod.rs", 2)
        );
    }
}
