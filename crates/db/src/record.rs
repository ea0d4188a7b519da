//! Events of the activity log that are written with the commits that they tell of.

use std::{fmt::Debug, sync::Arc};

use crate::{
    Store,
    model::{Activity, Write},
};

/// Makes the events of commits, for one request.
pub trait Record: Debug + Send + Sync {
    /// The events of a commit with these writes. They are written in the same transaction: the log has them
    /// if, and only if, the writes took effect. Also called for a commit that then fails.
    fn events(&self, writes: &[Write]) -> Vec<Activity>;

    /// The commit with these writes, its events among them, succeeded. Called once for each such commit, also
    /// if its caller does not wait for it any more.
    fn written(&self, writes: &[Write]);
}

impl Store {
    /// The same database, with events of `by` in each commit that has writes. It replaces the record of this store.
    #[must_use]
    pub fn recording(&self, by: Arc<dyn Record>) -> Self {
        Self { record: Some(by), ..self.clone() }
    }

    /// Adds the events of a commit to its writes.
    pub(super) fn add_events(&self, writes: &mut Vec<Write>) {
        if let Some(record) = self.record.as_ref().filter(|_| !writes.is_empty()) {
            let events = record.events(writes);
            writes.extend(events.into_iter().map(Write::Activity));
        }
    }
}
