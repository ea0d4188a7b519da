//! The shared state of the service, built once at start.

pub mod changes;
pub mod feeds;
pub mod quotas;
mod readiness;
pub mod replications;
mod rights;
mod subscriptions;

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use arm::Context;
use db::{Record, Store};
use engine::Host;
use images::{error::Error, layout::Layout, ownership::Ownership};
use sources::fetch;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::app::{
    changes::Changes, feeds::Feeds, quotas::Quotas, readiness::Readiness,
    replications::Replications, rights::RightsCache, subscriptions::Known,
};
use crate::events::{Activities, background::background};

/// The validated settings of the service.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folders for cache and data.
    pub layout: Layout,
    /// The folder for keys, certificates and the SQLite file.
    pub dir: PathBuf,
    /// The regions for resources, such as `westus2`; the first is the default.
    pub regions: Vec<String>,
    /// The tenant's id.
    pub tenant: String,
    /// The id of the first subscription, which every installation has.
    pub subscription: String,
}

/// The shared state, as the work of one subscription sees it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    inner: Arc<Inner>,
    context: Context,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    shutdown: CancellationToken,
    tasks: TaskTracker,
    worker: Notify,
    sweeper: Notify,
    changes: Changes,
    schedules: Notify,
    janitor: Notify,
    feeds: Feeds,
    replications: Replications,
    readiness: Readiness,
    fetch: OnceLock<fetch::Limits>,
    ownership: OnceLock<Arc<dyn Ownership>>,
    quotas: OnceLock<Quotas>,
    host: OnceLock<Host>,
    rights: RightsCache,
    subscriptions: Known,
    activities: Activities,
    /// The database without a record, for events alone.
    activity_store: Store,
}

impl App {
    /// Creates the shared state.
    pub fn new(settings: Settings, store: Store, shutdown: CancellationToken) -> Self {
        let recorded = background(&store, &settings.tenant);
        Self {
            context: Context::new(recorded, &settings.subscription, &settings.regions),
            inner: Arc::new(Inner {
                settings,
                shutdown,
                tasks: TaskTracker::new(),
                worker: Notify::new(),
                sweeper: Notify::new(),
                changes: Changes::default(),
                schedules: Notify::new(),
                janitor: Notify::new(),
                feeds: Feeds::default(),
                replications: Replications::default(),
                readiness: Readiness::default(),
                fetch: OnceLock::new(),
                ownership: OnceLock::new(),
                quotas: OnceLock::new(),
                host: OnceLock::new(),
                rights: RightsCache::default(),
                subscriptions: Known::default(),
                activities: Activities::default(),
                activity_store: store,
            }),
        }
    }

    /// The same service, for the work of another subscription.
    #[must_use]
    pub fn within(&self, subscription: &str) -> Self {
        Self { inner: self.inner.clone(), context: self.context.within(subscription) }
    }

    /// The same service, with other events in its commits.
    #[must_use]
    pub fn recording(&self, by: Arc<dyn Record>) -> Self {
        Self { inner: self.inner.clone(), context: self.context.recording(by) }
    }

    /// What the activity log remembers between requests.
    pub fn activities(&self) -> &Activities {
        &self.inner.activities
    }

    pub(crate) fn activity_store(&self) -> &Store {
        &self.inner.activity_store
    }

    /// The id of the subscription whose work this is.
    pub fn subscription(&self) -> &str {
        self.context.subscription()
    }

    /// The settings of the service.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The part that every route needs.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The database.
    pub fn store(&self) -> &Store {
        self.context.store()
    }

