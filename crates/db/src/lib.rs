//! The service's state in SQL: SQLite by default, PostgreSQL by address, one set of queries.
//!
//! [`Store::commit`] applies a list of writes, all or none, and returns once they are on disk.
//!
//! ```text
//! model    rows as values               open            pools of connections
//! connect  settings of a connection     connection      its statements, which end or fail
//!                                       writer, reader  connections, replaced when they fail
//! row      values ↔ columns             migrate         the tables (`migrations/`)
//! write    one commit                   queries         frequent queries, each with an index
//! deployments  deployments of templates and their operations
//! subscriptions, roles, locks, credentials  who may do what    access  what is common to them
//! activity  who did what    record  events in the commits of a request
//! lease    the one service that writes  fence           the lease check of each commit
//! installation  the data folder that the database belongs to
//! ```
//!
//! A method that only reads fails only when the database fails.

#![warn(missing_docs)]

mod access;
mod activity;
mod connect;
mod connection;
mod credentials;
mod deployments;
mod dump;
mod error;
mod fence;
mod file_owners;
mod installation;
mod lease;
mod locks;
mod migrate;
mod model;
mod open;
mod raw_sql;
mod reader;
mod record;
mod roles;
mod row;
mod statement;
mod subscriptions;
#[cfg(test)]
mod tests;
mod tombstone;
mod transport;
mod write;
mod writer;

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

pub use connect::sqlite_file;
pub use dump::{Dumped, dump, load};
pub use error::{Error, Trouble};
pub use file_owners::{FileOwners, file_owners};
pub use installation::{Inspection, Installation, inspect};
pub use lease::{Holder, Lease};
pub use migrate::SCHEMA;
pub use model::{
    ActiveRun, Activity, ActivityAbout, ActivitySelect, AssignmentPage, AssignmentSelect, CLAIM,
    Cause, Client, Credential, CredentialKind, Deployment, DeploymentOperation, EndedRun, LockRow,
    Operation, OperationStatus, Page, Reach, Resource, ResourceKey, RoleAssignment, RoleDefinition,
    Run, RunState, Select, Subscription, Tombstone, TombstoneKind, TrustedIssuer, Write,
};
pub use raw_sql::execute_raw;
pub use record::Record;

use tokio::sync::watch;
pub use transport::{Unprotected, check_transport};

use self::{
    open::Pools,
    row::{lower, text},
    write::Committed,
};

/// Rows per query when reading a complete list.
const PAGE: u32 = 500;
/// Sorts after every key.
const LAST: &str = "\u{10ffff}";

// Columns are named, not `*`: PostgreSQL rejects prepared queries whose columns change, for example
// when a later release adds one while this release runs.

macro_rules! resources {
    ($($rest:literal),*) => {
        concat!(
            "SELECT id, subscription, grp, kind, name, revision, created, changed, body, hidden \
             FROM resources WHERE ",
            $($rest),*
        )
    };
}

/// Resources in the order of their keys, between two keys.
macro_rules! listing {
    ($condition:literal) => {
        resources!(
            "subscription = $1 AND key > $2 AND key < $3 AND ",
            $condition,
            " ORDER BY key LIMIT $4"
        )
    };
}

macro_rules! operations {
    ($rest:literal) => {
        concat!(
            "SELECT id, subscription, kind, target, status, error, started, ended, origin \
             FROM operations WHERE ",
            $rest
        )
    };
}

macro_rules! runs {
    ($rest:literal) => {
        runs!("input", "optimization", $rest)
    };
    // Allows leaving out the large columns.
    ($input:literal, $optimization:literal, $rest:literal) => {
        concat!(
            "SELECT id, template, subscription, operation, state, sub_state, message, queued, \
             ended, epoch, vcpus, memory_mib, owner, crashes, worked, cause, ",
            $input,
            " AS input, ",
            $optimization,
            " AS optimization FROM runs WHERE ",
            $rest
        )
    };
}

macro_rules! clients {
    ($rest:literal) => {
        concat!(
            "SELECT client_id, object_id, name, secret_hash, created, rotated, revoked \
             FROM clients ",
            $rest
        )
    };
}

