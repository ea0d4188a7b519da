//! The credentials of service principals: several at a time, so that one can follow another without a gap.

use std::time::Duration;

use api::ErrorCode;
use db::{Client, Credential, CredentialKind, Store, Write};
use images::error::{Coded, Error, Result};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    clients::{active, database},
    secret,
};

/// The maximum number of credentials of a principal, revoked ones aside.
const MOST: usize = 50;

/// When a credential is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Valid {
    /// From this time on; at once without it.
    pub starts: Option<Timestamp>,
    /// Until before this time; for ever without it.
    pub expires: Option<Timestamp>,
}

/// A new secret of a client, not written yet, and its text, which is not stored.
pub(super) fn secret_of(client: &Client, name: &str, valid: Valid) -> Result<(Credential, String)> {
    let (text, hash) = secret::make().code(ErrorCode::HostNotReady, || {
        "the system's random number generator failed".to_owned()
    })?;
    let data = json!({ "hash": hash });
    Ok((new(client, CredentialKind::Secret, name, data, valid), text))
}

pub(super) fn new(
    client: &Client,
    kind: CredentialKind,
    name: &str,
    data: serde_json::Value,
    valid: Valid,
) -> Credential {
    let now = Timestamp::now();
    Credential {
        id: Uuid::new_v4().to_string(),
        owner: client.client_id.clone(),
        kind,
        name: name.to_owned(),
        data,
        starts: valid.starts.unwrap_or(now),
        expires: valid.expires,
        created: now,
        revoked: None,
    }
}

/// Adds a secret; the others stay. The text is shown once.
///
/// # Errors
/// There is no such service principal, it is revoked or has too many credentials, the secret would be over before it
/// begins, or the database fails.
pub async fn add_secret(
    store: &Store,
    client_id: &str,
    name: &str,
    valid: Valid,
) -> Result<(Credential, String)> {
    let client = active(store, client_id).await?;
    let (credential, text) = secret_of(&client, name, valid)?;
    add(store, credential.clone()).await?;
    Ok((credential, text))
}

/// Adds a credential of an active client.
pub(super) async fn add(store: &Store, credential: Credential) -> Result<()> {
    let now = Timestamp::now();
    if credential.expires.is_some_and(|expires| expires <= credential.starts || expires <= now) {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            "the credential would expire before it can be used",
        )
        .target("--expires")
        .hint("give a later time, for example 180d"));
    }
    if list(store, &credential.owner).await?.len() >= MOST {
        return Err(Error::new(
            ErrorCode::Conflict,
            format!("the service principal {} has {MOST} credentials", credential.owner),
        )
        .hint("remove those that nobody uses: goldsmith admin sp secret remove"));
    }
    let write = vec![Write::PutCredential(credential)];
    store.commit(write).await.code(ErrorCode::InternalError, database)
}

/// The credentials of a client that are not revoked, oldest first. Expired ones are among them.
///
/// # Errors
/// The database fails.
pub async fn list(store: &Store, client_id: &str) -> Result<Vec<Credential>> {
    let all = store.credentials_of(&client_id.to_lowercase()).await;
    let mut all = all.code(ErrorCode::InternalError, database)?;
    all.retain(|one| one.revoked.is_none());
    all.sort_by_key(|one| one.created);
    Ok(all)
}

/// Revokes a credential with its tokens.
///
/// # Errors
/// The client has no such credential, or the database fails.
pub async fn remove(store: &Store, client_id: &str, id: &str) -> Result<Credential> {
    let all = list(store, client_id).await?;
    let found = all.into_iter().find(|one| one.id.eq_ignore_ascii_case(id));
    let found = found.ok_or_else(|| {
        Error::new(ErrorCode::NotFound, format!("{client_id} has no credential {id:?}"))
            .hint("goldsmith admin sp secret list shows them")
    })?;
    let revoked = Credential { revoked: Some(Timestamp::now()), ..found };
    let write = vec![Write::PutCredential(revoked.clone())];
    store.commit(write).await.code(ErrorCode::InternalError, database)?;
    Ok(revoked)
}

/// The writes that end a client's secrets: at once with their tokens, or after some time.
pub(super) async fn end_secrets(
    store: &Store,
    client: &Client,
    overlap: Option<Duration>,
) -> Result<Vec<Write>> {
    let now = Timestamp::now();
    let until = overlap.map(|overlap| {
        let overlap = SignedDuration::try_from(overlap).unwrap_or(SignedDuration::MAX);
        now.saturating_add(overlap).unwrap_or(Timestamp::MAX)
    });
    let secrets = list(store, &client.client_id).await?.into_iter();
    let secrets = secrets.filter(|one| one.kind == CredentialKind::Secret);
    let ended = secrets.map(|one| match until {
        Some(until) => {
            let expires = one.expires.map_or(until, |expires| expires.min(until));
            Credential { expires: Some(expires), ..one }
        }
        None => Credential { revoked: Some(now), ..one },
    });
    Ok(ended.map(Write::PutCredential).collect())
}

/// What tokens say of the credential that they were issued for: it is checked at each use.
pub(super) fn generation(credential: &Credential) -> String {
    // The hash of a secret is what tokens were bound to when there was one secret.
    let text = match (credential.kind, credential.data["hash"].as_str()) {
        (CredentialKind::Secret, Some(hash)) => hash,
        _ => credential.id.as_str(),
    };
    hex::encode(&Sha256::digest(text.as_bytes())[..8])
}
