//! The lease of the one service that acts on a database: a row that its holder renews by the database's
//! clock. Every commit of the holder checks the row in its own transaction, so that a service that has
//! lost its lease without knowing it (it was paused, or cut off) writes nothing any more.

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

/// Who holds a lease, for people and for the next who wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// Another one for each process.
    pub id: String,
    /// The name of its host.
    pub host: String,
    /// Its process there.
    pub pid: u32,
    /// Its data folder.
    pub folder: String,
    /// The lock of the data folder, which one living process has at a time: a boot of a host, and a file
    /// on it. Whoever has the lock knows that an earlier holder of the same place is dead.
    pub place: String,
}

/// A lease that another holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The other.
    pub holder: Holder,
    /// Counts renewals.
    pub beat: i64,
    /// How long it lasts from one renewal on.
    pub ttl: Duration,
    /// When it expires unless it is renewed, in nanoseconds since 1970.
    pub expires: i64,
}

impl Store {
    /// Takes the lease if it is free: nobody has it, it has expired, its holder was a process of this very
    /// place, or the caller has watched for a whole `ttl` how it was not renewed (`unrenewed`). Commits
    /// through this store and its clones are then those of the holder.
    pub async fn take_lease(
        &self,
        holder: &Holder,
        ttl: Duration,
        unrenewed: Option<&Held>,
        lost: CancellationToken,
    ) -> Result<Option<Held>, Error> {
        let mut tx = self.pools.begin().await?;
        let (held, now, epoch) = found(&self.pools, &mut tx).await?;
        let in_use = held.filter(|held| {
            let is_unrenewed = unrenewed
                .is_some_and(|seen| seen.holder.id == held.holder.id && seen.beat == held.beat);
            held.expires > now && held.holder.place != holder.place && !is_unrenewed
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

    /// Renews the lease, and adds the time since the last renewal to the runs at work. False if it is in
    /// other hands.
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
        if self.changed(renew).await? == 0 {
            fence.lost.cancel();
            return Ok(false);
        }
        let add = sqlx::query(
            "UPDATE runs SET worked = worked + $1 WHERE owner = $2 AND ended IS NULL \
             AND state IN ('Running', 'Canceling')",
        )
        .bind(nanos(worked))
        .bind(fence.holder.as_str());
        self.changed(add).await?;
        Ok(true)
    }

    /// Carries out one statement beside the commits: of PostgreSQL without a transaction, so that it waits
    /// for no writer but for one who takes the lease. How many rows it changed.
    async fn changed(&self, query: Query<'_, Any, AnyArguments>) -> Result<u64, Error> {
        if self.pools.postgres {
            return Ok(query.execute(&self.pools.reader.0).await?.rows_affected());
        }
        let mut tx = self.pools.begin_unfenced().await?;
        let done = query.execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }

    /// Gives the lease up, so that the next service need not wait.
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

    /// Who has the lease now, expired or not.
    pub async fn lease_holder(&self) -> Result<Option<Holder>, Error> {
        let about: Option<String> = sqlx::query_scalar("SELECT about FROM leases WHERE name = $1")
            .bind(SERVICE)
            .fetch_optional(&self.pools.reader)
            .await?;
        Ok(about.map(|about| serde_json::from_str(&about)).transpose().map_err(decode)?)
    }

    /// The id of the holder that this process is.
    pub fn own_lease(&self) -> Option<&str> {
        self.pools.fence.get().map(|fence| fence.holder.as_str())
    }
}

/// The lease, the time, and the epoch of the last holder.
async fn found(pools: &Pools, tx: &mut Tx) -> Result<(Option<Held>, i64, i64), Error> {
    let now: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT {}", now(pools))))
        .fetch_one(&mut **tx)
        .await?;
    let row = sqlx::query("SELECT epoch, beat, ttl, expires, about FROM leases WHERE name = $1")
        .bind(SERVICE)
        .fetch_optional(&mut **tx)
        .await?;
    let Some(row) = row else { return Ok((None, now, 0)) };
    let held = Held {
        holder: serde_json::from_str(row.try_get("about")?).map_err(decode)?,
        beat: row.try_get("beat")?,
        ttl: Duration::from_nanos(u64::try_from(row.try_get::<i64, _>("ttl")?).unwrap_or_default()),
        expires: row.try_get("expires")?,
    };
    Ok((Some(held), now, row.try_get("epoch")?))
}

fn now(pools: &Pools) -> &'static str {
    if pools.postgres { POSTGRES_NOW } else { SQLITE_NOW }
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}
