//! SQL beside the service, as an administrator would type it. Tests put a database into a condition that no release of
//! today brings about.

use sqlx::{AnyConnection, AssertSqlSafe, Connection as _};

use crate::Error;

/// Carries statements out on a connection of its own. No lease is asked for, and no commit is counted.
///
/// # Errors
/// The database cannot be opened, or refuses a statement.
pub async fn by_hand(url: &str, statements: &str) -> Result<(), Error> {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(url).await?;
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut connection).await?;
    Ok(connection.close().await?)
}
