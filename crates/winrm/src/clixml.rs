//! Decodes what PowerShell writes to a redirected standard error: a line `#< CLIXML`, then XML.

/// Turns a stream of CLIXML into text. Whatever is not CLIXML passes unchanged.
#[derive(Debug, Default)]
pub struct Decoder {}

impl Decoder {
    /// A decoder at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece; returns the text that is known by now.
    #[must_use]
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }

    /// The end of the stream; returns what was held back.
    #[must_use]
    pub fn finish(&mut self) -> Vec<u8> {
        Vec::new()
    }
}
