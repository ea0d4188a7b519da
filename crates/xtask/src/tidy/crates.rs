//! The allowed dependencies between crates, the owners of external dependencies, and the packages
//! that `deny.toml` bans.

use std::{collections::BTreeSet, fmt::Write as _};

use super::sizes;
use crate::{finding::Finding, tree::Tree};

/// The crates of the repository, and which of them each may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("winrm", &[]),
    ("vm", &["winrm"]),
    ("db", &[]),
    ("authorization", &[]),
    ("arm", &["api", "authorization", "db"]),
    ("arm-expression", &[]),
    ("arm-template", &["arm-expression"]),
    ("images", &["api", "vm"]),
    ("regions", &["api", "vm", "images"]),
    ("sources", &["api", "vm", "images"]),
    ("guests", &["api", "vm", "images"]),
    ("engine", &["api", "vm", "images", "guests", "regions", "sources"]),
    ("trial", &["api", "vm", "images", "guests", "sources", "engine"]),
    ("service", &["api", "arm", "authorization", "db", "images", "sources", "engine"]),
    (
        "providers",
        &[
            "api",
            "arm",
            "arm-template",
            "authorization",
            "db",
            "images",
            "regions",
            "sources",
            "engine",
            "service",
        ],
    ),
    ("access", &["api", "arm", "authorization", "db", "service"]),
    (
        "deployments",
        &[
            "arm",
            "arm-template",
            "authorization",
            "db",
            "images",
            "sources",
            "service",
            "providers",
        ],
    ),
    (
        "runs",
        &[
            "api",
            "arm",
            "authorization",
            "db",
            "images",
            "sources",
            "engine",
            "service",
            "providers",
        ],
    ),
    (
        "server",
        &[
            "access",
            "api",
            "arm",
            "authorization",
            "db",
            "images",
            "sources",
            "engine",
            "service",
            "providers",
            "deployments",
            "runs",
        ],
    ),
    (
        "goldsmith",
        &[
            "access",
            "api",
            "arm-template",
            "authorization",
            "db",
            "vm",
            "images",
            "guests",
            "regions",
            "sources",
            "engine",
            "trial",
            "server",
        ],
    ),
    ("e2e", &["api", "vm"]),
    ("xtask", &["arm-template", "authorization"]),
];

/// Further dependencies of tests: the scripted machine.
const IN_TESTS: &[(&str, &str)] =
    &[("runs", "vm"), ("runs", "guests"), ("server", "vm"), ("server", "guests")];

/// Dependencies that only some crates may have.
const OWNERS: &[(&str, &[&str])] = &[
    ("clap", &["goldsmith"]),
    ("indicatif", &["goldsmith"]),
    ("miette", &["goldsmith"]),
    ("russh", &["vm"]),
    ("hyper", &["winrm"]),
    ("quick-xml", &["winrm"]),
    ("tokio-rustls", &["winrm"]),
    ("object_store", &["regions"]),
    ("flate2", &["sources", "trial"]),
    ("zstd", &["regions"]),
    ("reqwest", &["regions", "sources", "goldsmith", "e2e"]),
    ("axum", &["server"]),
    ("croner", &["providers"]),
    ("rcgen", &["service", "server", "winrm"]),
    ("ring", &["service", "server"]),
    ("sqlx", &["db"]),
    ("syn", &["xtask"]),
    ("tree-sitter", &["xtask"]),
    (
        "tokio",
        &[
            "winrm",
            "vm",
            "db",
            "arm",
            "images",
            "guests",
            "regions",
            "sources",
            "engine",
            "trial",
            "service",
            "providers",
            "deployments",
            "runs",
            "server",
            "goldsmith",
            "e2e",
        ],
    ),
];

pub(super) fn arrows(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, name, text) in manifests(tree) {
        let Some((_, allowed)) = ARROWS.iter().find(|(listed, _)| *listed == name) else {
            findings.push(Finding::new(
                path,
                0,
                "a new crate: list its allowed dependencies in xtask's ARROWS",
            ));
            continue;
        };
        for (line, dependency, tests) in dependencies(text) {
            let ours = ARROWS.iter().any(|(listed, _)| *listed == dependency);
            let allowed =
                allowed.contains(&dependency) || tests && IN_TESTS.contains(&(name, dependency));
            if ours && !allowed {
                findings.push(Finding::new(
                    path,
                    line,
                    format!("{name} must not depend on {dependency}"),
                ));
            }
        }
    }
    findings
}

pub(super) fn owners(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, name, text) in manifests(tree) {
        for (line, dependency, _) in dependencies(text) {
            if let Some(owners) = owners_of(dependency).filter(|owners| !owners.contains(&name)) {
                let message = format!("only {} may depend on {dependency}", owners.join(", "));
                findings.push(Finding::new(path, line, message));
            }
        }
    }
    findings
}

/// The crates that may depend on an external crate; `None` if all may.
pub(super) fn owners_of(dependency: &str) -> Option<&'static [&'static str]> {
    OWNERS.iter().find(|(listed, _)| *listed == dependency).map(|(_, owners)| *owners)
}

