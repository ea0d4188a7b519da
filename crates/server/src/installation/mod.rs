//! Checks that the database and the data folder belong together.
//!
//! ```text
//! server/identity.json       tenant, subscription
//! server/installation.json   id of the installation, mark: an earlier number of commits of the database
//! database, `installation`   the same id, tenant and subscription; mark: the number of commits
//! ```
//!
//! Both sides record the installation's id, which detects a mistyped address, an empty database and another folder. The
//! database counts its commits, and the folder's mark follows within a second and is never ahead. A database with a lower
//! mark than the folder is therefore an older copy, without some commits. Counting starts would be simpler, but would not
//! detect a backup that was made after the last start.
//!
//! A mismatch is rejected before anything is written to either side.

mod compare;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use api::ErrorCode;
use db::{Inspection, Store};
use engine::may_wait;
use images::{
    absent,
    error::{Coded, Error, Result},
    files,
    layout::Layout,
};
use serde::{Deserialize, Serialize};
use service::{App, auth::Identity, blobs, run_folder, server_folder};
use uuid::Uuid;

use self::compare::{Folder, Match, compare};

const FILE: &str = "installation.json";
/// Copies of databases from before a migration of their schema.
const COPIES: &str = "before-upgrade";
/// The maximum delay of the folder's mark.
const LAG: Duration = Duration::from_secs(1);

/// The folder's record of its database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// The installation's id.
    id: String,
    /// An earlier mark of the database.
    mark: i64,
}

impl Note {
    fn path(dir: &Path) -> PathBuf {
        dir.join(FILE)
    }

    /// The folder's record; `None` before the first start.
    fn read(dir: &Path) -> Result<Option<Self>> {
        let remedy = "restore it from a backup, or run: goldsmith admin adopt";
        files::read_json(&Self::path(dir), remedy)
    }

    fn write(&self, dir: &Path) -> io::Result<()> {
        let text = serde_json::to_string(self).map_err(io::Error::other)?;
        files::write_secret(&Self::path(dir), &text)
    }
}

/// Checks that the database belongs to the folder, without changing either.
///
/// # Errors
/// `Conflict` with the remedy if they do not belong together.
pub(crate) async fn check(layout: &Layout, url: &str) -> Result<()> {
    checked(layout, url).await.map(|_| ())
}

async fn checked(layout: &Layout, url: &str) -> Result<Match> {
    let found = db::inspect(url).await.map_err(server_folder::cannot_open)?;
    compare(&may_wait(|| folder(layout))?, &found)
        .map_err(|reason| reason.error(&server_folder::dir(layout)))
}

/// Opens the database if it belongs to the folder. A new pair becomes an installation.
pub(crate) async fn open(layout: &Layout, url: &str) -> Result<(Store, Identity)> {
    let dir = server_folder::dir(layout);
    let verdict = checked(layout, url).await?;
    let identity = Identity::obtain(&dir)?;
    let store = open_with_copy(&dir, url).await?;
    match verdict {
        Match::Same => {}
        Match::New => {
            let id = Uuid::new_v4().to_string();
            join(&store, &dir, &id, &identity).await?;
        }
        Match::FolderIsBehind(id) => write_note(&store, &dir, &id).await?,
    }
    Ok((store, identity))
}

/// Opens the database for a command beside the service, perhaps on another machine where the folder is empty.
pub(crate) async fn open_for_command(layout: &Layout, url: &str) -> Result<Store> {
    let dir = server_folder::dir(layout);
    if Note::read(&dir)?.is_none() && Identity::read(&dir)?.is_none() {
        let found = db::inspect(url).await.map_err(server_folder::cannot_open)?;
        if found.installation.is_some() || found.has_content {
            return open_with_copy(&dir, url).await;
        }
    }
    files::make_dir(&dir)
        .code(ErrorCode::HostNotReady, || format!("cannot make {}", dir.display()))?;
    Ok(open(layout, url).await?.0)
}

/// The result of [`adopt`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Adopted {
    /// The new id of the installation.
    pub installation: String,
    /// The subscription of the service from now on.
    pub subscription: String,
}

/// Makes a database and a folder one new installation, whatever each belonged to. No server may use the folder.
///
/// # Errors
/// A server uses the folder, or one of the two cannot be read or written.
pub async fn adopt(layout: &Layout, database: Option<&str>) -> Result<Adopted> {
    let dir = server_folder::dir(layout);
    files::make_dir(&dir)
        .code(ErrorCode::HostNotReady, || format!("cannot make {}", dir.display()))?;
    let _lock = server_folder::lock(&dir)?;
    let url = server_folder::database_url(layout, database);
    let found = db::inspect(&url).await.map_err(server_folder::cannot_open)?;
    // The service cannot see rows of another subscription, so the database's ids take precedence.
    let identity = match ids_of(&found) {
        Some((tenant, subscription)) => {
            let tenant = match tenant {
                Some(tenant) => tenant,
                None => Identity::obtain(&dir)?.tenant,
            };
            let identity = Identity { tenant, subscription };
            identity.write(&dir)?;
            identity
        }
        None => Identity::obtain(&dir)?,
    };
    let store = open_with_copy(&dir, &url).await?;
    let id = Uuid::new_v4().to_string();
    join(&store, &dir, &id, &identity).await?;
    store.close().await;
    Ok(Adopted { installation: id, subscription: identity.subscription.to_string() })
}

