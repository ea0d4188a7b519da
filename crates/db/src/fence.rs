//! What every commit of the holder of the lease checks.

use tokio_util::sync::CancellationToken;

use crate::{Error, reader::complete, writer::Tx};

/// The lease on the whole database. Several services on one database would have one lease each.
pub(super) const SERVICE: &str = "service";

/// What every commit of a holder checks.
#[derive(Debug)]
pub(super) struct Fence {
    pub(super) holder: String,
    pub(super) epoch: i64,
    /// Fires when the lease is found in other hands.
    pub(super) lost: CancellationToken,
}

impl Fence {
    /// Refuses a transaction of a service that is no longer the holder. Takers wait for the transaction,
    /// which holds the lock of all writers.
    pub(super) async fn check(&self, tx: &mut Tx) -> Result<(), Error> {
        let query =
            sqlx::query("SELECT 1 FROM leases WHERE name = $1 AND holder = $2 AND epoch = $3")
                .bind(SERVICE)
                .bind(self.holder.as_str())
                .bind(self.epoch);
        // No row must not be a connection that died: the service would end for it.
        if !complete(tx, query).await?.is_empty() {
            return Ok(());
        }
        self.lost.cancel();
        Err(Error::NotOwner)
    }
}