// After the macros that it uses.
mod queries;

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pools: Pools,
    marks: Arc<watch::Sender<i64>>,
    /// See [`known_generation`](Self::known_generation).
    known_generation: Arc<AtomicI64>,
    /// Makes an event of each commit.
    record: Option<Arc<dyn Record>>,
}

impl Store {
    /// Opens `sqlite:///absolute/path` (created if missing) or `postgres://…`, and applies missing
    /// migrations.
    ///
    /// # Errors
    /// The address has another form, the database cannot be reached, or a later release wrote it.
    pub async fn open(url: &str) -> Result<Self, Error> {
        Ok(Self {
            pools: Pools::open(url).await?,
            marks: Arc::new(watch::Sender::new(0)),
            known_generation: Arc::default(),
            record: None,
        })
    }

    /// Closes all connections. Commits are durable without it, but SQLite then merges its log.
    pub async fn close(&self) {
        self.pools.close().await;
    }

    /// Applies all of the writes or none, durably.
    ///
    /// # Errors
    /// [`Error::Stale`] if a row does not match a write's condition, [`Error::NotOwner`] if another process has the lease,
    /// or the database fails.
    pub async fn commit(&self, mut writes: Vec<Write>) -> Result<(), Error> {
        self.add_events(&mut writes);
        let store = self.clone();
        // When a client hangs up, its request is dropped at any await; a started commit must continue.
        let task = tokio::spawn(async move {
            let committed = write::commit(&store.pools, &writes).await?;
            store.publish(committed);
            if let Some(record) = store.record.filter(|_| !writes.is_empty()) {
                record.written(&writes);
            }
            Ok(())
        });
        task.await.map_err(|error| sqlx::Error::Io(std::io::Error::other(error)))?
    }

    fn publish(&self, committed: Committed) {
        let Committed { mark, generation } = committed;
        self.known_generation.fetch_max(generation.unwrap_or_default(), Ordering::AcqRel);
        self.marks.send_if_modified(|highest| {
            let is_higher = mark.is_some_and(|mark| mark > *highest);
            *highest = mark.unwrap_or(*highest).max(*highest);
            is_higher
        });
    }

    /// One resource or group.
    pub async fn resource(&self, key: &ResourceKey) -> Result<Option<Resource>, Error> {
        let row = sqlx::query(resources!("key = $1"))
            .bind(text(key.as_str()))
            .fetch_optional(&self.pools.reader)
            .await?;
        Ok(row.as_ref().map(row::resource).transpose()?)
    }

    /// A page of resources. A limit of 0 counts as 1, so that following `next` always ends.
    pub async fn list(&self, select: &Select) -> Result<Page, Error> {
        let (mut after, before) = match &select.below {
            Some(key) => row::below(key),
            None => (String::new(), LAST.to_owned()),
        };
        if let Some(key) = &select.after {
            after = after.max(lower(key));
        }
        let limit = select.limit.max(1);
        let query = match (&select.group, &select.kind) {
            (None, None) => listing!("kind <> 'microsoft.resources/resourcegroups'"),
            (None, Some(_)) => listing!("kind = $5"),
            (Some(_), None) => {
                listing!("grp = $5 AND kind <> 'microsoft.resources/resourcegroups'")
            }
            (Some(_), Some(_)) => listing!("grp = $5 AND kind = $6"),
        };
        let mut query = sqlx::query(query)
            .bind(lower(&select.subscription))
            .bind(after)
            .bind(before)
            .bind(i64::from(limit) + 1);
        for value in [&select.group, &select.kind].into_iter().flatten() {
            query = query.bind(lower(value));
        }
        let rows = query.fetch_all(&self.pools.reader).await?;
        let mut resources = rows.iter().map(row::resource).collect::<Result<Vec<_>, _>>()?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut next = None;
        if resources.len() > limit {
            resources.truncate(limit);
            next = resources.last().map(|resource| resource.key().to_string());
        }
        Ok(Page { resources, next })
    }

    /// Every resource that the selection matches, ignoring its `limit`.
    pub async fn list_all(&self, mut select: Select) -> Result<Vec<Resource>, Error> {
        select.limit = PAGE;
        let mut found = Vec::new();
        loop {
            let page = self.list(&select).await?;
            found.extend(page.resources);
            select.after = page.next;
            if select.after.is_none() {
                return Ok(found);
            }
        }
    }

