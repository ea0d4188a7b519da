//! The lease of the one service that may write to a database: a row that its holder renews by the
//! database's clock. Every commit of the holder checks the row in its own transaction, so a service that
//! lost its lease unnoticed (it was paused, or the network failed) can no longer write.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::{Any, AssertSqlSafe, Row as _, any::AnyArguments, query::Query};
use tokio_util::sync::CancellationToken;

use crate::{
    Error, Store,
    fence::{Fence, SERVICE},
    open::Pools,
    row::{as_json, decode},
    writer::Tx,
};

const POSTGRES_NOW: &str = "((EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::BIGINT * 1000)";
const SQLITE_NOW: &str = "(CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) * 1000000)";

/// The process that holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// Unique to the process.
    pub id: String,
    /// The name of the host.
    pub host: String,
    /// The process id.
    pub pid: u32,
    /// The data folder.
    pub folder: String,
    /// Names the lock of the data folder: a boot of a host, and a file on it. One live process has that lock
    /// at a time, so its owner knows that an earlier holder of the same place is dead.
    pub place: String,
}

/// The lease of another process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The other process.
    pub holder: Holder,
    /// The number of renewals.
    pub beat: i64,
    /// How long a renewal is valid.
    pub ttl: Duration,
    /// When it expires unless renewed, in nanoseconds since 1970.
    pub expires: i64,
}

impl Store {
    /// Takes the lease if it is free: it has no holder, it has expired, its holder was a process of the same
    /// place, or the caller saw no renewal for a whole `ttl` (`unrenewed`). From then on, commits through
    /// this store and its clones check the lease.
    pub async fn take_lease(
        &self,
        holder: &Holder,
        ttl: Duration,
        unrenewed: Option<&Lease>,
        lost: CancellationToken,
    ) -> Result<Option<Lease>, Error> {
        let mut tx = self.pools.begin().await?;
        let (lease, now, epoch) = current(&self.pools, &mut tx).await?;
        let in_use = lease.filter(|lease| {
            let is_unrenewed = unrenewed
                .is_some_and(|seen| seen.holder.id == lease.holder.id && seen.beat == lease.beat);
            lease.expires > now && lease.holder.place != holder.place && !is_unrenewed
        });
        if in_use.is_some() {
            return Ok(in_use);
        }
        sqlx::query(
            "INSERT INTO leases (name, holder, epoch, beat, ttl, expires, about) \
             VALUES ($1, $2, $3, 0, $4, $5, $6) ON CONFLICT (name) DO UPDATE SET \
             holder = excluded.holder, epoch = excluded.epoch, beat = excluded.beat, \
             ttl = excluded.ttl, expires = excluded.expires, about = excluded.about",
        )
        .bind(SERVICE)
        .bind(holder.id.as_str())
        .bind(epoch + 1)
        .bind(nanos(ttl))
        .bind(now.saturating_add(nanos(ttl)))
        .bind(as_json(holder))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        let fence = Fence { holder: holder.id.clone(), epoch: epoch + 1, lost };
        // A process takes its lease once.
        let _ = self.pools.fence.set(fence);
        Ok(None)
    }

    /// Renews the lease, and adds the time since the last renewal to active runs. False if another process
    /// has the lease.
    pub async fn renew_lease(&self, ttl: Duration, worked: Duration) -> Result<bool, Error> {
        let Some(fence) = self.pools.fence.get() else { return Ok(false) };
        let now = now(&self.pools);
        let renew = format!(
            "UPDATE leases SET beat = beat + 1, expires = {now} + $1 \
             WHERE name = $2 AND holder = $3 AND epoch = $4"
        );
        let renew = sqlx::query(AssertSqlSafe(renew))
            .bind(nanos(ttl))
            .bind(SERVICE)
            .bind(fence.holder.as_str())
            .bind(fence.epoch);
        if self.execute(renew).await? == 0 {
            fence.lost.cancel();
            return Ok(false);
        }
        let add = sqlx::query(
            "UPDATE runs SET worked = worked + $1 WHERE owner = $2 AND ended IS NULL \
             AND state IN ('Running', 'Canceling')",
        )
        .bind(nanos(worked))
        .bind(fence.holder.as_str());
        self.execute(add).await?;
        Ok(true)
    }

    /// Executes one statement outside the commits. On PostgreSQL it needs no transaction, so it waits only
    /// for a writer that takes the lease. Returns the number of changed rows.
    async fn execute(&self, query: Query<'_, Any, AnyArguments>) -> Result<u64, Error> {
        if self.pools.postgres {
            return Ok(query.execute(&self.pools.reader.0).await?.rows_affected());
        }
        let mut tx = self.pools.begin_unfenced().await?;
        let done = query.execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }

    /// Releases the lease, so that the next service need not wait.
    pub async fn release_lease(&self) -> Result<(), Error> {
        let Some(fence) = self.pools.fence.get() else { return Ok(()) };
        let mut tx = self.pools.begin().await?;
        sqlx::query("UPDATE leases SET expires = 0 WHERE name = $1 AND holder = $2")
            .bind(SERVICE)
            .bind(fence.holder.as_str())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The holder of the lease, expired or not.
    pub async fn lease_holder(&self) -> Result<Option<Holder>, Error> {
        let about: Option<String> = sqlx::query_scalar("SELECT about FROM leases WHERE name = $1")
            .bind(SERVICE)
            .fetch_optional(&self.pools.reader)
            .await?;
        Ok(about.map(|about| serde_json::from_str(&about)).transpose().map_err(decode)?)
    }

    /// The holder id of this process.
    pub fn own_lease(&self) -> Option<&str> {
        self.pools.fence.get().map(|fence| fence.holder.as_str())
    }
}

/// The lease, the database's time, and the epoch of the last holder.
async fn current(pools: &Pools, tx: &mut Tx) -> Result<(Option<Lease>, i64, i64), Error> {
    let now: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT {}", now(pools))))
        .fetch_one(&mut **tx)
        .await?;
    let row = sqlx::query("SELECT epoch, beat, ttl, expires, about FROM leases WHERE name = $1")
        .bind(SERVICE)
        .fetch_optional(&mut **tx)
        .await?;
    let Some(row) = row else { return Ok((None, now, 0)) };
    let lease = Lease {
        holder: serde_json::from_str(row.try_get("about")?).map_err(decode)?,
        beat: row.try_get("beat")?,
        ttl: Duration::from_nanos(u64::try_from(row.try_get::<i64, _>("ttl")?).unwrap_or_default()),
        expires: row.try_get("expires")?,
    };
    Ok((Some(lease), now, row.try_get("epoch")?))
}

fn now(pools: &Pools) -> &'static str {
    if pools.postgres { POSTGRES_NOW } else { SQLITE_NOW }
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}
