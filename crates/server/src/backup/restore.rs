//! Restores a backup, here or on another machine.

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

/// The result of [`restore`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    /// The number of rows of each table.
    pub database: Dumped,
    /// The number of files.
    pub files: usize,
    /// Whether rows of the ledger were left out, because they name processes and files of another data folder.
    pub is_elsewhere: bool,
}

/// Restores a backup into an empty data folder and an empty database. A dump of a database alone, from before a
/// migration, fills only the database, with the dump's schema version.
///
/// # Errors
/// The backup is damaged, or the folder or the database is not empty. Neither is changed then.
pub async fn restore(layout: &Layout, database: Option<&str>, from: &Path) -> Result<Restored> {
    let url = server_folder::database_url(layout, database);
    if may_wait(|| from.is_file()) {
        files::make_dir(&server_folder::dir(layout)).map_err(unwritable)?;
        let database = db::load(&url, from).await.map_err(unloaded)?;
        return Ok(Restored { database, files: 0, is_elsewhere: false });
    }
    let (manifest, faults) = verify(from).await?;
    if !faults.is_empty() {
        let text = format!("{} is damaged; nothing was restored", from.display());
        return Err(Error::new(ErrorCode::BadImage, text).details(faults));
    }
    let dir = server_folder::dir(layout);
    files::make_dir(&dir).map_err(unwritable)?;
    let _lock = server_folder::lock(&dir)?;
    let has_images = !may_wait(|| Store::open(layout).is_empty()).map_err(unwritable)?;
    if Identity::read(&dir)?.is_some() || has_images {
        let text =
            format!("{} is not empty, and its files are not replaced", layout.data().display());
        return Err(Error::new(ErrorCode::Conflict, text)
            .target("--data-dir")
            .hint("move it away, or choose another folder"));
    }
    let database = db::load(&url, &from.join(DATABASE)).await.map_err(unloaded)?;
    let is_elsewhere = manifest.data != layout.data();
    let (data, target) = (from.join(DATA), layout.data().to_owned());
    let files = blocking("restore the data folder", move || {
        restore_files(&data, &target, &manifest, is_elsewhere)
    })
    .await?;
    installation::create(layout, &url).await?;
    Ok(Restored { database, files, is_elsewhere })
}

fn restore_files(
    data: &Path,
    target: &Path,
    manifest: &Manifest,
    is_elsewhere: bool,
) -> io::Result<usize> {
    let mut count = 0;
    for entry in &manifest.files {
        // A row of the ledger names a process to stop or a file to remove, which may be in use by the original service.
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
    Error::new(ErrorCode::HostNotReady, format!("cannot use the data folder: {error}"))
        .caused_by(error)
}

fn unloaded(error: db::Error) -> Error {
    let why = std::error::Error::source(&error).map_or_else(String::new, |why| format!(": {why}"));
    Error::new(ErrorCode::Conflict, format!("the database was not restored{why}"))
        .target("--database")
        .hint("choose a database that is empty or, with SQLite, does not exist")
        .caused_by(error)
}
