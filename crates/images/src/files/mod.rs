//! Files and folders that get their names only when they are complete: written under another name,
//! locked by their makers, synced, renamed. After a crash there is the old content or the new, and
//! a sweep finds what the dead process left.

pub mod partial;
pub mod work_folder;

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::Path,
};

use api::ErrorCode;
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};
use serde::de::DeserializeOwned;
use vm::may_wait;

use crate::{
    absent,
    error::{Coded, Error, Result},
    lock::pause,
};
use partial::{Existing, Partial};

/// The maker's name of small files. The next writer takes over what a dead one left.
const WRITER: &str = "write";
/// How often a writer tries again while another one writes the same file.
const WRITE_TRIES: u32 = 100;

/// Creates a folder for its owner only, unless it exists.
pub fn make_dir(dir: &Path) -> io::Result<()> {
    may_wait(|| DirBuilder::new().recursive(true).mode(0o700).create(dir))
}

/// The text of a file, if it exists.
pub fn read(path: &Path) -> io::Result<Option<String>> {
    absent::or_none(may_wait(|| fs::read_to_string(path)))
}

/// The value in a JSON file, if the file exists. `remedy` helps if it is damaged.
///
/// # Errors
/// `HostNotReady`: it cannot be read, or is damaged.
pub fn read_json<T: DeserializeOwned>(path: &Path, remedy: &str) -> Result<Option<T>> {
    let path_text = path.display();
    let text = read(path).code(ErrorCode::HostNotReady, || format!("cannot read {path_text}"))?;
    let parsed = text.map(|text| serde_json::from_str(&text)).transpose();
    parsed.map_err(|error| {
        Error::new(ErrorCode::HostNotReady, format!("{path_text} is damaged: {error}")).hint(remedy)
    })
}

/// Replaces a file with one that only its owner can read.
pub fn write_secret(path: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    write(path, content.as_ref(), 0o600)
}

/// Replaces a file with one that everyone can read, if the umask allows it.
pub fn write_public(path: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    write(path, content.as_ref(), 0o644)
}

fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    may_wait(|| {
        let mut tries = WRITE_TRIES;
        loop {
            match Partial::with_mode(path, WRITER, mode) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy && tries > 0 => pause(),
                partial => return partial?.finish_with(content, Existing::Replace),
            }
            tries -= 1;
        }
    })
}

/// Makes a rename in the folder of `path` durable.
///
/// # Errors
/// The folder cannot be opened or synced.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

/// Durably renames a synced file that no other maker can name, in place of another. Two names of
/// the same file stay after a rename, so the old one is removed.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    absent::remove_file(from)?;
    sync_parent(to)
}

/// Renames to a name that must be free.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system has this kind of rename. There the check and the rename are two
        // steps.
        Err(Errno::INVAL | Errno::NOSYS) if to.symlink_metadata().is_ok() => {
            Err(io::ErrorKind::AlreadyExists.into())
        }
        Err(Errno::INVAL | Errno::NOSYS) => fs::rename(from, to),
        other => other.map_err(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn secret_replacing_an_open_file_is_readable_by_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let mode = || fs::metadata(&path).unwrap().mode() & 0o777;
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        // What a killed process left is not written to: it may be open to others.
        let torn = partial::partial_path(&path, WRITER);
        fs::write(&torn, "torn").unwrap();
        fs::set_permissions(&torn, fs::Permissions::from_mode(0o644)).unwrap();
        write_secret(&path, "new").unwrap();
        assert_eq!((mode(), read(&path).unwrap().as_deref()), (0o600, Some("new")));
        write_public(&path, "open").unwrap();
        assert!(mode() & 0o600 == 0o600 && !torn.exists());
        assert_eq!(read(&torn).unwrap(), None);
    }

    #[test]
    fn concurrent_writers_of_one_file_all_succeed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("login.json");
        let write = |text: &'static str| {
            let path = path.clone();
            std::thread::spawn(move || write_secret(&path, text))
        };
        let writers: Vec<_> = ["a", "b", "c", "d"].into_iter().map(write).collect();
        for writer in writers {
            writer.join().unwrap().unwrap();
        }
        assert_eq!(read(&path).unwrap().unwrap().len(), 1);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn link_in_place_of_the_unfinished_file_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("key"), dir.path().join("other"));
        fs::write(&other, "kept").unwrap();
        symlink(&other, partial::partial_path(&path, WRITER)).unwrap();
        assert!(write_secret(&path, "new").is_err());
        assert_eq!(fs::read_to_string(&other).unwrap(), "kept");
    }
}
