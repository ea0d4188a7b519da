//! Files with secrets for a machine.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::PathBuf};

use crate::{Error, may_wait};

/// Writes a file that only its owner can read; replaces an existing one. Returns its path.
pub(crate) fn private_file(path: PathBuf, content: impl AsRef<[u8]>) -> Result<PathBuf, Error> {
    may_wait(|| {
        let _ = fs::remove_file(&path);
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(content.as_ref()))
            .map_err(Error::at(&path))?;
        Ok(path)
    })
}
