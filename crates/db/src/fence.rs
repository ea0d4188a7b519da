//! Each commit checks that this process still holds the lease.

use tokio_util::sync::CancellationToken;

use crate::{Error, reader::complete, writer::Tx};

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
        // `complete` tells an empty result from a dead connection: an empty one stops the service.
        if !complete(tx, query).await?.is_empty() {
            return Ok(());
        }
        self.lost.cancel();
        Err(Error::NotOwner)
    }
}
