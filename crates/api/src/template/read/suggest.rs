//! Suggests corrections of misspelt words.

/// The candidate most similar to `word`, if one is similar enough.
pub(in crate::template) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = word.to_lowercase();
    let allowed = match word.chars().count() {
        0..=2 => 0,
        3 => 1,
        4..=6 => 2,
        _ => 3,
    };
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The edit distance, reduced for a word that is a prefix or suffix of the other, like `script` of
/// `scriptUri`.
fn distance(word: &str, candidate: &str) -> usize {
    let plain = strsim::osa_distance(word, candidate);
    let (short, long) =
        if word.len() < candidate.len() { (word, candidate) } else { (candidate, word) };
    if short.len() >= 4 && (long.starts_with(short) || long.ends_with(short)) {
        return plain.min(2);
    }
    plain
}

/// The candidates in backquotes, separated by commas.
pub(in crate::template) fn list<'a>(candidates: impl IntoIterator<Item = &'a str>) -> String {
    candidates.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::nearest;

    const NAMES: [&str; 5] = ["name", "scriptUri", "sha256Checksum", "inline", "type"];

    #[test]
    fn nearest_suggests_similar_words_only() {
        for (word, expected) in [
            ("scriptURL", Some("scriptUri")),
            ("script", Some("scriptUri")),
            ("scripturi", Some("scriptUri")),
            ("checksum", Some("sha256Checksum")),
            ("inlne", Some("inline")),
            ("tpye", Some("type")),
            ("commands", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, NAMES), expected, "{word}");
        }
    }
}
