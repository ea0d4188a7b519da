//! Connections to the two databases.

use std::{
    io,
    path::{Path, PathBuf},
    str::FromStr as _,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use percent_encoding::percent_decode_str;
use sqlx::{
    AnyConnection,
    any::{AnyConnectOptions, AnyPoolOptions},
};

use super::{
    Error,
    error::{Trouble, trouble},
    lease::Fence,
    migrate::migrate,
    reader::Reader,
    writer::{Tx, Writer},
};

/// How long a request waits for a free connection before it is told that the database is busy.
pub(super) const ACQUIRE: Duration = Duration::from_secs(10);
/// How often the switch to WAL is tried while another process holds the file.
const WAL_ATTEMPTS: u32 = 100;

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
    migrate(&pools).await?;
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
    migrate(&pools).await?;
    // One that reads stays from now on. Without it, closing the writer would remove the log and its
    // index, and a full disk has no room to make them again: nothing could be read either.
    sqlx::query("SELECT MAX(version) FROM schema_version").fetch_one(&pools.reader).await?;
    Ok(pools)
}

/// Secrets' hashes are in the file: made for its owner alone. SQLite gives its log the same mode.
pub(super) async fn create(path: &Path) -> io::Result<()> {
    let mut options = tokio::fs::OpenOptions::new();
    options.create(true).write(true).truncate(false).mode(0o600);
    options.open(path).await.map(drop)
}

pub(super) async fn prepare_writer(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    // While another process switches or recovers the file, this fails without waiting.
    for attempt in 1.. {
        match sqlx::query("PRAGMA journal_mode = WAL").execute(&mut *connection).await {
            Err(error) if trouble(&error) == Trouble::Busy && attempt < WAL_ATTEMPTS => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    pragmas(connection, &["synchronous = FULL", "busy_timeout = 10000", "foreign_keys = ON"]).await
}

async fn prepare_reader(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    pragmas(connection, &["busy_timeout = 10000", "query_only = ON"]).await
}

async fn pragmas(
    connection: &mut AnyConnection,
    pragmas: &[&'static str],
) -> Result<(), sqlx::Error> {
    for pragma in pragmas {
        let text = sqlx::AssertSqlSafe(format!("PRAGMA {pragma}"));
        sqlx::query(text).execute(&mut *connection).await?;
    }
    Ok(())
}

pub(super) async fn prepare_postgres(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    // What was acknowledged must be on disk, whatever the server's default is; and nobody waits
    // for ever.
    sqlx::query(
        "SELECT set_config('synchronous_commit', 'on', false) \
         WHERE current_setting('synchronous_commit') = 'off'",
    )
    .execute(&mut *connection)
    .await?;
    for setting in
        ["SET statement_timeout = '30s'", "SET idle_in_transaction_session_timeout = '30s'"]
    {
        sqlx::query(setting).execute(&mut *connection).await?;
    }
    Ok(())
}

/// The file that an address of SQLite names; `None` for another database.
///
/// # Errors
/// Its path is not UTF-8.
pub(crate) fn sqlite_file(url: &str) -> Result<Option<PathBuf>, Error> {
    let Some(path) = url.strip_prefix("sqlite://") else { return Ok(None) };
    let path = percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| configuration("the path of the SQLite file is not UTF-8"))?;
    Ok(Some(PathBuf::from(path.into_owned())))
}

fn configuration(message: &'static str) -> Error {
    sqlx::Error::Configuration(message.into()).into()
}
