//! The connections that read.
//!
//! One that failed is closed, and what was asked is asked once more on another: reading twice harms
//! nothing, and a restarted server or a single I/O error is then not the client's trouble.

use futures_util::{
    StreamExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Any, AnyConnection, AnyPool, Either, Execute, Executor, SqlStr,
    any::{AnyArguments, AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo},
    pool::PoolConnection,
};

use super::error::{Trouble, trouble};

/// Where to read. Results are small or paged: they are gathered before the first row is seen.
#[derive(Debug, Clone)]
pub(super) struct Reader(pub(super) AnyPool);

impl Reader {
    async fn all(&self, asked: Asked) -> Result<Vec<AnyRow>, sqlx::Error> {
        let again = asked.again();
        match self.once(asked).await {
            Err(error) if is_worth_another(&error) => {
                tracing::debug!(%error, "a connection that reads is replaced");
                self.once(again).await
            }
            result => result,
        }
    }

    async fn once(&self, asked: Asked) -> Result<Vec<AnyRow>, sqlx::Error> {
        let mut connection: PoolConnection<Any> = self.0.acquire().await?;
        let query = sqlx::query_with(asked.sql, asked.arguments).persistent(asked.persistent);
        let result = complete(&mut connection, query).await;
        if result.is_err() {
            // Also an error that is the query's own: it is rare, and a connection costs little.
            connection.close_on_drop();
        }
        result
    }
}

/// Every row of a query. Rows that end without word of their end are an error: sqlx ends them so when
/// the thread of an SQLite connection dies, and half of the rows would be taken for all.
pub(super) async fn complete<'q>(
    connection: &mut AnyConnection,
    query: impl Execute<'q, Any> + 'q,
) -> Result<Vec<AnyRow>, sqlx::Error> {
    let mut steps = connection.fetch_many(query);
    let (mut rows, mut ended) = (Vec::new(), false);
    while let Some(step) = steps.try_next().await? {
        match step {
            Either::Left(_) => ended = true,
            Either::Right(row) => {
                ended = false;
                rows.push(row);
            }
        }
    }
    match ended {
        true => Ok(rows),
        false => Err(sqlx::Error::WorkerCrashed),
    }
}

/// A query that can be asked twice.
struct Asked {
    sql: SqlStr,
    arguments: AnyArguments,
    persistent: bool,
}

impl Asked {
    fn of<'q>(mut query: impl Execute<'q, Any>) -> Result<Self, sqlx::Error> {
        let arguments = query.take_arguments().map_err(sqlx::Error::Encode)?.unwrap_or_default();
        let persistent = query.persistent();
        Ok(Self { sql: query.sql(), arguments, persistent })
    }

    fn again(&self) -> Self {
        let mut arguments = AnyArguments::default();
        arguments.values.0.clone_from(&self.arguments.values.0);
        Self { sql: self.sql.clone(), arguments, persistent: self.persistent }
    }
}

/// Whether another connection may do better. One more wait for a lock or for a free connection would
/// only be longer.
fn is_worth_another(error: &sqlx::Error) -> bool {
    matches!(trouble(error), Trouble::Unavailable | Trouble::OutOfMemory)
        && !matches!(error, sqlx::Error::PoolClosed)
}

impl<'p> Executor<'p> for &'p Reader {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<AnyQueryResult, AnyRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let asked = Asked::of(query);
        let rows = async move {
            let rows = self.all(asked?).await?;
            Ok::<_, sqlx::Error>(stream::iter(rows.into_iter().map(|row| Ok(Either::Right(row)))))
        };
        stream::once(rows).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<AnyRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let asked = Asked::of(query);
        Box::pin(async move {
            let rows = self.all(asked?).await?;
            Ok(rows.into_iter().next())
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, sqlx::Error>>
    where
        'p: 'e,
    {
        Box::pin(async move {
            let mut connection = self.0.acquire().await?;
            (&mut *connection).prepare_with(sql, parameters).await
        })
    }
}
