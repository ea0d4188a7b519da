//! What the whole service shares, built once at start.

pub mod changes;
pub mod feeds;
pub mod keepers;
pub mod quotas;
mod readiness;

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use arm::Context;
use db::Store;
use engine::Host;
use images::{error::Error, layout::Layout, ownership::Ownership};
use sources::fetch;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::app::{
    changes::Changes, feeds::Feeds, keepers::Keepers, quotas::Quotas, readiness::Readiness,
};

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
    context: Context,
    shutdown: CancellationToken,
    tasks: TaskTracker,
    worker: Notify,
    sweeper: Notify,
    changes: Changes,
    schedules: Notify,
    janitor: Notify,
    feeds: Feeds,
    keepers: Keepers,
    readiness: Readiness,
    fetch: OnceLock<fetch::Limits>,
    ownership: OnceLock<Arc<dyn Ownership>>,
    quotas: OnceLock<Quotas>,
    host: OnceLock<Host>,
}

impl App {
    /// Puts the parts together.
    pub fn new(settings: Settings, store: Store, shutdown: CancellationToken) -> Self {
        Self {
            inner: Arc::new(Inner {
                context: Context::new(store, &settings.subscription, &settings.regions),
                settings,
                shutdown,
                tasks: TaskTracker::new(),
                worker: Notify::new(),
                sweeper: Notify::new(),
                changes: Changes::default(),
                schedules: Notify::new(),
                janitor: Notify::new(),
                feeds: Feeds::default(),
                keepers: Keepers::default(),
                readiness: Readiness::default(),
                fetch: OnceLock::new(),
                ownership: OnceLock::new(),
                quotas: OnceLock::new(),
                host: OnceLock::new(),
            }),
        }
    }

    /// How the service is to run.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// What every route needs.
    pub fn context(&self) -> &Context {
        &self.inner.context
    }

    /// The database.
    pub fn store(&self) -> &Store {
        self.inner.context.store()
    }

    /// Fires when the service is to end.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.inner.shutdown
    }

    /// What goes on in the background; see [`crate::tasks`].
    pub fn tasks(&self) -> &TaskTracker {
        &self.inner.tasks
    }

    /// Tells the worker that a run was submitted or is to be canceled. One call is remembered until
    /// the worker looks, so it cannot come too early.
    pub fn wake_worker(&self) {
        self.inner.worker.notify_one();
    }

    /// Waits for [`wake_worker`](Self::wake_worker); a call before counts.
    pub async fn worker_woken(&self) {
        self.inner.worker.notified().await;
    }

    /// Tells the sweeper (`runs::retention`) that a template is gone.
    pub fn wake_sweeper(&self) {
        self.inner.sweeper.notify_one();
    }

    /// Waits for [`wake_sweeper`](Self::wake_sweeper); a call before counts.
    pub async fn sweeper_woken(&self) {
        self.inner.sweeper.notified().await;
    }

    /// What was written that triggers may be waiting for.
    pub fn changes(&self) -> &Changes {
        &self.inner.changes
    }

    /// Tells the schedules that one was set, or that a template is free. One call is remembered until
    /// they look.
    pub fn wake_schedules(&self) {
        self.inner.schedules.notify_one();
    }

    /// Waits for [`wake_schedules`](Self::wake_schedules); a call before counts.
    pub async fn schedules_woken(&self) {
        self.inner.schedules.notified().await;
    }

    /// Tells the janitor that something is to be released now. One call is remembered.
    pub fn wake_janitor(&self) {
        self.inner.janitor.notify_one();
    }

    /// Waits for [`wake_janitor`](Self::wake_janitor); a call before counts.
    pub async fn janitor_woken(&self) {
        self.inner.janitor.notified().await;
    }

    /// News of the runs that are at work here.
    pub fn feeds(&self) -> &Feeds {
        &self.inner.feeds
    }

    /// Who is at the copies of versions.
    pub fn keepers(&self) -> &Keepers {
        &self.inner.keepers
    }

    /// Whether the service can do its work.
    pub fn readiness(&self) -> &Readiness {
        &self.inner.readiness
    }

    /// Sets, once, what the subscription may have.
    pub fn set_quotas(&self, quotas: Quotas) {
        // The first ones stay.
        let _ = self.inner.quotas.set(quotas);
    }

    /// What the subscription may have.
    pub fn quotas(&self) -> &Quotas {
        self.inner.quotas.get_or_init(Quotas::default)
    }

    /// Sets, once, the machine that everything is done on.
    pub fn set_host(&self, host: Host) {
        // The first one stays.
        let _ = self.inner.host.set(host);
    }

    /// The machine that everything is done on.
    pub fn host(&self) -> Option<&Host> {
        self.inner.host.get()
    }

    /// Sets, once, how scripts and files that templates name are fetched.
    pub fn set_fetch_limits(&self, limits: fetch::Limits) {
        // The first ones stay.
        let _ = self.inner.fetch.set(limits);
    }

    /// How scripts and files that templates name are fetched: from public addresses alone, unless
    /// something else was set.
    pub fn fetch_limits(&self) -> fetch::Limits {
        self.inner.fetch.get().cloned().unwrap_or_else(|| fetch::Limits::for_others([]))
    }

    /// Sets, once, what clients call this server, such as `https://host:8443`. For the URLs in texts that
    /// no request asked for.
    pub fn set_base_url(&self, url: String) {
        self.inner.context.set_base_url(url);
    }

    /// What clients call this server, once it listens.
    pub fn base_url(&self) -> Option<&str> {
        self.inner.context.base_url()
    }

    /// Sets, once, what says whether the service still owns its runs: the lease on its database.
    pub fn set_ownership(&self, ownership: Arc<dyn Ownership>) {
        // The first one stays.
        let _ = self.inner.ownership.set(ownership);
    }

    /// What says whether the service still owns its runs; nothing in tests without a lease.
    pub fn ownership(&self) -> Option<Arc<dyn Ownership>> {
        self.inner.ownership.get().cloned()
    }

    /// To be asked before something is written or removed outside the database.
    ///
    /// # Errors
    /// Another service has taken the database over.
    pub async fn confirm_ownership(&self) -> Result<(), Error> {
        match self.inner.ownership.get() {
            Some(ownership) => ownership.confirm().await,
            None => Ok(()),
        }
    }
}
