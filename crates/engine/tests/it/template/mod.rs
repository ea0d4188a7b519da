//! Parses templates: valid ones, invalid ones, and the positions of diagnostics.

mod fuzz;
mod invalid;
mod positions;
mod valid;
mod versions;

use api::template::{ApiVersion, Diagnostic, Face, ParseOptions, Severity};
use engine::template::{Parsed, Template, parse};

const EVERYTHING: &str = include_str!("testdata/everything.json");
const GALLERY_2020: &str = include_str!("testdata/gallery-2020.json");
const LOCAL: &str = include_str!("testdata/local.json");

/// Parses a request to the service.
fn serve(text: &str) -> Parsed {
    parse(text, &ParseOptions { api_version: None, face: Face::Service })
}

/// Parses a file on the command line.
fn file(text: &str) -> Parsed {
    parse(text, &ParseOptions { api_version: None, face: Face::File })
}

/// Parses a request to the service with an api-version.
fn serve_as(text: &str, version: ApiVersion) -> Parsed {
    parse(text, &ParseOptions { api_version: Some(version), face: Face::Service })
}

/// The template of a text without errors and warnings.
fn clean(text: &str) -> Template {
    let parsed = serve(text);
    assert_eq!(parsed.diagnostics, []);
    parsed.template.unwrap()
}

fn of(parsed: &Parsed, severity: Severity) -> Vec<&Diagnostic> {
    parsed.diagnostics.iter().filter(|d| d.severity == severity).collect()
}

fn errors(parsed: &Parsed) -> Vec<&Diagnostic> {
    of(parsed, Severity::Error)
}

fn warnings(parsed: &Parsed) -> Vec<&Diagnostic> {
    of(parsed, Severity::Warning)
}

/// Replaces the only occurrence of `old` in `text`.
fn edit(text: &str, old: &str, new: &str) -> String {
    assert_eq!(text.matches(old).count(), 1, "`{old}` is in the text once");
    text.replacen(old, new, 1)
}
