//! Takes secrets out of evidence.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// A shorter secret would also be found where it is not one.
const LEAST: usize = 6;

/// What must not leave this host.
#[derive(Default)]
pub(crate) struct Secrets {
    needles: Vec<Needle>,
}

/// One spelling of a secret.
struct Needle {
    bytes: Vec<u8>,
    /// What each byte is replaced by, so that what surrounds the secret stays readable.
    fill: u8,
}

impl Secrets {
    /// Adds a secret, in each spelling that a guest or its protocol may give it: as text in UTF-8
    /// and in UTF-16, escaped for XML and JSON, and in Base64.
    pub(crate) fn add(&mut self, secret: &str) {
        if secret.len() < LEAST {
            return;
        }
        let quoted = serde_json::Value::from(secret).to_string();
        let json = &quoted[1..quoted.len() - 1];
        for text in [secret, json, &xml(secret)] {
            let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            for bytes in [text.as_bytes(), &wide] {
                for inner in base64_forms(bytes) {
                    self.needle(inner.into_bytes(), b'x');
                }
                self.needle(bytes.to_vec(), b'*');
            }
        }
    }

    /// Adds each line of a text that is secret as a whole, such as a private key.
    pub(crate) fn add_lines(&mut self, secret: &str) {
        for line in secret.lines().filter(|line| !line.starts_with("-----")) {
            self.add(line);
        }
    }

    fn needle(&mut self, bytes: Vec<u8>, fill: u8) {
        if self.needles.iter().all(|known| known.bytes != bytes) {
            self.needles.push(Needle { bytes, fill });
        }
    }

    /// Overwrites every secret and returns how many there were. The length stays.
    pub(crate) fn mask(&self, content: &mut [u8]) -> usize {
        let mut found = 0;
        for Needle { bytes, fill } in &self.needles {
            found += overwrite(content, bytes, *fill);
        }
        found
    }
}

fn overwrite(content: &mut [u8], needle: &[u8], fill: u8) -> usize {
    let (mut at, mut found) = (0, 0);
    while let Some(next) = find(&content[at..], needle) {
        content[at + next..at + next + needle.len()].fill(fill);
        at += next + needle.len();
        found += 1;
    }
    found
}

fn find(content: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let last = content.len().checked_sub(needle.len())?;
    let mut at = 0;
    while at <= last {
        at += content[at..=last].iter().position(|byte| *byte == first)?;
        if content[at..].starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// The characters that a content has in Base64 whatever stands before and behind it.
fn base64_forms(content: &[u8]) -> [String; 3] {
    [0, 1, 2].map(|before| {
        let shifted: Vec<u8> =
            std::iter::repeat_n(0, before).chain(content.iter().copied()).collect();
        let text = STANDARD.encode(&shifted);
        let whole = shifted.len() * 8 / 6;
        text[(before * 8).div_ceil(6)..whole].to_owned()
    })
}

fn xml(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "Tr0ub4dor&3\"<x";

    fn masked(text: &str) -> String {
        let mut secrets = Secrets::default();
        secrets.add(SECRET);
        let mut bytes = text.as_bytes().to_vec();
        assert_eq!(secrets.mask(&mut bytes), 1, "{text}");
        assert_eq!(bytes.len(), text.len());
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn secret_is_masked_in_every_spelling() {
        assert_eq!(masked(&format!("a {SECRET} b")), format!("a {} b", "*".repeat(SECRET.len())));
        assert!(!masked(&format!("<p>{}</p>", xml(SECRET))).contains("Tr0ub4dor"));
        let json = serde_json::json!({ "password": SECRET }).to_string();
        assert!(!masked(&json).contains("Tr0ub4dor"));
        for before in ["", "x", "xy", "xyz"] {
            let text = format!("{before}{SECRET} and more");
            let base64 = masked(&STANDARD.encode(&text));
            let decoded = String::from_utf8_lossy(&STANDARD.decode(base64).unwrap()).into_owned();
            // A character of Base64 at either end has bits of what is beside the secret.
            assert!(
                !decoded.contains("Tr0ub4dor&3\"") && decoded.ends_with("and more"),
                "{decoded}"
            );
            let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            masked(&STANDARD.encode(wide));
        }
    }

    #[test]
    fn private_key_is_masked_line_by_line() {
        let mut secrets = Secrets::default();
        secrets.add_lines(
            "-----BEGIN KEY-----\nAAAAB3NzaC1lZDI1\nTE5AAAAIzzzzzzz\n-----END KEY-----\n",
        );
        let mut text = b"the line TE5AAAAIzzzzzzz of -----BEGIN KEY-----".to_vec();
        secrets.mask(&mut text);
        assert_eq!(text, b"the line *************** of -----BEGIN KEY-----");
    }

    #[test]
    fn short_secret_is_not_searched_for() {
        let mut secrets = Secrets::default();
        secrets.add("root");
        let mut text = b"root".to_vec();
        assert_eq!(secrets.mask(&mut text), 0);
    }
}
