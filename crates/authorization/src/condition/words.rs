//! The words of a condition's text.

/// A word, or a group that no operator is looked for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word<'a> {
    Open,
    Close,
    And,
    Or,
    Not,
    /// `{…}`, without the braces.
    List(&'a str),
    /// `'…'`
    Text,
    /// `[…]`: the name of an attribute.
    Attribute,
    /// Anything else, such as `@Request`, `ActionMatches` or `StringEquals`.
    Name(&'a str),
}

/// The words, or nothing if a group has no end.
pub(super) fn words(text: &str) -> Option<Vec<Word<'_>>> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, length) = match first {
            '(' => (Word::Open, 1),
            ')' => (Word::Close, 1),
            '!' => (Word::Not, 1),
            '&' if rest.starts_with("&&") => (Word::And, 2),
            '|' if rest.starts_with("||") => (Word::Or, 2),
            '\'' => (Word::Text, quoted(rest)?),
            '[' => (Word::Attribute, rest.find(']')? + 1),
            '{' => {
                let length = list(rest)?;
                (Word::List(&rest[1..length - 1]), length)
            }
            _ => name(rest)?,
        };
        words.push(word);
        rest = rest[length..].trim_start();
    }
    Some(words)
}

/// The length of a quoted text. A quote after a backslash could be read in two ways, so there may be none.
fn quoted(rest: &str) -> Option<usize> {
    let end = rest[1..].find('\'')? + 2;
    (!rest[..end - 1].ends_with('\\')).then_some(end)
}

/// The length of a list, of which quoted texts are whole.
fn list(rest: &str) -> Option<usize> {
    let mut at = 1;
    loop {
        match rest[at..].chars().next()? {
            '}' => return Some(at + 1),
            '\'' => at += quoted(&rest[at..])?,
            other => at += other.len_utf8(),
        }
    }
}

fn name(rest: &str) -> Option<(Word<'_>, usize)> {
    let is_end = |c: char| c.is_whitespace() || "()!&|'[]{}".contains(c);
    let length = rest.find(is_end).unwrap_or(rest.len());
    let name = &rest[..length];
    let is = |word: &str| name.eq_ignore_ascii_case(word);
    let word = if is("AND") {
        Word::And
    } else if is("OR") {
        Word::Or
    } else if is("NOT") {
        Word::Not
    } else {
        Word::Name(name)
    };
    (length > 0).then_some((word, length))
}
