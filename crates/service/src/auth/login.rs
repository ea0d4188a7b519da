//! What a service principal shows to receive a token.

use std::{collections::HashMap, sync::Mutex};

use db::{Client, Credential, CredentialKind, Store};
use jiff::Timestamp;
use sources::fetch::Limits;

use super::{certificate, credentials, federated, jwt::Jwt, secret};

/// What a client shows.
#[derive(Debug)]
pub enum Proof<'a> {
    /// A secret.
    Secret(&'a str),
    /// A signed token: its own, by the key of its certificate, or another issuer's. With the URLs of the token endpoint,
    /// the audiences of its own.
    Assertion(&'a str, &'a [String]),
}

/// Why it gets no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejected {
    /// There is no such client, it is revoked, or it has no such credential: not to be told apart.
    Wrong,
    /// The credential was right, but is over since this time.
    Expired(Timestamp),
    /// The signed token is not acceptable, with Entra's number of the error and the end of a sentence.
    Assertion(u32, String),
}

/// Entra's numbers of errors.
const INVALID_SIGNATURE: u32 = 700_027;
const NOT_IN_TIME: u32 = 700_024;
const WRONG_AUDIENCE: u32 = 700_023;
const NO_RECORD: u32 = 700_213;
const MALFORMED: u32 = 50_027;
const REPLAYED: u32 = 70_000;

/// How long a client's own token may be valid, in seconds. Its id is remembered as long.
const LONGEST: i64 = 3600;
/// How much other clocks may differ, in seconds.
const SKEW: i64 = 300;
/// The maximum number of remembered ids of a client.
const REMEMBERED: usize = 10_000;

/// Compared with when there is no such client, so that the answer takes the same work.
const NOBODY: &str = "sha256:AAAAAAAAAAAAAAAAAAAAAA:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Checks what clients show.
#[derive(Debug)]
pub(super) struct Logins {
    /// The limits for fetching issuers' keys.
    pub(super) fetch: Limits,
    /// The ids of accepted tokens of each client, with the end of each.
    seen: Mutex<HashMap<String, HashMap<String, i64>>>,
    asked: federated::Asked,
}

impl Logins {
    pub(super) fn new(fetch: Limits) -> Self {
        Self { fetch, seen: Mutex::default(), asked: federated::Asked::default() }
    }

    /// The client, and what its tokens say of the credential. Not from a cache, so that a new secret works immediately.
    pub(super) async fn check(
        &self,
        store: &Store,
        client_id: &str,
        proof: &Proof<'_>,
    ) -> Result<Result<(Client, String), Rejected>, db::Error> {
        let id = client_id.to_lowercase();
        let client = store.client(&id).await?.filter(|client| client.revoked.is_none());
        let mut all = store.credentials_of(&id).await?;
        all.retain(|one| one.revoked.is_none());
        let now = Timestamp::now();
        let found = match proof {
            Proof::Secret(text) => matching(&all, text).ok_or(Rejected::Wrong),
            Proof::Assertion(token, endpoints) => match Jwt::read(token) {
                Err(why) => Err(Rejected::Assertion(MALFORMED, why)),
                Ok(jwt) if jwt.claims.iss.eq_ignore_ascii_case(&id) => {
                    self.own(&all, &jwt, endpoints, now.as_second())
                }
                Ok(jwt) => self.foreign(store, &all, &jwt, now.as_second()).await?,
            },
        };
        Ok(found.and_then(|credential| {
            in_time(credential, now)?;
            let client = client.ok_or(Rejected::Wrong)?;
            Ok((client, credentials::generation(credential)))
        }))
    }

