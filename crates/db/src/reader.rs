//! Connections for reading.
//!
//! A failed connection is closed, and its query is repeated once on another. Repeating a read is safe, and
//! clients then do not see a restarted server or a single I/O error.

use std::time::Duration;

use futures_util::{
    StreamExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Any, AnyPool, Connection as _, Either, Execute, Executor, SqlStr,
    any::{AnyArguments, AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo},
    pool::PoolConnection,
};

use tokio::time::timeout;

use super::{
    connection::complete,
    error::{Trouble, trouble},
};

/// How long the connection of an abandoned read has to answer before it is closed.
const ABANDONED: Duration = Duration::from_secs(1);

/// A pool for reading. Results are small or paged, so all rows are collected before the first is used.
#[derive(Debug, Clone)]
pub(super) struct Reader(pub(super) AnyPool);

impl Reader {
    async fn all(&self, request: Request) -> Result<Vec<AnyRow>, sqlx::Error> {
        let again = request.again();
        match self.once(request).await {
            Err(error) if is_worth_repeating(&error) => {
                tracing::debug!(%error, "replacing a failed connection for reading");
                self.once(again).await
            }
            result => result,
        }
    }

    async fn once(&self, request: Request) -> Result<Vec<AnyRow>, sqlx::Error> {
        let mut lent = Lent(Some(self.0.acquire().await?));
        let query = sqlx::query_with(request.sql, request.arguments).persistent(request.persistent);
        let result = complete(lent.connection(), query).await;
        if let Some(mut connection) = lent.0.take()
            && result.is_err()
        {
            // Also after an error of the query itself: it is rare, and connections are cheap.
            connection.close_on_drop();
        }
        result
    }
}

/// A connection during a read.
///
/// The pool tests a connection that comes back, and waits for its answer without a limit. When the client
/// hung up, the connection's thread may die before it answers (see [`connection`](super::connection)), and
/// the connection's place in the pool would be lost. So this tests it first, with a limit.
struct Lent(Option<PoolConnection<Any>>);

impl Lent {
    fn connection(&mut self) -> &mut PoolConnection<Any> {
        self.0.as_mut().unwrap_or_else(|| unreachable!("taken only at the end"))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(mut connection) = self.0.take() else { return };
        tokio::spawn(async move {
            if !matches!(timeout(ABANDONED, connection.ping()).await, Ok(Ok(()))) {
                connection.close_on_drop();
            }
        });
    }
}

/// A query that can be sent twice.
struct Request {
    sql: SqlStr,
    arguments: AnyArguments,
    persistent: bool,
}

impl Request {
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

/// Whether to repeat on another connection. After a timeout, that would only double the wait.
fn is_worth_repeating(error: &sqlx::Error) -> bool {
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
        let request = Request::of(query);
        let rows = async move {
            let rows = self.all(request?).await?;
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
        let request = Request::of(query);
        Box::pin(async move {
            let rows = self.all(request?).await?;
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
