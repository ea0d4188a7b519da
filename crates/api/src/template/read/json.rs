//! Strict JSON with positions.
//!
//! `jsonc-parser` returns a tree with byte ranges and recognizes common mistakes. It is more lenient
//! than JSON in a few cases (control characters in strings, unusual white space), so `serde_json`
//! checks the text as well. It also limits the depth.

use std::ops::Range;

use jsonc_parser::ast::Value;
use jsonc_parser::errors::ParseErrorKind;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde::de::IgnoredAny;

use super::super::diagnostic::Lines;

/// The reason why a text is not JSON.
pub(in crate::template) struct Malformed {
    pub(in crate::template) reason: String,
    pub(in crate::template) hint: Option<&'static str>,
    pub(in crate::template) span: Range<usize>,
}

const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

pub(in crate::template) fn parse(text: &str) -> Result<Value<'_>, Malformed> {
    let tree = parse_to_ast(text, &CollectOptions::default(), &STRICT).map_err(|error| {
        let reason = error.kind().to_string();
        Malformed {
            reason: lower_first(&reason),
            hint: hint(error.kind()),
            span: error.range().start..error.range().end,
        }
    })?;
    let Some(value) = tree.value else {
        return Err(Malformed {
            reason: "the text is empty".to_owned(),
            hint: None,
            span: text.len()..text.len(),
        });
    };
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        let at = Lines::new(text).offset(error.line(), error.column());
        let full = error.to_string();
        let reason = full.split(" at line ").next().unwrap_or(&full);
        return Err(Malformed { reason: reason.to_owned(), hint: None, span: at..at });
    }
    Ok(value)
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

fn hint(kind: &ParseErrorKind) -> Option<&'static str> {
    match kind {
        ParseErrorKind::CommentsNotAllowed => {
            Some("remove the comment; JSON does not allow comments")
        }
        ParseErrorKind::TrailingCommasNotAllowed => Some("remove the comma after the last entry"),
        ParseErrorKind::ExpectedComma => Some("put a comma between the two entries"),
        ParseErrorKind::SingleQuotedStringsNotAllowed => Some("use double quotes"),
        ParseErrorKind::ExpectedStringObjectProperty => Some("put the name in double quotes"),
        ParseErrorKind::UnterminatedObject => Some("close it with `}`"),
        ParseErrorKind::UnterminatedArray => Some("close it with `]`"),
        _ => None,
    }
}
