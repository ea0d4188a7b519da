//! Finds a tag of XML.

/// The longest tag that is understood, in bytes.
const LONGEST: usize = 4096;

/// A tag at the beginning of some text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    /// The element's name.
    pub(super) name: &'a [u8],
    /// The value of its attribute `S`, which is the name of PowerShell's stream.
    pub(super) stream: &'a [u8],
    /// An end tag.
    pub(super) is_end: bool,
    /// Begin and end in one.
    pub(super) is_empty: bool,
    /// With its brackets, in bytes.
    pub(super) length: usize,
}

/// What some text begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A tag.
    Tag(Tag<'a>),
    /// Maybe a part of a tag.
    Part,
    /// No tag.
    Nothing,
}

impl<'a> Tag<'a> {
    /// Looks at the beginning of `text`. Comments, instructions and declarations are no tags.
    pub(super) fn read(text: &'a [u8]) -> Found<'a> {
        let window = &text[..text.len().min(LONGEST)];
        let Some(inner) = window.strip_prefix(b"<") else {
            return if text.is_empty() { Found::Part } else { Found::Nothing };
        };
        let is_end = inner.first() == Some(&b'/');
        let inner = &inner[usize::from(is_end)..];
        if inner.first().is_some_and(|byte| !byte.is_ascii_alphabetic()) {
            return Found::Nothing;
        }
        let Some(end) = inner.iter().position(|byte| matches!(byte, b'<' | b'>')) else {
            return if window.len() < LONGEST { Found::Part } else { Found::Nothing };
        };
        if inner[end] == b'<' {
            return Found::Nothing;
        }
        let length = 1 + usize::from(is_end) + end + 1;
        let inner = &inner[..end];
        let is_empty = inner.ends_with(b"/");
        let inner = inner.strip_suffix(b"/").unwrap_or(inner);
        let name = inner.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        let stream = attribute(&inner[name.len()..]);
        Found::Tag(Tag { name, stream, is_end, is_empty, length })
    }

    /// Whether it begins a record of progress.
    pub(super) fn is_progress(&self) -> bool {
        self.stream.eq_ignore_ascii_case(b"progress")
    }
}

/// The value of the attribute `S`, without quotes.
fn attribute(attributes: &[u8]) -> &[u8] {
    let words = attributes.split(u8::is_ascii_whitespace);
    let value = words.filter_map(|word| word.strip_prefix(b"S=")).next().unwrap_or_default();
    match value {
        [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] => inner,
        _ => b"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_told_from_text() {
        let tag = |text| match Tag::read(text) {
            Found::Tag(tag) => tag,
            other => panic!("{other:?}"),
        };
        let error = tag(b"<S S=\"Error\">text");
        assert_eq!((error.name, error.stream, error.length), (&b"S"[..], &b"Error"[..], 13));
        assert!(tag(b"</S>").is_end);
        assert!(tag(b"<Nil />").is_empty);
        assert!(tag(b"<Obj RefId='0' S='progress'>").is_progress());
        assert_eq!(Tag::read(b"<Ob"), Found::Part);
        assert_eq!(Tag::read(b"</"), Found::Part);
        assert_eq!(Tag::read(b""), Found::Part);
        for text in [&b"< 5"[..], b"text", b"<!-- -->", b"<?xml?>", b"<a <b>", b"<<", b"</ a>"] {
            assert_eq!(Tag::read(text), Found::Nothing, "{}", String::from_utf8_lossy(text));
        }
        let endless = [b"<a", " ".repeat(LONGEST).as_bytes()].concat();
        assert_eq!(Tag::read(&endless), Found::Nothing);
    }
}
