//! Text as .NET sees it: mapping of case without a locale, one character for one, and positions in
//! UTF-16 units.

/// Upper case of each character that has a single one. As in .NET without a culture, `ß` stays, and
/// so does the dotless `ı`.
pub(super) fn upper(text: &str) -> String {
    text.chars().map(upper_of).collect()
}

/// Lower case of each character that has a single one. The dotted `İ` stays.
pub(super) fn lower(text: &str) -> String {
    text.chars().map(lower_of).collect()
}

fn upper_of(character: char) -> char {
    match character {
        'ı' => character,
        _ => only(character.to_uppercase(), character),
    }
}

fn lower_of(character: char) -> char {
    only(character.to_lowercase(), character)
}

fn only(mut mapped: impl Iterator<Item = char>, original: char) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(single), None) => single,
        _ => original,
    }
}

/// The number of UTF-16 units.
pub(super) fn units(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.encode_utf16().count() }
}

/// `count` UTF-16 units from `start`, both clamped to the text. Half of a pair becomes U+FFFD, as
/// when Azure writes it.
pub(super) fn slice(text: &str, start: usize, count: usize) -> String {
    if text.is_ascii() {
        let start = start.min(text.len());
        let end = start.saturating_add(count).min(text.len());
        return text[start..end].to_owned();
    }
    let units: Vec<u16> = text.encode_utf16().skip(start).take(count).collect();
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_mapping_keeps_characters_without_a_single_counterpart() {
        assert_eq!(upper("straße ıi"), "STRAßE ıI");
        assert_eq!(lower("İI ÀÉ"), "İi àé");
    }

    #[test]
    fn slices_count_utf16_units() {
        assert_eq!(units("a😀b"), 4);
        assert_eq!(slice("a😀b", 1, 2), "😀");
        assert_eq!(slice("a😀b", 2, 2), "\u{fffd}b");
        assert_eq!(slice("abc", 1, usize::MAX), "bc");
        assert_eq!(slice("abc", 7, 1), "");
    }
}
