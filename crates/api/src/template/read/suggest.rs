//! Guesses what a misspelt word was meant to be.

/// The candidate nearest to `word`, when one is near enough to be worth showing.
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

/// A word that the other one begins or ends with counts as close, as `script` in `scriptUri`.
fn distance(word: &str, candidate: &str) -> usize {
    let plain = strsim::osa_distance(word, candidate);
    let (short, long) =
        if word.len() < candidate.len() { (word, candidate) } else { (candidate, word) };
    if short.len() >= 4 && (long.starts_with(short) || long.ends_with(short)) {
        return plain.min(2);
    }
    plain
}

/// The candidates, quoted, for a sentence.
pub(in crate::template) fn list<'a>(candidates: impl IntoIterator<Item = &'a str>) -> String {
    candidates.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::nearest;

    const NAMES: [&str; 5] = ["name", "scriptUri", "sha256Checksum", "inline", "type"];

    #[test]
    fn near_words_are_found() {
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
