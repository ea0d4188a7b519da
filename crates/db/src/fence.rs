//! Each commit checks that this process still holds the lease.

use tokio_util::sync::CancellationToken;

use crate::{Error, writer::Tx};

/// The lease on the whole database.
pub(super) const SERVICE: &str = "service";

/// The lease that this process holds.
#[derive(Debug)]
pub(super) struct Fence {
    pub(super) holder: String,
    pub(super) epoch: i64,
    /// Cancelled when another process has the lease.
    pub(super) lost: CancellationToken,
}

impl Fence {
    /// Fails once another process has the lease. A process that takes the lease waits for this transaction,
    /// which holds the lock of all writers.
    pub(super) async fn check(&self, tx: &mut Tx) -> Result<(), Error> {
        let query =
            sqlx::query("SELECT 1 FROM leases WHERE name = $1 AND holder = $2 AND epoch = $3")
                .bind(SERVICE)
                .bind(self.holder.as_str())
                .bind(self.epoch);
        // A dead connection is an error: an empty result would stop the service.
        if !query.fetch_all(&mut **tx).await?.is_empty() {
            return Ok(());
        }
        self.lost.cancel();
        Err(Error::NotOwner)
    }
}