    /// One operation.
    pub async fn operation(&self, id: &str) -> Result<Option<Operation>, Error> {
        let row = sqlx::query(operations!("id = $1"))
            .bind(lower(id))
            .fetch_optional(&self.pools.reader)
            .await?;
        Ok(row.as_ref().map(row::operation).transpose()?)
    }

    /// Every unfinished operation, oldest first.
    pub async fn unfinished_operations(&self) -> Result<Vec<Operation>, Error> {
        let rows = sqlx::query(operations!("ended IS NULL ORDER BY started, id"))
            .fetch_all(&self.pools.reader)
            .await?;
        Ok(rows.iter().map(row::operation).collect::<Result<_, _>>()?)
    }

    /// One run.
    pub async fn run(&self, id: &str) -> Result<Option<Run>, Error> {
        let row = sqlx::query(runs!("id = $1"))
            .bind(lower(id))
            .fetch_optional(&self.pools.reader)
            .await?;
        Ok(row.as_ref().map(row::run).transpose()?)
    }

    /// The runs of a template, newest first.
    pub async fn runs_of(&self, template: &ResourceKey, limit: u32) -> Result<Vec<Run>, Error> {
        let rows = sqlx::query(runs!("template = $1 ORDER BY queued DESC, id DESC LIMIT $2"))
            .bind(text(template.as_str()))
            .bind(i64::from(limit))
            .fetch_all(&self.pools.reader)
            .await?;
        Ok(rows.iter().map(row::run).collect::<Result<_, _>>()?)
    }

    /// The newest run of a template.
    pub async fn latest_run(&self, template: &ResourceKey) -> Result<Option<Run>, Error> {
        Ok(self.runs_of(template, 1).await?.pop())
    }

    /// Whether another run of the same template was queued in the same second.
    pub async fn has_other_run_of_that_second(&self, run: &Run) -> Result<bool, Error> {
        let second = run.queued.as_second();
        let nanoseconds = |second: i64| second.saturating_mul(1_000_000_000);
        let found = sqlx::query(
            "SELECT id FROM runs \
             WHERE template = $1 AND queued >= $2 AND queued < $3 AND id <> $4 LIMIT 1",
        )
        .bind(text(run.template.as_str()))
        .bind(nanoseconds(second))
        .bind(nanoseconds(second.saturating_add(1)))
        .bind(lower(&run.id))
        .fetch_optional(&self.pools.reader)
        .await?;
        Ok(found.is_some())
    }

    /// The unfinished run of a template.
    pub async fn active_run(&self, template: &ResourceKey) -> Result<Option<Run>, Error> {
        let row = sqlx::query(runs!("template = $1 AND ended IS NULL"))
            .bind(text(template.as_str()))
            .fetch_optional(&self.pools.reader)
            .await?;
        Ok(row.as_ref().map(row::run).transpose()?)
    }

    /// Every unfinished run, oldest first.
    pub async fn unfinished_runs(&self) -> Result<Vec<Run>, Error> {
        let rows = sqlx::query(runs!("ended IS NULL ORDER BY queued, id"))
            .fetch_all(&self.pools.reader)
            .await?;
        Ok(rows.iter().map(row::run).collect::<Result<_, _>>()?)
    }

    /// All service principals, including revoked ones, oldest first.
    pub async fn clients(&self) -> Result<Vec<Client>, Error> {
        let rows = sqlx::query(clients!("ORDER BY created, client_id"))
            .fetch_all(&self.pools.reader)
            .await?;
        Ok(rows.iter().map(row::client).collect::<Result<_, _>>()?)
    }

    /// One service principal.
    pub async fn client(&self, client_id: &str) -> Result<Option<Client>, Error> {
        let row = sqlx::query(clients!("WHERE client_id = $1"))
            .bind(lower(client_id))
            .fetch_optional(&self.pools.reader)
            .await?;
        Ok(row.as_ref().map(row::client).transpose()?)
    }

    /// Checks that the database accepts a write, in a row that has no other use.
    pub async fn probe(&self) -> Result<(), Error> {
        let mut tx = self.pools.begin().await?;
        sqlx::query(
            "INSERT INTO health (id, written) VALUES (1, $1) \
             ON CONFLICT (id) DO UPDATE SET written = excluded.written",
        )
        .bind(row::nanoseconds(jiff::Timestamp::now()))
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }
}
