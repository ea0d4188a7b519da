//! Numbers of versions that exist elsewhere: a service knows of versions that have no disk here.
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
    /// No version gets these numbers from now on. Those of versions that are here are taken anyway.
    ///
    /// # Errors
    /// `InternalError`: it cannot be written down.
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

    /// The number is free again.
    ///
    /// # Errors
    /// `InternalError`: it cannot be struck out.
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

    /// Every number of a definition that is taken, by a version or by a reservation. Names of folders count, so that a
    /// version whose record is damaged keeps its number.
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
