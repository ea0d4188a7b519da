//! One connection: its address and its settings.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use percent_encoding::percent_decode_str;
use sqlx::AnyConnection;

use crate::{Error, Trouble, connection::complete, error::trouble};

/// How long a request waits for a free connection before it fails as busy.
pub(super) const ACQUIRE: Duration = Duration::from_secs(10);
/// How often the switch to WAL is tried while another process holds the file.
const WAL_ATTEMPTS: u32 = 100;

/// Only the owner can read the file, because it holds hashes of secrets. SQLite gives its log the same mode.
pub(super) async fn create(path: &Path) -> io::Result<()> {
    let mut options = tokio::fs::OpenOptions::new();
    options.create(true).write(true).truncate(false).mode(0o600);
    options.open(path).await.map(drop)
}

pub(super) async fn prepare_writer(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    // While another process switches or recovers the file, this fails without waiting.
    for attempt in 1.. {
        match complete(connection, sqlx::query("PRAGMA journal_mode = WAL")).await {
            Err(error) if trouble(&error) == Trouble::Busy && attempt < WAL_ATTEMPTS => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    pragmas(connection, &["synchronous = FULL", "busy_timeout = 10000", "foreign_keys = ON"]).await
}

pub(super) async fn prepare_reader(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    pragmas(connection, &["busy_timeout = 10000", "query_only = ON"]).await
}

async fn pragmas(
    connection: &mut AnyConnection,
    pragmas: &[&'static str],
) -> Result<(), sqlx::Error> {
    for pragma in pragmas {
        let text = sqlx::AssertSqlSafe(format!("PRAGMA {pragma}"));
        complete(connection, sqlx::query(text)).await?;
    }
    Ok(())
}

pub(super) async fn prepare_postgres(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    // Whatever the server's defaults are, an acknowledged commit must be on disk and every wait
    // must end.
    let setting = "SELECT set_config('synchronous_commit', 'on', false) \
                   WHERE current_setting('synchronous_commit') = 'off'";
    complete(connection, sqlx::query(setting)).await?;
    for setting in
        ["SET statement_timeout = '30s'", "SET idle_in_transaction_session_timeout = '30s'"]
    {
        complete(connection, sqlx::query(setting)).await?;
    }
    Ok(())
}

/// The file of an SQLite address; `None` for another database.
///
/// # Errors
/// The path is not UTF-8.
pub fn sqlite_file(url: &str) -> Result<Option<PathBuf>, Error> {
    let Some(path) = url.strip_prefix("sqlite://") else { return Ok(None) };
    let path = percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| configuration("the path of the SQLite file is not UTF-8"))?;
    Ok(Some(PathBuf::from(path.into_owned())))
}

pub(super) fn configuration(message: &'static str) -> Error {
    sqlx::Error::Configuration(message.into()).into()
}
