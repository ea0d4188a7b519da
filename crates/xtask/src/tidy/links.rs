//! Links in documents must not be dead, and examples must be in use.

use crate::{finding::Finding, tree::Tree};

/// The target of every relative link in a document must exist.
pub(super) fn documents(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts(".md") {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (number, line) in text.lines().enumerate() {
            for target in link_targets(line) {
                let resolved = resolve(folder, target);
                let inside = format!("{resolved}/");
                let exists = tree.contains(&resolved)
                    || tree.files.iter().any(|file| file.path.starts_with(&inside));
                if !exists {
                    let message = format!("the link target {target} does not exist");
                    findings.push(Finding::new(path, number + 1, message));
                }
            }
        }
    }
    findings
}

/// A document, script or test must mention each example, and the example must use each file beside it.
pub(super) fn examples(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        let Some(rest) = file.path.strip_prefix("examples/") else {
            continue;
        };
        match rest.split_once('/') {
            Some((folder, _)) => {
                let template = tree.text(&format!("examples/{folder}.json"));
                if !template.is_some_and(|template| template.contains(rest)) {
                    findings.push(Finding::new(
                        &file.path,
                        0,
                        format!("{folder}.json does not use it"),
                    ));
                }
            }
            None if rest.ends_with(".json") && !is_mentioned(tree, &file.path) => {
                let message = "no document, script or test mentions this example";
                findings.push(Finding::new(&file.path, 0, message));
            }
            None => {}
        }
    }
    findings
}

fn is_mentioned(tree: &Tree, example: &str) -> bool {
    let users = tree.files.iter().filter(|file| !file.path.starts_with("examples/"));
    users.filter_map(|file| file.text.as_deref()).any(|text| text.contains(example))
}

/// The targets of `[text](target)` that are files of the repository.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("](").filter_map(|(at, _)| {
        let target = line[at + 2..].split([')', '#', ' ']).next()?;
        let ours = !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:");
        ours.then_some(target)
    })
}

/// The path of `target` relative to `folder`, without `.` and `..`.
fn resolve(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(target.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree;

    #[test]
    fn dead_link_is_found() {
        let tree = tree(&[
            (
                "README.md",
                "[a](docs/a.md) [web](https://x.test/y) [here](#part)\n[d](docs) [no](docs/b.md#x)\n",
            ),
            ("docs/a.md", "[up](../README.md) [side](./a.md#top)\n"),
        ]);
        let findings = documents(&tree);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!((findings[0].line, findings[0].message.contains("docs/b.md")), (2, true));
    }

    #[test]
    fn unused_example_is_found() {
        let tree = tree(&[
            ("examples/used.json", "\"used/a.sh\""),
            ("examples/used/a.sh", ""),
            ("examples/used/b.sh", ""),
            ("examples/lost.json", "examples/lost.json"),
            ("README.md", "see examples/used.json"),
        ]);
        let paths: Vec<String> = examples(&tree).into_iter().map(|finding| finding.path).collect();
        assert_eq!(paths, ["examples/used/b.sh", "examples/lost.json"]);
    }
}
