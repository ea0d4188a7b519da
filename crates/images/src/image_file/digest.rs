//! Digests of large files, and a cheap check that a file is still the one that was hashed.
//!
//! Compact formats (qcow2, VMDK) have a plain SHA-256. Flat files (raw, fixed VHD) are as long as
//! the guest's disk, and SHA-256 would process every zero of them: 0.8 s per GiB, whatever the disk
//! contains. So they, and the files of nodes, have a *sparse* digest, whose cost depends on the
//! content only. It is the SHA-256 of this text:
//!
//! ```text
//! goldsmith sparse 1
//! <length of the file>
//! <number of a MiB> <SHA-256 of it>        for each MiB that is not all zeros, in order
//! ```
//!
//! Numbers are decimal and begin at 0, the last MiB may be shorter, each line ends with a newline.
//! The holes of the file system do not change the digest. `goldsmith image digest` computes it for
//! any file.

use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
};

use api::ErrorCode;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use vm::{may_wait, off_runtime};

use super::extents::data_extents;
pub use crate::digest::{Digest, Kind};
use crate::{
    error::{Result, io_fault, stopped},
    run_context::RunContext,
};

/// Bytes that are read, or hashed for a hole, at a time.
const CHUNK: usize = 1 << 20;
const MIB: u64 = CHUNK as u64;
/// Bytes between two progress events.
pub const REPORT: u64 = 32 << 20;

/// Size and modification time. While they stay the same, a file counts as the one that was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stamp {
    pub size: u64,
    pub modified_seconds: i64,
    pub modified_nanos: i64,
}

impl Stamp {
    /// The stamp of an open file or of a looked-up path.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.len(),
            modified_seconds: metadata.mtime(),
            modified_nanos: metadata.mtime_nsec(),
        }
    }

    /// The stamp of the file at `path`.
    pub fn at(path: &Path) -> io::Result<Self> {
        may_wait(|| Ok(Self::of(&std::fs::metadata(path)?)))
    }
}

/// SHA-256 of the file in lower-case hexadecimal, equal to the output of `sha256sum`. Holes are
/// hashed without reading them. Progress is reported as `activity`.
///
/// # Errors
/// `ExportFailed`, `Canceled`.
pub async fn sha256(cx: &RunContext, path: &Path, activity: &str) -> Result<String> {
    Ok(compute(cx, path, Kind::Plain, activity).await?.hex().to_owned())
}

/// The digest of that kind. Progress is reported as `activity`.
///
/// # Errors
/// `ExportFailed`, `Canceled`.
pub async fn compute(cx: &RunContext, path: &Path, kind: Kind, activity: &str) -> Result<Digest> {
    read_off_runtime(cx, path, (activity, "hash"), move |path, cancel, progress| {
        of_file(&File::open(path)?, kind, cancel, progress)
    })
    .await
}

/// Reads a file on a thread of its own. The thread ends when this future is dropped. `names` holds
/// the name of the activity for progress events, and of the work for errors.
pub(super) async fn read_off_runtime<T: Send + 'static>(
    cx: &RunContext,
    path: &Path,
    names: (&str, &str),
    work: impl FnOnce(&Path, &CancellationToken, &mut dyn FnMut(u64)) -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let (activity, verb) = names;
    let cancel = cx.cancel.child_token();
    let _on_drop = cancel.clone().drop_guard();
    let (owned, activity) = (path.to_owned(), cx.events.transfer(activity));
    let done = off_runtime(move || {
        let size = owned.metadata().ok().map(|metadata| metadata.len());
        work(&owned, &cancel, &mut |done| activity.progress(done, size))
    })
    .await;
    done.map_err(|e| io_fault(e, ErrorCode::ExportFailed, format!("{verb} {}", path.display())))
}

/// The same for an open file, on this thread. `progress` may block, to limit the read rate.
///
/// # Errors
/// The file cannot be read, or the work was canceled.
pub fn of_file(
    file: &File,
    kind: Kind,
    cancel: &CancellationToken,
    progress: impl FnMut(u64),
) -> io::Result<Digest> {
    let size = file.metadata()?.len();
    match kind {
        Kind::Plain => hash(file, size, cancel, progress).map(Digest::Plain),
        Kind::Sparse => hash_sparse(file, size, cancel, progress).map(Digest::Sparse),
    }
}

/// Plain SHA-256 of an open file, on this thread.
///
/// # Errors
/// The file cannot be read, or the work was canceled.
pub fn hash(
    file: &File,
    size: u64,
    cancel: &CancellationToken,
    progress: impl FnMut(u64),
) -> io::Result<String> {
    let (mut hasher, zeros) = (Sha256::new(), vec![0; CHUNK]);
    each_mib(file, size, cancel, progress, |_, length, content| {
        hasher.update(content.unwrap_or(&zeros[..length]));
    })?;
    Ok(hex::encode(hasher.finalize()))
}

