//! Federated credentials: the tokens of other issuers, such as GitHub's for a workflow or Kubernetes' for a pod.
//!
//! Only issuers that the administrator has named are trusted. Their keys are given as a file, or fetched from the issuer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use api::ErrorCode;
use db::{Credential, CredentialKind, Store, TrustedIssuer, Write};
use images::error::{Coded, Error, Result};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sources::fetch::{self, Limits};

use super::{
    clients::{active, database},
    credentials::{self, Valid},
};

/// The audience that Entra asks for.
pub const AUDIENCE: &str = "api://AzureADTokenExchange";

/// How long fetched keys are used without asking again.
const FRESH: SignedDuration = SignedDuration::from_hours(1);
/// How long they are used at most, if the issuer does not answer.
const OLDEST: SignedDuration = SignedDuration::from_hours(24);
/// How long at least between two fetches, even for an unknown key.
const PAUSE: Duration = Duration::from_mins(1);
/// The size of a document of an issuer.
const LARGEST: u64 = 1 << 20;
/// How long a login waits for an issuer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Adds a federated credential: tokens of that issuer with that subject and audience, exactly as in the tokens.
///
/// # Errors
/// There is no such service principal, it is revoked or has too many credentials; a field is empty; the issuer is not
/// trusted; the database fails.
pub async fn add(
    store: &Store,
    client_id: &str,
    name: &str,
    issuer: &str,
    subject: &str,
    audience: &str,
) -> Result<Credential> {
    let client = active(store, client_id).await?;
    for (field, value) in [("--issuer", issuer), ("--subject", subject), ("--audience", audience)] {
        if value.trim().is_empty() {
            return Err(Error::new(ErrorCode::InvalidArgument, "the value is empty").target(field));
        }
    }
    let issuers = issuers(store).await?;
    if !issuers.iter().any(|one| one.issuer == issuer) {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("the issuer {issuer:?} is not trusted"),
        )
        .target("--issuer")
        .hint(format!("goldsmith admin issuer add {issuer}")));
    }
    let data = json!({ "issuer": issuer, "subject": subject, "audience": audience });
    let valid = Valid::default();
    let credential = credentials::new(&client, CredentialKind::Federated, name, data, valid);
    credentials::add(store, credential.clone()).await?;
    Ok(credential)
}

/// Trusts an issuer. Without keys (a JSON Web Key Set), they are fetched from its discovery document.
///
/// # Errors
/// The issuer is not an `https` URL (or `http` on this machine), the keys are none, or the database fails.
pub async fn trust(store: &Store, issuer: &str, keys: Option<&[u8]>) -> Result<TrustedIssuer> {
    let invalid = |why: String| Error::new(ErrorCode::InvalidArgument, why);
    if keys.is_none() && !fetch::is_protected(issuer) {
        return Err(invalid(format!(
            "{issuer:?} is not an https:// URL, or http:// on this machine"
        ))
        .hint("use the issuer exactly as in its tokens; with --keys it may be any text"));
    }
    let keys = keys.map(|text| {
        let set: Option<Value> = serde_json::from_slice(text).ok();
        set.filter(|set| set["keys"].as_array().is_some_and(|keys| !keys.is_empty())).ok_or_else(
            || {
                invalid("the file is not a JSON Web Key Set".to_owned())
                    .target("--keys")
                    .hint("it has the form {\"keys\": [{\"kty\": \"RSA\", \"kid\": …}]}")
            },
        )
    });
    let keys = keys.transpose()?;
    let document = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let row = TrustedIssuer {
        issuer: issuer.to_owned(),
        keys_uri: keys.is_none().then_some(document),
        keys,
        fetched: None,
        created: Timestamp::now(),
    };
    let write = vec![Write::PutIssuer(row.clone())];
    store.commit(write).await.code(ErrorCode::InternalError, database)?;
    Ok(row)
}

/// Ends the trust in an issuer; its tokens are refused from now on.
///
/// # Errors
/// It is not trusted, or the database fails.
pub async fn distrust(store: &Store, issuer: &str) -> Result<()> {
    if !issuers(store).await?.iter().any(|one| one.issuer == issuer) {
        return Err(Error::new(
            ErrorCode::NotFound,
            format!("the issuer {issuer:?} is not trusted"),
        )
        .hint("goldsmith admin issuer list shows those that are"));
    }
    let write = vec![Write::RemoveIssuer(issuer.to_owned())];
    store.commit(write).await.code(ErrorCode::InternalError, database)
}

