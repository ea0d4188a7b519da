//! Authentication: OAuth2 client credentials of service principals, and signed tokens.
//!
//! A token is bound to its secret (`gen`), so rotating the secret or revoking the service principal also
//! invalidates its tokens.

mod audience;
pub mod certificate;
mod clients;
pub mod credentials;
pub mod federated;
mod identity;
mod jwt;
pub mod key;
mod login;
mod managed;
pub mod principal;
mod secret;
mod token;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use arm::Caller;
use db::Store;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use sources::fetch::Limits;

pub use audience::{Audience, audience_of, name_of};
pub use identity::Identity;
pub use key::SigningKey;
use login::Logins;
pub use login::{Proof, Rejected};
pub use managed::ManagedIdentity;
use token::Known;
pub use token::{Claims, LIFETIME_SECONDS};

/// How long a service principal is cached, and thus how long it stays valid after another process
/// (`goldsmith admin`) revokes it.
const CLIENT_CACHED: Duration = Duration::from_secs(1);

/// The maximum number of entries of each cache. A full cache is cleared.
const CACHE_ENTRIES: usize = 4096;

/// Issues tokens and checks them.
pub struct Auth {
    key: RwLock<Arc<SigningKey>>,
    tenant: String,
    store: Store,
    /// The lifetime of tokens of service principals, in seconds.
    lifetime: i64,
    /// Service principals by id, with the time of the read.
    clients: Mutex<HashMap<String, (Instant, Option<Known>)>>,
    /// Claims of verified tokens, by the token's digest.
    verified: Mutex<HashMap<[u8; 32], Claims>>,
    logins: Logins,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

/// Why a request is denied.
#[derive(Debug)]
pub enum Denied {
    /// The request has no bearer token.
    NoToken,
    /// The token is invalid; a new one may work.
    BadToken {
        /// The code of the error.
        code: &'static str,
        /// The message of the error.
        why: String,
    },
    /// The database failed.
    Store(db::Error),
}

impl From<db::Error> for Denied {
    fn from(error: db::Error) -> Self {
        Self::Store(error)
    }
}

impl Auth {
    /// Uses the key and the tenant of this server.
    pub fn new(key: SigningKey, tenant: String, store: Store) -> Self {
        let (clients, verified) = (Mutex::default(), Mutex::default());
        let key = RwLock::new(Arc::new(key));
        let logins = Logins::new(Limits::for_others([]));
        Self { key, tenant, store, lifetime: LIFETIME_SECONDS, clients, verified, logins }
    }

