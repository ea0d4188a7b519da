//! SQL as an administrator would type it, for tests that need a state which current releases cannot produce.

use sqlx::AssertSqlSafe;

use crate::{Error, connection::Connection};

/// Executes statements on a separate connection, without checking the lease or counting a commit.
///
/// # Errors
/// The database cannot be opened, or a statement fails.
pub async fn execute_raw(url: &str, statements: &str) -> Result<(), Error> {
    sqlx::any::install_default_drivers();
    let mut connection = Connection::open(url).await?;
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut connection).await?;
    Ok(connection.close().await?)
}
