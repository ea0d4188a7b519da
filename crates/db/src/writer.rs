//! The one connection that writes, and the transactions on it.
//!
//! A connection returns to its slot only after a transaction whose end the database confirmed. After any
//! other outcome it is closed: SQLite rolls back by itself when the disk is full, a server restarts, a
//! cancelled future leaves a statement half sent. What state such a connection is in cannot be known.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use sqlx::{AnyConnection, ConnectOptions as _, Connection as _, any::AnyConnectOptions, raw_sql};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::timeout,
};

use super::{
    connect::{ACQUIRE, prepare_postgres, prepare_writer},
    error::{Trouble, trouble},
    reader::complete,
};

/// Any number, the same in every release: whoever holds this lock of PostgreSQL writes.
const LOCK: i64 = 0x0060_1d53_1117;
/// How long a connection may take to open, to begin a transaction or to close. A server that is gone
/// without a word answers none of them.
const ANSWER: Duration = Duration::from_secs(15);

/// The slot of the one connection that writes: callers wait here, in order, and not in SQLite, where
/// they would poll.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    options: AnyConnectOptions,
    postgres: bool,
    slot: Arc<Mutex<Slot>>,
}

#[derive(Debug, Default)]
struct Slot {
    connection: Option<AnyConnection>,
    closed: bool,
}

impl Writer {
    pub(super) fn new(options: AnyConnectOptions, postgres: bool) -> Self {
        Self { options, postgres, slot: Arc::default() }
    }

    /// A transaction for writing, one at a time: without that, PostgreSQL would resolve commits
    /// that touch the same rows in another order by failing one of them after a second, and let a
    /// resource be added below one that is being emptied.
    pub(super) async fn begin(&self) -> Result<Tx, sqlx::Error> {
        let waited = timeout(ACQUIRE, self.slot.clone().lock_owned()).await;
        let mut slot = waited.map_err(|_| sqlx::Error::PoolTimedOut)?;
        if slot.closed {
            return Err(sqlx::Error::PoolClosed);
        }
        if let Some(mut connection) = slot.connection.take() {
            match self.enter(&mut connection).await {
                Ok(()) => return Ok(Tx { slot, connection: Some(connection) }),
                // Another connection would wait for the same lock.
                Err(error) if trouble(&error) == Trouble::Busy => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "the connection that writes is replaced");
                    close(connection).await;
                }
            }
        }
        let mut connection = self.connect().await?;
        self.enter(&mut connection).await?;
        Ok(Tx { slot, connection: Some(connection) })
    }

    async fn connect(&self) -> Result<AnyConnection, sqlx::Error> {
        let mut connection = answer(self.options.connect()).await?;
        match self.postgres {
            true => answer(prepare_postgres(&mut connection)).await?,
            false => prepare_writer(&mut connection).await?,
        }
        Ok(connection)
    }

    async fn enter(&self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        if !self.postgres {
            // A deferred transaction of SQLite that reads before it writes can fail instead of
            // waiting for another process.
            raw_sql("BEGIN IMMEDIATE").execute(connection).await?;
            return Ok(());
        }
        // Every statement sees what was committed before it, and so before the lock was had.
        answer(raw_sql("BEGIN ISOLATION LEVEL READ COMMITTED").execute(&mut *connection)).await?;
        // The server limits this wait: `statement_timeout`.
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(connection).await?;
        Ok(())
    }

    /// Ends the connection; nothing is written any more.
    pub(super) async fn close(&self) {
        let mut slot = self.slot.lock().await;
        slot.closed = true;
        if let Some(connection) = slot.connection.take() {
            close(connection).await;
        }
    }
}

/// A transaction. Unless it is committed or rolled back, its connection is closed.
#[derive(Debug)]
pub(super) struct Tx {
    slot: OwnedMutexGuard<Slot>,
    connection: Option<AnyConnection>,
}

impl Tx {
    /// Durable when it returns.
    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        self.end("COMMIT").await
    }

    /// Undoes everything; for refusals that are ours and not the database's.
    pub(super) async fn rollback(self) -> Result<(), sqlx::Error> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        let result = complete(&mut self, raw_sql(statement)).await;
        let connection = self.connection.take();
        match result {
            Ok(_) => self.slot.connection = connection,
            Err(error) => {
                if let Some(connection) = connection {
                    close(connection).await;
                }
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Deref for Tx {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        self.connection.as_ref().unwrap_or_else(|| unreachable!("taken only at the end"))
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        self.connection.as_mut().unwrap_or_else(|| unreachable!("taken only at the end"))
    }
}

async fn close(connection: AnyConnection) {
    // The cause was reported already; one that cannot say good-bye is dropped.
    let _ = timeout(ANSWER, connection.close()).await;
}

async fn answer<T>(asked: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(ANSWER, asked)
        .await
        .map_err(|_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))?
}
