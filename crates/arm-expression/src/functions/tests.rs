use std::collections::BTreeSet;

mod fuzz;

use super::*;

const DOCUMENT: &str = include_str!("../../../../docs/arm-templates.md");

#[test]
fn names_are_unique_and_found_in_any_case() {
    let entries: Vec<&Entry> = GROUPS.iter().copied().flatten().collect();
    assert_eq!(BY_NAME.len(), entries.len());
    for entry in entries.into_iter().filter(|entry| entry.name != LIST) {
        let found = find(&entry.name.to_ascii_uppercase()).map(|entry| entry.name);
        assert_eq!(found, Some(entry.name));
    }
}

#[test]
fn list_functions_share_an_entry() {
    for name in ["listKeys", "LISTaccountSas", "listX"] {
        assert_eq!(find(name).map(|entry| entry.name), Some(LIST), "{name}");
    }
    for name in ["list", "list*", "listing*", "lis", "nothing"] {
        assert!(find(name).is_none(), "{name}");
    }
}

#[test]
fn wrong_number_of_arguments_names_the_function_and_the_number() {
    let check = |name, count| find(name).expect("a name of the language").check_count(count);
    assert_eq!(check("bool", 1), Ok(()));
    let fault = check("BOOL", 2).expect_err("bool takes one argument");
    assert_eq!(
        fault.message(),
        "The template language function 'bool' takes 1 argument(s), 2 given"
    );
    let fault = check("or", 1).expect_err("or takes two arguments");
    assert!(fault.message().contains("takes at least 2"), "{}", fault.message());
    let fault = check("pickZones", 6).expect_err("pickZones takes five arguments at most");
    assert!(fault.message().contains("takes 3 to 5"), "{}", fault.message());
}

#[test]
fn document_lists_every_function() {
    let rows = DOCUMENT.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    let calls = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let documented: BTreeSet<&str> = calls.filter_map(|call| call.split('(').next()).collect();
    let known: BTreeSet<&str> = GROUPS.iter().copied().flatten().map(|entry| entry.name).collect();
    assert_eq!(documented, known);
}

#[test]
fn document_lists_unsupported_functions_under_their_heading() {
    let (supported, unsupported) =
        DOCUMENT.split_once("## Not supported").expect("the heading exists");
    for entry in GROUPS.iter().copied().flatten() {
        let call = format!("`{}(", entry.name);
        let is_unsupported = matches!(entry.by, By::Unsupported(_));
        assert_eq!(unsupported.contains(&call), is_unsupported, "{}", entry.name);
        assert_eq!(
            supported.contains(&format!("| {call}")) || supported.contains(&format!(", {call}")),
            !is_unsupported,
            "{}",
            entry.name
        );
    }
}
