//! Random texts, expressions and values: an error is a result, a crash is not. `make fuzz-template` repeats these tests
//! for as long as one likes.

mod documents;
mod expressions;
mod templates;

use arm_template::{Error, Kind, Limits};
use proptest::prelude::*;

/// Limits under which even a hostile input ends soon.
fn tight() -> Limits {
    Limits { value_weight: 1 << 20, total_bytes: 8 << 20, steps: 50_000, ..Limits::default() }
}

/// A text with some of its characters removed and pieces inserted.
fn mutated(
    base: impl Strategy<Value = String>,
    pieces: &'static [&'static str],
) -> impl Strategy<Value = String> {
    let edit = (any::<prop::sample::Index>(), 0..12_usize, prop::sample::select(pieces));
    (base, prop::collection::vec(edit, 0..5)).prop_map(|(base, edits)| {
        let mut text: Vec<char> = base.chars().collect();
        for (at, removed, inserted) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + removed).min(text.len());
            text.splice(at..end, inserted.chars());
        }
        text.into_iter().collect()
    })
}

/// Checks that an error can be shown to a user.
fn check_error(error: &Error) -> Result<(), TestCaseError> {
    prop_assert!(!error.message.is_empty());
    prop_assert!(error.position.is_some() || error.kind == Kind::Limit, "no place: {}", error);
    Ok(())
}
