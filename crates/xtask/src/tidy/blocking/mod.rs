//! Code that waits for a disk, or sleeps, must not run on the runtime's threads. In `async` code it
//! belongs in `may_wait`, `spawn_blocking`, or a function that calls one of them. The same holds for
//! calls of functions of this repository that wait.
//!
//! The rule matches names, because it does not know types. It misses methods with common names.

mod aside;
mod paths;
mod select;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use super::crates::owners_of;
use crate::{finding::Finding, tree::Tree};
use paths::Paths;
use walk::{Function, Walk, What};

/// The runtime. The crates that may depend on it are checked, without the tests that drive the
/// executable.
const RUNTIME: &str = "tokio";
const TESTS: &str = "e2e";

const ALONE: &str = "a command is alone in its process, so blocking delays nothing else";

/// Files that may block the runtime's threads, with the reason.
const ALLOWED: &[(&str, &str)] = &[
    ("crates/goldsmith/src/cmd/boot.rs", ALONE),
    ("crates/goldsmith/src/cmd/cache.rs", ALONE),
    ("crates/goldsmith/src/cmd/image.rs", ALONE),
    ("crates/goldsmith/src/cmd/ledger.rs", ALONE),
    ("crates/goldsmith/src/cmd/login.rs", ALONE),
    ("crates/goldsmith/src/cmd/mod.rs", ALONE),
    ("crates/goldsmith/src/cmd/plan.rs", ALONE),
    ("crates/goldsmith/src/cmd/replica.rs", ALONE),
    ("crates/goldsmith/src/cmd/run.rs", ALONE),
    ("crates/goldsmith/src/cmd/shell.rs", ALONE),
    ("crates/goldsmith/src/cmd/validate.rs", ALONE),
    ("crates/vm/src/fake.rs", "the machine of tests"),
];

/// Names of methods that are ambiguous, because the standard library has them too.
const COMMON: &str = "all clear close create end entry fail first flush get insert is_empty iter join keep last \
    len load lock new next of open parse progress push read remove rename replace run send set \
    start take try_clone update wait write write_all";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let (functions, mut findings) = functions(tree);
    let blocking = Blocking::of(&functions);
    for function in &functions {
        for act in function.acts.iter().filter(|act| act.is_async) {
            if let Some(why) = blocking.why(function, &act.what) {
                let message = format!(
                    "{why} on a thread of the runtime: use may_wait, or off_runtime if it takes long"
                );
                findings.push(Finding::new(&function.file, act.line, message));
            }
        }
    }
    for (path, _) in ALLOWED {
        let before = findings.len();
        findings.retain(|finding| finding.path != *path);
        if findings.len() == before && tree.contains(path) {
            let message = "does not wait on the runtime any more: take it out of xtask's ALLOWED";
            findings.push(Finding::new(path, 0, message));
        }
    }
    findings
}

/// The functions of the crates that have a runtime, without tests.
fn functions(tree: &Tree) -> (Vec<Function>, Vec<Finding>) {
    let crates = owners_of(RUNTIME).unwrap_or_default();
    let mut findings = Vec::new();
    let mut files = Vec::new();
    for (path, text) in tree.texts(".rs") {
        let is_test = path.ends_with("/tests.rs") || path.contains("/tests/");
        let name = path.strip_prefix("crates/").and_then(|rest| rest.split('/').next());
        if is_test || !name.is_some_and(|name| name != TESTS && crates.contains(&name)) {
            continue;
        }
        match syn::parse_file(text) {
            Ok(file) => files.push((path, file)),
            Err(error) => {
                let line = error.span().start().line;
                findings.push(Finding::new(path, line, format!("cannot be parsed: {error}")));
            }
        }
    }
    let mut aside = BTreeSet::from(["spawn_blocking", "block_in_place"].map(str::to_owned));
    // A wrapper may call another wrapper.
    for _ in 0..3 {
        let found: Vec<_> = files.iter().map(|(_, file)| aside::wrappers(file, &aside)).collect();
        aside.extend(found.into_iter().flatten());
    }
    let mut functions = Vec::new();
    for (path, file) in &files {
        let Some(paths) = Paths::of(path, &file.items) else { continue };
        let mut walk = Walk::new(path, &paths, &aside);
        syn::visit::Visit::visit_file(&mut walk, file);
        functions.append(&mut walk.functions);
    }
    (functions, findings)
}

