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

/// Where to read and where to write.
#[derive(Debug, Clone)]
pub(super) struct Pools {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    pub(super) postgres: bool,
    /// Set once this process holds the lease on the database.
    pub(super) fence: Arc<OnceLock<Fence>>,
    pub(super) asked: Asked,
}

/// How often the database was asked, and written to: what a look costs, whatever machine it is on.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    pub(super) reads: Arc<AtomicU64>,
    pub(super) commits: Arc<AtomicU64>,
}

impl Asked {
    /// Counts what the pool's connections are taken for: each read takes one.
    fn count_reads(&self, pool: AnyPoolOptions) -> AnyPoolOptions {
        let reads = self.reads.clone();
        pool.before_acquire(move |_, _| {
            reads.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { Ok(true) })
        })
    }
}

impl Pools {
    /// Connects, and brings the tables up to date.
    pub(super) async fn open(url: &str) -> Result<Self, Error> {
        sqlx::any::install_default_drivers();
        if let Some(path) = sqlite_file(url)? {
            return sqlite(url, &path).await;
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return postgres(url).await;
        }
        // The address may hold a password: it is not repeated.
        Err(configuration("the database's address must be sqlite:///absolute/path or postgres://…"))
    }

    /// Applies what is missing of the tables, all or nothing.
    async fn bring_up_to_date(&self) -> Result<(), Error> {
        // Keeps out everyone else who writes, in other processes too.
        let mut tx = self.begin().await?;
        migrate::apply(&mut tx, self.postgres, SCHEMA).await?;
        Ok(tx.commit().await?)
    }

    /// A transaction for writing; see [`Writer::begin`].
    ///
    /// # Errors
    /// The database fails, or the lease of this process is in other hands.
    pub(super) async fn begin(&self) -> Result<Tx, Error> {
        let mut tx = self.begin_unfenced().await?;
        if let Some(fence) = self.fence.get() {
            fence.check(&mut tx).await?;
        }
        Ok(tx)
    }

    /// As [`begin`](Self::begin), without a look at the lease.
    pub(super) async fn begin_unfenced(&self) -> Result<Tx, sqlx::Error> {
        self.asked.commits.fetch_add(1, Ordering::Relaxed);
        self.writer.begin().await
    }

    /// Ends all connections.
    pub(super) async fn close(&self) {
        // The writer last: SQLite's last connection merges its log, which readers cannot.
        self.reader.0.close().await;
        self.writer.close().await;
    }
}

async fn postgres(url: &str) -> Result<Pools, Error> {
    let options = AnyConnectOptions::from_str(url)?;
    let asked = Asked::default();
    let readers = AnyPoolOptions::new()
        .max_connections(8)
        .acquire_timeout(ACQUIRE)
        .after_connect(|connection, _| Box::pin(prepare_postgres(connection)));
    let reader = Reader(asked.count_reads(readers).connect_lazy_with(options.clone()));
    let writer = Writer::new(options, true);
    let pools = Pools { reader, writer, postgres: true, fence: Arc::default(), asked };
    pools.bring_up_to_date().await?;
    Ok(pools)
}

/// SQLite has one writer at a time: the others wait in [`Writer`], in order, and not in SQLite, where
/// they would poll.
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
    let asked = Asked::default();
    let readers = AnyPoolOptions::new()
        .max_connections(4)
        .acquire_timeout(ACQUIRE)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .after_connect(|connection, _| Box::pin(prepare_reader(connection)));
    let reader = Reader(asked.count_reads(readers).connect_lazy_with(options.clone()));
    let writer = Writer::new(options, false);
    let pools = Pools { reader, writer, postgres: false, fence: Arc::default(), asked };
    pools.bring_up_to_date().await?;
    // One that reads stays from now on. Without it, closing the writer would remove the log and its
    // index, and a full disk has no room to make them again: nothing could be read either.
    sqlx::query("SELECT MAX(version) FROM schema_version").fetch_one(&pools.reader).await?;
    Ok(pools)
}
