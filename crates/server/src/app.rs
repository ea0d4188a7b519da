//! What the whole service shares, built once at start.

use std::{path::PathBuf, sync::Arc};

use engine::layout::Layout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::store::Store;

/// How the service is to run; every value has been checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Cache and data of builds.
    pub layout: Layout,
    /// Keys, certificates, the SQLite file.
    pub dir: PathBuf,
    /// Regions that a resource may be in, such as `westus2`; the first is the default.
    pub regions: Vec<String>,
    /// The tenant's id.
    pub tenant: String,
    /// The subscription's id.
    pub subscription: String,
}

/// The shared parts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    store: Store,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl App {
    /// Puts the parts together.
    pub fn new(settings: Settings, store: Store, shutdown: CancellationToken) -> Self {
        Self { inner: Arc::new(Inner { settings, store, shutdown, tasks: TaskTracker::new() }) }
    }

    /// How the service is to run.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Fires when the service is to end.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.inner.shutdown
    }

    /// What goes on in the background; see [`crate::tasks`].
    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.inner.tasks
    }
}
