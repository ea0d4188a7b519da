//! Frequent queries. Each uses an index, reads only the columns that it needs, and has a limit or returns
//! a count. None reads the body of a run.

use std::sync::atomic::Ordering;

use jiff::Timestamp;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::{
    Error, LAST, Store, TombstoneKind,
    model::{ActiveRun, EndedRun, Resource, ResourceKey, Run, RunState},
    row::{self, lower, nanoseconds, text},
};

/// The kind is a literal because the partial index does not match a parameter.
pub(super) const ACCOUNT: &str =
    resources!("subscription = $1 AND name = $2 AND kind = 'microsoft.storage/storageaccounts'");
pub(super) const ACCOUNT_ANYWHERE: &str =
    resources!("kind = 'microsoft.storage/storageaccounts' AND claim = $1");
pub(super) const DUE: &str =
    resources!("due <= $1 AND (due, key) > ($2, $3) ORDER BY due, key LIMIT $4");
pub(super) const NEXT_DUE: &str = "SELECT MIN(due) FROM resources WHERE due > $1";
pub(super) const FOLLOWERS: &str =
    resources!("follows = $1 AND key > $2 ORDER BY follows, key LIMIT $3");
pub(super) const COUNT: &str =
    "SELECT COUNT(*) FROM resources WHERE subscription = $1 AND kind = $2";
pub(super) const COUNT_IN_REGION: &str =
    "SELECT COUNT(*) FROM resources WHERE subscription = $1 AND kind = $2 AND region = $3";
// On PostgreSQL, a sum of integers has type NUMERIC.
pub(super) const SCRIPT_BYTES: &str = "SELECT CAST(COALESCE(SUM(script_bytes), 0) AS BIGINT) \
                                       FROM resources WHERE subscription = $1 \
                                       AND script_bytes IS NOT NULL";
pub(super) const ACTIVE_RUNS: &str = "SELECT id, template, subscription, state, queued, epoch, vcpus, memory_mib \
     FROM runs WHERE ended IS NULL ORDER BY queued, id";
pub(super) const ACTIVE_STATES: &str =
    "SELECT state, COUNT(*) AS count FROM runs WHERE ended IS NULL GROUP BY state";
pub(super) const WAITING: &str =
    "SELECT COUNT(*) FROM runs WHERE subscription = $1 AND state = 'Queued' AND ended IS NULL";
pub(super) const ACTIVE_BELOW: &str =
    "SELECT template FROM runs WHERE ended IS NULL AND template > $1 AND template < $2 LIMIT 1";
pub(super) const ACTIVE_TEMPLATES: &str = "SELECT key, hidden FROM resources WHERE key IN (SELECT template FROM runs WHERE ended IS NULL)";
pub(super) const RECENT_RUNS: &str =
    runs!("'null'", "CAST(NULL AS TEXT)", "template = $1 ORDER BY queued DESC, id DESC LIMIT $2");
pub(super) const RUN_WITHOUT_INPUT: &str = runs!("'null'", "CAST(NULL AS TEXT)", "id = $1");
pub(super) const ENDED_RUNS: &str = "SELECT id, template, queued, ended FROM runs \
                                     WHERE (template, queued, id) < ($1, $2, $3) \
                                     AND ended IS NOT NULL \
                                     ORDER BY template DESC, queued DESC, id DESC LIMIT $4";
/// Reads whole tables: only for use at start.
const NEWEST: &str = "SELECT MAX(newest) FROM (SELECT MAX(changed) AS newest FROM resources \
     UNION ALL SELECT MAX(queued) FROM runs UNION ALL SELECT MAX(ended) FROM runs \
     UNION ALL SELECT MAX(started) FROM operations \
     UNION ALL SELECT MAX(ended) FROM operations) AS times";

impl Store {
    /// The numbers of reads and of commits since the database was opened, without the first read of each
    /// connection.
    pub fn query_counts(&self) -> (u64, u64) {
        let counts = &self.pools.counts;
        (counts.reads.load(Ordering::Relaxed), counts.commits.load(Ordering::Relaxed))
    }

    /// The storage account of that name. A unique index allows only one.
    pub async fn storage_account(
        &self,
        subscription: &str,
        name: &str,
    ) -> Result<Option<Resource>, Error> {
        let row = sqlx::query(ACCOUNT)
            .bind(lower(subscription))
            .bind(text(name))
            .fetch_optional(&self.pools.reader)
            .await?;
        Ok(row.as_ref().map(row::resource).transpose()?)
    }

