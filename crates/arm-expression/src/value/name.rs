//! Names of functions, parameters, variables and properties, which differ by more than case.

use std::borrow::Cow;

/// Whether two names are the same without regard to case, independent of any locale.
pub fn same_name(a: &str, b: &str) -> bool {
    if a.is_ascii() && b.is_ascii() {
        return a.eq_ignore_ascii_case(b);
    }
    a.chars().map(fold_char).eq(b.chars().map(fold_char))
}

/// The form of a name that is equal for [equal names](same_name).
pub fn fold_name(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.chars().map(fold_char).collect())
}

/// Upper case where that is one character, as .NET's ordinal comparison does, then ASCII lower case for [`fold_name`]'s
/// short way.
fn fold_char(c: char) -> char {
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(single), None) => single.to_ascii_lowercase(),
        _ => c,
    }
}
