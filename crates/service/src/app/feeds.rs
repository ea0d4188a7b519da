//! Notifies the followers of a run of new events.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

/// By run: the number of feeds, and the sender that wakes followers.
type Open = HashMap<String, (usize, watch::Sender<u64>)>;

/// The active runs of this process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Feeds {
    open: Arc<Mutex<Open>>,
}

/// The sending end for a run. When the last one is dropped, followers check whether the run is over.
#[derive(Debug)]
pub struct Feed {
    feeds: Feeds,
    run_id: String,
}

impl Feeds {
    /// Opens a feed for a run.
    pub fn open(&self, run_id: &str) -> Feed {
        self.lock().entry(run_id.to_owned()).or_insert_with(|| (0, watch::Sender::new(0))).0 += 1;
        Feed { feeds: self.clone(), run_id: run_id.to_owned() }
    }

    /// Follows a run that is active in this process.
    pub fn watch(&self, run_id: &str) -> Option<watch::Receiver<u64>> {
        self.lock().get(run_id).map(|(_, feed)| feed.subscribe())
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed {
    /// Notifies the followers.
    pub fn changed(&self) {
        if let Some((_, feed)) = self.feeds.lock().get(&self.run_id) {
            feed.send_modify(|number| *number += 1);
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let mut open = self.feeds.lock();
        let Some((count, _)) = open.get_mut(&self.run_id) else { return };
        *count -= 1;
        if *count == 0 {
            open.remove(&self.run_id);
        }
    }
}