/// Opens a database. If it has an earlier schema, it is first copied, because migrations cannot be undone.
async fn open_with_copy(dir: &Path, url: &str) -> Result<Store> {
    let schema = db::inspect(url).await.map_err(server_folder::cannot_open)?.schema;
    if (1..db::SCHEMA).contains(&schema) {
        let copies = dir.join(COPIES);
        let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%6f").to_string();
        let copy = copies.join(format!("schema-{schema}-{now}.jsonl"));
        let cannot =
            || format!("cannot copy the database to {} before its upgrade", copy.display());
        files::make_dir(&copies).code(ErrorCode::HostNotReady, cannot)?;
        db::dump(url, &copy).await.code(ErrorCode::HostNotReady, cannot)?;
        tracing::info!(copy = %copy.display(), "copied the database before its upgrade");
    }
    Store::open(url).await.map_err(server_folder::cannot_open)
}

/// Makes a restored folder and database a new installation, because the original one may still be in use.
pub(crate) async fn create(layout: &Layout, url: &str) -> Result<()> {
    let dir = server_folder::dir(layout);
    let identity = Identity::obtain(&dir)?;
    let store = open_with_copy(&dir, url).await?;
    join(&store, &dir, &Uuid::new_v4().to_string(), &identity).await?;
    store.close().await;
    Ok(())
}

fn ids_of(found: &Inspection) -> Option<(Option<uuid::Uuid>, uuid::Uuid)> {
    match (&found.installation, found.subscriptions.as_slice()) {
        (Some(row), _) => Some((row.tenant.parse().ok(), row.subscription.parse().ok()?)),
        (None, [only]) => Some((None, only.parse().ok()?)),
        (None, _) => None,
    }
}

/// Writes to the database first: after a crash in between, the database has the folder's subscription, which is
/// accepted.
async fn join(store: &Store, dir: &Path, id: &str, identity: &Identity) -> Result<()> {
    let (tenant, subscription) = (identity.tenant.to_string(), identity.subscription.to_string());
    store.set_installation(id, &tenant, &subscription).await.map_err(server_folder::cannot_open)?;
    write_note(store, dir, id).await
}

async fn write_note(store: &Store, dir: &Path, id: &str) -> Result<()> {
    let row = store.installation().await.map_err(server_folder::cannot_open)?;
    let mark = row.map_or(0, |row| row.mark);
    Note { id: id.to_owned(), mark }
        .write(dir)
        .code(ErrorCode::HostNotReady, || format!("cannot write {}", Note::path(dir).display()))
}

/// The state of the data folder.
fn folder(layout: &Layout) -> Result<Folder> {
    let dir = server_folder::dir(layout);
    let has_content = || -> io::Result<bool> {
        Ok(has_entries(&blobs::root(layout))?
            || has_entries(&run_folder::root(layout))?
            || !images::store::Store::open(layout).is_empty()?)
    };
    Ok(Folder {
        note: Note::read(&dir)?,
        identity: Identity::read(&dir)?,
        has_content: has_content()
            .code(ErrorCode::HostNotReady, || format!("cannot read {}", layout.data().display()))?,
    })
}

/// Whether a folder has any entry that is not hidden.
fn has_entries(folder: &Path) -> io::Result<bool> {
    let is_shown = |path: &PathBuf| {
        path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."))
    };
    Ok(absent::entries(folder)?.iter().any(is_shown))
}

/// Copies the database's mark to the folder until shutdown, and once more then.
pub(crate) async fn copy_marks(app: App) {
    let mut marks = app.store().marks();
    loop {
        tokio::select! {
            changed = marks.changed() => if changed.is_err() { return },
            () = app.shutdown().cancelled() => break,
        }
        let mark = *marks.borrow_and_update();
        write_mark(&app, mark).await;
        let pause = tokio::time::sleep(LAG);
        if app.shutdown().run_until_cancelled(pause).await.is_none() {
            break;
        }
    }
    let mark = *marks.borrow_and_update();
    write_mark(&app, mark).await;
}

async fn write_mark(app: &App, mark: i64) {
    let dir = app.settings().dir.clone();
    let written = tokio::task::spawn_blocking(move || {
        let Some(note) = Note::read(&dir)? else { return Ok(()) };
        if mark > note.mark {
            Note { mark, ..note }.write(&dir).code(ErrorCode::HostNotReady, || {
                format!("cannot write {}", Note::path(&dir).display())
            })?;
        }
        Ok::<(), Error>(())
    });
    let written = written.await.map_err(|e| Error::new(ErrorCode::InternalError, e.to_string()));
    if let Err(error) = written.flatten() {
        // The mark is a lower bound. Only the detection of an older copy gets weaker.
        tracing::warn!(%error, "cannot update the folder's mark of the database");
    }
}
