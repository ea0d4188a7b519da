//! Who waits for news of a run, and is woken by it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

/// By run: how many tell of it, and how its readers are woken.
type Open = HashMap<String, (usize, watch::Sender<u64>)>;

/// The runs that are at work in this process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Feeds {
    open: Arc<Mutex<Open>>,
}

/// An end that tells. Once the last one is dropped, its readers look whether the run is over.
#[derive(Debug)]
pub struct Feed {
    feeds: Feeds,
    run_id: String,
}

impl Feeds {
    /// Begins to tell of a run.
    pub fn open(&self, run_id: &str) -> Feed {
        self.lock().entry(run_id.to_owned()).or_insert_with(|| (0, watch::Sender::new(0))).0 += 1;
        Feed { feeds: self.clone(), run_id: run_id.to_owned() }
    }

    /// News of a run, while it is at work here.
    pub fn watch(&self, run_id: &str) -> Option<watch::Receiver<u64>> {
        self.lock().get(run_id).map(|(_, feed)| feed.subscribe())
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed {
    /// There is more to read.
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
