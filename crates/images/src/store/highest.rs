//! The highest number that a definition has ever assigned, for each major number. The number of a
//! removed version stays here, so that no other version gets it: a trigger that acted upon `1.0.5`
//! would not notice a second one.
//!
//! ```text
//! images/numbers/<subscription>/<group>/<gallery>/<definition>.json      ["0.0.7", "1.0.5"]
//! ```
//!
//! The file outlives its definition. A later definition with the same name continues the count,
//! since ids of its predecessor's versions may be stored anywhere. The file takes a few bytes per
//! definition.

use std::{fs, io, path::PathBuf};

use super::{Store, address::Address, version::Version};
use crate::{absent::or_none, image_file::artifact::write_json};

const NUMBERS: &str = "numbers";

impl Store {
    /// The highest number ever assigned for each major number.
    pub(super) fn highest(&self, definition: &Address) -> io::Result<Vec<Version>> {
        let path = self.numbers_file(definition);
        let Some(bytes) = or_none(fs::read(&path))? else { return Ok(Vec::new()) };
        serde_json::from_slice(&bytes)
            .map_err(|e| io::Error::other(format!("{} is damaged: {e}", path.display())))
    }

    /// Records an assigned number. The caller holds the store's lock.
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
        // For a version, the four names of its definition.
        path.extend(definition.parts().iter().take(4));
        path.add_extension("json");
        path
    }
}
