//! Removes the files of what was deleted: blobs of accounts, logs of runs, disks of images.
//!
//! Only a tombstone leads to a removal. Files that no row and no tombstone knows are kept, since the database may not
//! be the one they belong to; `goldsmith doctor` reports them.

use std::{fs, io, path::Path};

use api::ErrorCode;
use engine::{
    layout::Layout,
    store::{Store as Images, address::Address},
};

use crate::{
    App, blobs, live,
    store::{Grave, Tombstone},
};

/// Tombstones of one look.
const AT_ONCE: u32 = 500;

/// Acts on every tombstone. What cannot be removed keeps its tombstone, and the others are acted on all the same.
///
/// # Errors
/// The database fails, or the first failure of the files.
pub(crate) async fn act_on_all(app: &App) -> Result<(), blobs::Error> {
    let mut failed = None;
    for tombstone in app.store().tombstones(AT_ONCE).await? {
        if let Err(error) = act(app, &tombstone).await {
            tracing::warn!(name = tombstone.name, %error, "files of something deleted stay for now");
            failed.get_or_insert(error);
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Removes the blobs of an account that was deleted; there may be nothing to do. A failure is left to the sweeper.
pub(crate) async fn act_on_account(app: &App, name: &str) {
    let acted = match app.store().tombstone(Grave::Account, name).await {
        Ok(Some(tombstone)) => act(app, &tombstone).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = acted {
        tracing::warn!(account = name, %error, "blobs of a deleted account stay for the next sweep");
    }
}

async fn act(app: &App, tombstone: &Tombstone) -> Result<(), blobs::Error> {
    let layout = app.settings().layout.clone();
    let name = tombstone.name.clone();
    match tombstone.kind {
        Grave::Account => {
            // One rename while no row is written, so that a new account of that name loses nothing.
            let moving = layout.clone();
            app.store()
                .take_tombstone(tombstone, move || blobs::put_account_aside(&moving, &name))
                .await?;
            blobs::remove_put_aside(&layout).await?;
        }
        Grave::Run => {
            // A run's id is never given again.
            let removed = tokio::task::spawn_blocking(move || remove_run(&layout, &name));
            removed.await.map_err(io::Error::other).flatten()?;
            app.store().take_tombstone(tombstone, || Ok(())).await?;
        }
        Grave::Image => {
            let deleted = tombstone.clone();
            let removed = tokio::task::spawn_blocking(move || remove_image(&layout, &deleted));
            removed.await.map_err(io::Error::other).flatten()?;
            app.store().take_tombstone(tombstone, || Ok(())).await?;
        }
    }
    Ok(())
}

fn remove_run(layout: &Layout, id: &str) -> io::Result<()> {
    // It becomes a path: only what can be a run's id.
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(io::Error::other(format!("{id:?} is not a run's id")));
    }
    remove_tree(&live::folder(layout, id))?;
    // What the engine keeps beside: the serial console, a screenshot.
    remove_tree(&layout.logs().join(id))
}

/// The deletion itself removes the disks before the row; this is for one that was stored again meanwhile by a run that
/// had not ended. One that is younger than the deletion stays.
fn remove_image(layout: &Layout, deleted: &Tombstone) -> io::Result<()> {
    let Ok(address) = Address::parse(&deleted.name) else { return Ok(()) };
    let store = Images::open(layout);
    let stored = store.at(&address).map_err(io::Error::other)?;
    let Some(image) = stored.filter(|image| image.record.created < deleted.made) else {
        return Ok(());
    };
    match store.remove(&image.record.id) {
        Err(error) if error.code != ErrorCode::NotFound => Err(io::Error::other(error)),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn remove_tree(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
