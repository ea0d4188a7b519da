//! Parts of the cache. A build of one part cannot notice what builds of another have left behind.
//!
//! ```text
//! partitions/<name>/<source|download>-<digest>    this part has had the content itself
//! ```
//!
//! Nodes of different parts have different keys. Sources and downloads are named by their content, so
//! that they exist once; a part finds one only after it has brought that content itself. A mark is
//! empty, and without it the content is brought again.

use std::{fs, io, path::PathBuf};

use uuid::Uuid;

use crate::{absent, in_use::Kind, layout::Layout};

/// The part of the cache that a build uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Partition {
    /// The whole cache, for the user of this machine. Nodes have the keys of the shared part.
    #[default]
    Whole,
    /// The part of all who share it.
    Shared,
    /// A part of its own.
    Own(Uuid),
}

impl Partition {
    /// What distinguishes the keys of its nodes. The shared part has no distinction.
    pub fn distinction(&self) -> Option<String> {
        match self {
            Self::Whole | Self::Shared => None,
            Self::Own(id) => Some(id.to_string()),
        }
    }

    /// Whether the part has had this content. An unreadable mark counts as missing.
    pub fn has(&self, layout: &Layout, kind: Kind, digest: &str) -> bool {
        self.mark(layout, kind, digest).is_none_or(|mark| mark.is_file())
    }

    /// Records that the part has this content.
    pub fn add(&self, layout: &Layout, kind: Kind, digest: &str) -> io::Result<()> {
        let Some(mark) = self.mark(layout, kind, digest) else { return Ok(()) };
        if let Some(folder) = mark.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(mark, "")
    }

    fn mark(&self, layout: &Layout, kind: Kind, digest: &str) -> Option<PathBuf> {
        let name = match self {
            Self::Whole => return None,
            Self::Shared => "shared".to_owned(),
            Self::Own(id) => id.to_string(),
        };
        Some(layout.partitions().join(name).join(format!("{}{digest}", kind.mark())))
    }
}

/// Removes the marks of content that is gone.
pub fn forget_gone(layout: &Layout) -> io::Result<()> {
    for folder in absent::entries(&layout.partitions())? {
        for mark in absent::entries_of_any(&folder)? {
            let name = mark.file_name().and_then(|name| name.to_str());
            if name.and_then(Kind::of_mark).is_none_or(|(kind, name)| kind.is_gone(layout, name)) {
                absent::remove_file(&mark)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn part_has_what_it_has_brought_itself() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("cache"), dir.path().join("data"));
        let (one, other) = (Partition::Own(Uuid::from_u128(1)), Partition::Own(Uuid::from_u128(2)));
        let whole = Partition::Whole;
        assert!(
            !one.has(&layout, Kind::Download, "abc") && whole.has(&layout, Kind::Download, "abc")
        );
        one.add(&layout, Kind::Download, "abc").unwrap();
        whole.add(&layout, Kind::Download, "abc").unwrap();
        assert!(one.has(&layout, Kind::Download, "abc"));
        assert!(
            !one.has(&layout, Kind::Source, "abc") && !other.has(&layout, Kind::Download, "abc")
        );

        fs::create_dir_all(layout.downloads()).unwrap();
        fs::write(layout.downloads().join("abc"), "x").unwrap();
        one.add(&layout, Kind::Source, "abc").unwrap();
        forget_gone(&layout).unwrap();
        assert!(one.has(&layout, Kind::Download, "abc") && !one.has(&layout, Kind::Source, "abc"));
    }
}
