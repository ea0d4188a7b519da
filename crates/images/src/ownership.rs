//! Whether a process still owns its work. While a service is paused, another may take over its
//! runs. It then writes nothing that the other can see.

use std::fmt;

use api::ErrorCode;
use async_trait::async_trait;

use crate::error::{Error, Result};

/// Confirms the ownership, right before each effect outside the process.
#[async_trait]
pub trait Ownership: fmt::Debug + Send + Sync {
    /// Waits for certainty.
    ///
    /// # Errors
    /// Another process owns the work now, or certainty was not reached in time.
    async fn confirm(&self) -> Result<()>;

    /// Whether it is certain at this moment.
    fn is_certain(&self) -> bool;
}

/// The error where waiting for certainty is not possible.
pub(crate) fn uncertain() -> Error {
    let text = "the service is not certain that the run is still its own, so it publishes nothing";
    Error::new(ErrorCode::HostNotReady, text)
}
