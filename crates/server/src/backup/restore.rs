//! Putting a backup back, here or elsewhere.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use api::ErrorCode;
use db::Dumped;
use engine::may_wait;
use images::{
    error::{Error, Result},
    files,
    layout::Layout,
    store::Store,
};
use serde::Serialize;
use service::{auth::Identity, server_folder};

use super::{DATA, DATABASE, LEDGER, Manifest, blocking, copy_private, link_or_copy, verify};
use crate::installation;

/// What was put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    /// The rows of the database.
    pub database: Dumped,
    /// The number of files.
    pub files: usize,
    /// Whether rows of the ledger were left out, since they name processes and files of another place.
    pub is_elsewhere: bool,
}

/// Puts a backup into an empty data folder and an empty database. Of the dump of a database alone, as is made before a
/// migration, only the database is filled, with the schema that it had.
///
/// # Errors
/// The backup is not whole, or folder or database are not empty; then neither is changed.
pub async fn restore(layout: &Layout, database: Option<&str>, from: &Path) -> Result<Restored> {
    let url = server_folder::database_url(layout, database);
    if may_wait(|| from.is_file()) {
        files::make_dir(&server_folder::dir(layout)).map_err(unwritable)?;
        let database = db::load(&url, from).await.map_err(unloaded)?;
        return Ok(Restored { database, files: 0, is_elsewhere: false });
    }
    let (manifest, faults) = verify(from).await?;
    if !faults.is_empty() {
        let text = format!("{} is damaged, and nothing was put back", from.display());
        return Err(Error::new(ErrorCode::BadImage, text).details(faults));
    }
    let dir = server_folder::dir(layout);
    files::make_dir(&dir).map_err(unwritable)?;
    let _lock = server_folder::lock(&dir)?;
    let has_images = !may_wait(|| Store::open(layout).is_empty()).map_err(unwritable)?;
    if Identity::read(&dir)?.is_some() || has_images {
        let text =
            format!("{} is not empty, and nothing in it is replaced", layout.data().display());
        return Err(Error::new(ErrorCode::Conflict, text)
            .target("--data-dir")
            .hint("move it aside, or name another folder"));
    }
    let database = db::load(&url, &from.join(DATABASE)).await.map_err(unloaded)?;
    let is_elsewhere = manifest.data != layout.data();
    let (data, target) = (from.join(DATA), layout.data().to_owned());
    let files = blocking("put the data folder back", move || {
        put_back(&data, &target, &manifest, is_elsewhere)
    })
    .await?;
    installation::found(layout, &url).await?;
    Ok(Restored { database, files, is_elsewhere })
}

fn put_back(
    data: &Path,
    target: &Path,
    manifest: &Manifest,
    is_elsewhere: bool,
) -> io::Result<usize> {
    let mut count = 0;
    for entry in &manifest.files {
        // A row of the ledger names what is to be ended and removed, by its place: elsewhere that may be alive.
        if is_elsewhere && entry.path.starts_with(LEDGER) {
            continue;
        }
        let (from, to): (PathBuf, PathBuf) = (data.join(&entry.path), target.join(&entry.path));
        files::make_dir(to.parent().unwrap_or(target))?;
        if to.try_exists()? {
            let text = format!("{} exists", to.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        if entry.mode & 0o222 == 0 {
            link_or_copy(&from, &to)?;
        } else {
            copy_private(&from, &to)?;
            fs::set_permissions(&to, Permissions::from_mode(entry.mode))?;
        }
        count += 1;
    }
    Ok(count)
}

fn unwritable(error: io::Error) -> Error {
    Error::new(ErrorCode::HostNotReady, format!("the data folder cannot be used: {error}"))
        .caused_by(error)
}

fn unloaded(error: db::Error) -> Error {
    let why = std::error::Error::source(&error).map_or_else(String::new, |why| format!(": {why}"));
    Error::new(ErrorCode::Conflict, format!("the database was not filled{why}"))
        .target("--database")
        .hint("name a database that is empty or, with SQLite, does not exist")
        .caused_by(error)
}