fn hash_sparse(
    file: &File,
    size: u64,
    cancel: &CancellationToken,
    progress: impl FnMut(u64),
) -> io::Result<String> {
    let mut sparse = Sparse::new(size);
    each_mib(file, size, cancel, progress, |number, _, content| {
        content.into_iter().for_each(|content| sparse.add(number, content));
    })?;
    Ok(sparse.finish())
}

/// Passes the number, the length and the content of each MiB to `take`, in order; no content if all
/// of it is a hole.
fn each_mib(
    file: &File,
    size: u64,
    cancel: &CancellationToken,
    mut progress: impl FnMut(u64),
    mut take: impl FnMut(u64, usize, Option<&[u8]>),
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    let mut extents = data_extents(file, size);
    let (mut data, mut reported) = (0..0, 0);
    for start in (0..size).step_by(CHUNK) {
        if cancel.is_cancelled() {
            return Err(stopped());
        }
        while data.end <= start && data.start < size {
            data = extents.next().unwrap_or(Ok(size..size))?;
        }
        let part = &mut buffer[..usize::try_from(size - start).unwrap_or(CHUNK).min(CHUNK)];
        let is_data = data.start < start + MIB && start < data.end;
        if is_data {
            file.read_exact_at(part, start)?;
        }
        take(start / MIB, part.len(), is_data.then_some(part));
        if start - reported >= REPORT {
            reported = start;
            progress(start);
        }
    }
    progress(size);
    Ok(())
}

/// Computes a sparse digest.
pub struct Sparse(Sha256);

impl Sparse {
    /// For a file of that length.
    pub fn new(size: u64) -> Self {
        Self(Sha256::new_with_prefix(format!("goldsmith sparse 1\n{size}\n")))
    }

    /// Adds the MiB with that number. Numbers must ascend.
    pub fn add(&mut self, number: u64, content: &[u8]) {
        if !is_zero(content) {
            self.0.update(format!("{number} {}\n", hex::encode(Sha256::digest(content))));
        }
    }

    /// The digest, after every nonzero MiB was added.
    pub fn finish(self) -> String {
        hex::encode(self.0.finalize())
    }
}

/// Whether all bytes are zero.
pub fn is_zero(content: &[u8]) -> bool {
    // Word by word: this loop reads every byte of every disk.
    let (words, tail) = content.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && tail.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_includes_the_holes() {
        let file = tempfile::tempfile().unwrap();
        let size = (5 << 20) + 77;
        file.set_len(size).unwrap();
        file.write_all_at(b"goldsmith", 2 << 20).unwrap();
        file.write_all_at(&[1; 3], size - 3).unwrap();
        let mut all = vec![0; usize::try_from(size).unwrap()];
        file.read_exact_at(&mut all, 0).unwrap();

        let mut seen = Vec::new();
        let digest = hash(&file, size, &CancellationToken::new(), |n| seen.push(n)).unwrap();
        assert_eq!(digest, hex::encode(Sha256::digest(&all)));
        assert_eq!(seen.last(), Some(&size));

        file.set_len(0).unwrap();
        let empty = hash(&file, 0, &CancellationToken::new(), |_| {}).unwrap();
        assert!(empty.starts_with("e3b0c44298fc1c14"));
    }

    #[test]
    fn sparse_digest_covers_nonzero_mebibytes_and_ignores_holes() {
        let size = (5 << 20) + 77;
        let holes = tempfile::tempfile().unwrap();
        holes.set_len(size).unwrap();
        holes.write_all_at(b"goldsmith", 2 << 20).unwrap();
        holes.write_all_at(&[1; 3], size - 3).unwrap();
        let mut all = vec![0; usize::try_from(size).unwrap()];
        holes.read_exact_at(&mut all, 0).unwrap();
        let full = tempfile::tempfile().unwrap();
        full.write_all_at(&all, 0).unwrap();

        let of = |file: &File| hash_sparse(file, size, &CancellationToken::new(), |_| {}).unwrap();
        let mut text = format!("goldsmith sparse 1\n{size}\n");
        for (number, part) in all.chunks(1 << 20).enumerate() {
            if part.iter().any(|byte| *byte != 0) {
                text += &format!("{number} {}\n", hex::encode(Sha256::digest(part)));
            }
        }
        assert_eq!(of(&holes), hex::encode(Sha256::digest(&text)));
        assert_eq!(of(&full), of(&holes));
        full.write_all_at(&[1], 4 << 20).unwrap();
        assert_ne!(of(&full), of(&holes));
    }

    #[test]
    fn is_zero_finds_a_nonzero_byte_at_any_position() {
        let mut content = vec![0; 100];
        assert!(is_zero(&content) && is_zero(&[]));
        for at in [0, 15, 16, 63, 96, 99] {
            content[at] = 1;
            assert!(!is_zero(&content), "{at}");
            content[at] = 0;
        }
    }

    #[test]
    fn canceled_hash_stops() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 40).unwrap();
        let cancel = CancellationToken::new();
        let stop = cancel.clone();
        let error = hash(&file, 1 << 40, &cancel, |_| stop.cancel()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    }
}
