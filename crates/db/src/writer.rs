//! The one connection for writing, and its transactions.
//!
//! A connection is reused only after the database confirmed the end of its transaction. Otherwise its state
//! is unknown, and it is closed: SQLite rolls back on a full disk, a server restarts, a cancelled future
//! leaves a statement half sent.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use sqlx::{ConnectOptions as _, any::AnyConnectOptions, raw_sql};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::timeout,
};

use super::{
    connect::{ACQUIRE, prepare_postgres, prepare_writer},
    connection::Connection,
    error::{Trouble, trouble},
};

/// The PostgreSQL advisory lock of writers. An arbitrary number that must not change between releases.
const LOCK: i64 = 0x0060_1d53_1117;
/// Limits opening a connection, beginning a transaction and closing, in case the server vanished.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The slot of the one connection for writing. Callers queue here, because SQLite would poll.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    options: AnyConnectOptions,
    postgres: bool,
    slot: Arc<Mutex<Slot>>,
}

#[derive(Debug, Default)]
struct Slot {
    connection: Option<Connection>,
    closed: bool,
}

impl Writer {
    pub(super) fn new(options: AnyConnectOptions, postgres: bool) -> Self {
        Self { options, postgres, slot: Arc::default() }
    }

    /// Begins a transaction for writing, one at a time. Concurrent ones could deadlock in PostgreSQL
    /// when they touch the same rows in another order, or add a resource below one whose descendants
    /// are being removed.
    pub(super) async fn begin(&self) -> Result<Tx, sqlx::Error> {
        let waited = timeout(ACQUIRE, self.slot.clone().lock_owned()).await;
        let mut slot = waited.map_err(|_| sqlx::Error::PoolTimedOut)?;
        if slot.closed {
            return Err(sqlx::Error::PoolClosed);
        }
        if let Some(mut connection) = slot.connection.take() {
            match self.enter(&mut connection).await {
                Ok(()) => return Ok(Tx { slot, connection: Some(connection) }),
                // A new connection would wait for the same lock.
                Err(error) if trouble(&error) == Trouble::Busy => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "replacing the failed connection for writing");
                    close(connection).await;
                }
            }
        }
        let mut connection = self.connect().await?;
        self.enter(&mut connection).await?;
        Ok(Tx { slot, connection: Some(connection) })
    }

    async fn connect(&self) -> Result<Connection, sqlx::Error> {
        let mut connection = answer(self.options.connect()).await?;
        match self.postgres {
            true => answer(prepare_postgres(&mut connection)).await?,
            false => prepare_writer(&mut connection).await?,
        }
        Ok(connection.into())
    }

    async fn enter(&self, connection: &mut Connection) -> Result<(), sqlx::Error> {
        if !self.postgres {
            // A deferred transaction of SQLite that reads before it writes can fail instead of
            // waiting for another process.
            raw_sql("BEGIN IMMEDIATE").execute(connection).await?;
            return Ok(());
        }
        // Every statement sees all earlier commits, including those made before it got the lock.
        answer(raw_sql("BEGIN ISOLATION LEVEL READ COMMITTED").execute(&mut *connection)).await?;
        // `statement_timeout` limits this wait.
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(connection).await?;
        Ok(())
    }

    /// Closes the connection and rejects later transactions.
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
    connection: Option<Connection>,
}

impl Tx {
    /// Commits durably.
    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        self.end("COMMIT").await
    }

    /// Rolls back after a rejected write; the connection stays usable.
    pub(super) async fn rollback(self) -> Result<(), sqlx::Error> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        let result = raw_sql(statement).execute(&mut *self).await;
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
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().unwrap_or_else(|| unreachable!("taken only at the end"))
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().unwrap_or_else(|| unreachable!("taken only at the end"))
    }
}

async fn close(connection: Connection) {
    // The cause was reported already.
    let _ = timeout(TIMEOUT, connection.close()).await;
}

async fn answer<T>(call: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(TIMEOUT, call)
        .await
        .map_err(|_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))?
}
