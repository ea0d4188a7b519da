//! The archive to send: a tar file in the ustar format, compressed by gzip.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use flate2::{Compression, write::GzEncoder};

const BLOCK: usize = 512;
/// Of a name in a header.
const NAME_BYTES: usize = 100;

/// An archive that is being written.
pub(crate) struct Archive {
    gzip: GzEncoder<File>,
    folder: String,
    seconds: u64,
}

impl Archive {
    /// Creates the file, which only its owner can read. Everything in it is in `folder`. `seconds`
    /// since 1970 is the time of its files.
    pub(crate) fn create(path: &Path, folder: &str, seconds: u64) -> io::Result<Self> {
        let file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let gzip = GzEncoder::new(file, Compression::default());
        Ok(Self { gzip, folder: folder.to_owned(), seconds })
    }

    /// Adds a file.
    pub(crate) fn add(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let path = format!("{}/{name}", self.folder);
        self.gzip.write_all(&header(&path, content.len() as u64, self.seconds)?)?;
        self.gzip.write_all(content)?;
        let rest = content.len() % BLOCK;
        self.gzip.write_all(&[0; BLOCK][..if rest == 0 { 0 } else { BLOCK - rest }])
    }

    /// Writes the end of the archive, and the whole of it to the disk.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.gzip.write_all(&[0; 2 * BLOCK])?;
        self.gzip.finish()?.sync_all()
    }
}

fn header(path: &str, bytes: u64, seconds: u64) -> io::Result<[u8; BLOCK]> {
    let mut header = [0; BLOCK];
    if path.len() >= NAME_BYTES {
        return Err(io::Error::other(format!("{path} is too long for an archive")));
    }
    let mut put =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, path);
    put(100, "0000600\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{bytes:011o}\0"));
    put(136, &format!("{seconds:011o}\0"));
    // The sum counts its own field as blanks.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(header)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests start tar")]
    use std::process::Command;

    use super::*;

    #[test]
    fn tar_reads_every_file_of_the_archive() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.tar.gz");
        let mut archive = Archive::create(&path, "trial", 1_900_000_000).unwrap();
        let long = vec![b'x'; 5 * BLOCK];
        archive.add("report.txt", b"all is well\n").unwrap();
        archive.add("screens/01-start.png", &long).unwrap();
        archive.add("empty", b"").unwrap();
        archive.finish().unwrap();
        let run = |args: &[&str]| {
            let tar = Command::new("tar").args(args).arg(&path).current_dir(&dir).output().unwrap();
            assert!(tar.status.success(), "{}", String::from_utf8_lossy(&tar.stderr));
            String::from_utf8(tar.stdout).unwrap()
        };
        assert_eq!(run(&["tzf"]), "trial/report.txt\ntrial/screens/01-start.png\ntrial/empty\n");
        run(&["xzf"]);
        let read = |name: &str| std::fs::read(dir.path().join("trial").join(name)).unwrap();
        assert_eq!(read("report.txt"), b"all is well\n");
        assert_eq!(read("screens/01-start.png"), long);
        assert_eq!(read("empty"), b"");
    }

    #[test]
    fn name_that_does_not_fit_is_an_error() {
        assert!(header(&"x".repeat(NAME_BYTES), 0, 0).is_err());
    }
}
