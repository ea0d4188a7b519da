//! SHA-256 of large sparse files, and a cheap way to see that a file is still the one that was hashed.

use std::{
    fs::{File, Metadata},
    io,
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
};

use api::ErrorCode;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::{extents::data_extents, io_fault, stopped};
use crate::{cx::Cx, error::Result};

/// How much is read, or hashed of a hole, at a time.
const CHUNK: usize = 1 << 20;
/// How often progress is told.
const REPORT: u64 = 32 << 20;

/// Size and time of change: while they are the same, a file counts as the one that was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stamp {
    pub size: u64,
    pub modified_seconds: i64,
    pub modified_nanos: i64,
}

impl Stamp {
    /// The stamp of an open or looked-up file.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.len(),
            modified_seconds: metadata.mtime(),
            modified_nanos: metadata.mtime_nsec(),
        }
    }

    /// The stamp of the file at `path`.
    pub fn at(path: &Path) -> io::Result<Self> {
        Ok(Self::of(&std::fs::metadata(path)?))
    }
}

/// SHA-256, in lower-case hexadecimal, of the file as `sha256sum` would give it. Holes are hashed
/// without being read. Progress goes out as `activity`.
pub async fn sha256(cx: &Cx, path: &Path, activity: &str) -> Result<String> {
    // Ends the thread when this future is dropped, for whatever reason.
    let cancel = cx.cancel.child_token();
    let _on_drop = cancel.clone().drop_guard();
    let (owned, events, name) = (path.to_owned(), cx.events.clone(), activity.to_owned());
    let hashed = tokio::task::spawn_blocking(move || {
        let file = File::open(owned)?;
        let size = file.metadata()?.len();
        hash(&file, size, &cancel, |done| events.progress(&name, done, Some(size)))
    })
    .await;
    cx.events.progress_ended(activity);
    hashed
        .map_err(io::Error::other)
        .flatten()
        .map_err(|e| io_fault(e, ErrorCode::ExportFailed, format!("hash {}", path.display())))
}

/// The same on this thread.
pub(crate) fn hash(
    file: &File,
    size: u64,
    cancel: &CancellationToken,
    mut progress: impl FnMut(u64),
) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    let zeros = vec![0; CHUNK];
    let mut reported = 0;
    let mut feed = |range: Range<u64>, is_data: bool| {
        let mut at = range.start;
        while at < range.end {
            if cancel.is_cancelled() {
                return Err(stopped());
            }
            let take = CHUNK.min(usize::try_from(range.end - at).unwrap_or(CHUNK));
            if is_data {
                file.read_exact_at(&mut buffer[..take], at)?;
                hasher.update(&buffer[..take]);
            } else {
                hasher.update(&zeros[..take]);
            }
            at += take as u64;
            if at - reported >= REPORT {
                reported = at;
                progress(at);
            }
        }
        Ok(())
    };
    let mut done = 0;
    for extent in data_extents(file, size).chain([Ok(size..size)]) {
        let extent = extent?;
        feed(done..extent.start, false)?;
        feed(extent.clone(), true)?;
        done = extent.end;
    }
    progress(size);
    Ok(crate::node::hex(&hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_all_bytes_holes_included() {
        let file = tempfile::tempfile().unwrap();
        let size = (5 << 20) + 77;
        file.set_len(size).unwrap();
        file.write_all_at(b"goldsmith", 2 << 20).unwrap();
        file.write_all_at(&[1; 3], size - 3).unwrap();
        let mut all = vec![0; usize::try_from(size).unwrap()];
        file.read_exact_at(&mut all, 0).unwrap();

        let mut seen = Vec::new();
        let digest = hash(&file, size, &CancellationToken::new(), |n| seen.push(n)).unwrap();
        assert_eq!(digest, crate::node::hex(&Sha256::digest(&all)));
        assert_eq!(seen.last(), Some(&size));

        file.set_len(0).unwrap();
        let empty = hash(&file, 0, &CancellationToken::new(), |_| {}).unwrap();
        assert!(empty.starts_with("e3b0c44298fc1c14"));
    }

    #[test]
    fn a_canceled_hash_stops() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 40).unwrap();
        let cancel = CancellationToken::new();
        let stop = cancel.clone();
        let error = hash(&file, 1 << 40, &cancel, |_| stop.cancel()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    }
}
