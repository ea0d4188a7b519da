//! Who calls: OAuth2 client credentials against our own service principals, and signed tokens.
//!
//! A token is bound to the secret it was bought with (`gen`), so that rotating or revoking a service
//! principal ends its tokens too, whenever they were issued.

mod audience;
mod identity;
pub mod key;
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
use db::{Client, Store};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

pub use audience::{Audience, audience_of, name_of};
pub use identity::Identity;
pub use key::SigningKey;
pub use managed::ManagedIdentity;
pub use token::{Claims, LIFETIME_SECONDS};

/// How long a look-up of a service principal is trusted. It bounds how long a principal that another
/// process revoked (`goldsmith admin`) can go on.
const CLIENT_TRUSTED: Duration = Duration::from_secs(1);

/// Entries of each cache; beyond it the cache starts afresh.
const CACHE_ENTRIES: usize = 4096;

/// Issues tokens and checks them.
pub struct Auth {
    key: RwLock<Arc<SigningKey>>,
    tenant: String,
    store: Store,
    /// How long the tokens of service principals live, in seconds.
    lifetime: i64,
    /// Service principals by id, and when they were read.
    clients: Mutex<HashMap<String, (Instant, Option<Client>)>>,
    /// Claims of tokens whose signature was found good, by the token's digest.
    checked: Mutex<HashMap<[u8; 32], Claims>>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

/// Why a caller is not let in.
#[derive(Debug)]
pub enum Denied {
    /// There is no bearer token.
    NoToken,
    /// The token cannot be used; a new one may.
    BadToken {
        /// Code for the error body.
        code: &'static str,
        /// For the reader.
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
    /// With the key and the tenant of this server.
    pub fn new(key: SigningKey, tenant: String, store: Store) -> Self {
        let (clients, checked) = (Mutex::default(), Mutex::default());
        let key = RwLock::new(Arc::new(key));
        Self { key, tenant, store, lifetime: LIFETIME_SECONDS, clients, checked }
    }

    /// The same with tokens that live so long.
    #[must_use]
    pub fn with_lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime: i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX), ..self }
    }

    /// How long the tokens of service principals live, in seconds.
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

    /// Takes up the keys as they are now. What the others signed is checked again.
    pub fn renew(&self, key: SigningKey) {
        if self.key().ids() == key.ids() {
            return;
        }
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
        self.checked().clear();
        tracing::info!("tokens are signed with a new key");
    }

    /// A token for whoever knows the secret; nothing if the pair is wrong.
    pub async fn token(
        &self,
        client_id: &str,
        secret: &str,
        audience: &str,
        issuer: &str,
    ) -> Result<Option<String>, db::Error> {
        // Not from the cache: a secret that was just rotated works at once.
        let client = self.store.client(&client_id.to_lowercase()).await?;
        let Some(client) = client.filter(|client| secret::fits(client, secret)) else {
            return Ok(None);
        };
        let good = (Timestamp::now().as_second(), self.lifetime);
        let claims = Claims::new(&client, &self.tenant, audience, issuer, good);
        Ok(Some(self.key().sign(&claims)))
    }

    /// Who sends that `Authorization` header. `base_url` is how this request named us.
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

    /// The caller behind the token of a managed identity: it is as good as its run and its identity.
    async fn managed(&self, claims: Claims) -> Result<Caller, Denied> {
        let (id, run) = (claims.identity.as_deref(), claims.run.as_deref());
        let (id, run) = (id.unwrap_or_default(), run.unwrap_or_default());
        let found = ManagedIdentity::find(&self.store, id, run).await?;
        let is_good = match &found {
            Some(identity) => {
                claims.is_of_identity(identity) && identity.is_at_work(&self.store).await?
            }
            None => false,
        };
        if is_good {
            return Ok(Caller { client_id: claims.appid, object_id: claims.oid });
        }
        Err(Denied::BadToken {
            code: "InvalidAuthenticationToken",
            why: format!(
                "The access token is no longer valid: the run it was given out for is over, or the managed identity '{id}' is gone."
            ),
        })
    }

    /// The claims of a token that we signed and that has not run out.
    fn check(&self, token: &str) -> Result<Claims, Denied> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = self.checked().get(&digest).cloned();
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
        let mut checked = self.checked();
        if checked.len() >= CACHE_ENTRIES {
            checked.clear();
        }
        checked.insert(digest, claims.clone());
        Ok(claims)
    }

    /// A service principal, read at most [`CLIENT_TRUSTED`] ago.
    async fn client(&self, id: &str) -> Result<Option<Client>, db::Error> {
        let known = self.clients().get(id).cloned();
        if let Some((at, client)) = known
            && at.elapsed() < CLIENT_TRUSTED
        {
            return Ok(client);
        }
        let client = self.store.client(id).await?;
        let mut clients = self.clients();
        if clients.len() >= CACHE_ENTRIES {
            clients.clear();
        }
        clients.insert(id.to_owned(), (Instant::now(), client.clone()));
        Ok(client)
    }

    fn clients(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Instant, Option<Client>)>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn checked(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Claims>> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token of `Bearer …`, however the word is spelled.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::bearer;

    #[test]
    fn only_a_bearer_token_is_a_token() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("Bearer "), None);
        assert_eq!(bearer("abc"), None);
    }
}
