//! The table in the documentation.

use std::{fmt::Write, path::Path};

use super::{Caller, Row, examples};

const HEAD: &str = "\
# Who gets which answer

Every route of `goldsmith serve` with every method, and the status for each kind of caller. A test asks all of them and
compares, so this table is what the service does. [Who may do what](authorization.md) says what roles are and how to assign them.

**How to read it.** A status below 400, and 400, 404, 405 and 412, come from the request itself: the caller may do it. To
leave everything as it is, the test writes with a precondition that fails (412) or a body that is no JSON (400), and asks
for some things that do not exist (404). 403 is a refusal, and it comes before 404: without the right to read, nobody
learns whether something exists. 409 comes from a lock.

**Without a valid token** (none, expired, of another audience, of another tenant) every route answers 401, except those at
the end that need no login.

**Callers.** Reader, Owner and Storage Blob Data Reader have their role at the subscription. The administrator is Owner and
Storage Blob Data Owner of everything. Locks are at the group.

**Exceptions from \"403 comes before 404\"**, each as in Azure or because an id says nothing about where it belongs:

- A subscription in which the caller has no role is 404, like one that does not exist. Everything below it is 403.
- Operations and runs by their id alone are 404 for callers who may not read what they are about.
- Lists show what the caller may read. They are 403 only for callers without any role at the scope, above it or below it.
- What says nothing about the content of a subscription (locations, sizes, the catalogue of images) needs any role in it.
- Methods that a path does not have are 405 only for those who may read it.
";

/// Compares the table with the file, and writes it if it differs.
pub(super) fn check(sections: &[(String, Vec<Row>)]) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/authorization-matrix.md");
    let text = document(sections);
    if std::fs::read_to_string(&file).is_ok_and(|known| known == text) {
        return;
    }
    std::fs::write(&file, text).unwrap();
    panic!("docs/authorization-matrix.md was not current. It is now: look at it, and commit it.");
}

fn document(sections: &[(String, Vec<Row>)]) -> String {
    let mut text = HEAD.to_owned();
    let headings: Vec<(Caller, &str)> = <Caller as strum::IntoEnumIterator>::iter()
        .filter_map(|caller| Some((caller, caller.heading()?)))
        .collect();
    let letters: Vec<char> = ('A'..='Z').take(headings.len()).collect();
    text.push_str("\n| Column | Caller |\n|---|---|\n");
    for (letter, (_, name)) in letters.iter().zip(&headings) {
        let _ = writeln!(text, "| {letter} | {name} |");
    }
    text.push_str("\n`{S}` is `/subscriptions/{subscription}`, and `{G}` a group in it.\n");
    let columns: Vec<String> = letters.iter().map(char::to_string).collect();
    let head = format!(
        "| Path | Methods | Action | {} |\n|---|---|---|{}\n",
        columns.join(" | "),
        "---|".repeat(columns.len())
    );
    for (name, rows) in sections {
        let _ = write!(text, "\n## {}\n\n{head}", spaced(name));
        let mut path = "";
        for (row, methods) in merged(rows) {
            let shown = match row.path == path {
                true => String::new(),
                false => format!("`{}`", short(&row.path)),
            };
            path = &row.path;
            let status = |caller: Caller| {
                let cell = row.cells.iter().find(|(own, _)| *own == caller);
                cell.map(|(_, status)| status.to_string()).unwrap_or_default()
            };
            let cells: Vec<String> = headings.iter().map(|(caller, _)| status(*caller)).collect();
            let action = match row.action.as_str() {
                "" => String::new(),
                action => format!("`{action}`"),
            };
            let (methods, cells) = (methods.join(", "), cells.join(" | "));
            let _ = writeln!(text, "| {shown} | {methods} | {action} | {cells} |");
        }
    }
    text
}

fn short(path: &str) -> String {
    path.replace(examples::G, "{G}").replace(examples::S, "{S}")
}

/// Methods of one path with the same answers share a line.
fn merged(rows: &[Row]) -> Vec<(&Row, Vec<&'static str>)> {
    let mut all: Vec<(&Row, Vec<&'static str>)> = Vec::new();
    for row in rows {
        let same = all.iter_mut().find(|(known, _)| {
            (&known.path, &known.action, &known.cells) == (&row.path, &row.action, &row.cells)
        });
        match same {
            Some((_, methods)) => methods.push(row.method),
            None => all.push((row, vec![row.method])),
        }
    }
    all
}

/// `ResourceGroups` becomes `Resource groups`.
fn spaced(name: &str) -> String {
    if name == "Beside" {
        return "Without login, metrics, and blobs".to_owned();
    }
    let mut text = String::new();
    for letter in name.chars() {
        match letter {
            upper if upper.is_uppercase() && !text.is_empty() => {
                text.push(' ');
                text.extend(upper.to_lowercase());
            }
            other => text.push(other),
        }
    }
    text
}