/// The trusted issuers.
///
/// # Errors
/// The database fails.
pub async fn issuers(store: &Store) -> Result<Vec<TrustedIssuer>> {
    store.issuers().await.code(ErrorCode::InternalError, database)
}

/// When issuers were last asked for their keys, whether or not they answered. One login asks at a time.
#[derive(Debug, Default)]
pub(super) struct Asked(Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Instant>>>>>);

impl Asked {
    fn of(&self, issuer: &str) -> Arc<tokio::sync::Mutex<Option<Instant>>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(issuer.to_owned()).or_default().clone()
    }

    /// The keys of an issuer with this id, or all without one; fetched if they are old, or if none has the id. Empty for an
    /// issuer that is not trusted, or whose keys are too old because it does not answer.
    pub(super) async fn keys(
        &self,
        store: &Store,
        limits: &Limits,
        issuer: &str,
        id: Option<&str>,
    ) -> Result<Vec<Value>, db::Error> {
        let Some(known) = trusted(store, issuer).await? else { return Ok(Vec::new()) };
        if known.keys_uri.is_none() {
            return Ok(named(&known, id));
        }
        let (found, age) = (named(&known, id), age(&known));
        if age < FRESH && !found.is_empty() {
            return Ok(found);
        }
        let asked = self.of(issuer);
        let mut asked = asked.lock().await;
        if asked.is_none_or(|asked| asked.elapsed() >= PAUSE) {
            *asked = Some(Instant::now());
            refresh(store, limits, known).await?;
        }
        drop(asked);
        // Perhaps another login has fetched them, or the issuer is no longer trusted.
        let known = trusted(store, issuer).await?;
        let known = known.filter(|known| self::age(known) < OLDEST);
        Ok(known.map(|known| named(&known, id)).unwrap_or_default())
    }
}

async fn trusted(store: &Store, issuer: &str) -> Result<Option<TrustedIssuer>, db::Error> {
    Ok(store.issuers().await?.into_iter().find(|one| one.issuer == issuer))
}

fn age(issuer: &TrustedIssuer) -> SignedDuration {
    let now = Timestamp::now();
    issuer.fetched.map_or(SignedDuration::MAX, |fetched| now.duration_since(fetched))
}

async fn refresh(store: &Store, limits: &Limits, known: TrustedIssuer) -> Result<(), db::Error> {
    let issuer = known.issuer.as_str();
    match tokio::time::timeout(PATIENCE, fetch_keys(&known, limits)).await {
        Ok(Ok(keys)) => {
            let fetched = Some(Timestamp::now());
            let new = TrustedIssuer { keys: Some(keys), fetched, ..known };
            store.commit(vec![Write::IssuerKeys(new)]).await?;
        }
        Ok(Err(why)) => tracing::warn!(issuer, why, "the keys of an issuer cannot be fetched"),
        Err(_) => tracing::warn!(issuer, "an issuer does not answer"),
    }
    Ok(())
}

fn named(issuer: &TrustedIssuer, id: Option<&str>) -> Vec<Value> {
    let all = issuer.keys.as_ref().and_then(|set| set["keys"].as_array()).into_iter().flatten();
    all.filter(|key| id.is_none_or(|id| key["kid"].as_str() == Some(id))).cloned().collect()
}

async fn fetch_keys(issuer: &TrustedIssuer, limits: &Limits) -> Result<Value, String> {
    let uri = issuer.keys_uri.as_deref().unwrap_or_default();
    let document = document(uri, limits).await?;
    if document["keys"].is_array() {
        return Ok(document);
    }
    if document["issuer"].as_str() != Some(issuer.issuer.as_str()) {
        return Err(format!("{uri} is of another issuer: {}", document["issuer"]));
    }
    let uri = document["jwks_uri"].as_str().ok_or_else(|| format!("{uri} has no jwks_uri"))?;
    let set = self::document(uri, limits).await?;
    if set["keys"].is_array() { Ok(set) } else { Err(format!("{uri} has no keys")) }
}

async fn document(uri: &str, limits: &Limits) -> Result<Value, String> {
    let bytes = fetch::document(uri, limits, LARGEST).await?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{uri} is not JSON: {error}"))
}
