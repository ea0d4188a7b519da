//! The generation of what decides who may do what, and what is common to roles and locks.

use std::sync::atomic::Ordering;

use jiff::Timestamp;

use crate::{
    Error, Store,
    model::{ResourceKey, Write},
    row::{self, below, nanoseconds, text},
    statement::{one, value},
    writer::Tx,
};

pub(super) const AT_OR_BELOW: &str = "SELECT COUNT(*) FROM (\
     SELECT 1 AS found FROM role_assignments WHERE scope = $1 OR (scope > $2 AND scope < $3) \
     UNION ALL SELECT 1 FROM locks WHERE scope = $1 OR (scope > $2 AND scope < $3)) AS rows";

impl Store {
    /// The number of commits that changed subscriptions, roles, locks, clients, credentials or issuers, in
    /// any process.
    pub async fn access_generation(&self) -> Result<i64, Error> {
        let generation: Option<i64> =
            sqlx::query_scalar("SELECT generation FROM access WHERE id = 1")
                .fetch_optional(&self.pools.reader)
                .await?;
        let generation = generation.unwrap_or_default();
        Ok(self.known_generation.fetch_max(generation, Ordering::AcqRel).max(generation))
    }

    /// The highest generation that this process has written or read: a commit of this process is in it at
    /// once, one of another process after the next [`access_generation`](Self::access_generation).
    pub fn known_generation(&self) -> i64 {
        self.known_generation.load(Ordering::Acquire)
    }

    /// Since when roles decide; `None` if they do not yet, or if the database has no installation.
    pub async fn roles_since(&self) -> Result<Option<Timestamp>, Error> {
        let since: Option<Option<i64>> = sqlx::query_scalar("SELECT roles_since FROM installation")
            .fetch_optional(&self.pools.reader)
            .await?;
        Ok(row::maybe_time(since.flatten())?)
    }
}

/// Whether a write changes who may do what.
pub(super) fn is_changed_by(write: &Write) -> bool {
    match write {
        Write::Client(_)
        | Write::PutSubscription(_)
        | Write::PutRole(_)
        | Write::RemoveRole(..)
        | Write::InsertAssignment(_)
        | Write::ReplaceAssignment(_)
        | Write::RemoveAssignment(..)
        | Write::PutLock(_)
        | Write::RemoveLock(..)
        | Write::PutCredential(_)
        | Write::PutIssuer(_)
        | Write::RemoveIssuer(_)
        | Write::RolesSince(_) => true,
        Write::IssuerKeys(_)
        | Write::Insert(_)
        | Write::Replace(_)
        | Write::Remove(..)
        | Write::RemoveBelow(_)
        | Write::Operation(_)
        | Write::InsertRun(_)
        | Write::ReplaceRun(_)
        | Write::ClaimRun(_)
        | Write::RunInput(..)
        | Write::InsertDeployment(..)
        | Write::ReplaceDeployment(_)
        | Write::RemoveDeployment(..)
        | Write::CheckDeployment(..)
        | Write::DeploymentOperation(_)
        | Write::Tombstone(..)
        | Write::Activity(_) => false,
    }
}

/// Counts a commit that changed who may do what, within its transaction. Returns the new generation.
pub(super) async fn count(tx: &mut Tx) -> Result<i64, sqlx::Error> {
    let query = sqlx::query(
        "INSERT INTO access (id, generation) VALUES (1, 1) \
         ON CONFLICT (id) DO UPDATE SET generation = access.generation + 1 RETURNING generation",
    );
    value(tx, query).await
}

/// Makes roles decide, once.
pub(super) async fn set_roles_since(tx: &mut Tx, since: Timestamp) -> Result<(), Error> {
    let query = sqlx::query(
        "UPDATE installation SET roles_since = $1 WHERE roles_since IS NULL OR roles_since = 0",
    )
    .bind(nanoseconds(since));
    one(tx, query, "roles_since").await
}

/// Removes the role assignments and the locks at a key and below it. Returns whether there were any.
pub(super) async fn remove_at(tx: &mut Tx, key: &ResourceKey) -> Result<bool, sqlx::Error> {
    let (after, before) = below(key);
    let range = |query: &'static str| {
        sqlx::query(query).bind(text(key.as_str())).bind(after.clone()).bind(before.clone())
    };
    // Almost always none.
    let found: i64 = value(tx, range(AT_OR_BELOW)).await?;
    if found == 0 {
        return Ok(false);
    }
    for statement in [
        "DELETE FROM role_assignments WHERE scope = $1 OR (scope > $2 AND scope < $3)",
        "DELETE FROM locks WHERE scope = $1 OR (scope > $2 AND scope < $3)",
    ] {
        range(statement).execute(&mut **tx).await?;
    }
    Ok(true)
}
