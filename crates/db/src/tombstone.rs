//! What was deleted, and whose files are still to be removed.
//!
//! The commit that removes a row also writes its tombstone (`write`), so there is no deletion without one, and files
//! are removed only by a tombstone. Whoever adds a thing of that name again removes the tombstone in the same commit.

use std::io;

use jiff::Timestamp;
use sqlx::Row as _;

use crate::{
    Error, Grave, ResourceKey, Store, Tombstone,
    row::{below, lower, nanoseconds, text, time},
    writer::Tx,
};

impl Store {
    /// The tombstones, oldest first, at most so many. Kinds of a later release are left to it.
    pub async fn tombstones(&self, limit: u32) -> Result<Vec<Tombstone>, Error> {
        let query = "SELECT kind, name, made FROM tombstones ORDER BY made, kind, name LIMIT $1";
        let rows = sqlx::query(query).bind(i64::from(limit)).fetch_all(&self.pools.reader).await?;
        let mut found = Vec::new();
        for row in rows {
            let Some(kind) = Grave::parse(row.try_get("kind")?) else { continue };
            let (name, made) = (row.try_get("name")?, time(row.try_get("made")?)?);
            found.push(Tombstone { kind, name, made });
        }
        Ok(found)
    }

    /// One tombstone.
    pub async fn tombstone(&self, kind: Grave, name: &str) -> Result<Option<Tombstone>, Error> {
        let row = sqlx::query("SELECT made FROM tombstones WHERE kind = $1 AND name = $2")
            .bind(kind.name())
            .bind(lower(name))
            .fetch_optional(&self.pools.reader)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let made = time(row.try_get("made")?)?;
        Ok(Some(Tombstone { kind, name: name.to_lowercase(), made }))
    }

    /// Takes a tombstone away and puts aside what it stands for, unless it is gone by now (`false`). No row is written
    /// meanwhile, so nothing of that name can come into being; `put_aside` must therefore be quick.
    pub async fn take_tombstone(
        &self,
        tombstone: &Tombstone,
        put_aside: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> Result<bool, Error> {
        let mut tx = self.pools.begin().await?;
        let done = sqlx::query("DELETE FROM tombstones WHERE kind = $1 AND name = $2")
            .bind(tombstone.kind.name())
            .bind(lower(&tombstone.name))
            .execute(&mut *tx)
            .await?;
        let is_there = done.rows_affected() > 0;
        if is_there {
            let done = tokio::task::spawn_blocking(put_aside).await;
            done.map_err(io::Error::other).flatten().map_err(sqlx::Error::Io)?;
        }
        tx.commit().await?;
        Ok(is_there)
    }
}

pub(super) async fn put(tx: &mut Tx, kind: Grave, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO tombstones (kind, name, made) VALUES ($1, $2, $3) \
         ON CONFLICT (kind, name) DO UPDATE SET made = excluded.made",
    )
    .bind(kind.name())
    .bind(lower(name))
    .bind(nanoseconds(Timestamp::now()))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// For the account, image or version of that key, if it is one.
pub(super) async fn put_of(tx: &mut Tx, key: &ResourceKey) -> Result<(), sqlx::Error> {
    let key = text(key.as_str());
    put_where(tx, [ACCOUNT_OF, IMAGE_OF], &key, &key).await
}

/// For everything of that kind below a key.
pub(super) async fn put_below(tx: &mut Tx, key: &ResourceKey) -> Result<(), sqlx::Error> {
    let (after, before) = below(key);
    put_where(tx, [ACCOUNTS_BELOW, IMAGES_BELOW], &after, &before).await
}

macro_rules! put {
    ($kind:literal, $name:literal, $of:literal, $range:literal) => {
        concat!(
            "INSERT INTO tombstones (kind, name, made) SELECT '",
            $kind,
            "', ",
            $name,
            ", $3 \
             FROM resources WHERE ",
            $range,
            " AND kind IN (",
            $of,
            ") \
             ON CONFLICT (kind, name) DO UPDATE SET made = excluded.made"
        )
    };
}
const ACCOUNT_OF: &str = put!(
    "account",
    "LOWER(name)",
    "'microsoft.storage/storageaccounts'",
    "key >= $1 AND key <= $2"
);
const ACCOUNTS_BELOW: &str =
    put!("account", "LOWER(name)", "'microsoft.storage/storageaccounts'", "key > $1 AND key < $2");
const IMAGE_OF: &str = put!(
    "image",
    "key",
    "'microsoft.compute/images', 'microsoft.compute/galleries/images/versions'",
    "key >= $1 AND key <= $2"
);
const IMAGES_BELOW: &str = put!(
    "image",
    "key",
    "'microsoft.compute/images', 'microsoft.compute/galleries/images/versions'",
    "key > $1 AND key < $2"
);

async fn put_where(
    tx: &mut Tx,
    queries: [&'static str; 2],
    from: &str,
    to: &str,
) -> Result<(), sqlx::Error> {
    for query in queries {
        sqlx::query(query)
            .bind(from.to_owned())
            .bind(to.to_owned())
            .bind(nanoseconds(Timestamp::now()))
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// A resource is there again: what has its name now is not what was deleted.
pub(super) async fn drop_of(
    tx: &mut Tx,
    key: &ResourceKey,
    kind: &str,
    name: &str,
) -> Result<(), sqlx::Error> {
    let (grave, name) = match kind.to_lowercase().as_str() {
        "microsoft.storage/storageaccounts" => (Grave::Account, name.to_lowercase()),
        "microsoft.compute/images" | "microsoft.compute/galleries/images/versions" => {
            (Grave::Image, key.as_str().to_owned())
        }
        _ => return Ok(()),
    };
    sqlx::query("DELETE FROM tombstones WHERE kind = $1 AND name = $2")
        .bind(grave.name())
        .bind(lower(&name))
        .execute(&mut **tx)
        .await?;
    Ok(())
}
