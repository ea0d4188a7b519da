//! Names that are digests: of the content of files, and of the nodes that steps produce.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::format::Format;

/// Version of the node format on disk. Part of every key, so that a new format misses the cache.
pub const FORMAT: u32 = 1;

/// The name of a node: the SHA-256, in hexadecimal, of all inputs that produced it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key(String);

impl Key {
    /// Parses a key. `None` if it is not 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let ok = text.len() == 64
            && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        ok.then(|| Self(text.to_owned()))
    }

    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Enough digits for display.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Collects the fields of a key. A length precedes every name and value, so that no two different
/// lists of fields give the same bytes.
#[derive(Clone)]
pub struct KeyBuilder(Sha256);

impl KeyBuilder {
    /// The key of a step of `kind` on top of `parent` (a node key or a source digest).
    pub fn new(parent: &str, kind: &str) -> Self {
        Self(Sha256::new())
            .field("", "goldsmith-node")
            .field("format", &FORMAT.to_string())
            .field("parent", parent)
            .field("kind", kind)
    }

    /// Adds one named value.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        for part in [name, value] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part.as_bytes());
        }
        self
    }

    /// The key of all fields so far.
    pub fn finish(self) -> Key {
        Key(hex::encode(self.0.finalize()))
    }
}

/// The digest that names a file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Digest {
    /// SHA-256 in lower-case hexadecimal, equal to the output of `sha256sum`.
    #[serde(rename = "sha256")]
    Plain(String),
    /// The digest of a file that is mostly zeros; see `image_file::digest`.
    #[serde(rename = "sparseSha256")]
    Sparse(String),
}

impl Digest {
    /// The 64 digits.
    pub fn hex(&self) -> &str {
        match self {
            Self::Plain(hex) | Self::Sparse(hex) => hex,
        }
    }

    /// The way it is computed.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Plain(_) => Kind::Plain,
            Self::Sparse(_) => Kind::Sparse,
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(hex) => f.write_str(hex),
            Self::Sparse(hex) => write!(f, "sparse:{hex}"),
        }
    }
}

/// The two ways to compute a [`Digest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    Sparse,
}

impl Kind {
    /// The kind that names files of a format.
    pub fn of(format: Format) -> Self {
        match format {
            Format::Raw | Format::Vhd => Self::Sparse,
            Format::Qcow2 | Format::Vmdk => Self::Plain,
        }
    }
}

/// SHA-256 of `bytes` in lower-case hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(fields: &[(String, String)]) -> Key {
        fields
            .iter()
            .fold(KeyBuilder::new("p", "k"), |builder, (name, value)| builder.field(name, value))
            .finish()
    }

    #[test]
    fn moving_a_byte_between_fields_changes_the_key() {
        let one = key(&[("a".into(), "bc".into()), ("d".into(), String::new())]);
        let two = key(&[("a".into(), "b".into()), ("cd".into(), String::new())]);
        assert_ne!(one, two);
    }

    #[test]
    fn key_parses_back_from_its_text() {
        let key = KeyBuilder::new("p", "k").finish();
        assert_eq!(Key::parse(key.as_str()), Some(key));
        assert_eq!(Key::parse("../../etc"), None);
    }

    proptest! {
        #[test]
        fn different_fields_give_different_keys(
            a in proptest::collection::vec((".{0,4}", ".{0,4}"), 0..4),
            b in proptest::collection::vec((".{0,4}", ".{0,4}"), 0..4),
        ) {
            prop_assert_eq!(a == b, key(&a) == key(&b));
        }
    }
}
