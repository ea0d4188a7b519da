use std::collections::BTreeSet;
use std::path::Path;

use super::ErrorCode;

#[test]
fn each_code_has_a_page_and_each_page_a_code() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    let pages: BTreeSet<String> = std::fs::read_dir(&folder)
        .expect("docs/errors exists")
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".md").map(str::to_owned))
        .collect();
    let codes: BTreeSet<String> = ErrorCode::ALL.iter().map(|c| c.name().to_owned()).collect();
    assert_eq!(pages, codes);
    for code in ErrorCode::ALL {
        let page = std::fs::read_to_string(folder.join(format!("{code}.md"))).unwrap();
        assert!(page.starts_with(&format!("# {code}\n")), "{code}.md starts with its title");
        assert!(page.lines().count() >= 5, "{code}.md has a text");
        let exit = format!("Exit code {}.", code.exit_code());
        assert!(page.replace('\n', " ").contains(&exit), "{code}.md contains `{exit}`");
        let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
        let again = page.contains("Giving the command again may help.");
        assert_eq!(again, code.retryable(), "{code}.md and retryable() agree");
    }
}

#[test]
fn names_are_unique_and_parse_back() {
    let names: BTreeSet<&str> = ErrorCode::ALL.iter().map(|c| c.name()).collect();
    assert_eq!(names.len(), ErrorCode::ALL.len());
    for code in ErrorCode::ALL {
        assert_eq!(code.name().parse(), Ok(*code));
    }
    assert!("validationfailed".parse::<ErrorCode>().is_err());
}

/// The table is part of the interface, so a change must be visible in review.
#[test]
fn code_table_matches_the_published_one() {
    let table: String = ErrorCode::ALL
        .iter()
        .map(|c| format!("{:<28}{:>4} {}\n", c.name(), c.exit_code(), c.retryable()))
        .collect();
    let expected = include_str!("table.txt");
    assert_eq!(table, expected, "update src/error_code/table.txt if the change is intended");
}
