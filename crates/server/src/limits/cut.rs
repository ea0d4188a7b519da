//! Shortens clients' text for the log and for responses.

use std::fmt::{self, Write};

/// The maximum number of characters.
const SHOWN: usize = 256;

/// Displays the beginning of a client's text, without control characters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut<'a>(pub(crate) &'a str);

impl fmt::Display for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        for character in characters.by_ref().take(SHOWN) {
            f.write_char(if character.is_control() { '\u{fffd}' } else { character })?;
        }
        if characters.as_str().is_empty() {
            return Ok(());
        }
        write!(f, "… ({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_and_control_characters_are_replaced() {
        assert_eq!(Cut("a b").to_string(), "a b");
        assert_eq!(Cut("a\nb\u{1b}[1m").to_string(), "a\u{fffd}b\u{fffd}[1m");
        assert_eq!(Cut(&"é".repeat(SHOWN)).to_string(), "é".repeat(SHOWN));
        let long = Cut(&"é".repeat(SHOWN + 1)).to_string();
        assert_eq!(long, format!("{}… ({} bytes)", "é".repeat(SHOWN), 2 * (SHOWN + 1)));
    }
}
