//! The CDs with single files in machines.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A medium: the file's name on it, and the file.
type Medium = (String, PathBuf);

/// The media in the machines of one backend.
#[derive(Debug, Clone, Default)]
pub struct Media(Arc<Mutex<HashMap<PathBuf, Medium>>>);

impl Media {
    /// The file that is in a machine under that name.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        self.all().values().find(|(named, _)| named == name).map(|(_, file)| file.clone())
    }

    pub(super) fn insert(&self, run_dir: &Path, name: &str, file: &Path) {
        self.all().insert(run_dir.to_owned(), (name.to_owned(), file.to_owned()));
    }

    pub(super) fn eject(&self, run_dir: &Path) {
        self.all().remove(run_dir);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<PathBuf, Medium>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
