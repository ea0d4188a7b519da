//! The activity log: rows are only added, by commits, and removed by age.

use jiff::Timestamp;
use sqlx::{Row as _, any::AnyRow};

use crate::{
    Error, Store,
    model::{Activity, ActivityAbout, ActivitySelect},
    row::{json, lower, nanoseconds, parse, text, time},
    statement::value,
    writer::Tx,
};

/// Sequence numbers per commit of an installation; a larger commit takes those of the next ones.
const PER_COMMIT: i64 = 1024;

macro_rules! activity {
    ($($rest:expr),*) => {
        concat!(
            "SELECT seq, id, subscription, time, grp, resource, provider, correlation, operation, \
             caller, status, body FROM activity WHERE ",
            $($rest),*
        )
    };
}

/// Events of a subscription between two places in their order, newest first. The order begins with the column
/// that they have in common, so that only its index fits: with the time alone, SQLite takes the one of all events.
macro_rules! listing {
    ($order:expr, $from:literal, $before:literal, $newest_first:expr) => {
        activity!(
            "subscription = $1 AND (",
            $order,
            ") >= (",
            $from,
            ") AND (",
            $order,
            ") < (",
            $before,
            ") AND ($5 = '' OR caller = $5) AND ($6 = '' OR LOWER(status) = $6) ORDER BY ",
            $newest_first,
            " LIMIT $7"
        )
    };
    ($column:literal) => {
        listing!(
            concat!($column, ", time, seq"),
            "$8, $2, 0",
            "$8, $3, $4",
            concat!($column, " DESC, time DESC, seq DESC")
        )
    };
}

pub(super) const LIST: &str = listing!("time, seq", "$2, 0", "$3, $4", "time DESC, seq DESC");
pub(super) const OF_GROUP: &str = listing!("grp");
pub(super) const OF_RESOURCE: &str = listing!("resource");
pub(super) const OF_PROVIDER: &str = listing!("provider");
pub(super) const OF_CORRELATION: &str = listing!("correlation");
pub(super) const AFTER: &str = activity!("seq > $1 ORDER BY seq LIMIT $2");
pub(super) const NEXT_SUBSCRIPTION: &str =
    "SELECT MIN(subscription) FROM activity WHERE subscription > $1";
pub(super) const FORGET: &str = "DELETE FROM activity WHERE seq IN (SELECT seq FROM activity \
     WHERE subscription = $1 AND time < $2 ORDER BY time, seq LIMIT $3)";

impl Store {
    /// A page of events, newest first.
    pub async fn activity(&self, select: &ActivitySelect) -> Result<Vec<Activity>, Error> {
        // Events of the last moment have any number.
        let mut before = (nanoseconds(select.to), i64::MAX);
        if let Some(seq) = select.after {
            let time: Option<i64> = sqlx::query_scalar("SELECT time FROM activity WHERE seq = $1")
                .bind(seq)
                .fetch_optional(&self.pools.reader)
                .await?;
            // All events after a forgotten one are older, and were forgotten before it.
            let Some(time) = time else { return Ok(Vec::new()) };
            before = before.min((time, seq));
        }
        let (query, about) = match &select.about {
            ActivityAbout::Anything => (LIST, None),
            ActivityAbout::Group(group) => (OF_GROUP, Some(group)),
            ActivityAbout::Resource(id) => (OF_RESOURCE, Some(id)),
            ActivityAbout::Provider(provider) => (OF_PROVIDER, Some(provider)),
            ActivityAbout::Correlation(id) => (OF_CORRELATION, Some(id)),
        };
        let query = sqlx::query(query)
            .bind(lower(&select.subscription))
            .bind(nanoseconds(select.from))
            .bind(before.0)
            .bind(before.1)
            .bind(select.caller.as_deref().map(lower).unwrap_or_default())
            .bind(select.status.as_deref().map(lower).unwrap_or_default())
            .bind(i64::from(select.limit));
        let query = match about {
            Some(about) => query.bind(lower(about)),
            None => query,
        };
        let rows = query.fetch_all(&self.pools.reader).await?;
        Ok(rows.iter().map(activity).collect::<Result<_, _>>()?)
    }

