//! Removes the files of what was deleted: blobs of accounts, logs of runs, disks of images.
//!
//! Only a tombstone leads to a removal. Files that no row and no tombstone knows are kept, since the database may not
//! be the one they belong to; `goldsmith doctor` reports them.

use std::{io, path::PathBuf};

use api::ErrorCode;
use db::{Grave, Tombstone};
use engine::{may_wait, off_runtime};
use images::{
    absent,
    layout::Layout,
    lock::{Lock, UseLock},
    store::{Store, address::Address},
};

use crate::{App, blobs, own_folder, run_folder};

/// Tombstones of one look.
const AT_ONCE: u32 = 500;

/// Acts on every tombstone, a page after the other. What cannot be removed keeps its tombstone, and the others are acted
/// on all the same.
///
/// # Errors
/// The database fails, or the first failure of the files.
pub async fn act_on_all(app: &App) -> Result<(), blobs::Error> {
    let mut failed = None;
    loop {
        let page = app.store().tombstones(AT_ONCE).await?;
        if page.is_empty() {
            break;
        }
        let is_last = page.len() < AT_ONCE as usize;
        let _permit = permit(&app.settings().layout)?;
        let (mut runs, mut acted) = (Vec::new(), 0);
        for tombstone in page {
            let done = match tombstone.kind {
                Grave::Run => {
                    runs.push(tombstone.name);
                    continue;
                }
                Grave::Account => remove_account(app, &tombstone).await,
                Grave::Image => remove_image(app, &tombstone).await,
            };
            match done {
                Ok(()) => acted += 1,
                Err(error) => note(&tombstone.name, error, &mut failed),
            }
        }
        acted += remove_runs(app, runs, &mut failed).await?;
        if is_last || acted == 0 {
            break;
        }
    }
    failed.map_or(Ok(()), Err)
}

fn note(name: &str, error: blobs::Error, failed: &mut Option<blobs::Error>) {
    tracing::warn!(name, %error, "files of something deleted stay for now");
    failed.get_or_insert(error);
}

/// The folders of a page of runs go together, and so do their tombstones: a run's id is never given again. Returns
/// how many are gone.
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

/// Removes the blobs of an account that was deleted; there may be nothing to do. A failure is left to the sweeper.
pub async fn act_on_account(app: &App, name: &str) {
    let acted = async {
        let Some(tombstone) = app.store().tombstone(Grave::Account, name).await? else {
            return Ok(());
        };
        let _permit = permit(&app.settings().layout)?;
        remove_account(app, &tombstone).await
    };
    if let Err(error) = acted.await {
        tracing::warn!(account = name, %error, "blobs of a deleted account stay for the next sweep");
    }
}

/// Held by those who remove files (shared), and by a backup (alone).
fn lock_file(layout: &Layout) -> PathBuf {
    own_folder::dir(layout).join("removal.lock")
}

/// Keeps files from being removed until it is dropped; `None` while some are.
pub fn forbid(layout: &Layout) -> io::Result<Option<Lock>> {
    Lock::try_take(&lock_file(layout))
}

fn permit(layout: &Layout) -> io::Result<UseLock> {
    may_wait(|| UseLock::try_take(&lock_file(layout)))?.ok_or_else(|| {
        let text = "a backup is being made; the next sweep removes them";
        io::Error::new(io::ErrorKind::ResourceBusy, text)
    })
}

async fn remove_account(app: &App, tombstone: &Tombstone) -> Result<(), blobs::Error> {
    let layout = app.settings().layout.clone();
    let (moving, name) = (layout.clone(), tombstone.name.clone());
    // One rename while no row is written, so that a new account of that name loses nothing.
    let put_aside = move || blobs::put_account_aside(&moving, &name);
    app.store().take_tombstone(tombstone, put_aside).await?;
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
    // It becomes a path: only what can be a run's id.
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(io::Error::other(format!("{id:?} is not a run's id")));
    }
    absent::remove_tree(&run_folder::of(layout, id))?;
    // What the engine keeps beside: the serial console, a screenshot.
    absent::remove_tree(&layout.logs().join(id))
}

/// The deletion itself removes the disks before the row; this is for one that was stored again meanwhile by a run that
/// had not ended. One that is younger than the deletion stays.
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
