//! A piece of a disk: its name, and its compressed form in transit and in the place.

use std::{fmt, io};

use object_store::path::Path as Key;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The folder of all pieces of a place.
pub(super) const CHUNKS: &str = "chunks";
const SUFFIX: &str = ".zst";
/// Disks contain much data that compresses well and much that does not compress at all, so only the
/// fastest level pays off.
const LEVEL: i32 = 1;

/// The name of a piece: the SHA-256 of its content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ChunkId([u8; 32]);

impl ChunkId {
    pub(super) fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }

    /// Its key in a place. Grouped by the first digits, since folders with very many files are
    /// slow.
    pub(super) fn key(self) -> Key {
        let name = hex::encode(self.0);
        Key::from_iter([CHUNKS, &name[..2], &format!("{name}{SUFFIX}")])
    }

    /// The piece with that object key; `None` for any other object.
    pub(super) fn of_key(key: &Key) -> Option<Self> {
        Self::parse(key.filename()?.strip_suffix(SUFFIX)?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut id = [0; 32];
        hex::decode_to_slice(text, &mut id).ok()?;
        Some(Self(id))
    }
}

impl fmt::Debug for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl From<ChunkId> for String {
    fn from(id: ChunkId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for ChunkId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is not the name of a piece"))
    }
}

/// Compresses a piece for storage.
pub(super) fn pack(content: &[u8]) -> io::Result<Vec<u8>> {
    zstd::bulk::compress(content, LEVEL)
}

/// Decompresses a stored piece of `length` bytes and checks it against its name.
pub(super) fn unpack(id: ChunkId, packed: &[u8], length: usize) -> Result<Vec<u8>, String> {
    let content = zstd::bulk::decompress(packed, length)
        .map_err(|e| format!("the piece {id} cannot be unpacked: {e}"))?;
    if content.len() != length || ChunkId::of(&content) != id {
        return Err(format!("the piece {id} has another content than its name says"));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_piece_unpacks_and_mismatch_is_rejected() {
        let content = b"goldsmith ".repeat(1000);
        let id = ChunkId::of(&content);
        let packed = pack(&content).unwrap();
        assert!(packed.len() < content.len() / 10);
        assert_eq!(unpack(id, &packed, content.len()).unwrap(), content);

        let other = pack(&b"Goldsmith ".repeat(1000)).unwrap();
        assert!(unpack(id, &other, content.len()).unwrap_err().contains("another content"));
        assert!(unpack(id, &packed, content.len() - 1).is_err());
        assert!(unpack(id, &packed[..packed.len() / 2], content.len()).is_err());
        assert!(unpack(id, b"torn", content.len()).is_err());
    }

    #[test]
    fn key_parses_back_and_other_objects_are_ignored() {
        let id = ChunkId::of(b"x");
        assert_eq!(ChunkId::of_key(&id.key()), Some(id));
        assert!(id.key().as_ref().starts_with("chunks/2d/2d7116"));
        for name in ["chunks/2d/README", "chunks/2d/2d71.zst", "chunks/zz.zst"] {
            assert_eq!(ChunkId::of_key(&Key::from(name)), None);
        }
    }
}
