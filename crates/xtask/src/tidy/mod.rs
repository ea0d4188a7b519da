//! Rules of the repository that no compiler checks. Each rule is a function from the tree of files to
//! findings. All findings are printed together.

mod blocking;
mod circles;
mod crates;
mod links;
mod lints;
mod named_tests;
mod orphans;
mod paths;
mod powershell;
mod sinks;
mod sizes;

use std::path::Path;

use crate::{Result, conformance, finding::Finding, tree::Tree};

type Rule = fn(&Tree) -> Vec<Finding>;

const RULES: &[Rule] = &[
    sizes::check,
    orphans::check,
    paths::check,
    sinks::check,
    blocking::check,
    circles::check,
    crates::arrows,
    crates::owners,
    crates::banned,
    links::documents,
    links::examples,
    named_tests::check,
    powershell::check,
    lints::check,
    conformance::check,
];

/// Prints the crates and all findings. Fails if there are any.
pub(crate) fn run(repository: &Path) -> Result<()> {
    let tree = Tree::load(repository)?;
    print!("{}", crates::table(&tree));
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    findings.sort();
    for Finding { path, line, message } in &findings {
        match line {
            0 => println!("{path}: {message}"),
            _ => println!("{path}:{line}: {message}"),
        }
    }
    match findings.len() {
        0 => Ok(()),
        count => Err(format!("{count} findings; the rules are in CONTRIBUTING.md")),
    }
}
