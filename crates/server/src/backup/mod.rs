//! Backups of the service: a consistent copy of its database and its data folder, made beside a running server.
//!
//! ```text
//! DIR/backup.json      the manifest with digests; written last
//! DIR/database.jsonl   all rows (store/dump.rs)
//! DIR/data/…           the data folder: identity, keys, images, blobs, logs, ledger, configuration
//! ```
//!
//! Published disks and blobs never change, so where the file system allows, a backup links them without using space. While
//! rows are read and files are linked, images are not published or removed, and tombstones wait, so that every row has its
//! files. Files that appear after reading the rows have no row, as after a crash.

mod make;
mod restore;
#[cfg(test)]
mod tests;
mod verify;

use std::{
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use api::ErrorCode;
use db::Dumped;
use engine::off_runtime;
use images::{
    error::{Coded as _, Error, Result},
    image_file::{digest::hash, place},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

pub use make::backup;
pub use restore::{Restored, restore};
pub use verify::verify;

const MANIFEST: &str = "backup.json";
const DATABASE: &str = "database.jsonl";
const DATA: &str = "data";
const LEDGER: &str = "ledger/";
const FORMAT: u32 = 1;

/// `backup.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    format: u32,
    /// When it was created.
    pub created: Timestamp,
    /// The release of goldsmith that created it.
    pub release: String,
    /// The original data folder.
    pub data: PathBuf,
    /// A summary of the database.
    pub database: Dumped,
    /// SHA-256 of `database.jsonl`.
    database_sha256: String,
    /// The files below `data/`.
    pub files: Vec<Entry>,
}

/// A file below `data/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Relative to the data folder.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its permissions in the data folder.
    mode: u32,
    /// For an image's disk, the digest of its record, which also detects earlier damage.
    sha256: String,
}

impl Manifest {
    /// The manifest of a backup.
    ///
    /// # Errors
    /// `NotFound`: the folder is not a finished backup.
    pub fn read(backup: &Path) -> Result<Self> {
        let path = backup.join(MANIFEST);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text =
                    format!("{} is not a finished backup: it has no {MANIFEST}", backup.display());
                return Err(Error::new(ErrorCode::NotFound, text)
                    .hint("create one with: goldsmith admin backup DIR"));
            }
            other => other
                .code(ErrorCode::InternalError, || format!("cannot read {}", path.display()))?,
        };
        let manifest: Self = serde_json::from_slice(&bytes)
            .code(ErrorCode::BadImage, || format!("{} is damaged", path.display()))?;
        if manifest.format != FORMAT {
            let text = format!("{} has format {}, not {FORMAT}", path.display(), manifest.format);
            return Err(Error::new(ErrorCode::UnsupportedFeature, text)
                .hint("use the release of goldsmith that created it"));
        }
        for entry in &manifest.files {
            let is_inside = Path::new(&entry.path)
                .components()
                .all(|part| matches!(part, std::path::Component::Normal(_)));
            if !is_inside {
                let text = format!("{}: {:?} is outside of the backup", path.display(), entry.path);
                return Err(Error::new(ErrorCode::BadImage, text));
            }
        }
        Ok(manifest)
    }
}

fn copy_private(from: &Path, to: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut source = File::open(from)?;
    let mut copy = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut source, &mut copy)?;
    copy.sync_all()
}

/// Links a file that never changes, or copies it with its holes if a link is not possible.
fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    use io::ErrorKind::{AlreadyExists, NotFound};
    match fs::hard_link(from, to) {
        Err(error) if !matches!(error.kind(), NotFound | AlreadyExists) => {
            let copy = File::create_new(to)?;
            place::copy(from, &copy, &CancellationToken::new())?;
            copy.sync_all()?;
            fs::set_permissions(to, fs::metadata(from)?.permissions())
        }
        linked => linked,
    }
}

fn mode_of(meta: &fs::Metadata) -> u32 {
    meta.permissions().mode() & 0o777
}

/// The size and SHA-256 of a file.
fn measure(path: &Path) -> io::Result<(u64, String)> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    Ok((bytes, hash(&file, bytes, &CancellationToken::new(), |_| ())?))
}

/// Runs blocking work off the runtime.
async fn blocking<T: Send + 'static>(
    doing: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    off_runtime(work).await.map_err(|error| {
        Error::new(ErrorCode::InternalError, format!("cannot {doing}: {error}")).caused_by(error)
    })
}
