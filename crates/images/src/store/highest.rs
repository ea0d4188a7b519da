//! The highest number that a definition has ever given, for each major number. A version that was removed leaves its
//! number here, so that no other gets it: a trigger that acted upon `1.0.5` would not notice a second one.
//!
//! ```text
//! images/numbers/<subscription>/<group>/<gallery>/<definition>.json      ["0.0.7", "1.0.5"]
//! ```
//!
//! The file outlives its definition. A definition of the same name that is made later continues the count, since ids of
//! its predecessor's versions may be written down anywhere. It takes a few bytes for each definition there ever was.

use std::{fs, io, path::PathBuf};

use super::{Store, address::Address, version::Version};
use crate::{absent::or_none, image_file::artifact::write_json};

const NUMBERS: &str = "numbers";

impl Store {
    /// The highest number of each major number that was ever given.
    pub(super) fn highest(&self, definition: &Address) -> io::Result<Vec<Version>> {
        let path = self.numbers_file(definition);
        let Some(bytes) = or_none(fs::read(&path))? else { return Ok(Vec::new()) };
        serde_json::from_slice(&bytes)
            .map_err(|e| io::Error::other(format!("{} is damaged: {e}", path.display())))
    }

    /// Notes that a number is or was given. The caller holds the store's lock.
    pub(super) fn note_number(&self, definition: &Address, version: Version) -> io::Result<()> {
        let mut highest = self.highest(definition)?;
        match highest.iter_mut().find(|other| other.major == version.major) {
            Some(other) if *other >= version => return Ok(()),
            Some(other) => *other = version,
            None => highest.push(version),
        }
        highest.sort();
        let path = self.numbers_file(definition);
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        write_json(&path, &highest)
    }

    fn numbers_file(&self, definition: &Address) -> PathBuf {
        let mut path = self.root.join(NUMBERS);
        // Of a version, its definition's four names.
        path.extend(definition.parts().iter().take(4));
        path.add_extension("json");
        path
    }
}
