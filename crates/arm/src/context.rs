//! What every route needs, whatever type it is about.

use std::sync::{Arc, OnceLock};

use db::Store;

/// The database, the one subscription, its regions, and what clients call the service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Context {
    store: Store,
    subscription: Arc<str>,
    regions: Arc<[String]>,
    base_url: Arc<OnceLock<String>>,
}

impl Context {
    /// Of a subscription, whose resources may be in these regions; the first is the default.
    pub fn new(store: Store, subscription: &str, regions: &[String]) -> Self {
        Self {
            store,
            subscription: subscription.into(),
            regions: regions.into(),
            base_url: Arc::default(),
        }
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The subscription's id.
    pub fn subscription(&self) -> &str {
        &self.subscription
    }

    /// Regions that a resource may be in, such as `westus2`.
    pub fn regions(&self) -> &[String] {
        &self.regions
    }

    /// Sets, once, what clients call this server, such as `https://host:8443`. For the URLs in texts that
    /// no request asked for.
    pub fn set_base_url(&self, url: String) {
        // The first one stays.
        let _ = self.base_url.set(url);
    }

    /// What clients call this server, once it listens.
    pub fn base_url(&self) -> Option<&str> {
        self.base_url.get().map(String::as_str)
    }
}
