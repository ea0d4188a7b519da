//! The same bytes under another name: a hard link if possible, otherwise a sparse copy.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use rustix::{
    fs::{copy_file_range, ioctl_ficlone},
    io::Errno,
};
use tokio_util::sync::CancellationToken;

use super::{extents::data_extents, verified::Verified};
use crate::error::stopped;

/// Bytes to copy between two checks of the cancel token.
const CHUNK: usize = 16 << 20;

/// Gives a finished, read-only file a second name. Copies if the two paths are on different file
/// systems or hard links are not supported. `to` must not exist.
pub fn link_or_copy(
    verified: &Verified,
    from: &Path,
    to: &Path,
    cancel: &CancellationToken,
) -> io::Result<()> {
    let Err(error) = verified.keep(from, to, || fs::hard_link(from, to)) else {
        return Ok(());
    };
    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) {
        return Err(error);
    }
    copy(from, &File::create_new(to)?, cancel)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())
}

/// Copies a file into an empty one, with its holes. Shares blocks if the file system can, otherwise
/// copies extent by extent.
pub fn copy(from: &Path, to: &File, cancel: &CancellationToken) -> io::Result<()> {
    let source = File::open(from)?;
    if ioctl_ficlone(to, &source).is_ok() {
        return Ok(());
    }
    let size = source.metadata()?.len();
    to.set_len(size)?;
    let mut in_kernel = true;
    for extent in data_extents(&source, size) {
        let extent = extent?;
        let mut at = extent.start;
        while at < extent.end {
            if cancel.is_cancelled() {
                return Err(stopped());
            }
            let wanted = CHUNK.min(usize::try_from(extent.end - at).unwrap_or(CHUNK));
            at += copy_chunk(&source, to, at, wanted, &mut in_kernel)? as u64;
        }
    }
    Ok(())
}

fn copy_chunk(
    from: &File,
    to: &File,
    at: u64,
    wanted: usize,
    in_kernel: &mut bool,
) -> io::Result<usize> {
    if *in_kernel {
        let (mut read_at, mut write_at) = (at, at);
        match copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), wanted) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(copied) => return Ok(copied),
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => *in_kernel = false,
            Err(error) => return Err(error.into()),
        }
    }
    let mut buffer = vec![0; wanted.min(1 << 20)];
    from.read_exact_at(&mut buffer, at)?;
    to.write_all_at(&buffer, at)?;
    Ok(buffer.len())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn copy_has_the_bytes_and_the_holes() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        let file = File::create(&a).unwrap();
        file.set_len(256 << 20).unwrap();
        file.write_all_at(&[7; 100_000], 100 << 20).unwrap();
        copy(&a, &File::create_new(&b).unwrap(), &CancellationToken::new()).unwrap();
        assert_eq!(fs::read(&a).unwrap(), fs::read(&b).unwrap());
        assert!(fs::metadata(&b).unwrap().blocks() * 512 < 1 << 20, "the holes stayed holes");
    }

    #[test]
    fn fallback_copies_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let data: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        fs::write(&path, &data).unwrap();
        let from = File::open(&path).unwrap();
        let to = File::create_new(dir.path().join("b")).unwrap();
        let mut at = 0;
        while at < data.len() {
            at += copy_chunk(&from, &to, at as u64, data.len() - at, &mut false).unwrap();
        }
        assert_eq!(fs::read(dir.path().join("b")).unwrap(), data);
    }

    #[test]
    fn canceled_copy_stops() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, [1; 4096]).unwrap();
        let cancel = CancellationToken::new();
        cancel.cancel();
        let to = File::create_new(dir.path().join("b")).unwrap();
        // A file system that shares blocks finishes before the token is checked.
        if let Err(error) = copy(&path, &to, &cancel) {
            assert_eq!(error.kind(), io::ErrorKind::Interrupted);
        }
    }
}
