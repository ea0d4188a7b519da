//! The CD that tells a guest with Windows what its machine is for: an answer file for Setup, or the
//! files of cloudbase-init.
//!
//! It is ISO 9660 with Joliet names, which Windows reads without a driver of its own. `xorriso` writes
//! it: the one program of its kind in Debian that is still maintained.

use std::{fs, path::Path, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{Error, may_wait, private_file::private_file, proc::Command};

/// The label that goldsmith's own script looks for.
pub const LABEL: &str = "GOLDSMITH";
/// The label that cloudbase-init looks for, with files as in [`crate::seed`].
pub const CLOUDBASE_LABEL: &str = "cidata";
/// Constant, because a resumed machine needs a medium of the size it was saved with.
const SIZE: u64 = 4 * 1024 * 1024;
/// What is left for files: the rest is for the file system.
const ROOM: usize = 3 * 1024 * 1024;
const DEADLINE: Duration = Duration::from_secs(30);
/// The program that writes the medium, and the package that has it.
pub(crate) const PROGRAM: &str = "xorriso";

/// A file at the root of the CD.
#[derive(Debug, Clone, Copy)]
pub struct CdFile<'a> {
    /// At most 64 characters, without a folder.
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
    let bytes: usize = files.iter().map(|file| file.content.len()).sum();
    if bytes > ROOM {
        let why = format!("the files for the CD have {bytes} bytes, but there is room for {ROOM}");
        return Err(Error::at(path)(std::io::Error::other(why)));
    }
    may_wait(|| fs::create_dir_all(folder)).map_err(Error::at(folder))?;
    for file in files {
        private_file(folder.join(file.name), file.content)?;
    }
    private_file(path.to_owned(), "")?;
    Command::new(PROGRAM)
        // Without the settings of the user and the host.
        .args(["-no_rc", "-as", "mkisofs", "-quiet", "-joliet", "-volid", label, "-output"])
        .args([path, folder])
        .run(cancel, Some(DEADLINE))
        .await?;
    may_wait(|| fs::OpenOptions::new().write(true).open(path)?.set_len(SIZE))
        .map_err(Error::at(path))
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
        assert_eq!(medium.len() as u64, SIZE);
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
        assert_eq!((meta.len(), meta.permissions().mode() & 0o777), (SIZE, 0o600));
    }

    #[tokio::test]
    async fn files_that_do_not_fit_are_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let content = vec![0; ROOM + 1];
        let big = [CdFile { name: "big", content: &content }];
        let error = write_to(&dir.path().join("seed.iso"), &big).await.unwrap_err();
        let text = std::error::Error::source(&error).unwrap().to_string();
        assert!(text.contains("room for 3145728"), "{text}");
    }
}
