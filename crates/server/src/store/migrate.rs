//! Brings the tables up to date. Several services may start at once on one database.

use jiff::Timestamp;
use sqlx::AssertSqlSafe;

use super::{Error, open::Pools, row::nanoseconds};

/// In the order in which they are applied; never changed once released, only added to.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001_tables.sql"),
    include_str!("../../migrations/0002_cause_of_runs.sql"),
    include_str!("../../migrations/0003_optimization_of_runs.sql"),
    include_str!("../../migrations/0004_installation_and_tombstones.sql"),
    include_str!("../../migrations/0005_what_is_looked_for.sql"),
    include_str!("../../migrations/0006_leases.sql"),
    include_str!("../../migrations/0007_health_and_claims.sql"),
];

/// Applies what is missing, all or nothing.
pub(super) async fn migrate(pools: &Pools) -> Result<(), Error> {
    // Keeps out everyone else who writes, in other processes too.
    let mut tx = pools.begin().await?;
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS schema_version \
         (version BIGINT NOT NULL PRIMARY KEY, applied BIGINT NOT NULL)",
    )
    .execute(&mut *tx)
    .await?;
    let applied: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM schema_version")
        .fetch_one(&mut *tx)
        .await?;
    let known = MIGRATIONS.len();
    let applied = usize::try_from(applied).unwrap_or_default();
    if applied > known {
        let message = format!(
            "the database has schema version {applied}, this release knows {known} and earlier; \
             start the release that wrote it, or a later one"
        );
        return Err(sqlx::Error::Configuration(message.into()).into());
    }
    for (text, version) in MIGRATIONS.iter().zip(1_i64..).skip(applied) {
        let text = match pools.postgres {
            true => (*text).to_owned(),
            false => text.replace("COLLATE \"C\"", "COLLATE BINARY"),
        };
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *tx).await?;
        sqlx::query("INSERT INTO schema_version (version, applied) VALUES ($1, $2)")
            .bind(version)
            .bind(nanoseconds(Timestamp::now()))
            .execute(&mut *tx)
            .await?;
        tracing::info!(version, "database schema brought up to date");
    }
    tx.commit().await?;
    Ok(())
}
