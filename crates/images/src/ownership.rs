//! Whether the work that a process does is still its own. A service may lose its runs to another while it
//! is paused; it then writes nothing where the other can see it.

use std::fmt;

use api::ErrorCode;
use async_trait::async_trait;

use crate::error::{Error, Result};

/// Says so. Asked right before each effect outside the process.
#[async_trait]
pub trait Ownership: fmt::Debug + Send + Sync {
    /// Waits until it is certain.
    ///
    /// # Errors
    /// Another process owns the work now, or it could not be found out in time.
    async fn confirm(&self) -> Result<()>;

    /// Whether it is certain at this moment.
    fn is_certain(&self) -> bool;
}

/// What is not done where there can be no waiting for certainty.
pub(crate) fn uncertain() -> Error {
    let text = "the service is not certain that the run is still its own, so it publishes nothing";
    Error::new(ErrorCode::HostNotReady, text)
}
