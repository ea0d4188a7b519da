//! The questions that the service asks again and again: each is answered from an index, reads only the
//! columns that it needs, and has a limit or gives a number. Bodies of runs are never read here.

use std::sync::atomic::Ordering;

use jiff::Timestamp;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::{
    Error, Grave, LAST, Store,
    model::{ActiveRun, EndedRun, Resource, ResourceKey, Run, RunState},
    row::{self, lower, nanoseconds, text},
};

/// The kind is in the text, not bound: only then does the partial index count.
pub(super) const ACCOUNT: &str =
    resources!("subscription = $1 AND name = $2 AND kind = 'microsoft.storage/storageaccounts'");
pub(super) const DUE: &str =
    resources!("due <= $1 AND (due, key) > ($2, $3) ORDER BY due, key LIMIT $4");
pub(super) const NEXT_DUE: &str = "SELECT MIN(due) FROM resources WHERE due > $1";
pub(super) const FOLLOWERS: &str =
    resources!("follows = $1 AND key > $2 ORDER BY follows, key LIMIT $3");
pub(super) const COUNT: &str =
    "SELECT COUNT(*) FROM resources WHERE subscription = $1 AND kind = $2";
pub(super) const COUNT_IN_REGION: &str =
    "SELECT COUNT(*) FROM resources WHERE subscription = $1 AND kind = $2 AND region = $3";
// PostgreSQL's sum of integers is a decimal number.
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
/// Reads whole tables, which is quick enough for once at start.
const NEWEST: &str = "SELECT MAX(newest) FROM (SELECT MAX(changed) AS newest FROM resources \
     UNION ALL SELECT MAX(queued) FROM runs UNION ALL SELECT MAX(ended) FROM runs \
     UNION ALL SELECT MAX(started) FROM operations \
     UNION ALL SELECT MAX(ended) FROM operations) AS times";

impl Store {
    /// How often the database was read and written to since it was opened. The first read of each of the
    /// few connections is not counted.
    pub fn asked(&self) -> (u64, u64) {
        let asked = &self.pools.asked;
        (asked.reads.load(Ordering::Relaxed), asked.commits.load(Ordering::Relaxed))
    }

    /// The storage account of that name: there is one at most, also when two requests race.
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

    /// Resources that are due at that time, the longest due first, at most so many. `after` is the last
    /// one of the page before.
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

    /// When the first resource is due after that time.
    pub async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, Error> {
        let due: Option<i64> = sqlx::query_scalar(NEXT_DUE)
            .bind(nanoseconds(now))
            .fetch_one(&self.pools.reader)
            .await?;
        Ok(due.map(row::time).transpose()?)
    }

    /// Resources that follow a source, in the order of their keys, at most so many.
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

    /// How many resources of a kind a subscription has.
    pub async fn count(&self, subscription: &str, kind: &str) -> Result<i64, Error> {
        let query = sqlx::query_scalar(COUNT).bind(lower(subscription)).bind(lower(kind));
        Ok(query.fetch_one(&self.pools.reader).await?)
    }

    /// How many of them are in a region, of those that say so.
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

    /// What the staged scripts of a subscription take.
    pub async fn script_bytes(&self, subscription: &str) -> Result<i64, Error> {
        let query = sqlx::query_scalar(SCRIPT_BYTES).bind(lower(subscription));
        Ok(query.fetch_one(&self.pools.reader).await?)
    }

    /// Every run that is not over, oldest first, as far as its turn is concerned.
    pub async fn active_runs(&self) -> Result<Vec<ActiveRun>, Error> {
        let rows = sqlx::query(ACTIVE_RUNS).fetch_all(&self.pools.reader).await?;
        Ok(rows.iter().map(row::active_run).collect::<Result<_, _>>()?)
    }

    /// How many runs are in each state, of those that are not over.
    pub async fn active_states(&self) -> Result<Vec<(RunState, i64)>, Error> {
        let rows = sqlx::query(ACTIVE_STATES).fetch_all(&self.pools.reader).await?;
        Ok(rows.iter().map(row::state_count).collect::<Result<_, _>>()?)
    }

    /// How many runs of a subscription wait for their turn.
    pub async fn waiting_runs(&self, subscription: &str) -> Result<i64, Error> {
        let query = sqlx::query_scalar(WAITING).bind(lower(subscription));
        Ok(query.fetch_one(&self.pools.reader).await?)
    }

