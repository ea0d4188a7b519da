//! The installation that a database belongs to, and the number of its commits.
//!
//! Each commit increments the count (`mark`) in its own transaction, so a restored copy has a lower mark than the
//! database it replaces.

use jiff::Timestamp;
use sqlx::Row as _;

use super::{
    Error, Store,
    connect::sqlite_file,
    connection::Connection,
    row::{nanoseconds, text},
    writer::Tx,
};

/// The installation, as the database records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Generated with the row; the data folder records the same id.
    pub id: String,
    /// The tenant's id, in case the data folder's record is lost.
    pub tenant: String,
    /// The subscription's id.
    pub subscription: String,
    /// The number of commits.
    pub mark: i64,
}

/// The state of a database before the service changes it or its schema.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Its installation. Schema versions before 4 have none.
    pub installation: Option<Installation>,
    /// Whether it has a resource, a run, or a service principal.
    pub has_content: bool,
    /// The subscriptions of its resources, at most two.
    pub subscriptions: Vec<String>,
    /// The schema version; 0 without a schema.
    pub schema: usize,
}

/// Inspects a database without changing it. A missing database counts as empty.
///
/// # Errors
/// The database exists and cannot be read.
pub async fn inspect(url: &str) -> Result<Inspection, Error> {
    sqlx::any::install_default_drivers();
    if let Some(path) = sqlite_file(url)?
        && path.is_absolute()
        && matches!(tokio::fs::try_exists(&path).await, Ok(false))
    {
        return Ok(Inspection::default());
    }
    let mut connection = Connection::open(url).await?;
    let inspection = Inspector::new(url, &mut connection).inspect().await;
    connection.close().await?;
    inspection
}

/// Reads a database whose tables may be missing or from any release.
pub(super) struct Inspector<'a> {
    sqlite: bool,
    connection: &'a mut Connection,
}

impl<'a> Inspector<'a> {
    pub(super) fn new(url: &str, connection: &'a mut Connection) -> Self {
        Self { sqlite: url.starts_with("sqlite:"), connection }
    }

    /// The first column of a query on a table; empty if the table is missing.
    pub(super) async fn names(
        &mut self,
        table: &'static str,
        query: &'static str,
    ) -> Result<Vec<String>, Error> {
        if !self.has(table).await? {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(query).fetch_all(&mut *self.connection).await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }

    async fn inspect(mut self) -> Result<Inspection, Error> {
        let mut inspection = Inspection { schema: self.schema().await?, ..Inspection::default() };
        if self.has("installation").await? {
            let query = "SELECT id, tenant, subscription, mark FROM installation";
            let rows = sqlx::query(query).fetch_all(&mut *self.connection).await?;
            inspection.installation = rows.first().map(installation).transpose()?;
        }
        for (table, query) in [
            ("resources", "SELECT 1 FROM resources LIMIT 1"),
            ("runs", "SELECT 1 FROM runs LIMIT 1"),
            ("clients", "SELECT 1 FROM clients LIMIT 1"),
        ] {
            if self.has(table).await? {
                let rows = sqlx::query(query).fetch_all(&mut *self.connection).await?;
                inspection.has_content |= !rows.is_empty();
            }
        }
        if self.has("resources").await? {
            let query = "SELECT DISTINCT subscription FROM resources LIMIT 2";
            let rows = sqlx::query(query).fetch_all(&mut *self.connection).await?;
            inspection.subscriptions =
                rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        }
        Ok(inspection)
    }

    /// The schema version; 0 without a schema.
    pub(super) async fn schema(&mut self) -> Result<usize, Error> {
        if !self.has("schema_version").await? {
            return Ok(0);
        }
        let query = "SELECT COALESCE(MAX(version), 0) FROM schema_version";
        let version: i64 = sqlx::query_scalar(query).fetch_one(&mut *self.connection).await?;
        Ok(usize::try_from(version).unwrap_or_default())
    }

    async fn has(&mut self, table: &'static str) -> Result<bool, Error> {
        let query = match self.sqlite {
            true => "SELECT name FROM sqlite_master WHERE type = 'table' AND name = $1",
            false => "SELECT CAST(oid AS TEXT) FROM pg_class WHERE oid = to_regclass($1)",
        };
        let rows = sqlx::query(query).bind(table).fetch_all(&mut *self.connection).await?;
        Ok(!rows.is_empty())
    }
}

fn installation(row: &sqlx::any::AnyRow) -> Result<Installation, sqlx::Error> {
    Ok(Installation {
        id: row.try_get("id")?,
        tenant: row.try_get("tenant")?,
        subscription: row.try_get("subscription")?,
        mark: row.try_get("mark")?,
    })
}

impl Store {
    /// Instead of the time since when roles are in force: there were no principals before.
    pub const NEW: Timestamp = Timestamp::UNIX_EPOCH;

    /// The installation that the database belongs to.
    pub async fn installation(&self) -> Result<Option<Installation>, Error> {
        let query = "SELECT id, tenant, subscription, mark FROM installation";
        let row = sqlx::query(query).fetch_optional(&self.pools.reader).await?;
        Ok(row.as_ref().map(installation).transpose()?)
    }

    /// Assigns the database to an installation. Its mark never decreases, and roles stay in force. A new database, without
    /// service principals, has [`NEW`](Self::NEW) for the time since when roles are in force.
    pub async fn set_installation(
        &self,
        id: &str,
        tenant: &str,
        subscription: &str,
    ) -> Result<(), Error> {
        let mut tx = self.pools.begin().await?;
        let earlier = "SELECT COALESCE(MAX(mark), 0) AS mark, MAX(roles_since) AS roles_since, \
                       COUNT(*) AS installations, (SELECT COUNT(*) FROM clients) AS clients \
                       FROM installation";
        let earlier = sqlx::query(earlier).fetch_one(&mut *tx).await?;
        let mark: i64 = earlier.try_get("mark")?;
        let count = |column: &str| earlier.try_get::<i64, _>(column);
        let is_new = count("installations")? == 0 && count("clients")? == 0;
        let roles_since: Option<i64> = earlier.try_get("roles_since")?;
        let roles_since = roles_since.or(is_new.then_some(nanoseconds(Self::NEW)));
        sqlx::query("DELETE FROM installation").execute(&mut *tx).await?;
        sqlx::query(
            "INSERT INTO installation (id, tenant, subscription, mark, roles_since) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(text(id))
        .bind(text(tenant))
        .bind(text(subscription))
        .bind(mark)
        .bind(roles_since)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Reports the mark of each commit of this process.
    pub fn marks(&self) -> tokio::sync::watch::Receiver<i64> {
        self.marks.subscribe()
    }
}

/// Counts a commit within its transaction. A database without an installation has no count.
pub(super) async fn count(tx: &mut Tx) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar("UPDATE installation SET mark = mark + 1 RETURNING mark")
        .fetch_optional(&mut **tx)
        .await
}