    /// The certificate that signed a client's own token.
    fn own<'c>(
        &self,
        all: &'c [Credential],
        jwt: &Jwt<'_>,
        endpoints: &[String],
        now: i64,
    ) -> Result<&'c Credential, Rejected> {
        let certificates = all.iter().filter(|one| one.kind == CredentialKind::Certificate);
        let found = certificates
            .filter(|one| certificate::is_named(one, &jwt.header))
            .find(|one| jwt.is_signed_by(&one.data["key"]))
            .ok_or_else(|| {
                let why =
                    "no certificate of this client has its thumbprint and verifies its signature";
                Rejected::Assertion(INVALID_SIGNATURE, why.to_owned())
            })?;
        let claims = &jwt.claims;
        if claims.sub != claims.iss {
            let why = "its subject is not the client".to_owned();
            return Err(Rejected::Assertion(INVALID_SIGNATURE, why));
        }
        let is_ours = |one: &String| endpoints.iter().any(|own| own.eq_ignore_ascii_case(one));
        if !claims.aud.iter().any(is_ours) {
            return Err(Rejected::Assertion(
                WRONG_AUDIENCE,
                format!("its audience {:?} is not this token endpoint", claims.aud),
            ));
        }
        check_time(jwt, now)?;
        if claims.exp > now + LONGEST + SKEW {
            let why = format!("it is valid for longer than {LONGEST} s");
            return Err(Rejected::Assertion(NOT_IN_TIME, why));
        }
        self.use_once(&found.owner, claims.jti.as_deref(), claims.exp, now)?;
        Ok(found)
    }

    /// Accepts each token of a client once.
    fn use_once(&self, client: &str, id: Option<&str>, end: i64, now: i64) -> Result<(), Rejected> {
        let refuse = |why: &str| Err(Rejected::Assertion(REPLAYED, why.to_owned()));
        let Some(id) = id.filter(|id| !id.is_empty()) else { return refuse("it has no jti") };
        let mut all = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let seen = all.entry(client.to_owned()).or_default();
        if seen.len() >= REMEMBERED {
            seen.retain(|_, end| end.saturating_add(SKEW) > now);
        }
        if seen.len() >= REMEMBERED {
            return refuse("too many tokens were used within an hour");
        }
        match seen.insert(id.to_owned(), end) {
            None => Ok(()),
            Some(_) => refuse("it was used before"),
        }
    }

    /// The federated credential that another issuer's token is for.
    async fn foreign<'c>(
        &self,
        store: &Store,
        all: &'c [Credential],
        jwt: &Jwt<'_>,
        now: i64,
    ) -> Result<Result<&'c Credential, Rejected>, db::Error> {
        let claims = &jwt.claims;
        let is =
            |one: &Credential, field: &str, value: &str| one.data[field].as_str() == Some(value);
        let found = all.iter().filter(|one| one.kind == CredentialKind::Federated).find(|one| {
            is(one, "issuer", &claims.iss)
                && is(one, "subject", &claims.sub)
                && claims.aud.iter().any(|aud| is(one, "audience", aud))
        });
        let Some(found) = found else {
            let why = format!(
                "no federated credential of this client has its issuer '{}', its subject '{}' and its audience {:?}",
                claims.iss, claims.sub, claims.aud
            );
            return Ok(Err(Rejected::Assertion(NO_RECORD, why)));
        };
        let kid = jwt.header.kid.as_deref();
        let keys = self.asked.keys(store, &self.fetch, &claims.iss, kid).await?;
        if !keys.iter().any(|key| jwt.is_signed_by(key)) {
            let why = "no known key of its issuer verifies its signature".to_owned();
            return Ok(Err(Rejected::Assertion(INVALID_SIGNATURE, why)));
        }
        Ok(check_time(jwt, now).map(|()| found))
    }
}

fn check_time(jwt: &Jwt<'_>, now: i64) -> Result<(), Rejected> {
    let claims = &jwt.claims;
    if claims.exp.saturating_add(SKEW) > now && claims.nbf.is_none_or(|nbf| nbf <= now + SKEW) {
        return Ok(());
    }
    let why = "it has expired, or its beginning is in the future".to_owned();
    Err(Rejected::Assertion(NOT_IN_TIME, why))
}

/// The secret's credential. Compares with each one, whichever it is.
fn matching<'c>(all: &'c [Credential], text: &str) -> Option<&'c Credential> {
    let mut found = None;
    let mut compared = 0;
    for one in all.iter().filter(|one| one.kind == CredentialKind::Secret) {
        compared += 1;
        if secret::verify(one.data["hash"].as_str().unwrap_or_default(), text) {
            found = Some(one);
        }
    }
    if compared == 0 {
        // It belongs to nobody, so the result is not used.
        let _ = secret::verify(NOBODY, text);
    }
    found
}

fn in_time(credential: &Credential, now: Timestamp) -> Result<(), Rejected> {
    match credential.expires {
        Some(expires) if now >= expires => Err(Rejected::Expired(expires)),
        _ if now < credential.starts => Err(Rejected::Wrong),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
