//! The CD that tells a guest with Windows what its machine is for: an answer file for Setup, or the
//! files of cloudbase-init.
//!
//! It is ISO 9660 with Joliet names, which Windows reads without a driver of its own. `xorriso` writes
//! it: the one program of its kind in Debian that is still maintained.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{Error, may_wait, private_file::private_file, proc::Command};

/// The label that goldsmith's own script looks for.
pub const LABEL: &str = "GOLDSMITH";
/// The label that cloudbase-init looks for, with files as in [`crate::seed`].
pub const CLOUDBASE_LABEL: &str = "cidata";
/// A medium has this size, or a multiple of it: the same for files that differ little, because a resumed
/// machine needs a medium of the size it was saved with.
const STEP: u64 = 4 * 1024 * 1024;
/// What the file system takes beside the files.
const OVERHEAD: u64 = 1024 * 1024;
/// For all files, in bytes. More than drivers need; the caller holds them in memory.
const ROOM: u64 = 255 * 1024 * 1024;
const DEADLINE: Duration = Duration::from_secs(30);
/// The program that writes the medium, and the package that has it.
pub(crate) const PROGRAM: &str = "xorriso";

/// A file of the CD.
#[derive(Debug, Clone, Copy)]
pub struct CdFile<'a> {
    /// Its path, with `/` between folders and names. Each name has at most 64 characters.
    pub name: &'a str,
    /// Its content.
    pub content: &'a [u8],
}

/// Writes the medium with mode 0600; replaces an existing file.
///
/// # Errors
/// The files are too large for the medium, or it cannot be written.
pub async fn write(
    path: &Path,
    label: &str,
    files: &[CdFile<'_>],
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let folder = path.with_extension("files");
    let result = write_in(path, &folder, label, files, cancel).await;
    let _ = may_wait(|| fs::remove_dir_all(&folder));
    result
}

async fn write_in(
    path: &Path,
    folder: &Path,
    label: &str,
    files: &[CdFile<'_>],
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let bytes: u64 = files.iter().map(|file| file.content.len() as u64).sum();
    if bytes > ROOM {
        let why = format!("the files for the CD have {bytes} bytes, but there is room for {ROOM}");
        return Err(Error::at(path)(io::Error::other(why)));
    }
    may_wait(|| fs::create_dir_all(folder)).map_err(Error::at(folder))?;
    for file in files {
        let to = place(folder, file.name).map_err(Error::at(path))?;
        private_file(to, file.content)?;
    }
    private_file(path.to_owned(), "")?;
    Command::new(PROGRAM)
        // Without the settings of the user and the host.
        .args(["-no_rc", "-as", "mkisofs", "-quiet", "-joliet", "-volid", label, "-output"])
        .args([path, folder])
        .run(cancel, Some(DEADLINE))
        .await?;
    let size = (bytes + OVERHEAD).next_multiple_of(STEP);
    may_wait(|| fill(path, size)).map_err(Error::at(path))
}

/// The place of a file below `folder`, whose folders exist afterwards.
fn place(folder: &Path, name: &str) -> io::Result<PathBuf> {
    let is_plain = |part: &str| !matches!(part, "" | "." | "..") && part.chars().count() <= 64;
    if !name.split('/').all(is_plain) {
        return Err(io::Error::other(format!("{name:?} is not a path of a file on a CD")));
    }
    let to = folder.join(name);
    may_wait(|| to.parent().map_or(Ok(()), fs::create_dir_all))?;
    Ok(to)
}

fn fill(path: &Path, size: u64) -> io::Result<()> {
    let file = fs::OpenOptions::new().write(true).open(path)?;
    let written = file.metadata()?.len();
    if written > size {
        return Err(io::Error::other(format!("the CD has {written} bytes, more than {size}")));
    }
    file.set_len(size)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const FILES: [CdFile<'_>; 2] = [
        CdFile { name: "Unattend.xml", content: b"<unattend/>" },
        CdFile { name: "first.ps1", content: b"# goldsmith: first\r\n" },
    ];

    async fn write_to(path: &Path, files: &[CdFile<'_>]) -> Result<(), Error> {
        write(path, LABEL, files, &CancellationToken::new()).await
    }

    /// A sector of the medium.
    fn sector(medium: &[u8], number: usize) -> &[u8] {
        &medium[number * 2048..(number + 1) * 2048]
    }

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_be_bytes).collect()
    }

    /// Read without the program that wrote it: the volume descriptors, the root folder, a file.
    #[tokio::test]
    async fn medium_has_joliet_names_and_the_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seed.iso");
        write_to(&path, &FILES).await.unwrap();
        let medium = fs::read(&path).unwrap();
        assert_eq!(medium.len() as u64, STEP);
        assert_eq!(&sector(&medium, 16)[..6], b"\x01CD001");
        assert_eq!(
            sector(&medium, 16)[40..].split(|b| *b == b' ').next().unwrap(),
            LABEL.as_bytes()
        );
        let mut descriptors = (17..32).map(|number| sector(&medium, number));
        let joliet = descriptors.find(|d| d[..6] == *b"\x02CD001" && d[88..90] == *b"%/").unwrap();
        assert!(joliet[40..].starts_with(&utf16(LABEL)));
        let at = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
        let mut root = sector(&medium, at(&joliet[158..]));
        let mut found = Vec::new();
        while root[0] != 0 {
            let (entry, rest) = root.split_at(root[0].into());
            root = rest;
            let name = &entry[33..33 + usize::from(entry[32])];
            for file in &FILES {
                if name.starts_with(&utf16(file.name)) {
                    let content = &medium[at(&entry[2..]) * 2048..][..at(&entry[10..])];
                    assert_eq!(content, file.content);
                    found.push(file.name);
                }
            }
        }
        assert_eq!(found, ["Unattend.xml", "first.ps1"]);
        let names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["seed.iso"], "no other copy of the passwords remains");
    }

    #[tokio::test]
    async fn medium_is_readable_by_its_owner_only_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seed.iso");
        fs::write(&path, "x".repeat(5_000_000)).unwrap();
        write_to(&path, &FILES[..1]).await.unwrap();
        let meta = fs::metadata(&path).unwrap();
        assert_eq!((meta.len(), meta.permissions().mode() & 0o777), (STEP, 0o600));
    }

    #[tokio::test]
    async fn larger_files_make_a_larger_medium() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seed.iso");
        let content = vec![1; 3_200_000];
        let drivers = ["drivers/net/a.sys", "drivers/net/b.inf"];
        let files = drivers.map(|name| CdFile { name, content: &content });
        write_to(&path, &files).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 2 * STEP);
    }

    #[tokio::test]
    async fn names_outside_the_medium_are_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seed.iso");
        for name in ["../evil", "/etc/evil", "a//b", "", &"x".repeat(65)] {
            let error = write_to(&path, &[CdFile { name, content: b"x" }]).await.unwrap_err();
            let why = std::error::Error::source(&error).unwrap().to_string();
            assert!(why.contains("not a path"), "{name}: {why}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