    /// A template below that group that has a run which is not over.
    pub async fn active_below(&self, group: &ResourceKey) -> Result<Option<ResourceKey>, Error> {
        let (after, before) = row::below(group);
        let template: Option<String> = sqlx::query_scalar(ACTIVE_BELOW)
            .bind(after)
            .bind(before)
            .fetch_optional(&self.pools.reader)
            .await?;
        Ok(template.map(|template| ResourceKey::of(&template)))
    }

    /// The templates that have a run which is not over, each with its hidden part.
    pub async fn active_templates(&self) -> Result<Vec<(ResourceKey, Value)>, Error> {
        let rows = sqlx::query(ACTIVE_TEMPLATES).fetch_all(&self.pools.reader).await?;
        Ok(rows.iter().map(row::hidden).collect::<Result<_, _>>()?)
    }

    /// Whether a run is over; `None` if there is no such run.
    pub async fn is_over(&self, id: &str) -> Result<Option<bool>, Error> {
        let row = sqlx::query_scalar::<_, Option<i64>>("SELECT ended FROM runs WHERE id = $1")
            .bind(lower(id))
            .fetch_optional(&self.pools.reader)
            .await?;
        Ok(row.map(|ended| ended.is_some()))
    }

    /// A run whose `input` and `optimization` are left out.
    pub async fn run_without_input(&self, id: &str) -> Result<Option<Run>, Error> {
        let row = sqlx::query(RUN_WITHOUT_INPUT)
            .bind(lower(id))
            .fetch_optional(&self.pools.reader)
            .await?;
        Ok(row.as_ref().map(row::run).transpose()?)
    }

    /// The runs of a template, newest first, at most so many; their `input` and `optimization` are left
    /// out.
    pub async fn recent_runs(&self, template: &ResourceKey, limit: u32) -> Result<Vec<Run>, Error> {
        let rows = sqlx::query(RECENT_RUNS)
            .bind(text(template.as_str()))
            .bind(i64::from(limit))
            .fetch_all(&self.pools.reader)
            .await?;
        Ok(rows.iter().map(row::run).collect::<Result<_, _>>()?)
    }

    /// A page of the runs that are over: those of a template together, newest first. `after` is the last
    /// one of the page before.
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

    /// Removes runs that are over, in one commit. Their tombstones say that their files are to go.
    pub async fn forget_runs(&self, ids: &[String]) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        let places: Vec<String> = (1..=ids.len()).map(|number| format!("${number}")).collect();
        let meant = format!("ended IS NOT NULL AND id IN ({})", places.join(", "));
        let made = nanoseconds(Timestamp::now());
        let tombstones = format!(
            "INSERT INTO tombstones (kind, name, made) \
             SELECT '{}', id, {made} FROM runs WHERE {meant} \
             ON CONFLICT (kind, name) DO UPDATE SET made = excluded.made",
            Grave::Run.name()
        );
        let mut tx = self.pools.begin().await?;
        for statement in [tombstones, format!("DELETE FROM runs WHERE {meant}")] {
            let query = sqlx::query(AssertSqlSafe(statement));
            let query = ids.iter().fold(query, |query, id| query.bind(lower(id)));
            query.execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Takes the tombstones of runs away whose files are gone, in one commit.
    pub async fn take_tombstones_of_runs(&self, ids: &[String]) -> Result<(), Error> {
        let places: Vec<String> = (1..=ids.len()).map(|number| format!("${number}")).collect();
        let statement = format!(
            "DELETE FROM tombstones WHERE kind = '{}' AND name IN ({})",
            Grave::Run.name(),
            places.join(", ")
        );
        let mut tx = self.pools.begin().await?;
        let query = sqlx::query(AssertSqlSafe(statement));
        let query = ids.iter().fold(query, |query, id| query.bind(lower(id)));
        query.execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The newest time at which something was written, as far as rows say.
    pub async fn newest_time(&self) -> Result<Option<Timestamp>, Error> {
        let newest: Option<i64> = sqlx::query_scalar(NEWEST).fetch_one(&self.pools.reader).await?;
        Ok(newest.and_then(|newest| Timestamp::from_nanosecond(newest.into()).ok()))
    }

    /// Removes operations that were over before then, the oldest first, at most so many. Gives back how many
    /// there were.
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
