//! Applies missing migrations. Several services may start at once on one database.

use jiff::Timestamp;
use sqlx::AssertSqlSafe;

use crate::{Error, connection::Connection, row::nanoseconds};

/// In the order of application. A released migration never changes.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_tables.sql"),
    include_str!("../migrations/0002_cause_of_runs.sql"),
    include_str!("../migrations/0003_optimization_of_runs.sql"),
    include_str!("../migrations/0004_installation_and_tombstones.sql"),
    include_str!("../migrations/0005_what_is_looked_for.sql"),
    include_str!("../migrations/0006_leases.sql"),
    include_str!("../migrations/0007_health_and_claims.sql"),
    include_str!("../migrations/0008_deployments.sql"),
    include_str!("../migrations/0009_authorization.sql"),
];

/// The schema version of this release.
pub const SCHEMA: usize = MIGRATIONS.len();

/// The tables that a dump contains. It leaves out the lease, which belongs to the running service.
pub(super) fn tables(schema: usize) -> Vec<String> {
    let lines = MIGRATIONS.iter().take(schema).flat_map(|text| text.lines());
    let made = lines.filter_map(|line| line.strip_prefix("CREATE TABLE "));
    let names = made.filter_map(|rest| rest.split([' ', '(']).next());
    names.filter(|name| *name != "leases").map(str::to_owned).collect()
}

/// Applies the migrations up to a schema version.
pub(super) async fn apply(
    connection: &mut Connection,
    postgres: bool,
    schema: usize,
) -> Result<(), Error> {
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS schema_version \
         (version BIGINT NOT NULL PRIMARY KEY, applied BIGINT NOT NULL)",
    )
    .execute(&mut *connection)
    .await?;
    let applied: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM schema_version")
        .fetch_one(&mut *connection)
        .await?;
    let applied = usize::try_from(applied).unwrap_or_default();
    let highest = applied.max(schema);
    if highest > SCHEMA {
        let message = format!(
            "the database has schema version {highest}, this release supports {SCHEMA} and earlier; \
             start the release that wrote it, or a later one"
        );
        return Err(sqlx::Error::Configuration(message.into()).into());
    }
    for (text, version) in MIGRATIONS.iter().zip(1_i64..).take(schema).skip(applied) {
        let text = match postgres {
            true => (*text).to_owned(),
            false => text.replace("COLLATE \"C\"", "COLLATE BINARY"),
        };
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *connection).await?;
        sqlx::query("INSERT INTO schema_version (version, applied) VALUES ($1, $2)")
            .bind(version)
            .bind(nanoseconds(Timestamp::now()))
            .execute(&mut *connection)
            .await?;
        tracing::info!(version, "database schema migrated");
    }
    Ok(())
}
