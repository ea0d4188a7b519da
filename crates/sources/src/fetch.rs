//! Fetches a template's scripts and files to `downloads/<sha256>`.
//!
//! Content is streamed to a work folder, not to memory, and hashed in the process. It appears under
//! its digest by one rename. An entry never changes, and its users hold a lock on it.

mod coding;
mod document;
mod guard;
mod http;
mod local;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use api::{ErrorCode, uri::shown};
use images::{
    absent::entries,
    digest::{Digest, digest},
    error::{Error, Result, io_fault},
    in_use::{Hold, Kind, hold},
    layout::Layout,
    run_context::RunContext,
};
use vm::{may_wait, off_runtime};

pub(crate) use self::http::{Download, Landed, download};
pub use self::{
    document::{document, is_protected},
    guard::Guard,
};
use crate::work::WorkFolder;

/// Limits on time, size and addresses.
#[derive(Debug, Clone)]
pub struct Limits {
    /// A larger content is rejected.
    pub max_bytes: u64,
    /// Attempts, the first one included.
    pub attempts: u32,
    /// The timeout for a connection.
    pub connect: Duration,
    /// The timeout between two pieces of the response.
    pub idle: Duration,
    /// The pause before the second attempt. It doubles before each further one, up to
    /// [`LONGEST_PAUSE`].
    pub backoff: Duration,
    /// The addresses that may be contacted.
    pub guard: Guard,
    /// Whether to use the proxy of the environment. The proxy connects in our place, which bypasses
    /// the guard.
    pub proxy: bool,
}

/// The longest pause between two attempts.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl Default for Limits {
    /// For builds that users start on their own machines.
    fn default() -> Self {
        Self {
            max_bytes: 64 << 30,
            attempts: 3,
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            backoff: Duration::from_secs(1),
            guard: Guard::open(),
            proxy: true,
        }
    }
}

impl Limits {
    /// For templates of other users: as many attempts as in Azure, and only public addresses and
    /// the hosts that the administrator allows by name.
    pub fn for_others(hosts: impl IntoIterator<Item = String>) -> Self {
        Self {
            max_bytes: 4 << 30,
            attempts: 10,
            backoff: Duration::from_millis(500),
            guard: Guard::only(hosts),
            proxy: false,
            ..Self::default()
        }
    }
}

/// A fetched file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// `downloads/<sha256>`.
    pub path: PathBuf,
    /// In lower-case hexadecimal.
    pub sha256: String,
    pub bytes: u64,
    /// Protects it from eviction.
    pub hold: Hold,
}

/// Fetches a script by `http`, `https`, `file` or by path. A relative path starts at `base_dir`;
/// without a `base_dir` only `http` and `https` are allowed. With an expected digest, a file that this
/// part of the cache has is not fetched again.
///
/// # Errors
/// `ScriptUnreachable`, `ChecksumMismatch`, `DiskFull`, `Canceled`.
pub async fn script(
    cx: &RunContext,
    uri: &str,
    base_dir: Option<&Path>,
    expected_sha256: Option<&str>,
    limits: &Limits,
) -> Result<Fetched> {
    let expected = expected_sha256.map(str::trim).filter(|s| !s.is_empty()).map(str::to_lowercase);
    if let Some(digest) = &expected
        && let Some(fetched) = here(cx, digest).await
    {
        return Ok(fetched);
    }
    let target = Target::of(uri, base_dir).map_err(|why| unreachable(uri, &why))?;
    let work = WorkFolder::make(&cx.layout).map_err(|e| cannot_keep(cx, e))?;
    let to = work.path().join("content");
    let landed = match &target {
        Target::Web(url) => {
            let activity = format!("Download {}", shown(uri));
            let sha512 = false;
            download(cx, &Download { url, to: &to, limits, activity: &activity, sha512 }).await
        }
        Target::Local(path) => local::copy(cx, path, &to, limits.max_bytes).await,
    };
    let landed = landed.map_err(|f| f.coded(ErrorCode::ScriptUnreachable, &shown(uri)))?;
    if let Some(expected) = expected.filter(|expected| *expected != landed.sha256) {
        return Err(mismatch(&shown(uri), "SHA-256", &expected, &landed.sha256));
    }
    put(cx, &to, landed.sha256, landed.bytes).await
}

/// Stores bytes from memory, such as an inline script.
///
/// # Errors
/// `DiskFull`, `InternalError`, `Canceled`.
pub async fn keep(cx: &RunContext, bytes: &[u8]) -> Result<Fetched> {
    let digest = digest(bytes);
    if let Some(fetched) = here(cx, &digest).await {
        return Ok(fetched);
    }
    let work = WorkFolder::make(&cx.layout).map_err(|e| cannot_keep(cx, e))?;
    let to = work.path().join("content");
    tokio::fs::write(&to, bytes).await.map_err(|e| cannot_keep(cx, e))?;
    put(cx, &to, digest, bytes.len() as u64).await
}

