//! Records of deleted things whose files must still be removed.
//!
//! The commit that removes a row also writes its tombstone (`write`), and only a tombstone causes the removal of
//! files. A commit that adds a thing of the same name again removes the tombstone.

use std::io;

use jiff::Timestamp;
use sqlx::Row as _;

use crate::{
    Error, ResourceKey, Store, Tombstone, TombstoneKind,
    row::{below, lower, nanoseconds, text, time},
    writer::Tx,
};

impl Store {
    /// The tombstones, oldest first, without kinds of later releases.
    pub async fn tombstones(&self, limit: u32) -> Result<Vec<Tombstone>, Error> {
        let query = "SELECT kind, name, made FROM tombstones ORDER BY made, kind, name LIMIT $1";
        let rows = sqlx::query(query).bind(i64::from(limit)).fetch_all(&self.pools.reader).await?;
        let mut found = Vec::new();
        for row in rows {
            let Ok(kind) = row.try_get::<&str, _>("kind")?.parse() else { continue };
            let (name, made) = (row.try_get("name")?, time(row.try_get("made")?)?);
            found.push(Tombstone { kind, name, made });
        }
        Ok(found)
    }

    /// One tombstone.
    pub async fn tombstone(
        &self,
        kind: TombstoneKind,
        name: &str,
    ) -> Result<Option<Tombstone>, Error> {
        let row = sqlx::query("SELECT made FROM tombstones WHERE kind = $1 AND name = $2")
            .bind(kind.name())
            .bind(lower(name))
            .fetch_optional(&self.pools.reader)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let made = time(row.try_get("made")?)?;
        Ok(Some(Tombstone { kind, name: name.to_lowercase(), made }))
    }

    /// Removes a tombstone and moves its files away, unless it no longer exists (`false`). Meanwhile no commit can add a
    /// thing of that name; all commits wait, so `move_files` must be quick.
    pub async fn take_tombstone(
        &self,
        tombstone: &Tombstone,
        move_files: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> Result<bool, Error> {
        let mut tx = self.pools.begin().await?;
        let done = sqlx::query("DELETE FROM tombstones WHERE kind = $1 AND name = $2")
            .bind(tombstone.kind.name())
            .bind(lower(&tombstone.name))
            .execute(&mut *tx)
            .await?;
        let exists = done.rows_affected() > 0;
        if exists {
            let done = tokio::task::spawn_blocking(move_files).await;
            done.map_err(io::Error::other).flatten().map_err(sqlx::Error::Io)?;
        }
        tx.commit().await?;
        Ok(exists)
    }
}

pub(super) async fn put(tx: &mut Tx, kind: TombstoneKind, name: &str) -> Result<(), sqlx::Error> {
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

/// Adds a tombstone if the key is that of an account, image or version.
pub(super) async fn put_of(tx: &mut Tx, key: &ResourceKey) -> Result<(), sqlx::Error> {
    let key = text(key.as_str());
    put_where(tx, [ACCOUNT_OF, IMAGE_OF], &key, &key).await
}

/// Adds tombstones for all accounts, images and versions below a key.
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

/// Removes the tombstone when a resource is created again under the same name.
pub(super) async fn drop_of(
    tx: &mut Tx,
    key: &ResourceKey,
    kind: &str,
    name: &str,
) -> Result<(), sqlx::Error> {
    let (grave, name) = match kind.to_lowercase().as_str() {
        "microsoft.storage/storageaccounts" => (TombstoneKind::Account, name.to_lowercase()),
        "microsoft.compute/images" | "microsoft.compute/galleries/images/versions" => {
            (TombstoneKind::Image, key.as_str().to_owned())
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