    /// The storage account of that name, in whichever subscription. A name belongs to one account of the whole
    /// installation.
    pub async fn account_anywhere(&self, name: &str) -> Result<Option<Resource>, Error> {
        let query = sqlx::query(ACCOUNT_ANYWHERE).bind(lower(name));
        let row = query.fetch_optional(&self.pools.reader).await?;
        Ok(row.as_ref().map(row::resource).transpose()?)
    }

    /// Resources that are due, longest due first. `after` is the last one of the previous page.
    pub async fn due(
        &self,
        now: Timestamp,
        after: Option<(Timestamp, ResourceKey)>,
        limit: u32,
    ) -> Result<Vec<Resource>, Error> {
        let (since, key) = after
            .map_or((i64::MIN, String::new()), |(due, key)| (nanoseconds(due), text(key.as_str())));
        let rows = sqlx::query(DUE)
            .bind(nanoseconds(now))
            .bind(since)
            .bind(key)
            .bind(i64::from(limit))
            .fetch_all(&self.pools.reader)
            .await?;
        Ok(rows.iter().map(row::resource).collect::<Result<_, _>>()?)
    }

    /// The next due time after `now`.
    pub async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, Error> {
        let due: Option<i64> = sqlx::query_scalar(NEXT_DUE)
            .bind(nanoseconds(now))
            .fetch_one(&self.pools.reader)
            .await?;
        Ok(due.map(row::time).transpose()?)
    }

    /// Resources that follow a source, in the order of their keys.
    pub async fn followers(
        &self,
        source: &str,
        after: Option<&ResourceKey>,
        limit: u32,
    ) -> Result<Vec<Resource>, Error> {
        let rows = sqlx::query(FOLLOWERS)
            .bind(lower(source))
            .bind(after.map_or_else(String::new, |key| text(key.as_str())))
            .bind(i64::from(limit))
            .fetch_all(&self.pools.reader)
            .await?;
        Ok(rows.iter().map(row::resource).collect::<Result<_, _>>()?)
    }

    /// The number of resources of a kind in a subscription.
    pub async fn count(&self, subscription: &str, kind: &str) -> Result<i64, Error> {
        let query = sqlx::query_scalar(COUNT).bind(lower(subscription)).bind(lower(kind));
        Ok(query.fetch_one(&self.pools.reader).await?)
    }

    /// The number of resources of a kind whose recorded region matches.
    pub async fn count_in_region(
        &self,
        subscription: &str,
        kind: &str,
        region: &str,
    ) -> Result<i64, Error> {
        let query = sqlx::query_scalar(COUNT_IN_REGION)
            .bind(lower(subscription))
            .bind(lower(kind))
            .bind(lower(region));
        Ok(query.fetch_one(&self.pools.reader).await?)
    }

    /// The total size of a subscription's staged scripts.
    pub async fn script_bytes(&self, subscription: &str) -> Result<i64, Error> {
        let query = sqlx::query_scalar(SCRIPT_BYTES).bind(lower(subscription));
        Ok(query.fetch_one(&self.pools.reader).await?)
    }

    /// Every unfinished run, oldest first, with the columns that scheduling needs.
    pub async fn active_runs(&self) -> Result<Vec<ActiveRun>, Error> {
        let rows = sqlx::query(ACTIVE_RUNS).fetch_all(&self.pools.reader).await?;
        Ok(rows.iter().map(row::active_run).collect::<Result<_, _>>()?)
    }

    /// The number of unfinished runs in each state.
    pub async fn active_states(&self) -> Result<Vec<(RunState, i64)>, Error> {
        let rows = sqlx::query(ACTIVE_STATES).fetch_all(&self.pools.reader).await?;
        Ok(rows.iter().map(row::state_count).collect::<Result<_, _>>()?)
    }

    /// The number of a subscription's queued runs.
    pub async fn waiting_runs(&self, subscription: &str) -> Result<i64, Error> {
        let query = sqlx::query_scalar(WAITING).bind(lower(subscription));
        Ok(query.fetch_one(&self.pools.reader).await?)
    }

    /// A template of the group that has an unfinished run.
    pub async fn active_below(&self, group: &ResourceKey) -> Result<Option<ResourceKey>, Error> {
        let (after, before) = row::below(group);
        let template: Option<String> = sqlx::query_scalar(ACTIVE_BELOW)
            .bind(after)
            .bind(before)
            .fetch_optional(&self.pools.reader)
            .await?;
        Ok(template.map(|template| ResourceKey::of(&template)))
    }

    /// The templates with an unfinished run, each with its hidden part.
    pub async fn active_templates(&self) -> Result<Vec<(ResourceKey, Value)>, Error> {
        let rows = sqlx::query(ACTIVE_TEMPLATES).fetch_all(&self.pools.reader).await?;
        Ok(rows.iter().map(row::hidden).collect::<Result<_, _>>()?)
    }

