//! Reserved version numbers: a service knows versions whose disks are elsewhere.
//!
//! ```text
//! images/galleries/<subscription>/<group>/<gallery>/<definition>/<x.y.z>.reserved
//! ```

use std::{fs, path::PathBuf};

use api::ErrorCode;

use super::{Store, address::Address, drop_empty_parents, version::Version};
use crate::{
    absent::{entries, remove_file},
    error::{Coded, Result},
};

const SUFFIX: &str = ".reserved";

impl Store {
    /// Reserves these numbers. The numbers of stored versions are taken anyway.
    ///
    /// # Errors
    /// `InternalError`: the reservation cannot be written.
    pub fn reserve(&self, definition: &Address, versions: &[Version]) -> Result<()> {
        let dir = definition.dir(&self.root);
        let stored = self.versions(definition)?;
        let is_here =
            |version: &&Version| stored.iter().any(|image| image.record.version == Some(**version));
        let versions: Vec<_> = versions.iter().filter(|version| !is_here(version)).collect();
        let write = || {
            if !versions.is_empty() {
                fs::create_dir_all(&dir)?;
            }
            let _lock = self.lock()?;
            for version in &versions {
                self.note_number(definition, **version)?;
            }
            versions
                .iter()
                .try_for_each(|version| fs::write(self.reserved(definition, **version), ""))
        };
        write().code(ErrorCode::InternalError, || format!("write below {}", dir.display()))
    }

    /// Frees a reserved number.
    ///
    /// # Errors
    /// `InternalError`: the reservation cannot be removed.
    pub fn release(&self, definition: &Address, version: Version) -> Result<()> {
        let path = self.reserved(definition, version);
        remove_file(&path)
            .code(ErrorCode::InternalError, || format!("remove {}", path.display()))?;
        drop_empty_parents(&path, &self.root);
        Ok(())
    }

    fn reserved(&self, definition: &Address, version: Version) -> PathBuf {
        definition.dir(&self.root).join(format!("{version}{SUFFIX}"))
    }

    /// Every taken number of a definition, by a version or by a reservation. The names of folders
    /// count, so that a version with a damaged record retains its number.
    pub(super) fn numbers(&self, definition: &Address) -> Result<Vec<Version>> {
        let dir = definition.dir(&self.root);
        let found =
            entries(&dir).code(ErrorCode::InternalError, || format!("read {}", dir.display()))?;
        let number = |path: &PathBuf| {
            let name = path.file_name()?.to_str()?;
            name.strip_suffix(SUFFIX).unwrap_or(name).parse::<Version>().ok()
        };
        Ok(found.iter().filter_map(number).collect())
    }
}
