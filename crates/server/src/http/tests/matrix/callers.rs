//! Who asks.

use authorization::built_in;
use db::{LockRow, Subscription, Write};
use jiff::Timestamp;
use service::{
    auth::{
        Auth, Claims, ManagedIdentity, Proof, SigningKey,
        principal::{self, Credentials},
    },
    roles::{SERVICE_PRINCIPAL, assignment},
};
use std::time::Duration;

use super::super::*;

/// A subscription beside the one that the requests are about.
pub(super) const OTHER: &str = "99999999-7b3c-4b57-9f65-1d8f2a6b3c4d";

/// The groups of the requests. In the second nothing can be deleted, and in the third nothing changed.
pub(super) const GROUPS: [&str; 3] = ["g", "kept", "frozen"];
/// A group that no request is about.
const ELSEWHERE: &str = "elsewhere";

#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumIter)]
pub(super) enum Caller {
    NoToken,
    Expired,
    WrongAudience,
    WrongTenant,
    /// Owner of another subscription.
    Stranger,
    /// A managed identity without a role.
    Identity,
    Reader,
    /// Contributor of another group of the subscription.
    Neighbour,
    Contributor,
    /// The same, but nothing can be deleted there.
    Kept,
    /// The same, but nothing can be changed there.
    Frozen,
    Owner,
    BlobReader,
    /// Owner and Storage Blob Data Owner of everything.
    Administrator,
}

impl Caller {
    /// The heading in the table; callers without a valid token have no column.
    pub(super) fn heading(self) -> Option<&'static str> {
        Some(match self {
            Self::NoToken | Self::Expired | Self::WrongAudience | Self::WrongTenant => return None,
            Self::Stranger => "Owner of another subscription",
            Self::Identity => "managed identity without a role",
            Self::Reader => "Reader",
            Self::Neighbour => "Contributor of another group",
            Self::Contributor => "Contributor of this group",
            Self::Kept => "the same, lock `CanNotDelete`",
            Self::Frozen => "the same, lock `ReadOnly`",
            Self::Owner => "Owner",
            Self::BlobReader => "Storage Blob Data Reader",
            Self::Administrator => "administrator",
        })
    }

    /// The group that the caller's requests are about.
    pub(super) fn group(self) -> &'static str {
        match self {
            Self::Kept => GROUPS[1],
            Self::Frozen => GROUPS[2],
            Self::NoToken
            | Self::Expired
            | Self::WrongAudience
            | Self::WrongTenant
            | Self::Stranger
            | Self::Identity
            | Self::Reader
            | Self::Neighbour
            | Self::Contributor
            | Self::Owner
            | Self::BlobReader
            | Self::Administrator => GROUPS[0],
        }
    }

    /// The role and its scope.
    fn role(self) -> Option<(&'static str, String)> {
        let subscription = format!("/subscriptions/{SUBSCRIPTION}");
        let group = |name: &str| format!("{subscription}/resourceGroups/{name}");
        Some(match self {
            Self::NoToken
            | Self::Expired
            | Self::WrongAudience
            | Self::WrongTenant
            | Self::Identity
            | Self::Administrator => return None,
            Self::Stranger => ("Owner", format!("/subscriptions/{OTHER}")),
            Self::Reader => ("Reader", subscription),
            Self::Neighbour => ("Contributor", group(ELSEWHERE)),
            Self::Contributor | Self::Kept | Self::Frozen => ("Contributor", group(self.group())),
            Self::Owner => ("Owner", subscription),
            Self::BlobReader => ("Storage Blob Data Reader", subscription),
        })
    }
}

/// The tokens of a caller, for the resource manager and for the directory.
#[derive(Debug, Clone, Default)]
pub(super) struct Tokens {
    pub(super) arm: String,
    pub(super) graph: String,
}

const GRAPH: &str = "https://localhost:1/graph/";
const MANAGER: &str = "https://localhost:1/";
const ISSUER: &str = "https://localhost:1/adfs";

/// The tokens of every caller. `run` is active, so the tokens of the identity are valid.
pub(super) async fn tokens(place: &Bench, identity: &str, run: &str) -> Vec<(Caller, Tokens)> {
    let other = Subscription {
        id: OTHER.to_owned(),
        name: "other".to_owned(),
        state: "Enabled".to_owned(),
        shares_cache: false,
        created: Timestamp::now(),
    };
    place.store.commit(vec![Write::PutSubscription(other)]).await.unwrap();
    let mut all = Vec::new();
    for caller in <Caller as strum::IntoEnumIterator>::iter() {
        let tokens = match caller {
            Caller::NoToken => Tokens::default(),
            Caller::Identity => of_identity(place, identity, run).await,
            Caller::Administrator => of(&place.ci, &auth(place, TENANT)).await,
            Caller::Expired => {
                of(&place.ci, &auth(place, TENANT).with_lifetime(Duration::ZERO)).await
            }
            Caller::WrongTenant => {
                of(&place.ci, &auth(place, "11111111-7b3c-4b57-9f65-1d8f2a6b3c4d")).await
            }
            Caller::WrongAudience => {
                let Tokens { arm, graph } = of(&place.ci, &auth(place, TENANT)).await;
                Tokens { arm: graph, graph: arm }
            }
            Caller::Stranger
            | Caller::Reader
            | Caller::Neighbour
            | Caller::Contributor
            | Caller::Kept
            | Caller::Frozen
            | Caller::Owner
            | Caller::BlobReader => {
                let own = principal::create(&place.store, &format!("{caller:?}")).await.unwrap();
                let (role, scope) = caller.role().unwrap();
                let role = built_in::named(role).unwrap().id;
                let row = assignment(&scope, &own.client.object_id, SERVICE_PRINCIPAL, role);
                place.store.commit(vec![Write::InsertAssignment(row)]).await.unwrap();
                of(&own, &auth(place, TENANT)).await
            }
        };
        all.push((caller, tokens));
    }
    all
}

fn auth(place: &Bench, tenant: &str) -> Auth {
    let key = SigningKey::obtain(&place.app.settings().dir).unwrap();
    Auth::new(key, tenant.to_owned(), place.store.clone())
}

async fn of(own: &Credentials, auth: &Auth) -> Tokens {
    let token = async |audience: &str| {
        let secret = Proof::Secret(&own.secret);
        let token = auth.token(&own.client.client_id, &secret, audience, ISSUER).await;
        token.unwrap().expect("its secret is right")
    };
    Tokens { arm: token(MANAGER).await, graph: token(GRAPH).await }
}

async fn of_identity(place: &Bench, id: &str, run: &str) -> Tokens {
    let key = SigningKey::obtain(&place.app.settings().dir).unwrap();
    let identity = ManagedIdentity::find(&place.store, id, run).await.unwrap().unwrap();
    let token = |audience: &str| {
        let good = (Timestamp::now().as_second(), 3600);
        key.sign(&Claims::of_identity(&identity, TENANT, audience, ISSUER, good))
    };
    Tokens { arm: token(MANAGER), graph: token(GRAPH) }
}

/// The locks of the second and the third group.
pub(super) async fn lock(place: &Bench) {
    for (group, level) in [(GROUPS[1], "CanNotDelete"), (GROUPS[2], "ReadOnly")] {
        let scope = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}");
        let row = LockRow {
            id: LockRow::id_at(&scope, "lock"),
            name: "lock".to_owned(),
            scope: scope.to_lowercase(),
            level: level.to_owned(),
            body: serde_json::json!({ "level": level }),
            revision: 0,
        };
        place.store.commit(vec![Write::PutLock(row)]).await.unwrap();
    }
}
