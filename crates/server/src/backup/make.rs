//! Creates a backup.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use api::ErrorCode;
use engine::may_wait;
use images::{
    absent,
    error::{Coded as _, Error, Result},
    files,
    layout::Layout,
    lock::Lock,
    store::{Record, Store},
};
use jiff::Timestamp;
use service::{auth::Identity, server_folder, tombstones};

use super::{
    DATA, DATABASE, Entry, FORMAT, MANIFEST, Manifest, blocking, copy_private, link_or_copy,
    measure, mode_of,
};
use crate::installation;

/// How long to wait for a removal in progress.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Folders of files that never change after they are published.
const LINKED: [&str; 3] = ["images/", "server/storage/", "blobs/"];

/// Backs up the data folder and its database to a new folder, whether or not a server runs.
///
/// # Errors
/// The data folder has no service, the database belongs to another folder, or something cannot be read or written.
pub async fn backup(layout: &Layout, database: Option<&str>, to: &Path) -> Result<Manifest> {
    let dir = server_folder::dir(layout);
    if Identity::read(&dir)?.is_none() {
        let text = format!("{} has no data of a service", layout.data().display());
        return Err(Error::new(ErrorCode::NotFound, text).hint("check --data-dir"));
    }
    let url = server_folder::database_url(layout, database);
    installation::check(layout, &url).await?;
    let to = std::path::absolute(to)
        .code(ErrorCode::InvalidArgument, || format!("bad folder {}", to.display()))?;
    if to.starts_with(layout.data()) || may_wait(|| to.symlink_metadata()).is_ok() {
        let text = format!("{} exists or is in the data folder", to.display());
        return Err(Error::new(ErrorCode::InvalidArgument, text).hint(
            "choose a new folder, on the same file system to link disks instead of copying them",
        ));
    }
    let mut work = to.clone();
    work.add_extension(format!("partial-{}", std::process::id()));
    let made = make(layout, &url, &work).await;
    let made = match made {
        Ok(manifest) => blocking("name the backup", {
            let (work, to) = (work.clone(), to.clone());
            move || fs::rename(&work, &to).and_then(|()| files::sync_parent(&to))
        })
        .await
        .map(|()| manifest),
        Err(error) => Err(error),
    };
    if made.is_err() {
        let _ = blocking("remove the unfinished backup", move || fs::remove_dir_all(work)).await;
    }
    made
}

async fn make(layout: &Layout, url: &str, work: &Path) -> Result<Manifest> {
    let data = work.join(DATA);
    files::make_dir(&data)
        .code(ErrorCode::InternalError, || format!("cannot make {}", data.display()))?;
    let lock = wait_for_removals(layout).await?;
    let images = Store::open(layout);
    let frozen = blocking("lock the image store", move || images.freeze()).await?;
    let dump = work.join(DATABASE);
    let dumped = db::dump(url, &dump).await.map_err(server_folder::cannot_open)?;
    let (from, skipped) = (layout.data().to_owned(), database_files(url));
    let mut entries = blocking("copy the data folder", move || {
        let mut entries = Vec::new();
        gather(&from, &data, "", &skipped, &mut entries)?;
        Ok(entries)
    })
    .await?;
    drop((frozen, lock));
    let (data, dump) = (work.join(DATA), work.join(DATABASE));
    let (entries, database_sha256) = blocking("hash the backup", move || {
        for entry in &mut entries {
            let path = data.join(&entry.path);
            (entry.bytes, entry.sha256) = match recorded(&path)? {
                Some(sha256) => (fs::metadata(&path)?.len(), sha256),
                None => measure(&path)?,
            };
        }
        Ok((entries, measure(&dump)?.1))
    })
    .await?;
    let manifest = Manifest {
        format: FORMAT,
        created: Timestamp::now(),
        release: env!("CARGO_PKG_VERSION").to_owned(),
        data: layout.data().to_owned(),
        database: dumped,
        database_sha256,
        files: entries,
    };
    let text = serde_json::to_string_pretty(&manifest)
        .code(ErrorCode::InternalError, || "the backup cannot be described".to_owned())?;
    let path = work.join(MANIFEST);
    blocking("describe the backup", move || files::write_secret(&path, &text)).await?;
    Ok(manifest)
}

