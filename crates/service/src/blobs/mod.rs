//! Blobs of storage accounts, as files:
//!
//! ```text
//! server/storage/<account>/<container>/<blob>      scripts, VHDs
//! server/storage/.partial/<guid>                   not finished; gone at the next start
//! server/storage/.removed/<guid>                   an account that was deleted, on its way out
//! server/runs/<run id>/*.log                       shown as container `packerlogs` of the template's account
//! ```
//!
//! A blob appears by one rename. Names are checked before they become paths, so that none leads out of
//! its container. The logs of runs are at home with the runs, since they outlive their template; its
//! account shows them while it is there. Who may read is for the callers to say.

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

/// Container of VHDs without a place of their own.
pub const VHDS: &str = "vhds";

/// Hidden in an account that the service made: the id of the template it is for.
pub const TEMPLATE: &str = "stagingOf";

/// Where the accounts' blobs are.
pub fn root(layout: &Layout) -> PathBuf {
    layout.data().join("server").join("storage")
}

/// Which blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// The storage account.
    pub account: String,
    /// A name without slashes.
    pub container: String,
    /// May have slashes in it.
    pub name: String,
}

impl Blob {
    /// The path in URLs of this server, below `https://host:port`.
    pub fn url_path(&self) -> String {
        format!("/storage/{}/{}/{}", self.account, self.container, self.name)
    }
}

/// A blob that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub path: PathBuf,
    pub bytes: u64,
    pub modified: SystemTime,
}

impl Entry {
    /// When it was last written.
    pub fn time(&self) -> Timestamp {
        Timestamp::try_from(self.modified).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Changes whenever the content does.
    pub fn etag(&self) -> String {
        format!("\"0x{:X}{:X}\"", self.time().as_nanosecond(), self.bytes)
    }
}

/// Why blobs cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The files.
    #[error("the files of a storage account: {0}")]
    Files(#[from] io::Error),
    /// The database.
    #[error(transparent)]
    Store(#[from] db::Error),
}

/// A storage account, as far as its blobs are concerned.
#[derive(Debug, Clone)]
pub struct Account {
    name: String,
    /// The template whose logs it shows.
    template: Option<Resource>,
}

impl Account {
    /// The account of that name; there may be none.
    pub async fn open(app: &App, name: &str) -> Result<Option<Self>, Error> {
        let name = name.to_lowercase();
        if !is_account(&name) {
            return Ok(None);
        }
        let Some(found) = app.store().storage_account(&app.settings().subscription, &name).await?
        else {
            return Ok(None);
        };
        let template = match found.hidden[TEMPLATE].as_str() {
            Some(id) => app.store().resource(&ResourceKey::of(id)).await?,
            None => None,
        };
        Ok(Some(Self { name, template }))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its containers, in the order of their names.
    pub async fn containers(&self, app: &App) -> Result<Vec<String>, Error> {
        let mut all = files::containers(&app.settings().layout, &self.name).await?;
        if self.template.is_some() {
            all.push(LOGS.to_owned());
        }
        all.sort();
        all.dedup();
        Ok(all)
    }

    /// What is in a container, in the order of names; `None` if there is no such container.
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