/// The crates with their lines and the crates of ours that each depends on, tests aside.
pub(super) fn table(tree: &Tree) -> String {
    let lines = sizes::lines_of_crates(tree);
    let mut table = String::new();
    for (_, name, text) in manifests(tree) {
        let is_ours = |name: &str| ARROWS.iter().any(|(ours, _)| *ours == name);
        let arrows: Vec<&str> = dependencies(text)
            .into_iter()
            .filter(|(_, dependency, tests)| !tests && is_ours(dependency))
            .map(|(_, dependency, _)| dependency)
            .collect();
        let lines = lines.get(name).unwrap_or(&0);
        let arrow = if arrows.is_empty() { "" } else { " → " };
        let _ = writeln!(table, "{name:<10} {lines:>6} lines{arrow}{}", arrows.join(", "));
    }
    table
}

/// The packages that `deny.toml` bans must not be in the tree. This works without cargo-deny.
pub(super) fn banned(tree: &Tree) -> Vec<Finding> {
    let lock = tree.text("Cargo.lock").unwrap_or_default();
    let names: BTreeSet<&str> =
        lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).collect();
    let deny = tree.text("deny.toml").unwrap_or_default().lines();
    deny.filter_map(|line| line.trim().strip_prefix("{ crate = \"")?.split('"').next())
        .filter(|name| names.contains(name))
        .map(|name| Finding::new("Cargo.lock", 0, format!("{name} is banned")))
        .collect()
}

/// Path, crate name and text of every manifest of a crate.
fn manifests(tree: &Tree) -> impl Iterator<Item = (&str, &str, &str)> {
    tree.texts("/Cargo.toml").filter_map(|(path, text)| {
        let name = path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml")?;
        Some((path, name, text))
    })
}

/// The dependencies in every section, including development and build: line, name, and whether only
/// tests use it.
fn dependencies(manifest: &str) -> Vec<(usize, &str, bool)> {
    let (mut inside, mut tests) = (false, false);
    let mut found = Vec::new();
    for (number, line) in manifest.lines().enumerate() {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end().trim_end_matches(']');
            inside = section.ends_with("dependencies");
            tests = section.contains("dev-");
            if let Some((_, name)) = section.split_once("dependencies.") {
                found.push((number + 1, name, tests));
            }
        } else if inside {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            if !name.is_empty() && !name.starts_with('#') {
                found.push((number + 1, name, tests));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree;

    fn messages(findings: Vec<Finding>) -> Vec<String> {
        findings.into_iter().map(|f| format!("{}:{}: {}", f.path, f.line, f.message)).collect()
    }

    #[test]
    fn table_has_lines_without_tests_and_dependencies_of_crates() {
        let files = [
            ("crates/api/Cargo.toml", "[dependencies]\nserde.workspace = true\n"),
            (
                "crates/engine/Cargo.toml",
                "[dependencies]\napi.workspace = true\nvm.workspace = true\n[dev-dependencies]\ninsta = \"1\"\n",
            ),
            ("crates/engine/src/lib.rs", "fn a() {}\n#[cfg(test)]\nmod tests {\n}\n"),
            ("crates/engine/tests/it/main.rs", "fn b() {}\n"),
        ];
        let expected = "api             0 lines\nengine          1 lines → api, vm\n";
        assert_eq!(table(&tree(&files)), expected);
    }

    #[test]
    fn forbidden_dependency_between_crates_is_found() {
        let tree = tree(&[
            (
                "crates/api/Cargo.toml",
                "[dependencies]\nserde.workspace = true\n\n[dev-dependencies]\nvm.workspace = true\n",
            ),
            ("crates/vm/Cargo.toml", "[dependencies.engine]\npath = \"../engine\"\n"),
            (
                "crates/engine/Cargo.toml",
                "[dependencies]\napi = { path = \"../api\" }\nvm.workspace = true\n",
            ),
            ("crates/fresh/Cargo.toml", "[package]\nname = \"fresh\"\n"),
        ]);
        assert_eq!(
            messages(arrows(&tree)),
            [
                "crates/api/Cargo.toml:5: api must not depend on vm",
                "crates/vm/Cargo.toml:1: vm must not depend on engine",
                "crates/fresh/Cargo.toml:0: a new crate: list its allowed dependencies in xtask's ARROWS",
            ]
        );
    }

    #[test]
    fn dependency_outside_its_owners_is_found() {
        let tree = tree(&[
            (
                "crates/vm/Cargo.toml",
                "[dependencies]\nrussh.workspace = true\nreqwest = \"0.13\"\n",
            ),
            ("crates/goldsmith/Cargo.toml", "[dependencies]\nclap.workspace = true\n"),
        ]);
        assert_eq!(
            messages(owners(&tree)),
            ["crates/vm/Cargo.toml:3: only regions, sources, goldsmith, e2e may depend on reqwest"]
        );
    }

    #[test]
    fn banned_package_is_found() {
        let deny = include_str!("../../../../deny.toml");
        let lock = "[[package]]\nname = \"openssl-probe\"\n\n[[package]]\nname = \"aws-lc-sys\"\n";
        assert_eq!(
            messages(banned(&tree(&[("Cargo.lock", lock), ("deny.toml", deny)]))),
            ["Cargo.lock:0: aws-lc-sys is banned"]
        );
    }
}
