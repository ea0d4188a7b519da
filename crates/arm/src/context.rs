//! What every route needs, whatever its resource type.

use std::sync::{Arc, OnceLock};

use db::{Record, Store};

/// The database, the subscription that a request is about, the regions, and the service's URL. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Context {
    store: Store,
    subscription: Arc<str>,
    regions: Arc<[String]>,
    base_url: Arc<OnceLock<String>>,
}

impl Context {
    /// A context for a subscription. Its resources may be in these regions; the first is the default.
    pub fn new(store: Store, subscription: &str, regions: &[String]) -> Self {
        Self {
            store,
            subscription: subscription.into(),
            regions: regions.into(),
            base_url: Arc::default(),
        }
    }

    /// The same for another subscription.
    #[must_use]
    pub fn within(&self, subscription: &str) -> Self {
        Self { subscription: subscription.into(), ..self.clone() }
    }

    /// The same with other events in the commits of the database.
    #[must_use]
    pub fn recording(&self, by: Arc<dyn Record>) -> Self {
        Self { store: self.store.recording(by), ..self.clone() }
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The subscription's id.
    pub fn subscription(&self) -> &str {
        &self.subscription
    }

    /// The regions for resources, such as `westus2`.
    pub fn regions(&self) -> &[String] {
        &self.regions
    }

    /// Sets the service's URL once, such as `https://host:8443`, for URLs outside of responses.
    pub fn set_base_url(&self, url: String) {
        // The first URL stays.
        let _ = self.base_url.set(url);
    }

    /// The service's URL, once it listens.
    pub fn base_url(&self) -> Option<&str> {
        self.base_url.get().map(String::as_str)
    }
}
