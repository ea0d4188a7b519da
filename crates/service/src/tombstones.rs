//! Removes files of deleted things: blobs of accounts, logs of runs, disks of images.
//!
//! Only tombstones cause removals. Files without a row or a tombstone stay, because they may belong to another
//! database; `goldsmith doctor` reports them.

use std::{io, path::PathBuf};

use api::ErrorCode;
use db::{Tombstone, TombstoneKind};
use engine::{may_wait, off_runtime};
use images::{
    absent,
    layout::Layout,
    lock::{Lock, UseLock},
    store::{Store, address::Address},
};

use crate::{App, blobs, run_folder, server_folder};

/// Tombstones per page.
const PAGE: u32 = 500;

/// Removes the files of all tombstones, page by page. After a failure, the tombstone stays and the others are still
/// processed.
///
/// # Errors
/// The database failed, or the first failed removal.
pub async fn remove_all_files(app: &App) -> Result<(), blobs::Error> {
    let mut failed = None;
    loop {
        let page = app.store().tombstones(PAGE).await?;
        if page.is_empty() {
            break;
        }
        let is_last = page.len() < PAGE as usize;
        let _permit = permit(&app.settings().layout)?;
        let (mut runs, mut removed) = (Vec::new(), 0);
        for tombstone in page {
            let done = match tombstone.kind {
                TombstoneKind::Run => {
                    runs.push(tombstone.name);
                    continue;
                }
                TombstoneKind::Account => remove_account(app, &tombstone).await,
                TombstoneKind::Image => remove_image(app, &tombstone).await,
            };
            match done {
                Ok(()) => removed += 1,
                Err(error) => note(&tombstone.name, error, &mut failed),
            }
        }
        removed += remove_runs(app, runs, &mut failed).await?;
        if is_last || removed == 0 {
            break;
        }
    }
    failed.map_or(Ok(()), Err)
}

fn note(name: &str, error: blobs::Error, failed: &mut Option<blobs::Error>) {
    tracing::warn!(name, %error, "cannot remove files of a deleted resource now");
    failed.get_or_insert(error);
}

/// Removes the folders of a page of runs, then their tombstones: ids of runs are never reused. Returns the number of
/// removed runs.
async fn remove_runs(
    app: &App,
    ids: Vec<String>,
    failed: &mut Option<blobs::Error>,
) -> Result<usize, blobs::Error> {
    let layout = app.settings().layout.clone();
    let remove = move || {
        let removed = ids.into_iter().map(|id| (remove_run(&layout, &id), id));
        Ok(removed.collect::<Vec<_>>())
    };
    let removed = off_runtime(remove).await?;
    let mut gone = Vec::new();
    for (removed, id) in removed {
        match removed {
            Ok(()) => gone.push(id),
            Err(error) => note(&id, error.into(), failed),
        }
    }
    if !gone.is_empty() {
        app.store().remove_run_tombstones(&gone).await?;
    }
    Ok(gone.len())
}

/// Removes the blobs of a deleted account, if it has a tombstone. After a failure, the sweeper tries again.
pub async fn remove_account_files(app: &App, name: &str) {
    let removal = async {
        let Some(tombstone) = app.store().tombstone(TombstoneKind::Account, name).await? else {
            return Ok(());
        };
        let _permit = permit(&app.settings().layout)?;
        remove_account(app, &tombstone).await
    };
    if let Err(error) = removal.await {
        tracing::warn!(account = name, %error, "cannot remove blobs of a deleted account; the next sweep tries again");
    }
}

/// The lock that removals share and that a backup takes exclusively.
fn lock_file(layout: &Layout) -> PathBuf {
    server_folder::dir(layout).join("removal.lock")
}

/// Prevents the removal of files until it is dropped; `None` during a removal.
pub fn forbid(layout: &Layout) -> io::Result<Option<Lock>> {
    Lock::try_take(&lock_file(layout))
}

fn permit(layout: &Layout) -> io::Result<UseLock> {
    may_wait(|| UseLock::try_take(&lock_file(layout)))?.ok_or_else(|| {
        let text = "a backup is in progress; the next sweep removes them";
        io::Error::new(io::ErrorKind::ResourceBusy, text)
    })
}

async fn remove_account(app: &App, tombstone: &Tombstone) -> Result<(), blobs::Error> {
    let layout = app.settings().layout.clone();
    let (moving, name) = (layout.clone(), tombstone.name.clone());
    // One rename without concurrent commits, so that a new account of that name keeps its files.
    let move_away = move || blobs::put_account_aside(&moving, &name);
    app.store().take_tombstone(tombstone, move_away).await?;
    blobs::remove_put_aside(&layout).await?;
    Ok(())
}

async fn remove_image(app: &App, tombstone: &Tombstone) -> Result<(), blobs::Error> {
    let (layout, deleted) = (app.settings().layout.clone(), tombstone.clone());
    off_runtime(move || remove_disks(&layout, &deleted)).await?;
    app.store().take_tombstone(tombstone, || Ok(())).await?;
    Ok(())
}

fn remove_run(layout: &Layout, id: &str) -> io::Result<()> {
    // The id becomes a path.
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(io::Error::other(format!("{id:?} is not a run's id")));
    }
    absent::remove_tree(&run_folder::of(layout, id))?;
    // The engine's logs: the serial console and a screenshot.
    absent::remove_tree(&layout.logs().join(id))
}

/// A deletion removes the disks before the row. This removes disks that a run stored in between, unless they are newer
/// than the deletion.
fn remove_disks(layout: &Layout, deleted: &Tombstone) -> io::Result<()> {
    let Ok(address) = Address::parse(&deleted.name) else { return Ok(()) };
    let store = Store::open(layout);
    let stored = store.at(&address).map_err(io::Error::other)?;
    let Some(image) = stored.filter(|image| image.record.created < deleted.made) else {
        return Ok(());
    };
    match store.remove(&image.record.id) {
        Err(error) if error.code != ErrorCode::NotFound => Err(io::Error::other(error)),
        Ok(_) | Err(_) => Ok(()),
    }
}
