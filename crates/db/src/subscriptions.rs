//! The subscriptions of the installation. There are few, so the list is complete.

use sqlx::{Row as _, any::AnyRow};

use crate::{
    Error, Store,
    model::Subscription,
    row::{lower, nanoseconds, text, time},
    writer::Tx,
};

macro_rules! subscriptions {
    ($rest:literal) => {
        concat!("SELECT id, name, state, shares_cache, created FROM subscriptions ", $rest)
    };
}

impl Store {
    /// All subscriptions, by id.
    pub async fn subscriptions(&self) -> Result<Vec<Subscription>, Error> {
        let rows = sqlx::query(subscriptions!("ORDER BY id")).fetch_all(&self.pools.reader).await?;
        Ok(rows.iter().map(subscription).collect::<Result<_, _>>()?)
    }

    /// One subscription.
    pub async fn subscription(&self, id: &str) -> Result<Option<Subscription>, Error> {
        let row = sqlx::query(subscriptions!("WHERE id = $1"))
            .bind(lower(id))
            .fetch_optional(&self.pools.reader)
            .await?;
        Ok(row.as_ref().map(subscription).transpose()?)
    }
}

fn subscription(row: &AnyRow) -> Result<Subscription, sqlx::Error> {
    Ok(Subscription {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        state: row.try_get("state")?,
        shares_cache: row.try_get::<i64, _>("shares_cache")? != 0,
        created: time(row.try_get("created")?)?,
    })
}

pub(super) async fn put(tx: &mut Tx, subscription: &Subscription) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO subscriptions (id, name, state, shares_cache, created) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO UPDATE SET name = excluded.name, \
         state = excluded.state, shares_cache = excluded.shares_cache, \
         created = excluded.created",
    )
    .bind(lower(&subscription.id))
    .bind(text(&subscription.name))
    .bind(text(&subscription.state))
    .bind(i64::from(subscription.shares_cache))
    .bind(nanoseconds(subscription.created))
    .execute(&mut **tx)
    .await?;
    Ok(())
}
