//! Locks on subscriptions, groups and resources. There are few, so lists are complete.

use sqlx::{Row as _, any::AnyRow};

use crate::{
    Error, Store,
    model::{LockRow, ResourceKey},
    row::{below, json, parse, scope, text},
    statement::one,
    writer::Tx,
};

macro_rules! locks {
    ($rest:literal) => {
        concat!("SELECT id, name, scope, level, body, revision FROM locks ", $rest)
    };
}

pub(super) const ALL: &str = locks!("ORDER BY scope, key");
pub(super) const AT: &str = locks!("WHERE scope = $1 ORDER BY scope, key");
pub(super) const BELOW: &str = locks!("WHERE scope > $1 AND scope < $2 ORDER BY scope, key");

impl Store {
    /// All locks, by scope.
    pub async fn locks(&self) -> Result<Vec<LockRow>, Error> {
        let rows = sqlx::query(ALL).fetch_all(&self.pools.reader).await?;
        Ok(rows.iter().map(lock).collect::<Result<_, _>>()?)
    }

    /// One lock.
    pub async fn lock(&self, key: &ResourceKey) -> Result<Option<LockRow>, Error> {
        let row = sqlx::query(locks!("WHERE key = $1"))
            .bind(text(key.as_str()))
            .fetch_optional(&self.pools.reader)
            .await?;
        Ok(row.as_ref().map(lock).transpose()?)
    }

    /// The locks at a scope and below it, by scope.
    pub async fn locks_at_or_below(&self, at: &str) -> Result<Vec<LockRow>, Error> {
        let at = scope(at);
        let (after, before) = below(&ResourceKey::of(&at));
        let mut rows = sqlx::query(AT).bind(at).fetch_all(&self.pools.reader).await?;
        let query = sqlx::query(BELOW).bind(after).bind(before);
        rows.extend(query.fetch_all(&self.pools.reader).await?);
        Ok(rows.iter().map(lock).collect::<Result<_, _>>()?)
    }
}

fn lock(row: &AnyRow) -> Result<LockRow, sqlx::Error> {
    Ok(LockRow {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        scope: row.try_get("scope")?,
        level: row.try_get("level")?,
        body: parse(row.try_get("body")?)?,
        revision: row.try_get("revision")?,
    })
}

/// Adds a lock before its first write, and replaces it afterwards.
pub(super) async fn put(tx: &mut Tx, lock: &LockRow) -> Result<(), Error> {
    let key = lock.key();
    let query = match lock.revision {
        0 => sqlx::query(
            "INSERT INTO locks (key, level, body, revision, id, name, scope) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        ),
        _ => sqlx::query(
            "UPDATE locks SET level = $2, body = $3, revision = $4 \
             WHERE key = $1 AND revision = $5",
        ),
    };
    let query = query
        .bind(text(key.as_str()))
        .bind(text(&lock.level))
        .bind(json(&lock.body))
        .bind(lock.revision.saturating_add(1));
    let query = match lock.revision {
        0 => query.bind(text(&lock.id)).bind(text(&lock.name)).bind(scope(&lock.scope)),
        revision => query.bind(revision),
    };
    one(tx, query, key.as_str()).await
}

pub(super) async fn remove(tx: &mut Tx, key: &ResourceKey, revision: i64) -> Result<(), Error> {
    let query = sqlx::query("DELETE FROM locks WHERE key = $1 AND revision = $2")
        .bind(text(key.as_str()))
        .bind(revision);
    one(tx, query, key.as_str()).await
}
