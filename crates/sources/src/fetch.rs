//! Fetches what a template names (scripts, files) into `downloads/<sha256>`.
//!
//! Nothing is held in memory: content is streamed to a work folder, hashed on the way, and appears
//! under its digest by one rename. An entry is never changed, and is held by whoever uses it.

mod coding;
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
    cx::Cx,
    digest::{Digest, digest},
    error::{Error, Result, io_fault},
    in_use::{Hold, Kind, hold},
    layout::Layout,
};
use vm::{may_wait, off_runtime};

pub use self::guard::Guard;
pub(crate) use self::http::{Download, Landed, download};
use crate::work::WorkFolder;

/// How long, how much and from where.
#[derive(Debug, Clone)]
pub struct Limits {
    /// More than this is refused.
    pub max_bytes: u64,
    /// Tries, the first one included.
    pub attempts: u32,
    /// Until a server takes the connection.
    pub connect: Duration,
    /// Between two pieces of the answer.
    pub idle: Duration,
    /// Before the second try; twice as long before each further one, up to [`LONGEST_PAUSE`].
    pub backoff: Duration,
    /// Addresses that may be asked.
    pub guard: Guard,
    /// Whether the proxy that the environment names is used: it connects in our place, past the guard.
    pub proxy: bool,
}

/// Between two tries.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl Default for Limits {
    /// For builds that a user starts on the own machine.
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
    /// For what the templates of others name: as many tries as Azure makes, and nothing that is not
    /// public but the hosts that the administrator allows by name.
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

/// Something that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// `downloads/<sha256>`.
    pub path: PathBuf,
    /// In lower-case hexadecimal.
    pub sha256: String,
    pub bytes: u64,
    /// Keeps it from being evicted.
    pub hold: Hold,
}

/// Fetches by `http`, `https`, `file` or by path; a relative path begins at `base_dir`. Without a
/// `base_dir` only `http` and `https` are open. With an expected digest, what is here already is
/// not fetched again.
///
/// # Errors
/// `ScriptUnreachable`, `ChecksumMismatch`, `DiskFull`, `Canceled`.
pub async fn script(
    cx: &Cx,
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
    let place = Place::of(uri, base_dir).map_err(|why| unreachable(uri, &why))?;
    let work = WorkFolder::make(&cx.layout).await.map_err(|e| cannot_keep(cx, e))?;
    let to = work.path().join("content");
    let landed = match &place {
        Place::Web(url) => {
            let activity = format!("Download {}", shown(uri));
            let sha512 = false;
            download(cx, &Download { url, to: &to, limits, activity: &activity, sha512 }).await
        }
        Place::Local(path) => local::copy(cx, path, &to, limits.max_bytes).await,
    };
    let landed = landed.map_err(|f| f.coded(ErrorCode::ScriptUnreachable, &shown(uri)))?;
    if let Some(expected) = expected.filter(|expected| *expected != landed.sha256) {
        return Err(mismatch(&shown(uri), "SHA-256", &expected, &landed.sha256));
    }
    put(cx, &to, landed.sha256, landed.bytes).await
}

/// Keeps bytes that are at hand already, such as an inline script.
///
/// # Errors
/// `DiskFull`, `InternalError`, `Canceled`.
pub async fn keep(cx: &Cx, bytes: &[u8]) -> Result<Fetched> {
    let digest = digest(bytes);
    if let Some(fetched) = here(cx, &digest).await {
        return Ok(fetched);
    }
    let work = WorkFolder::make(&cx.layout).await.map_err(|e| cannot_keep(cx, e))?;
    let to = work.path().join("content");
    tokio::fs::write(&to, bytes).await.map_err(|e| cannot_keep(cx, e))?;
    put(cx, &to, digest, bytes.len() as u64).await
}

/// Keeps what `make` writes to the path that it is given.
///
/// # Errors
/// `DiskFull`, `InternalError`, `Canceled`.
pub async fn made(
    cx: &Cx,
    make: impl FnOnce(&Path) -> io::Result<()> + Send + 'static,
) -> Result<Fetched> {
    let work = WorkFolder::make(&cx.layout).await.map_err(|e| cannot_keep(cx, e))?;
    let to = work.path().join("content");
    let path = to.clone();
    off_runtime(move || make(&path)).await.map_err(|e| cannot_keep(cx, e))?;
    let (sha256, bytes) = local::digest(&to, &cx.cancel).await.map_err(|e| cannot_keep(cx, e))?;
    put(cx, &to, sha256, bytes).await
}

/// What is in the downloads under that digest, if it is what it says.
async fn here(cx: &Cx, digest: &str) -> Option<Fetched> {
    let is_digest = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
    let path = is_digest.then(|| cx.layout.downloads().join(digest))?;
    let hold = hold(&cx.layout, Kind::Download, digest).await.ok()?;
    let (sha256, bytes) = local::digest(&path, &cx.cancel).await.ok()?;
    (sha256 == digest).then_some(Fetched { path, sha256, bytes, hold })
}

async fn put(cx: &Cx, from: &Path, sha256: String, bytes: u64) -> Result<Fetched> {
    // Held before it is there, so that nobody evicts it first.
    let hold = hold(&cx.layout, Kind::Download, &sha256).await.map_err(|e| cannot_keep(cx, e))?;
    let folder = cx.layout.downloads();
    let path = folder.join(&sha256);
    let moved = may_wait(|| {
        std::fs::create_dir_all(&folder)?;
        std::fs::File::open(from)?.sync_all()?;
        std::fs::rename(from, &path)
    });
    moved.map_err(|e| cannot_keep(cx, e))?;
    Ok(Fetched { path, sha256, bytes, hold })
}

/// What was fetched, and the digest that each file must have.
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

/// Where a URI points.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Web(String),
    Local(PathBuf),
}

impl Place {
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

fn cannot_keep(cx: &Cx, error: io::Error) -> Error {
    let doing = format!("write to {}", cx.layout.cache().display());
    io_fault(error, ErrorCode::InternalError, doing)
}

/// Why something did not come.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The other side, or what it sent.
    There { reason: String, attempts: u32 },
    /// This side: cancel, a full disk.
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
