//! The service's own folder, and the database in it.

use std::path::{Path, PathBuf};

use api::ErrorCode;
use images::{
    error::{Coded as _, Error, Result},
    layout::Layout,
    lock::Lock,
};
use percent_encoding::AsciiSet;

/// In the server's folder: locked by the process that serves it.
pub const LOCK: &str = "lock";

/// What is written as it is in the URL of the SQLite file.
const IN_URL: &AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

/// The server's own folder.
pub fn dir(layout: &Layout) -> PathBuf {
    layout.data().join("server")
}

/// The address of the database: the given one, or that of the SQLite file in the server's folder.
pub fn address(layout: &Layout, given: Option<&str>) -> String {
    let file = dir(layout).join("goldsmith.db");
    let file = percent_encoding::percent_encode(file.as_os_str().as_encoded_bytes(), IN_URL);
    given.map_or_else(|| format!("sqlite://{file}"), str::to_owned)
}

/// One server a folder: two would take the same runs.
pub fn lock(dir: &Path) -> Result<Lock> {
    let path = dir.join(LOCK);
    let taken = Lock::try_take(&path)
        .code(ErrorCode::HostNotReady, || format!("cannot lock {}", path.display()))?;
    taken.ok_or_else(|| {
        Error::new(
            ErrorCode::Conflict,
            format!("another goldsmith serves {} already", dir.display()),
        )
        .hint("end that one, or give this one a folder of its own with --data-dir")
    })
}

/// The database cannot be used. Its address may hold a password and is not repeated.
pub fn unopened(error: db::Error) -> Error {
    Error::new(ErrorCode::HostNotReady, "the database cannot be opened")
        .hint("check --database: sqlite://FILE or postgres://USER:PASSWORD@HOST/NAME")
        .caused_by(error)
}
