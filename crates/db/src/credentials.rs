//! What principals sign in with, and the issuers whose tokens are trusted.

use serde_json::json;
use sqlx::{Row as _, any::AnyRow};

use crate::{
    Error, Store,
    model::{Client, Credential, CredentialKind, TrustedIssuer},
    row::{json, lower, maybe_json, maybe_time, name, nanoseconds, parse, state, text, time},
    statement::one,
    writer::Tx,
};

macro_rules! credentials {
    ($rest:literal) => {
        concat!(
            "SELECT id, owner, kind, name, data, starts, expires, created, revoked \
             FROM credentials WHERE ",
            $rest
        )
    };
}

pub(super) const OF_OWNER: &str = credentials!("owner = $1 ORDER BY created, id");
pub(super) const FEDERATED: &str =
    credentials!("issuer = $1 AND subject = $2 AND revoked IS NULL ORDER BY owner");

impl Store {
    /// The credentials of a principal, including revoked and expired ones, oldest first.
    pub async fn credentials_of(&self, owner: &str) -> Result<Vec<Credential>, Error> {
        let query = sqlx::query(OF_OWNER).bind(lower(owner));
        let rows = query.fetch_all(&self.pools.reader).await?;
        Ok(rows.iter().map(credential).collect::<Result<_, _>>()?)
    }

    /// One credential.
    pub async fn credential(&self, id: &str) -> Result<Option<Credential>, Error> {
        let row = sqlx::query(credentials!("id = $1"))
            .bind(lower(id))
            .fetch_optional(&self.pools.reader)
            .await?;
        Ok(row.as_ref().map(credential).transpose()?)
    }

    /// The federated credentials of all principals that accept an issuer and a subject and are not revoked.
    /// Both are compared exactly.
    pub async fn federated(&self, issuer: &str, subject: &str) -> Result<Vec<Credential>, Error> {
        let query = sqlx::query(FEDERATED).bind(text(issuer)).bind(text(subject));
        let rows = query.fetch_all(&self.pools.reader).await?;
        Ok(rows.iter().map(credential).collect::<Result<_, _>>()?)
    }

    /// All trusted issuers. There are few.
    pub async fn issuers(&self) -> Result<Vec<TrustedIssuer>, Error> {
        let query = "SELECT issuer, keys_uri, keys, fetched, created FROM trusted_issuers \
                     ORDER BY issuer";
        let rows = sqlx::query(query).fetch_all(&self.pools.reader).await?;
        Ok(rows.iter().map(issuer).collect::<Result<_, _>>()?)
    }
}

fn credential(row: &AnyRow) -> Result<Credential, sqlx::Error> {
    Ok(Credential {
        id: row.try_get("id")?,
        owner: row.try_get("owner")?,
        kind: state(row.try_get("kind")?)?,
        name: row.try_get("name")?,
        data: parse(row.try_get("data")?)?,
        starts: time(row.try_get("starts")?)?,
        expires: maybe_time(row.try_get("expires")?)?,
        created: time(row.try_get("created")?)?,
        revoked: maybe_time(row.try_get("revoked")?)?,
    })
}

fn issuer(row: &AnyRow) -> Result<TrustedIssuer, sqlx::Error> {
    Ok(TrustedIssuer {
        issuer: row.try_get("issuer")?,
        keys_uri: row.try_get("keys_uri")?,
        keys: maybe_json(row.try_get("keys")?)?,
        fetched: maybe_time(row.try_get("fetched")?)?,
        created: time(row.try_get("created")?)?,
    })
}

/// Adds or replaces a credential. No principal has two valid ones for one subject of an issuer.
pub(super) async fn put(tx: &mut Tx, credential: &Credential) -> Result<(), Error> {
    let of_federated = |field: &str| match credential.kind {
        CredentialKind::Federated => credential.data[field].as_str().map(text),
        CredentialKind::Secret | CredentialKind::Certificate => None,
    };
    let query = sqlx::query(
        "INSERT INTO credentials (id, owner, kind, name, data, issuer, subject, starts, expires, \
         created, revoked) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, kind = excluded.kind, \
         name = excluded.name, data = excluded.data, issuer = excluded.issuer, \
         subject = excluded.subject, starts = excluded.starts, expires = excluded.expires, \
         created = excluded.created, revoked = excluded.revoked",
    )
    .bind(lower(&credential.id))
    .bind(lower(&credential.owner))
    .bind(name(credential.kind))
    .bind(text(&credential.name))
    .bind(json(&credential.data))
    .bind(of_federated("issuer"))
    .bind(of_federated("subject"))
    .bind(nanoseconds(credential.starts))
    .bind(credential.expires.map(nanoseconds))
    .bind(nanoseconds(credential.created))
    .bind(credential.revoked.map(nanoseconds));
    one(tx, query, &credential.id).await
}

/// The secret of a client as its credential; one without a hash has none.
pub(super) async fn put_secret_of(tx: &mut Tx, client: &Client) -> Result<(), Error> {
    if client.secret_hash.is_empty() {
        return Ok(());
    }
    let secret = Credential {
        id: client.client_id.clone(),
        owner: client.client_id.clone(),
        kind: CredentialKind::Secret,
        name: client.name.clone(),
        data: json!({ "hash": client.secret_hash }),
        starts: client.rotated,
        expires: None,
        created: client.rotated,
        revoked: client.revoked,
    };
    put(tx, &secret).await
}

pub(super) async fn put_issuer(tx: &mut Tx, issuer: &TrustedIssuer) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO trusted_issuers (issuer, keys_uri, keys, fetched, created) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (issuer) DO UPDATE SET \
         keys_uri = excluded.keys_uri, keys = excluded.keys, fetched = excluded.fetched, \
         created = excluded.created",
    )
    .bind(text(&issuer.issuer))
    .bind(issuer.keys_uri.as_deref().map(text))
    .bind(issuer.keys.as_ref().map(json))
    .bind(issuer.fetched.map(nanoseconds))
    .bind(nanoseconds(issuer.created))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Only if the issuer is still trusted as it was.
pub(super) async fn put_keys(tx: &mut Tx, issuer: &TrustedIssuer) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE trusted_issuers SET keys = $1, fetched = $2 WHERE issuer = $3 AND created = $4",
    )
    .bind(issuer.keys.as_ref().map(json))
    .bind(issuer.fetched.map(nanoseconds))
    .bind(text(&issuer.issuer))
    .bind(nanoseconds(issuer.created))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(super) async fn remove_issuer(tx: &mut Tx, issuer: &str) -> Result<(), Error> {
    let query = sqlx::query("DELETE FROM trusted_issuers WHERE issuer = $1").bind(text(issuer));
    one(tx, query, issuer).await
}
