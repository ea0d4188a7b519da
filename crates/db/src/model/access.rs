//! Who may do what: subscriptions, roles, locks and credentials.
//!
//! A scope is an id in lower case without a `/` at its end; the empty string is the scope above all.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ResourceKey;

/// A subscription of the installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Lower-case GUID.
    pub id: String,
    /// The display name.
    pub name: String,
    /// `Enabled` or `Disabled`.
    pub state: String,
    /// Whether its builds use the cache of other subscriptions that share theirs.
    pub shares_cache: bool,
    /// When it was created.
    pub created: Timestamp,
}

/// A custom role. Built-in ones have no row.
#[derive(Debug, Clone, PartialEq)]
pub struct RoleDefinition {
    /// Lower-case GUID.
    pub id: String,
    /// The display name; unique, without regard to case.
    pub name: String,
    /// The `properties` of responses.
    pub body: Value,
    /// 0 before the first write; each write increments it.
    pub revision: i64,
    /// The time of the first write.
    pub created: Timestamp,
    /// The time of the last write.
    pub changed: Timestamp,
}

/// A role that a principal has at a scope.
#[derive(Debug, Clone, PartialEq)]
pub struct RoleAssignment {
    /// The canonical id, in the spelling of the first request.
    pub id: String,
    /// The last segment of the id, a GUID.
    pub name: String,
    /// The scope.
    pub scope: String,
    /// The object id of the principal, in lower case.
    pub principal: String,
    /// `ServicePrincipal`, …
    pub principal_type: String,
    /// The GUID of the role, in lower case.
    pub role: String,
    /// The `properties` of responses.
    pub body: Value,
    /// 0 before the first write; each write increments it.
    pub revision: i64,
    /// The time of the first write.
    pub created: Timestamp,
}

impl RoleAssignment {
    /// The id of an assignment at a scope in any spelling.
    pub fn id_at(scope: &str, name: &str) -> String {
        let scope = scope.trim_end_matches('/');
        format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}")
    }

    /// The key of its id.
    pub fn key(&self) -> ResourceKey {
        ResourceKey::of(&self.id)
    }
}

/// The relation of assignments to a scope.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reach {
    /// At the scope.
    At,
    /// At the scope and above it: what applies there.
    AtAndAbove,
    /// At the scope and below it.
    AtAndBelow,
    /// At the scope, above it and below it.
    #[default]
    Anywhere,
}

/// Which role assignments to list. Order: by scope, then by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AssignmentSelect {
    /// The scope.
    pub scope: String,
    /// Their relation to the scope.
    pub reach: Reach,
    /// Only those of this principal.
    pub principal: Option<String>,
    /// Only those after this one, the last of the previous page.
    pub after: Option<ResourceKey>,
    /// The size of a page.
    pub limit: u32,
}

/// A page of role assignments.
#[derive(Debug, Clone, PartialEq)]
pub struct AssignmentPage {
    /// The assignments.
    pub assignments: Vec<RoleAssignment>,
    /// `AssignmentSelect::after` of the next page, if there is one.
    pub next: Option<ResourceKey>,
}

/// A lock on a subscription, group or resource.
#[derive(Debug, Clone, PartialEq)]
pub struct LockRow {
    /// The canonical id, in the spelling of the first request.
    pub id: String,
    /// The name, in the spelling of the first request.
    pub name: String,
    /// The scope.
    pub scope: String,
    /// `CanNotDelete` or `ReadOnly`.
    pub level: String,
    /// The `properties` of responses.
    pub body: Value,
    /// 0 before the first write; each write increments it.
    pub revision: i64,
}

impl LockRow {
    /// The id of a lock at a scope in any spelling.
    pub fn id_at(scope: &str, name: &str) -> String {
        let scope = scope.trim_end_matches('/');
        format!("{scope}/providers/Microsoft.Authorization/locks/{name}")
    }

    /// The key of its id.
    pub fn key(&self) -> ResourceKey {
        ResourceKey::of(&self.id)
    }
}

/// The kinds of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CredentialKind {
    /// A secret. Its data has `hash`.
    Secret,
    /// The public part of a certificate.
    Certificate,
    /// Tokens of another issuer. Its data has `issuer` and `subject`, exactly as in the tokens.
    Federated,
}

/// What a principal signs in with.
#[derive(Debug, Clone, PartialEq)]
pub struct Credential {
    /// Unique. The secret that a client had before there were several has the client's id.
    pub id: String,
    /// The client id of a service principal, or the object id of an identity.
    pub owner: String,
    /// Its kind.
    pub kind: CredentialKind,
    /// The display name.
    pub name: String,
    /// What is checked; see [`CredentialKind`]. Never a secret itself.
    pub data: Value,
    /// Not valid before this time.
    pub starts: Timestamp,
    /// Not valid from this time on.
    pub expires: Option<Timestamp>,
    /// When it was created.
    pub created: Timestamp,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
}

/// An issuer whose tokens the administrator trusts.
#[derive(Debug, Clone, PartialEq)]
pub struct TrustedIssuer {
    /// Exactly as in its tokens.
    pub issuer: String,
    /// Where its keys are fetched from. Without it, they never change by themselves.
    pub keys_uri: Option<String>,
    /// Its public keys, as a JSON Web Key Set, if they are known.
    pub keys: Option<Value>,
    /// When they were fetched.
    pub fetched: Option<Timestamp>,
    /// When the administrator added it.
    pub created: Timestamp,
}
