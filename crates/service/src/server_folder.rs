//! The server's folder, and the database in it.

use std::path::{Path, PathBuf};

use api::ErrorCode;
use images::{
    error::{Coded as _, Error, Result},
    layout::Layout,
    lock::Lock,
};
use percent_encoding::AsciiSet;

/// The lock file in the server's folder.
pub const LOCK: &str = "lock";

/// Characters that the URL of the SQLite file does not encode.
const IN_URL: &AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

/// The server's folder.
pub fn dir(layout: &Layout) -> PathBuf {
    layout.data().join("server")
}

/// The URL of the database: `url`, or by default that of the SQLite file in the server's folder.
pub fn database_url(layout: &Layout, url: Option<&str>) -> String {
    let file = dir(layout).join("goldsmith.db");
    let file = percent_encoding::percent_encode(file.as_os_str().as_encoded_bytes(), IN_URL);
    url.map_or_else(|| format!("sqlite://{file}"), str::to_owned)
}

/// Locks the folder for one server: two would execute the same runs.
pub fn lock(dir: &Path) -> Result<Lock> {
    let path = dir.join(LOCK);
    let taken = Lock::try_take(&path)
        .code(ErrorCode::HostNotReady, || format!("cannot lock {}", path.display()))?;
    taken.ok_or_else(|| {
        Error::new(
            ErrorCode::Conflict,
            format!("another goldsmith already serves {}", dir.display()),
        )
        .hint("stop that one, or use another folder with --data-dir")
    })
}

/// The error leaves out the database's URL, which may contain a password.
pub fn cannot_open(error: db::Error) -> Error {
    Error::new(ErrorCode::HostNotReady, "the database cannot be opened")
        .hint("check --database: sqlite://FILE or postgres://USER:PASSWORD@HOST/NAME")
        .caused_by(error)
}
