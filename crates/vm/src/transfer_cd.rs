//! The CD with one large file for a guest.
//!
//! Its size is the file's, so it is written from the file's place and never held in memory. ISO 9660
//! has files of more than 4 GiB only in level 3, which divides them; the source that Microsoft has
//! published of Windows' driver (CDFS) puts the parts together again.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{Error, answer_cd, may_wait, private_file::private_file, proc::Command};

/// In the run folder.
pub(crate) const NAME: &str = "transfer.iso";
/// What the file system takes beside the file.
const OVERHEAD: u64 = 1024 * 1024;
/// The base time to write a medium, and the minimum rate in bytes per second beyond it.
const SETTING_OUT: Duration = Duration::from_secs(60);
const SLOWEST: u64 = 4 * 1024 * 1024;

/// Writes the medium with mode 0600, with `file` under the name `name`; replaces an existing one. No
/// part of it remains after a failure.
pub(crate) async fn write(path: &Path, file: &Path, name: &str) -> Result<(), Error> {
    let written = write_to(path, file, name).await;
    if written.is_err() {
        remove(path);
    }
    written
}

pub(crate) fn remove(path: &Path) {
    let _ = may_wait(|| fs::remove_file(path));
}

async fn write_to(path: &Path, file: &Path, name: &str) -> Result<(), Error> {
    remove(path);
    // A symbolic link would be copied as one.
    let file = may_wait(|| fs::canonicalize(file)).map_err(Error::at(file))?;
    let bytes = may_wait(|| fs::metadata(&file)).map_err(Error::at(&file))?.len();
    check_room(path, bytes.saturating_add(OVERHEAD)).map_err(Error::at(path))?;
    private_file(path.to_owned(), "")?;
    Command::new(answer_cd::PROGRAM)
        // Without the settings of the user and the host.
        .args(["-no_rc", "-as", "mkisofs", "-quiet", "-iso-level", "3", "-joliet"])
        .args(["-volid", answer_cd::LABEL, "-graft-points", "-output"])
        .arg(path)
        .arg(graft(name, &file))
        .run(&CancellationToken::new(), Some(SETTING_OUT + Duration::from_secs(bytes / SLOWEST)))
        .await?;
    Ok(())
}

fn check_room(path: &Path, need: u64) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    let stat = may_wait(|| rustix::fs::statvfs(folder))?;
    if stat.f_bavail.saturating_mul(stat.f_frsize) < need {
        let why = format!("the CD with the file needs {need} bytes, and fewer are free");
        return Err(io::Error::new(io::ErrorKind::StorageFull, why));
    }
    Ok(())
}

/// `NAME=FILE`, in which `=` and `\` have a meaning.
fn graft(name: &str, file: &Path) -> OsString {
    let mut text = format!("{name}=").into_bytes();
    for byte in file.as_os_str().as_bytes() {
        if matches!(byte, b'=' | b'\\') {
            text.push(b'\\');
        }
        text.push(*byte);
    }
    OsString::from_vec(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn medium_has_the_file_that_a_strange_link_leads_to() {
        let dir = tempfile::tempdir().unwrap();
        let (path, file) = (dir.path().join(NAME), dir.path().join("a=b\\c d"));
        let link = dir.path().join("link");
        fs::write(&file, "the content".repeat(10_000)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        fs::write(&path, "an earlier one").unwrap();
        write(&path, &link, "goldsmith-01").await.unwrap();

        let meta = fs::metadata(&path).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o600);
        let medium = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        assert_eq!(medium.matches("the content").count(), 10_000, "once, and whole");
        let joliet: Vec<u8> = "goldsmith-01".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert!(fs::read(&path).unwrap().windows(joliet.len()).any(|part| part == joliet));
    }

    #[tokio::test]
    async fn nothing_remains_of_a_medium_that_cannot_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        write(&path, &dir.path().join("missing"), "goldsmith-01").await.unwrap_err();
        assert!(!path.exists());
        // Sparse, and larger than the disk.
        let huge = dir.path().join("huge");
        fs::File::create(&huge).unwrap().set_len(1 << 43).unwrap();
        let error = write(&path, &huge, "goldsmith-01").await.unwrap_err();
        let Error::Io { source, .. } = &error else { panic!("{error}") };
        assert_eq!(source.kind(), io::ErrorKind::StorageFull);
        assert!(!path.exists());
    }
}
