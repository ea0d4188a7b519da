//! What a step may use.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{event::Events, layout::Layout, step::Faults};

/// The surroundings of a piece of work: where things are, whom to tell, when to stop.
#[derive(Debug, Clone)]
pub struct Cx {
    pub layout: Layout,
    pub events: Events,
    /// Fires when the user (or a deadline) wants the work to end.
    pub cancel: CancellationToken,
    /// When the whole of it must be done (`buildTimeoutInMinutes`).
    pub deadline: Option<Instant>,
    /// The region that the local store stands for; a build takes its template's where nobody says.
    pub home: Option<String>,
    /// Faults to inject; none outside tests.
    pub faults: Faults,
}

impl Cx {
    /// Surroundings without a deadline and without faults.
    pub fn new(layout: Layout, events: Events, cancel: CancellationToken) -> Self {
        Self { layout, events, cancel, deadline: None, home: None, faults: Faults::default() }
    }

    /// Time left until the deadline of the whole.
    pub fn time_left(&self) -> Duration {
        self.deadline
            .map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()))
    }
}