    /// Events of all subscriptions after one (its `seq`), oldest first. No event appears later with a lower
    /// number than one that was already there.
    pub async fn activity_after(&self, seq: i64, limit: u32) -> Result<Vec<Activity>, Error> {
        let query = sqlx::query(AFTER).bind(seq).bind(i64::from(limit));
        let rows = query.fetch_all(&self.pools.reader).await?;
        Ok(rows.iter().map(activity).collect::<Result<_, _>>()?)
    }

    /// Removes events from before `time`, of each subscription the oldest first. Returns their number.
    pub async fn forget_activity_before(&self, time: Timestamp, limit: u32) -> Result<u64, Error> {
        let mut tx = self.pools.begin().await?;
        // Events of the whole tenant have an empty subscription.
        let (mut forgotten, mut next) = (0, Some(String::new()));
        while let Some(subscription) = next.filter(|_| forgotten < u64::from(limit)) {
            let missing = u64::from(limit) - forgotten;
            let done = sqlx::query(FORGET)
                .bind(&subscription)
                .bind(nanoseconds(time))
                .bind(i64::try_from(missing).unwrap_or(i64::MAX))
                .execute(&mut *tx)
                .await?;
            forgotten += done.rows_affected();
            let query = sqlx::query(NEXT_SUBSCRIPTION).bind(subscription);
            next = value(&mut tx, query).await?;
        }
        tx.commit().await?;
        Ok(forgotten)
    }
}

fn activity(row: &AnyRow) -> Result<Activity, sqlx::Error> {
    Ok(Activity {
        seq: row.try_get("seq")?,
        id: row.try_get("id")?,
        subscription: row.try_get("subscription")?,
        time: time(row.try_get("time")?)?,
        group: row.try_get("grp")?,
        resource: row.try_get("resource")?,
        provider: row.try_get("provider")?,
        correlation: row.try_get("correlation")?,
        operation: row.try_get("operation")?,
        caller: row.try_get("caller")?,
        status: row.try_get("status")?,
        body: parse(row.try_get("body")?)?,
    })
}

/// The numbers of the events of a commit.
pub(super) struct Sequence {
    mark: Option<i64>,
    last: Option<i64>,
}

impl Sequence {
    /// The numbers of the commit that has this mark.
    pub(super) fn new(mark: Option<i64>) -> Self {
        Self { mark, last: None }
    }

    /// Adds an event with the next number.
    pub(super) async fn insert(&mut self, tx: &mut Tx, event: &Activity) -> Result<(), Error> {
        let seq = match self.last {
            Some(last) => last + 1,
            None => first(tx, self.mark).await?,
        };
        insert(tx, event, seq).await?;
        self.last = Some(seq);
        Ok(())
    }
}

/// Higher than all earlier numbers, also than those of forgotten events, because the mark of an installation
/// never decreases.
async fn first(tx: &mut Tx, mark: Option<i64>) -> Result<i64, sqlx::Error> {
    let highest: Option<i64> = value(tx, sqlx::query("SELECT MAX(seq) FROM activity")).await?;
    let lowest = mark.unwrap_or_default().saturating_mul(PER_COMMIT);
    Ok(highest.map_or(1, |highest| highest + 1).max(lowest))
}

async fn insert(tx: &mut Tx, event: &Activity, seq: i64) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO activity (seq, id, subscription, time, grp, resource, provider, correlation, \
         operation, caller, status, body) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(seq)
    .bind(lower(&event.id))
    .bind(lower(&event.subscription))
    .bind(nanoseconds(event.time))
    .bind(lower(&event.group))
    .bind(lower(&event.resource))
    .bind(lower(&event.provider))
    .bind(lower(&event.correlation))
    .bind(text(&event.operation))
    .bind(lower(&event.caller))
    .bind(text(&event.status))
    .bind(json(&event.body))
    .execute(&mut **tx)
    .await?;
    Ok(())
}
