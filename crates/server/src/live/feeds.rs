//! Who waits for news of a run, and is woken by it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

/// The runs that are at work in this process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Feeds {
    open: Arc<Mutex<HashMap<String, watch::Sender<u64>>>>,
}

/// The end that tells; its readers go on to the end of the file once it is dropped.
#[derive(Debug)]
pub(crate) struct Feed {
    feeds: Feeds,
    run_id: String,
}

impl Feeds {
    /// Begins to tell of a run.
    pub(crate) fn open(&self, run_id: &str) -> Feed {
        self.lock().entry(run_id.to_owned()).or_insert_with(|| watch::Sender::new(0));
        Feed { feeds: self.clone(), run_id: run_id.to_owned() }
    }

    /// News of a run, while it is at work here.
    pub(crate) fn watch(&self, run_id: &str) -> Option<watch::Receiver<u64>> {
        self.lock().get(run_id).map(watch::Sender::subscribe)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<u64>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed {
    /// There is more to read.
    pub(crate) fn changed(&self) {
        if let Some(feed) = self.feeds.lock().get(&self.run_id) {
            feed.send_modify(|number| *number += 1);
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.feeds.lock().remove(&self.run_id);
    }
}
