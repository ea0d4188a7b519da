//! A connection whose statements end or fail, but never wait forever.
//!
//! sqlx gives each SQLite connection a thread. When SQLite has no memory for the copy of a row, sqlx-sqlite
//! 0.9 panics on that thread (`SqliteValue::dup`). The rows then end as if there were no more, without an
//! error, and for a moment the dying thread still accepts statements. The reply to one of those never comes,
//! and no timeout of sqlx's ends the wait. So no statement is sent before the one before it is known to have
//! ended: [`steps`] reports a missing end as an error, and every statement of this crate goes through it.
//!
//! Only a statement that returns rows can kill the thread. Other failures of SQLite are errors.

use std::future;

use futures_util::{
    StreamExt as _, TryFutureExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Any, AnyConnection, Connection as _, Either, Execute, Executor, SqlStr,
    any::{AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo},
};

type Step = Either<AnyQueryResult, AnyRow>;

/// The rows and ends of a query's statements, with an error unless the last one has ended.
pub(super) fn steps<'e, 'q: 'e>(
    connection: &'e mut AnyConnection,
    query: impl Execute<'q, Any> + 'q,
) -> BoxStream<'e, Result<Step, sqlx::Error>> {
    let steps = connection.fetch_many(query).map(Some).chain(stream::iter([None]));
    let checked = steps.scan(false, |ended, step| {
        let step = match step {
            Some(step) => {
                *ended = matches!(step, Ok(Either::Left(_)) | Err(_));
                Some(step)
            }
            None => (!*ended).then_some(Err(sqlx::Error::WorkerCrashed)),
        };
        future::ready(Some(step))
    });
    checked.filter_map(future::ready).boxed()
}

/// Every row of a query, or an error.
pub(super) async fn complete<'q>(
    connection: &mut AnyConnection,
    query: impl Execute<'q, Any> + 'q,
) -> Result<Vec<AnyRow>, sqlx::Error> {
    steps(connection, query)
        .try_filter_map(|step| future::ready(Ok(step.right())))
        .try_collect()
        .await
}

/// A connection outside the pool of readers.
#[derive(Debug)]
pub(super) struct Connection(AnyConnection);

impl Connection {
    pub(super) async fn open(url: &str) -> Result<Self, sqlx::Error> {
        AnyConnection::connect(url).await.map(Self)
    }

    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        self.0.close().await
    }
}

impl From<AnyConnection> for Connection {
    fn from(connection: AnyConnection) -> Self {
        Self(connection)
    }
}

impl<'c> Executor<'c> for &'c mut Connection {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        steps(&mut self.0, query)
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<AnyRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        Box::pin(complete(&mut self.0, query).map_ok(|rows| rows.into_iter().next()))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        self.0.prepare_with(sql, parameters)
    }
}
