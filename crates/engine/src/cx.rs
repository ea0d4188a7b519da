//! What a step may use.

use tokio_util::sync::CancellationToken;

use crate::{event::Events, layout::Layout};

/// The surroundings of a piece of work: where things are, whom to tell, when to stop.
#[derive(Debug, Clone)]
pub struct Cx {
    pub layout: Layout,
    pub events: Events,
    /// Fires when the user (or a deadline) wants the work to end.
    pub cancel: CancellationToken,
}
