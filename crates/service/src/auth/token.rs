//! What a token says.

use db::Client;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ManagedIdentity;

/// How long a token lives, unless `--token-lifetime` says otherwise.
pub const LIFETIME_SECONDS: i64 = 3600;

/// A token begins to be good so long before it is issued: a clock that is set back a little must not
/// make fresh tokens bad.
const BACKDATED_SECONDS: i64 = 300;

/// Claims, under the names that Entra uses; times in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// What it is for.
    pub(crate) aud: String,
    /// Who issued it.
    pub(crate) iss: String,
    /// When.
    pub(crate) iat: i64,
    /// From when it is good.
    pub nbf: i64,
    /// Until when.
    pub(crate) exp: i64,
    /// The client id.
    pub appid: String,
    /// The object id.
    pub(crate) oid: String,
    /// The object id again, as Entra has it for applications.
    pub sub: String,
    /// The tenant.
    pub(crate) tid: String,
    /// Version of this format.
    pub(crate) ver: String,
    /// `app`: there is no user.
    pub(crate) idtyp: String,
    /// The secret it was bought with, by a digest of its hash. Compared instead of times, which
    /// would be as coarse as a second.
    #[serde(rename = "gen")]
    generation: String,
    /// Resource id of the managed identity that it stands for.
    #[serde(rename = "xms_mirid", default, skip_serializing_if = "Option::is_none")]
    pub(super) identity: Option<String>,
    /// The run whose machine got it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) run: Option<String>,
}

impl Claims {
    /// Claims for that service principal, good for some seconds from that time on.
    pub(super) fn new(
        client: &Client,
        tenant: &str,
        audience: &str,
        issuer: &str,
        good: (i64, i64),
    ) -> Self {
        let ids = (client.client_id.as_str(), client.object_id.as_str());
        Self { generation: generation(client), ..Self::issued(ids, tenant, audience, issuer, good) }
    }

    /// Claims for a managed identity, good for some seconds from that time on.
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

    /// The claims that all tokens have in common.
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

    /// Whether the managed identity, as it is now, is the one it was issued to.
    pub(super) fn is_of_identity(&self, identity: &ManagedIdentity) -> bool {
        identity.client_id == self.appid && identity.object_id == self.oid
    }

    /// Whether it is good at that time.
    pub(super) fn is_in_time(&self, now: i64) -> bool {
        (self.nbf..self.exp).contains(&now)
    }

    /// Whether the service principal, as it is now, is the one it was issued to.
    pub(super) fn is_of(&self, client: &Client) -> bool {
        client.revoked.is_none()
            && client.client_id == self.appid
            && client.object_id == self.oid
            && generation(client) == self.generation
    }
}

fn generation(client: &Client) -> String {
    let digest = Sha256::digest(client.secret_hash.as_bytes());
    hex::encode(&digest[..8])
}

#[cfg(test)]
pub(super) mod tests {
    use jiff::Timestamp;

    use super::*;

    /// A service principal with that hash.
    pub(in crate::auth) fn client(secret_hash: &str) -> Client {
        Client {
            client_id: "c".to_owned(),
            object_id: "o".to_owned(),
            name: "n".to_owned(),
            secret_hash: secret_hash.to_owned(),
            created: Timestamp::UNIX_EPOCH,
            rotated: Timestamp::UNIX_EPOCH,
            revoked: None,
        }
    }

    #[test]
    fn a_token_ends_with_its_hour_its_secret_and_its_principal() {
        let claims = Claims::new(&client("one"), "t", "a", "i", (10_000, 3600));
        assert!(claims.is_in_time(10_000) && claims.is_in_time(13_599));
        assert!(!claims.is_in_time(13_600) && !claims.is_in_time(9_000));
        assert!(claims.is_of(&client("one")));
        assert!(!claims.is_of(&client("two")));
        assert!(!claims.is_of(&Client { revoked: Some(Timestamp::UNIX_EPOCH), ..client("one") }));
        assert!(!claims.is_of(&Client { object_id: "p".to_owned(), ..client("one") }));
    }
}