    /// Cancelled when the service shuts down.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.inner.shutdown
    }

    /// The background tasks; see [`crate::tasks`].
    pub fn tasks(&self) -> &TaskTracker {
        &self.inner.tasks
    }

    /// Wakes the worker after a run was submitted or canceled. The call is remembered until the worker
    /// waits.
    pub fn wake_worker(&self) {
        self.inner.worker.notify_one();
    }

    /// Waits for [`wake_worker`](Self::wake_worker), including an earlier call.
    pub async fn worker_woken(&self) {
        self.inner.worker.notified().await;
    }

    /// Wakes the sweeper (`runs::retention`) after the deletion of a template.
    pub fn wake_sweeper(&self) {
        self.inner.sweeper.notify_one();
    }

    /// Waits for [`wake_sweeper`](Self::wake_sweeper), including an earlier call.
    pub async fn sweeper_woken(&self) {
        self.inner.sweeper.notified().await;
    }

    /// Changes that may fire triggers.
    pub fn changes(&self) -> &Changes {
        &self.inner.changes
    }

    /// Wakes the scheduler after a schedule changed or a template's run ended. The call is remembered.
    pub fn wake_schedules(&self) {
        self.inner.schedules.notify_one();
    }

    /// Waits for [`wake_schedules`](Self::wake_schedules), including an earlier call.
    pub async fn schedules_woken(&self) {
        self.inner.schedules.notified().await;
    }

    /// Wakes the janitor to release something now. The call is remembered.
    pub fn wake_janitor(&self) {
        self.inner.janitor.notify_one();
    }

    /// Waits for [`wake_janitor`](Self::wake_janitor), including an earlier call.
    pub async fn janitor_woken(&self) {
        self.inner.janitor.notified().await;
    }

    /// Notifications of active runs.
    pub fn feeds(&self) -> &Feeds {
        &self.inner.feeds
    }

    /// The active replication tasks.
    pub fn replications(&self) -> &Replications {
        &self.inner.replications
    }

    /// Whether the service is ready.
    pub fn readiness(&self) -> &Readiness {
        &self.inner.readiness
    }

    /// Sets the subscription's quotas once.
    pub fn set_quotas(&self, quotas: Quotas) {
        // The first quotas stay.
        let _ = self.inner.quotas.set(quotas);
    }

    /// The subscription's quotas.
    pub fn quotas(&self) -> &Quotas {
        self.inner.quotas.get_or_init(Quotas::default)
    }

    /// Sets the host once.
    pub fn set_host(&self, host: Host) {
        // The first host stays.
        let _ = self.inner.host.set(host);
    }

    /// The host that the service runs on.
    pub fn host(&self) -> Option<&Host> {
        self.inner.host.get()
    }

    /// Sets the limits for fetching scripts and files of templates once.
    pub fn set_fetch_limits(&self, limits: fetch::Limits) {
        // The first limits stay.
        let _ = self.inner.fetch.set(limits);
    }

    /// The limits for fetching scripts and files of templates. By default, only from public addresses.
    pub fn fetch_limits(&self) -> fetch::Limits {
        self.inner.fetch.get().cloned().unwrap_or_else(|| fetch::Limits::for_others([]))
    }

    /// Sets the service's URL once, such as `https://host:8443`, for URLs outside of responses.
    pub fn set_base_url(&self, url: String) {
        self.context.set_base_url(url);
    }

    /// The service's URL, once it listens.
    pub fn base_url(&self) -> Option<&str> {
        self.context.base_url()
    }

    /// Sets the lease on the database once: it shows that the service still owns its runs.
    pub fn set_ownership(&self, ownership: Arc<dyn Ownership>) {
        // The first lease stays.
        let _ = self.inner.ownership.set(ownership);
    }

    /// The lease on the database; `None` in tests without a lease.
    pub fn ownership(&self) -> Option<Arc<dyn Ownership>> {
        self.inner.ownership.get().cloned()
    }

    pub(crate) fn rights_cache(&self) -> &RightsCache {
        &self.inner.rights
    }

    pub(crate) fn known_subscriptions(&self) -> &Known {
        &self.inner.subscriptions
    }

    /// Call this before writing or removing anything outside the database.
    ///
    /// # Errors
    /// Another service has taken the lease on the database.
    pub async fn confirm_ownership(&self) -> Result<(), Error> {
        match self.inner.ownership.get() {
            Some(ownership) => ownership.confirm().await,
            None => Ok(()),
        }
    }
}
