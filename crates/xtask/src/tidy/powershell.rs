//! Scripts for PowerShell parse. They run on Windows alone, where no test of ours is, so that a
//! missing brace would be found by a user. The grammar is by other people, and knows less than
//! PowerShell does: where it stumbles over something right, write it in a plainer way.

use tree_sitter::{Node, Parser};

use crate::{finding::Finding, tree::Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts(".ps1") {
        match first_fault(text) {
            Ok(None) => {}
            Ok(Some((line, what))) => findings.push(Finding::new(path, line, what)),
            Err(why) => findings.push(Finding::new(path, 0, why)),
        }
    }
    findings
}

/// The line of the first fault, from 1, and what it is.
fn first_fault(text: &str) -> Result<Option<(usize, String)>, String> {
    let mut parser = Parser::new();
    parser
        .set_language(&tree_sitter_powershell::LANGUAGE.into())
        .map_err(|error| format!("the grammar of PowerShell cannot be used: {error}"))?;
    let tree = parser.parse(text, None).ok_or("the grammar of PowerShell gives no result")?;
    Ok(fault(tree.root_node(), text))
}

fn fault(node: Node<'_>, text: &str) -> Option<(usize, String)> {
    if !node.has_error() {
        return None;
    }
    let line = node.start_position().row + 1;
    if node.is_missing() {
        return Some((line, format!("PowerShell misses {:?} here", node.kind())));
    }
    let mut cursor = node.walk();
    let inner = node.children(&mut cursor).find_map(|child| fault(child, text));
    inner.or_else(|| {
        let what = text.get(node.byte_range()).unwrap_or_default();
        let what: String = what.lines().next().unwrap_or_default().chars().take(60).collect();
        node.is_error().then(|| (line, format!("PowerShell does not parse here: {what:?}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree;

    #[test]
    fn script_that_does_not_parse_is_found_at_its_line() {
        let tree = tree(&[
            ("good.ps1", "param($a)\nif ($a) {\n    Write-Output \"yes $($a.mark)\"\n}\nexit 0\n"),
            ("missing.ps1", "param($a)\nif ($a) {\n    Write-Output yes\n"),
            ("extra.ps1", "$a = 1\n}\n"),
        ]);
        let findings = check(&tree);
        let found: Vec<&str> = findings.iter().map(|finding| finding.path.as_str()).collect();
        assert_eq!(found, ["missing.ps1", "extra.ps1"], "{findings:?}");
        assert!(findings.iter().all(|finding| finding.line > 0), "{findings:?}");
    }
}
