//! Small files of the server's own folder: written whole or not at all, secrets for the owner only; and its folders.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use engine::may_wait;
use images::absent;

/// Makes the folder, for its owner only, unless it is there.
pub fn make_dir(dir: &Path) -> io::Result<()> {
    may_wait(|| fs::DirBuilder::new().recursive(true).mode(0o700).create(dir))
}

/// The file's text, or nothing if there is no such file.
pub fn read(path: &Path) -> io::Result<Option<String>> {
    absent::or_none(may_wait(|| fs::read_to_string(path)))
}

/// Writes a file that only its owner may read.
pub fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    write(path, text, 0o600)
}

/// Writes a file that everyone may read.
pub fn write_public(path: &Path, text: &str) -> io::Result<()> {
    write(path, text, 0o644)
}

/// By a rename, so that a crash leaves the old file or the new one. The server's lock keeps others
/// from the same temporary name.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    may_wait(|| {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".new");
        absent::remove_file(Path::new(&unfinished))?;
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        path.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_for_its_owner_also_when_it_replaces_an_open_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write_secret(&path, "new").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path).unwrap().as_deref(), Some("new"));
    }
}
