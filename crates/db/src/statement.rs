//! Statements that depend on the state of a row.

use sqlx::{Any, Decode, Row as _, Type, any::AnyArguments, query::Query};

use crate::{Error, writer::Tx};

pub(super) fn stale(key: &str) -> Error {
    Error::Stale { key: key.to_owned() }
}

/// Executes a statement that must change exactly one row.
pub(super) async fn one(
    tx: &mut Tx,
    query: Query<'_, Any, AnyArguments>,
    key: &str,
) -> Result<(), Error> {
    match query.execute(&mut **tx).await {
        Ok(done) if done.rows_affected() == 1 => Ok(()),
        Ok(_) => Err(stale(key)),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Err(stale(key)),
        Err(error) => Err(error.into()),
    }
}

/// The value of a query that always has one row.
pub(super) async fn value<T>(
    tx: &mut Tx,
    query: Query<'_, Any, AnyArguments>,
) -> Result<T, sqlx::Error>
where
    T: for<'r> Decode<'r, Any> + Type<Any>,
{
    query.fetch_one(&mut **tx).await?.try_get(0)
}
