//! Events are kept for a time.

use db::{Error, Store};
use jiff::Timestamp;

/// Events that one transaction removes, so that requests do not wait long for it.
const AT_ONCE: u32 = 1000;

/// Removes the events from before `time`. Returns their number.
///
/// # Errors
/// The database fails.
pub async fn forget_before(store: &Store, time: Timestamp) -> Result<u64, Error> {
    let mut all = 0;
    loop {
        let forgotten = store.forget_activity_before(time, AT_ONCE).await?;
        all += forgotten;
        if forgotten < u64::from(AT_ONCE) {
            return Ok(all);
        }
    }
}