    /// Sets the lifetime of tokens.
    #[must_use]
    pub fn with_lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime: i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX), ..self }
    }

    /// Sets the limits for fetching the keys of trusted issuers. By default, only from public addresses.
    #[must_use]
    pub fn with_fetch_limits(self, limits: Limits) -> Self {
        Self { logins: Logins::new(limits), ..self }
    }

    /// The lifetime of tokens of service principals, in seconds.
    pub fn lifetime(&self) -> i64 {
        self.lifetime
    }

    /// The tenant's id.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The public key, as a JSON Web Key Set.
    pub fn jwks(&self) -> serde_json::Value {
        self.key().jwks()
    }

    fn key(&self) -> Arc<SigningKey> {
        self.key.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the keys. Cached tokens are verified again.
    pub fn renew(&self, key: SigningKey) {
        if self.key().ids() == key.ids() {
            return;
        }
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
        self.verified().clear();
        tracing::info!("signing tokens with a new key");
    }

    /// A token for a client id and what it shows.
    ///
    /// # Errors
    /// The database failed.
    pub async fn token(
        &self,
        client_id: &str,
        proof: &Proof<'_>,
        audience: &str,
        issuer: &str,
    ) -> Result<Result<String, Rejected>, db::Error> {
        let (client, generation) = match self.logins.check(&self.store, client_id, proof).await? {
            Ok(found) => found,
            Err(rejected) => return Ok(Err(rejected)),
        };
        let good = (Timestamp::now().as_second(), self.lifetime);
        let claims = Claims::new(&client, generation, &self.tenant, audience, issuer, good);
        Ok(Ok(self.key().sign(&claims)))
    }

    /// The caller that an `Authorization` header identifies. `base_url` is the service's URL in this request.
    pub async fn caller(
        &self,
        authorization: Option<&str>,
        wanted: Audience,
        names: &[String],
        base_url: &str,
    ) -> Result<Caller, Denied> {
        let token = authorization.and_then(bearer).ok_or(Denied::NoToken)?;
        let claims = self.check(token)?;
        let found = audience_of(&claims.aud, names);
        if !found.is_some_and(|found| wanted.admits(found)) {
            return Err(Denied::BadToken {
                code: "InvalidAuthenticationTokenAudience",
                why: format!(
                    "The access token has been obtained for wrong audience or resource '{}'. It should be '{base_url}{}'.",
                    claims.aud,
                    wanted.path()
                ),
            });
        }
        if claims.identity.is_some() {
            return self.managed(claims).await;
        }
        let client = self.client(&claims.appid).await?;
        if !client.is_some_and(|client| claims.is_of(&client)) {
            return Err(Denied::BadToken {
                code: "InvalidAuthenticationToken",
                why: format!(
                    "The access token is no longer valid: the service principal '{}' was revoked, or its secret was rotated.",
                    claims.appid
                ),
            });
        }
        Ok(Caller { client_id: claims.appid, object_id: claims.oid })
    }

    /// The caller with the token of a managed identity, which is valid while its run and its identity exist.
    async fn managed(&self, claims: Claims) -> Result<Caller, Denied> {
        let (id, run) = (claims.identity.as_deref(), claims.run.as_deref());
        let (id, run) = (id.unwrap_or_default(), run.unwrap_or_default());
        let found = ManagedIdentity::find(&self.store, id, run).await?;
        let is_good = match &found {
            Some(identity) => {
                claims.is_of_identity(identity) && identity.is_active(&self.store).await?
            }
            None => false,
        };
        if is_good {
            return Ok(Caller { client_id: claims.appid, object_id: claims.oid });
        }
        Err(Denied::BadToken {
            code: "InvalidAuthenticationToken",
            why: format!(
                "The access token is no longer valid: its run has ended, or the managed identity '{id}' was deleted."
            ),
        })
    }

    /// The claims of a valid token that has not expired.
    fn check(&self, token: &str) -> Result<Claims, Denied> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = self.verified().get(&digest).cloned();
        let claims = match known {
            Some(claims) => claims,
            None => self.key().verify(token, &self.tenant).map_err(|why| Denied::BadToken {
                code: "InvalidAuthenticationToken",
                why: format!("The access token is invalid: {why}."),
            })?,
        };
        let now = Timestamp::now().as_second();
        if !claims.is_in_time(now) {
            return Err(Denied::BadToken {
                code: "ExpiredAuthenticationToken",
                why: "The access token expiry UTC time is in the past, or its beginning is in the future.".to_owned(),
            });
        }
        let mut verified = self.verified();
        if verified.len() >= CACHE_ENTRIES {
            verified.clear();
        }
        verified.insert(digest, claims.clone());
        Ok(claims)
    }

    /// A service principal, cached for [`CLIENT_CACHED`].
    async fn client(&self, id: &str) -> Result<Option<Known>, db::Error> {
        let known = self.clients().get(id).cloned();
        if let Some((at, client)) = known
            && at.elapsed() < CLIENT_CACHED
        {
            return Ok(client);
        }
        let client = match self.store.client(id).await? {
            Some(client) => {
                let all = self.store.credentials_of(&client.client_id).await?;
                let now = Timestamp::now();
                let live = all.iter().filter(|one| {
                    one.revoked.is_none() && one.expires.is_none_or(|expires| now < expires)
                });
                let generations = live.map(credentials::generation).collect();
                Some(Known { client, generations })
            }
            None => None,
        };
        let mut clients = self.clients();
        if clients.len() >= CACHE_ENTRIES {
            clients.clear();
        }
        clients.insert(id.to_owned(), (Instant::now(), client.clone()));
        Ok(client)
    }

    fn clients(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Instant, Option<Known>)>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn verified(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Claims>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token of `Bearer …`, ignoring case.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::bearer;

    #[test]
    fn only_bearer_token_is_accepted() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("Bearer "), None);
        assert_eq!(bearer("abc"), None);
    }
}
