//! Blobs of storage accounts, as files:
//!
//! ```text
//! server/storage/<account>/<container>/<blob>      scripts, VHDs
//! server/storage/.partial/<guid>                   unfinished; the next start removes it
//! server/storage/.removed/<guid>                   a deleted account before its removal
//! server/runs/<run id>/*.log                       container `packerlogs` of the template's account
//! ```
//!
//! A blob appears by one rename. Names are checked before they become paths, so that no path leaves its
//! container. Logs are stored with the runs, because they outlive their template; its account shows them
//! while it exists. Callers check permissions.

mod files;
mod logs;
mod name;

use std::{io, path::PathBuf, time::SystemTime};

use db::{Resource, ResourceKey};
use images::layout::Layout;
use jiff::Timestamp;

pub use files::{put, remove_unfinished, take};
pub(crate) use files::{put_account_aside, remove_put_aside};
pub use logs::{LOGS, logs_of_run};
pub use name::is_blob;
pub(crate) use name::{is_account, is_container};

use crate::App;

/// The container of VHDs without a destination.
pub const VHDS: &str = "vhds";

/// In the hidden part of a staging account: the id of its template.
pub const TEMPLATE: &str = "stagingOf";

/// The folder of all accounts.
pub fn root(layout: &Layout) -> PathBuf {
    layout.data().join("server").join("storage")
}

/// The address of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// The storage account.
    pub account: String,
    /// A name without slashes.
    pub container: String,
    /// A name that may contain slashes.
    pub name: String,
}

impl Blob {
    /// The path of its URL.
    pub fn url_path(&self) -> String {
        format!("/storage/{}/{}/{}", self.account, self.container, self.name)
    }
}

/// An existing blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub path: PathBuf,
    pub bytes: u64,
    pub modified: SystemTime,
}

impl Entry {
    /// The time of the last write.
    pub fn time(&self) -> Timestamp {
        Timestamp::try_from(self.modified).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Changes whenever the content does.
    pub fn etag(&self) -> String {
        format!("\"0x{:X}{:X}\"", self.time().as_nanosecond(), self.bytes)
    }
}

/// A failure to read blobs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The files failed.
    #[error("the files of a storage account: {0}")]
    Files(#[from] io::Error),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] db::Error),
}

/// A storage account with its blobs.
#[derive(Debug, Clone)]
pub struct Account {
    id: String,
    name: String,
    /// The template whose logs it shows.
    template: Option<Resource>,
}

impl Account {
    /// The account of that name, if it exists, in whichever subscription.
    pub async fn open(app: &App, name: &str) -> Result<Option<Self>, Error> {
        let name = name.to_lowercase();
        if !is_account(&name) {
            return Ok(None);
        }
        let Some(found) = app.store().account_anywhere(&name).await? else { return Ok(None) };
        let template = match found.hidden[TEMPLATE].as_str() {
            Some(id) => app.store().resource(&ResourceKey::of(id)).await?,
            None => None,
        };
        Ok(Some(Self { id: found.id, name, template }))
    }

    /// The id of the account's resource.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The account's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its containers, sorted by name.
    pub async fn containers(&self, app: &App) -> Result<Vec<String>, Error> {
        let mut all = files::containers(&app.settings().layout, &self.name).await?;
        if self.template.is_some() {
            all.push(LOGS.to_owned());
        }
        all.sort();
        all.dedup();
        Ok(all)
    }

    /// The blobs of a container, sorted by name; `None` if the container does not exist.
    pub async fn list(&self, app: &App, container: &str) -> Result<Option<Vec<Entry>>, Error> {
        match (&self.template, container) {
            (Some(template), LOGS) => Ok(Some(logs::of_template(app, template).await?)),
            _ if is_container(container) => {
                Ok(files::list(&app.settings().layout, &self.name, container).await?)
            }
            _ => Ok(None),
        }
    }

    /// One blob.
    pub async fn find(
        &self,
        app: &App,
        container: &str,
        blob: &str,
    ) -> Result<Option<Entry>, Error> {
        match (&self.template, container) {
            (Some(template), LOGS) => logs::find(app, template, blob).await,
            _ if is_container(container) && is_blob(blob) => {
                Ok(files::find(&app.settings().layout, &self.name, container, blob).await?)
            }
            _ => Ok(None),
        }
    }
}
