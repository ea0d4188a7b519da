//! The claims of a token.

use db::Client;
use serde::{Deserialize, Serialize};

use super::ManagedIdentity;

/// The default lifetime of a token; `--token-lifetime` changes it.
pub const LIFETIME_SECONDS: i64 = 3600;

/// How long before its issue a token becomes valid, so that a small correction of the clock does not
/// invalidate new tokens.
const BACKDATED_SECONDS: i64 = 300;

/// Claims with Entra's names. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The audience.
    pub(crate) aud: String,
    /// The issuer.
    pub(crate) iss: String,
    /// The time of issue.
    pub(crate) iat: i64,
    /// The start of its validity.
    pub nbf: i64,
    /// Its expiry.
    pub(crate) exp: i64,
    /// The client id.
    pub appid: String,
    /// The object id.
    pub(crate) oid: String,
    /// The object id again, as in Entra's tokens for applications.
    pub sub: String,
    /// The tenant.
    pub(crate) tid: String,
    /// The version of the format.
    pub(crate) ver: String,
    /// `app`, as there are no users.
    pub(crate) idtyp: String,
    /// Which credential it was issued for, as a digest: without that credential it is not valid.
    #[serde(rename = "gen")]
    generation: String,
    /// The resource id of the managed identity.
    #[serde(rename = "xms_mirid", default, skip_serializing_if = "Option::is_none")]
    pub(super) identity: Option<String>,
    /// The run whose machine received the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) run: Option<String>,
}

impl Claims {
    /// Claims for a service principal. `good` is the time of issue and the lifetime in seconds.
    pub(super) fn new(
        client: &Client,
        generation: String,
        tenant: &str,
        audience: &str,
        issuer: &str,
        good: (i64, i64),
    ) -> Self {
        let ids = (client.client_id.as_str(), client.object_id.as_str());
        Self { generation, ..Self::issued(ids, tenant, audience, issuer, good) }
    }

    /// Claims for a managed identity. `good` is the time of issue and the lifetime in seconds.
    pub fn of_identity(
        identity: &ManagedIdentity,
        tenant: &str,
        audience: &str,
        issuer: &str,
        good: (i64, i64),
    ) -> Self {
        let ids = (identity.client_id.as_str(), identity.object_id.as_str());
        Self {
            identity: Some(identity.id.clone()),
            run: Some(identity.run_id.clone()),
            ..Self::issued(ids, tenant, audience, issuer, good)
        }
    }

    /// The claims of all tokens.
    fn issued(
        (client_id, object_id): (&str, &str),
        tenant: &str,
        audience: &str,
        issuer: &str,
        (now, seconds): (i64, i64),
    ) -> Self {
        Self {
            aud: audience.to_owned(),
            iss: issuer.to_owned(),
            iat: now,
            nbf: now - BACKDATED_SECONDS,
            exp: now + seconds,
            appid: client_id.to_owned(),
            oid: object_id.to_owned(),
            sub: object_id.to_owned(),
            tid: tenant.to_owned(),
            ver: "1.0".to_owned(),
            idtyp: "app".to_owned(),
            generation: String::new(),
            identity: None,
            run: None,
        }
    }

    /// Whether it was issued to the managed identity in its current state.
    pub(super) fn is_of_identity(&self, identity: &ManagedIdentity) -> bool {
        identity.client_id == self.appid && identity.object_id == self.oid
    }

    /// Whether it is valid at that time.
    pub(super) fn is_in_time(&self, now: i64) -> bool {
        (self.nbf..self.exp).contains(&now)
    }

    /// Whether it was issued to the service principal, which still has the credential.
    pub(super) fn is_of(&self, known: &Known) -> bool {
        let client = &known.client;
        client.revoked.is_none()
            && client.client_id == self.appid
            && client.object_id == self.oid
            && known.generations.contains(&self.generation)
    }
}

/// A service principal, and what tokens of its credentials say of them.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) client: Client,
    pub(super) generations: Vec<String>,
}

#[cfg(test)]
pub(super) mod tests {
    use jiff::Timestamp;

    use super::*;

    /// A service principal with that credential.
    fn known(generation: &str) -> Known {
        Known { client: client(), generations: vec!["x".to_owned(), generation.to_owned()] }
    }

    /// A service principal.
    pub(in crate::auth) fn client() -> Client {
        Client {
            client_id: "c".to_owned(),
            object_id: "o".to_owned(),
            name: "n".to_owned(),
            secret_hash: String::new(),
            created: Timestamp::UNIX_EPOCH,
            rotated: Timestamp::UNIX_EPOCH,
            revoked: None,
        }
    }

    #[test]
    fn token_is_valid_until_expiry_rotation_or_revocation() {
        let claims = Claims::new(&client(), "one".to_owned(), "t", "a", "i", (10_000, 3600));
        assert!(claims.is_in_time(10_000) && claims.is_in_time(13_599));
        assert!(!claims.is_in_time(13_600) && !claims.is_in_time(9_000));
        assert!(claims.is_of(&known("one")));
        assert!(!claims.is_of(&known("two")));
        let with = |change: fn(&mut Client)| {
            let mut known = known("one");
            change(&mut known.client);
            known
        };
        assert!(!claims.is_of(&with(|client| client.revoked = Some(Timestamp::UNIX_EPOCH))));
        assert!(!claims.is_of(&with(|client| client.object_id = "p".to_owned())));
    }
}
