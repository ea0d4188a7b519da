//! Connections to the two databases.

use std::{
    io,
    path::Path,
    str::FromStr as _,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};

use crate::{
    Error,
    connect::{ACQUIRE, configuration, create, prepare_postgres, prepare_reader, sqlite_file},
    fence::Fence,
    migrate::{self, SCHEMA},
    reader::Reader,
    writer::{Tx, Writer},
};

/// The readers and the writer.
#[derive(Debug, Clone)]
pub(super) struct Pools {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    pub(super) postgres: bool,
    /// Set once this process holds the lease on the database.
    pub(super) fence: Arc<OnceLock<Fence>>,
    pub(super) counts: QueryCounts,
}

/// Counts reads and commits: a measure of cost that does not depend on the machine.
#[derive(Debug, Clone, Default)]
pub(super) struct QueryCounts {
    pub(super) reads: Arc<AtomicU64>,
    pub(super) commits: Arc<AtomicU64>,
}

impl QueryCounts {
    /// Counts acquired connections: each read acquires one.
    fn count_reads(&self, pool: AnyPoolOptions) -> AnyPoolOptions {
        let reads = self.reads.clone();
        pool.before_acquire(move |_, _| {
            reads.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { Ok(true) })
        })
    }
}

impl Pools {
    /// Connects, and applies missing migrations.
    pub(super) async fn open(url: &str) -> Result<Self, Error> {
        sqlx::any::install_default_drivers();
        if let Some(path) = sqlite_file(url)? {
            return sqlite(url, &path).await;
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return postgres(url).await;
        }
        // The message leaves out the address, which may contain a password.
        Err(configuration("the database's address must be sqlite:///absolute/path or postgres://…"))
    }

    /// Applies all missing migrations or none.
    async fn migrate(&self) -> Result<(), Error> {
        // Excludes all other writers, also in other processes.
        let mut tx = self.begin().await?;
        migrate::apply(&mut tx, self.postgres, SCHEMA).await?;
        Ok(tx.commit().await?)
    }

    /// A transaction for writing; see [`Writer::begin`].
    ///
    /// # Errors
    /// The database fails, or another process has the lease.
    pub(super) async fn begin(&self) -> Result<Tx, Error> {
        let mut tx = self.begin_unfenced().await?;
        if let Some(fence) = self.fence.get() {
            fence.check(&mut tx).await?;
        }
        Ok(tx)
    }

    /// As [`begin`](Self::begin), without checking the lease.
    pub(super) async fn begin_unfenced(&self) -> Result<Tx, sqlx::Error> {
        self.counts.commits.fetch_add(1, Ordering::Relaxed);
        self.writer.begin().await
    }

    /// Closes all connections.
    pub(super) async fn close(&self) {
        // The writer last: SQLite's last connection merges the log, and readers cannot.
        self.reader.0.close().await;
        self.writer.close().await;
    }
}

async fn postgres(url: &str) -> Result<Pools, Error> {
    let options = AnyConnectOptions::from_str(url)?;
    let counts = QueryCounts::default();
    let readers = AnyPoolOptions::new()
        .max_connections(8)
        .acquire_timeout(ACQUIRE)
        .after_connect(|connection, _| Box::pin(prepare_postgres(connection)));
    let reader = Reader(counts.count_reads(readers).connect_lazy_with(options.clone()));
    let writer = Writer::new(options, true);
    let pools = Pools { reader, writer, postgres: true, fence: Arc::default(), counts };
    pools.migrate().await?;
    Ok(pools)
}

/// SQLite has one writer at a time. The others queue in [`Writer`], because SQLite would poll.
async fn sqlite(url: &str, path: &Path) -> Result<Pools, Error> {
    if !path.is_absolute() || url.contains(['?', '#']) {
        return Err(configuration(
            "the address of the SQLite file must be sqlite:///absolute/path, with %3F for ? and %23 for #",
        ));
    }
    create(path).await.map_err(|error| {
        let message = format!("cannot open {}: {error}", path.display());
        sqlx::Error::Io(io::Error::new(error.kind(), message))
    })?;
    let options = AnyConnectOptions::from_str(url)?;
    let counts = QueryCounts::default();
    let readers = AnyPoolOptions::new()
        .max_connections(4)
        .acquire_timeout(ACQUIRE)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .after_connect(|connection, _| Box::pin(prepare_reader(connection)));
    let reader = Reader(counts.count_reads(readers).connect_lazy_with(options.clone()));
    let writer = Writer::new(options, false);
    let pools = Pools { reader, writer, postgres: false, fence: Arc::default(), counts };
    pools.migrate().await?;
    // This opens a reader that stays open. Without one, closing the writer would remove the log and its
    // index, and on a full disk SQLite could not recreate them, so reads would fail too.
    sqlx::query("SELECT MAX(version) FROM schema_version").fetch_one(&pools.reader).await?;
    Ok(pools)
}