/// Stores the file that `make` writes to the given path.
///
/// # Errors
/// `DiskFull`, `InternalError`, `Canceled`.
pub async fn made(
    cx: &RunContext,
    make: impl FnOnce(&Path) -> io::Result<()> + Send + 'static,
) -> Result<Fetched> {
    let work = WorkFolder::make(&cx.layout).map_err(|e| cannot_keep(cx, e))?;
    let to = work.path().join("content");
    let path = to.clone();
    off_runtime(move || make(&path)).await.map_err(|e| cannot_keep(cx, e))?;
    let (sha256, bytes) = local::digest(&to, &cx.cancel).await.map_err(|e| cannot_keep(cx, e))?;
    put(cx, &to, sha256, bytes).await
}

/// The file with that digest in the downloads, if it is intact and this part of the cache has brought it.
async fn here(cx: &RunContext, digest: &str) -> Option<Fetched> {
    let is_digest = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_digest || !may_wait(|| cx.partition.has(&cx.layout, Kind::Download, digest)) {
        return None;
    }
    let path = cx.layout.downloads().join(digest);
    let hold = hold(&cx.layout, Kind::Download, digest).await.ok()?;
    let (sha256, bytes) = local::digest(&path, &cx.cancel).await.ok()?;
    (sha256 == digest).then_some(Fetched { path, sha256, bytes, hold })
}

async fn put(cx: &RunContext, from: &Path, sha256: String, bytes: u64) -> Result<Fetched> {
    // Locked before the file appears, so that no process evicts it in between.
    let hold = hold(&cx.layout, Kind::Download, &sha256).await.map_err(|e| cannot_keep(cx, e))?;
    let folder = cx.layout.downloads();
    let path = folder.join(&sha256);
    let moved = may_wait(|| {
        std::fs::create_dir_all(&folder)?;
        std::fs::File::open(from)?.sync_all()?;
        std::fs::rename(from, &path)?;
        cx.partition.add(&cx.layout, Kind::Download, &sha256)
    });
    moved.map_err(|e| cannot_keep(cx, e))?;
    Ok(Fetched { path, sha256, bytes, hold })
}

/// The fetched files, and the expected digest of each.
///
/// # Errors
/// The folder of downloads cannot be read.
pub fn digests(layout: &Layout) -> io::Result<Vec<(PathBuf, Digest)>> {
    let named = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.to_owned();
        Some((path, Digest::Plain(name)))
    };
    Ok(entries(&layout.downloads())?.into_iter().filter_map(named).collect())
}

/// The target of a URI.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Web(String),
    Local(PathBuf),
}

impl Target {
    fn of(uri: &str, base_dir: Option<&Path>) -> Result<Self, String> {
        let scheme = uri.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        match (scheme.as_deref(), base_dir) {
            (Some("http" | "https"), _) => Ok(Self::Web(uri.to_owned())),
            (Some("file"), Some(_)) => reqwest::Url::parse(uri)
                .ok()
                .and_then(|url| url.to_file_path().ok())
                .map(Self::Local)
                .ok_or_else(|| "a file URI is file:///absolute/path".to_owned()),
            (None, Some(base)) => Ok(Self::Local(base.join(uri))),
            (Some("file") | None, None) => Err("only http and https are fetched here".to_owned()),
            (Some(other), _) => Err(format!("{other:?} is not http, https or file")),
        }
    }
}

pub(crate) fn mismatch(what: &str, kind: &str, expected: &str, got: &str) -> Error {
    Error::new(ErrorCode::ChecksumMismatch, format!("{what} is not what was expected"))
        .details([format!("expected {kind} {expected}"), format!("     got {kind} {got}")])
        .hint("if the new content is wanted, give its checksum")
}

fn unreachable(uri: &str, why: &str) -> Error {
    Error::new(ErrorCode::ScriptUnreachable, format!("cannot fetch {}: {why}", shown(uri)))
}

fn cannot_keep(cx: &RunContext, error: io::Error) -> Error {
    let doing = format!("write to {}", cx.layout.cache().display());
    io_fault(error, ErrorCode::InternalError, doing)
}

/// Why a fetch failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The fault of the server or of its content.
    There { reason: String, attempts: u32 },
    /// The fault of this host: cancel, a full disk.
    Here(Error),
}

impl Failure {
    pub(crate) fn there(reason: impl Into<String>) -> Self {
        Self::There { reason: reason.into(), attempts: 1 }
    }

    pub(crate) fn coded(self, code: ErrorCode, what: &str) -> Error {
        match self {
            Self::Here(error) => error,
            Self::There { reason, attempts } => {
                let tries = match attempts {
                    1 => String::new(),
                    attempts => format!(" ({attempts} attempts)"),
                };
                Error::new(code, format!("cannot fetch {what}: {reason}{tries}"))
                    .hint("the address must be reachable from this machine and answer with 200")
            }
        }
    }
}

#[cfg(test)]
mod tests;
