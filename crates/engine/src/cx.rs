//! What a step may use.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    error::Result, event::Events, fetch, layout::Layout, ownership::Ownership,
    replicate::Geography, step::Faults,
};

/// The surroundings of a piece of work: where things are, whom to tell, when to stop.
#[derive(Debug, Clone)]
pub struct Cx {
    pub layout: Layout,
    pub events: Events,
    /// Fires when the user (or a deadline) wants the work to end.
    pub cancel: CancellationToken,
    /// When the whole of it must be done (`buildTimeoutInMinutes`).
    pub deadline: Option<Instant>,
    /// How long earlier attempts of a run that was cut off have taken; it counts against its time-out.
    pub worked: Duration,
    /// Which regions the local store stands for, and where galleries are.
    pub geography: Geography,
    /// Faults to inject; none outside tests.
    pub faults: Faults,
    /// How scripts and files that a template names are fetched; as for the user's own templates, unless
    /// it is set.
    pub fetch: fetch::Limits,
    /// How much of the guest's output each log file of a run keeps; `None` where the reader of the
    /// events keeps it.
    pub log_bytes: Option<u64>,
    /// What takes back a thing whose maker is gone already, such as an upload that was cut off.
    pub afterwards: TaskTracker,
    /// Who says whether the work is still ours; nobody where it cannot be another's.
    pub ownership: Option<Arc<dyn Ownership>>,
}

impl Cx {
    /// Surroundings without a deadline and without faults.
    pub fn new(layout: Layout, events: Events, cancel: CancellationToken) -> Self {
        let (geography, faults) = (Geography::default(), Faults::default());
        let fetch = fetch::Limits::default();
        let afterwards = TaskTracker::new();
        let log_bytes = Some(crate::log::DEFAULT_BYTES);
        Self {
            layout,
            events,
            cancel,
            deadline: None,
            worked: Duration::ZERO,
            geography,
            faults,
            fetch,
            log_bytes,
            afterwards,
            ownership: None,
        }
    }

    /// To be asked before something is written that others see.
    ///
    /// # Errors
    /// Another process owns the work now.
    pub async fn confirm_ownership(&self) -> Result<()> {
        match &self.ownership {
            Some(ownership) => ownership.confirm().await,
            None => Ok(()),
        }
    }

    /// Waits until nothing goes on [afterwards](Self::afterwards), but not for longer than the limit.
    pub async fn settled(&self, limit: Duration) -> bool {
        self.afterwards.close();
        tokio::time::timeout(limit, self.afterwards.wait()).await.is_ok()
    }

    /// Time left until the deadline of the whole.
    pub fn time_left(&self) -> Duration {
        self.deadline
            .map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()))
    }
}