/// Prevents the server from removing files, after waiting for a removal in progress.
async fn wait_for_removals(layout: &Layout) -> Result<Lock> {
    let begun = Instant::now();
    loop {
        let layout = layout.clone();
        let lock = blocking("lock the data folder", move || tombstones::forbid(&layout)).await?;
        match lock {
            Some(lock) => return Ok(lock),
            None if begun.elapsed() > TIMEOUT => {
                let text = "another backup or a removal of files is in progress";
                return Err(Error::new(ErrorCode::Conflict, text).hint("try again later"));
            }
            None => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// The SQLite file and its logs, which must not be copied while they are written.
fn database_files(url: &str) -> Vec<PathBuf> {
    // An invalid address was rejected earlier.
    let Ok(Some(path)) = db::sqlite_file(url) else { return Vec::new() };
    let path = path.display();
    ["", "-wal", "-shm", "-journal"].iter().map(|end| format!("{path}{end}").into()).collect()
}

/// Files of one process, and files to be removed.
fn is_excluded(relative: &str) -> bool {
    const EXCLUDED: [&str; 7] = [
        "server/lock",
        "server/removal.lock",
        "server/installation.json",
        "server/storage/.partial",
        "server/storage/.removed",
        "images/tmp",
        "images/.lock",
    ];
    EXCLUDED.contains(&relative) || relative.ends_with("/owner.lock")
}

/// Whether a file is unfinished. Clients choose the names of images and blobs, which may end alike.
fn is_unfinished(folder: &str, name: &str) -> bool {
    let is_own = folder == "server/" || folder.starts_with("ledger/");
    files::partial::is_unfinished(name) || is_own && name.ends_with(".new")
}

fn gather(
    from: &Path,
    to: &Path,
    prefix: &str,
    skipped: &[PathBuf],
    entries: &mut Vec<Entry>,
) -> io::Result<()> {
    files::make_dir(to)?;
    let Some(listed) = absent::or_none(fs::read_dir(from))? else { return Ok(()) };
    for item in listed {
        let item = item?;
        let name = item.file_name().into_string().map_err(|name| {
            io::Error::other(format!("{} has a name that is not UTF-8: {name:?}", from.display()))
        })?;
        let (path, relative) = (item.path(), format!("{prefix}{name}"));
        if is_excluded(&relative) || skipped.contains(&path) {
            continue;
        }
        let entry = match item.file_type()? {
            kind if kind.is_dir() => {
                let prefix = format!("{relative}/");
                gather(&path, &to.join(&name), &prefix, skipped, entries)?;
                continue;
            }
            kind if kind.is_file() && is_unfinished(prefix, &name) => continue,
            kind if kind.is_file() => take(&path, &to.join(&name), &relative),
            // The service has no links or sockets.
            _ => continue,
        };
        // A row of the ledger may have been removed meanwhile.
        entries.extend(absent::or_none(entry)?);
    }
    Ok(())
}

fn take(from: &Path, to: &Path, relative: &str) -> io::Result<Entry> {
    let mode = mode_of(&fs::metadata(from)?);
    if LINKED.iter().any(|folder| relative.starts_with(folder)) {
        link_or_copy(from, to)?;
    } else {
        copy_private(from, to)?;
    }
    Ok(Entry { path: relative.to_owned(), bytes: 0, mode, sha256: String::new() })
}

/// The digest of a disk from the image's record beside it.
fn recorded(path: &Path) -> io::Result<Option<String>> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let record = path.with_file_name("image.json");
    if !name.ends_with(".qcow2") || !record.try_exists()? {
        return Ok(None);
    }
    let Ok(record) = serde_json::from_slice::<Record>(&fs::read(record)?) else { return Ok(None) };
    if name == "disk.qcow2" {
        return Ok(Some(record.digest));
    }
    let disk = record.data_disks.iter().find(|disk| name == format!("data{}.qcow2", disk.lun));
    Ok(disk.map(|disk| disk.digest.clone()))
}
