//! Parses queries and forms: `name=value&…`.

use std::collections::BTreeMap;

/// Names become lower case; of several values the first counts.
pub fn parse(text: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        all.entry(decode(name).to_lowercase()).or_insert_with(|| decode(value));
    }
    all
}

fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ignore_case_and_values_are_decoded() {
        let all = parse("API-Version=1&$filter=a%20eq+'b'&flag&api-version=2&&x=a%3Db=c");
        assert_eq!(all["api-version"], "1");
        assert_eq!(all["$filter"], "a eq 'b'");
        assert_eq!(all["flag"], "");
        assert_eq!(all["x"], "a=b=c");
    }
}