    /// Whether a run is over; `None` if it does not exist.
    pub async fn is_over(&self, id: &str) -> Result<Option<bool>, Error> {
        let row = sqlx::query_scalar::<_, Option<i64>>("SELECT ended FROM runs WHERE id = $1")
            .bind(lower(id))
            .fetch_optional(&self.pools.reader)
            .await?;
        Ok(row.map(|ended| ended.is_some()))
    }

    /// One run, without `input` and `optimization`.
    pub async fn run_without_input(&self, id: &str) -> Result<Option<Run>, Error> {
        let row = sqlx::query(RUN_WITHOUT_INPUT)
            .bind(lower(id))
            .fetch_optional(&self.pools.reader)
            .await?;
        Ok(row.as_ref().map(row::run).transpose()?)
    }

    /// The runs of a template, newest first, without `input` and `optimization`.
    pub async fn recent_runs(&self, template: &ResourceKey, limit: u32) -> Result<Vec<Run>, Error> {
        let rows = sqlx::query(RECENT_RUNS)
            .bind(text(template.as_str()))
            .bind(i64::from(limit))
            .fetch_all(&self.pools.reader)
            .await?;
        Ok(rows.iter().map(row::run).collect::<Result<_, _>>()?)
    }

    /// A page of ended runs, by template, newest first. `after` is the last one of the previous page.
    pub async fn ended_runs(
        &self,
        after: Option<&EndedRun>,
        limit: u32,
    ) -> Result<Vec<EndedRun>, Error> {
        let (template, queued, id) = after.map_or((LAST.to_owned(), 0, String::new()), |run| {
            (text(run.template.as_str()), nanoseconds(run.queued), lower(&run.id))
        });
        let rows = sqlx::query(ENDED_RUNS)
            .bind(template)
            .bind(queued)
            .bind(id)
            .bind(i64::from(limit))
            .fetch_all(&self.pools.reader)
            .await?;
        Ok(rows.iter().map(row::ended_run).collect::<Result<_, _>>()?)
    }

    /// Removes ended runs, in one commit. Their tombstones request the removal of their files.
    pub async fn forget_runs(&self, ids: &[String]) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        let placeholders: Vec<String> =
            (1..=ids.len()).map(|number| format!("${number}")).collect();
        let condition = format!("ended IS NOT NULL AND id IN ({})", placeholders.join(", "));
        let made = nanoseconds(Timestamp::now());
        let tombstones = format!(
            "INSERT INTO tombstones (kind, name, made) \
             SELECT '{}', id, {made} FROM runs WHERE {condition} \
             ON CONFLICT (kind, name) DO UPDATE SET made = excluded.made",
            TombstoneKind::Run.name()
        );
        let mut tx = self.pools.begin().await?;
        for statement in [tombstones, format!("DELETE FROM runs WHERE {condition}")] {
            let query = sqlx::query(AssertSqlSafe(statement));
            let query = ids.iter().fold(query, |query, id| query.bind(lower(id)));
            query.execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Removes the tombstones of runs whose files were removed, in one commit.
    pub async fn remove_run_tombstones(&self, ids: &[String]) -> Result<(), Error> {
        let placeholders: Vec<String> =
            (1..=ids.len()).map(|number| format!("${number}")).collect();
        let statement = format!(
            "DELETE FROM tombstones WHERE kind = '{}' AND name IN ({})",
            TombstoneKind::Run.name(),
            placeholders.join(", ")
        );
        let mut tx = self.pools.begin().await?;
        let query = sqlx::query(AssertSqlSafe(statement));
        let query = ids.iter().fold(query, |query, id| query.bind(lower(id)));
        query.execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The newest time in any row.
    pub async fn newest_time(&self) -> Result<Option<Timestamp>, Error> {
        let newest: Option<i64> = sqlx::query_scalar(NEWEST).fetch_one(&self.pools.reader).await?;
        Ok(newest.and_then(|newest| Timestamp::from_nanosecond(newest.into()).ok()))
    }

    /// Removes operations that ended before `time`, oldest first. Returns their number.
    pub async fn forget_operations_before(
        &self,
        time: Timestamp,
        limit: u32,
    ) -> Result<u64, Error> {
        let mut tx = self.pools.begin().await?;
        let done = sqlx::query(
            "DELETE FROM operations WHERE id IN \
             (SELECT id FROM operations WHERE ended < $1 ORDER BY ended LIMIT $2)",
        )
        .bind(nanoseconds(time))
        .bind(i64::from(limit))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }
}