/// The functions that wait, with an index by name.
struct Blocking<'a> {
    functions: &'a [Function],
    by_name: BTreeMap<&'a str, Vec<usize>>,
    /// The reason why each function waits, if it does.
    why: Vec<Option<String>>,
}

impl<'a> Blocking<'a> {
    fn of(functions: &'a [Function]) -> Self {
        let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (number, function) in functions.iter().enumerate() {
            by_name.entry(&function.name).or_default().push(number);
        }
        let mut blocking = Self { functions, by_name, why: vec![None; functions.len()] };
        // Repeats until nothing changes: a caller of a function that waits also waits.
        loop {
            let mut found = Vec::new();
            for (number, function) in functions.iter().enumerate() {
                if function.is_async || blocking.why[number].is_some() {
                    continue;
                }
                let acts = function.acts.iter().filter(|act| !act.is_async);
                let why = acts.filter_map(|act| blocking.why(function, &act.what)).next();
                found.extend(why.map(|why| (number, why)));
            }
            if found.is_empty() {
                return blocking;
            }
            for (number, why) in found {
                blocking.why[number] = Some(why);
            }
        }
    }

    /// The reason why an action waits; `None` if it does not.
    fn why(&self, function: &Function, what: &What) -> Option<String> {
        let (called, candidates) = match what {
            What::Blocks(name) => return Some(format!("`{name}` waits")),
            What::Calls(full) => (full.last()?, self.called(full)),
            What::Method(name, own) => (name, self.methods(function, name, *own)),
        };
        let all = candidates.iter().all(|number| self.why[*number].is_some());
        let why = self.why[*candidates.first().filter(|_| all)?].as_ref()?;
        let root = why.split(" (").next()?;
        Some(format!("`{called}` waits ({root})").replace(" waits)", ")"))
    }

    /// The functions that a path may refer to: the one with that path, or one below it that is re-exported.
    fn called(&self, full: &[String]) -> Vec<usize> {
        let Some((name, before)) = full.split_last() else { return Vec::new() };
        let is_type = |part: &&String| part.starts_with(char::is_uppercase);
        let owner = before.last().filter(is_type);
        let module = &before[..before.len() - usize::from(owner.is_some())];
        let fits = |number: &&usize| {
            let function = &self.functions[**number];
            function.owner.as_ref() == owner && function.module.starts_with(module)
        };
        let named = self.by_name.get(name.as_str()).map_or(&[][..], Vec::as_slice);
        let below: Vec<usize> = named.iter().filter(fits).copied().collect();
        let there = |number: &&usize| self.functions[**number].module == module;
        match below.iter().find(there) {
            Some(exact) => vec![*exact],
            None if module.is_empty() => Vec::new(),
            None => below,
        }
    }

    /// The methods with that name: of the function's type, or of any type if the name is not ambiguous.
    fn methods(&self, function: &Function, name: &str, own: bool) -> Vec<usize> {
        let named = self.by_name.get(name).map_or(&[][..], Vec::as_slice);
        let of_type = named.iter().filter(|number| self.functions[**number].owner.is_some());
        if own {
            let same = |number: &&usize| {
                let method = &self.functions[**number];
                method.owner == function.owner && method.module[0] == function.module[0]
            };
            return of_type.filter(same).copied().collect();
        }
        if COMMON.split_whitespace().any(|common| common == name) {
            Vec::new()
        } else {
            of_type.copied().collect()
        }
    }
}

#[cfg(test)]
mod tests;
