//! The rows as values.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod access;
mod activity;

pub use access::{
    AssignmentPage, AssignmentSelect, Credential, CredentialKind, LockRow, Reach, RoleAssignment,
    RoleDefinition, Subscription, TrustedIssuer,
};
pub use activity::{Activity, ActivityAbout, ActivitySelect};

/// The id of a resource in lower case, its primary key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceKey(String);

impl ResourceKey {
    /// The key of an id in any spelling.
    pub fn of(id: &str) -> Self {
        Self(id.to_lowercase())
    }

    /// The key as a string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A resource group or a resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// The canonical id, with names in the spelling of the first request.
    pub id: String,
    /// In lower case.
    pub subscription: String,
    /// In lower case; for a resource group, its own name.
    pub group: String,
    /// Namespace and types in lower case: `microsoft.compute/galleries/images`.
    /// `microsoft.resources/resourcegroups` for a group.
    pub kind: String,
    /// The name, in the spelling of the request.
    pub name: String,
    /// 0 before the first write; each write increments it. Part of the ETag.
    pub revision: i64,
    /// The time of the first write.
    pub created: Timestamp,
    /// The time of the last write.
    pub changed: Timestamp,
    /// The body of responses without `id`, `name` and `type`: `location`, `tags`, `identity`,
    /// `properties`, `sku`…
    pub body: Value,
    /// Internal data that is never part of a response. The store indexes its `indexed`: `due` (a time),
    /// `follows` and `region` (strings), `scriptBytes` (a number). Its [`CLAIM`] is unique within the kind.
    pub hidden: Value,
}

/// In [`Resource::hidden`]: a string that is unique within the kind. A write that would duplicate it is
/// [`Stale`](super::Error::Stale).
pub const CLAIM: &str = "claim";

impl Resource {
    /// One that is not written yet, now. The id says its subscription, its group and its name.
    pub fn new(id: String, kind: &str, body: Value, hidden: Value) -> Self {
        let now = Timestamp::now();
        let lower = id.to_lowercase();
        let mut segments = lower.split('/').skip(2);
        let subscription = segments.next().unwrap_or_default().to_owned();
        let group = segments.next().filter(|segment| *segment == "resourcegroups");
        let group = group.and_then(|_| segments.next()).unwrap_or_default().to_owned();
        let name = id.rsplit('/').next().unwrap_or_default().to_owned();
        let (kind, revision) = (kind.to_lowercase(), 0);
        Self {
            id,
            subscription,
            group,
            kind,
            name,
            revision,
            created: now,
            changed: now,
            body,
            hidden,
        }
    }

    /// The key of its id.
    pub fn key(&self) -> ResourceKey {
        ResourceKey::of(&self.id)
    }
}

/// Which resources to list. Order: by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Select {
    /// Required: lists never cross subscriptions.
    pub subscription: String,
    /// Only in this group.
    pub group: Option<String>,
    /// Only of this kind (lower case). Without it, everything but resource groups.
    pub kind: Option<String>,
    /// Only descendants of this resource.
    pub below: Option<ResourceKey>,
    /// Only keys after this one.
    pub after: Option<String>,
    /// The size of a page.
    pub limit: u32,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The resources.
    pub resources: Vec<Resource>,
    /// `Select::after` of the next page, if there is one.
    pub next: Option<String>,
}

/// The status of a long-running operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperationStatus {
    /// Still in progress.
    InProgress,
    /// Ended successfully.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Ended by a cancellation.
    Canceled,
}

/// A long-running operation. It outlives its resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// Lower-case GUID.
    pub id: String,
    /// In lower case.
    pub subscription: String,
    /// `putTemplate`, `deleteGroup`, …: selects the code that resumes it after a restart.
    pub kind: String,
    /// The resource that it changes.
    pub target: ResourceKey,
    /// Its status.
    pub status: OperationStatus,
    /// `{code, message}` of a failure.
    pub error: Option<Value>,
    /// When it was accepted.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Who began it, and for which action. A write without it keeps the stored one.
    pub origin: Option<Value>,
}

/// The states of a run; see `operation::state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RunState {
    /// Waits for capacity.
    Queued,
    /// Builds.
    Running,
    /// Stops after a cancellation.
    Canceling,
    /// Ended: produced all outputs.
    Succeeded,
    /// Ended: produced some outputs.
    PartiallySucceeded,
    /// Ended with an error.
    Failed,
    /// Ended by a cancellation.
    Canceled,
}

impl RunState {
    /// Whether this state is final.
    pub fn is_over(self) -> bool {
        match self {
            Self::Queued | Self::Running | Self::Canceling => false,
            Self::Succeeded | Self::PartiallySucceeded | Self::Failed | Self::Canceled => true,
        }
    }
}

/// Why a run began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Cause {
    /// A client requested it.
    #[default]
    Manual,
    /// The template was created with `autoRun`.
    AutoRun,
    /// A trigger found a new version of the source.
    Trigger {
        /// The trigger's name.
        name: String,
        /// The new version.
        version: String,
    },
    /// The schedule of the template.
    Schedule {
        /// The scheduled time.
        due: Timestamp,
    },
}

/// One run of an image template.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Lower-case GUID (v7: sorts by time). The engine uses the same id.
    pub id: String,
    /// The template.
    pub template: ResourceKey,
    /// In lower case.
    pub subscription: String,
    /// The operation whose URL the client received.
    pub operation: String,
    /// Its status.
    pub state: RunState,
    /// `Queued`, `Building`, `Customizing`, `Distributing`; empty once over.
    pub sub_state: String,
    /// For users; empty on success.
    pub message: String,
    /// When it was accepted.
    pub queued: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Each claim increments it; writes with an earlier epoch fail.
    pub epoch: i64,
    /// vCPUs of its machine.
    pub vcpus: i64,
    /// Memory of its machine, in MiB.
    pub memory_mib: i64,
    /// The template's body at the time of submission. Null if a query leaves it out.
    pub input: Value,
    /// Why it began.
    pub cause: Cause,
    /// The measured effect of VM boot optimization, once known.
    pub optimization: Option<Value>,
    /// The holder of the lease that claimed it last.
    pub owner: Option<String>,
    /// Attempts that a crash ended.
    pub crashes: i64,
    /// The total time of all attempts. Only its owner's heartbeat writes it.
    pub worked: Duration,
}

/// The part of an unfinished run that scheduling needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveRun {
    /// The run's id.
    pub id: String,
    /// The template.
    pub template: ResourceKey,
    /// In lower case.
    pub subscription: String,
    /// Its status.
    pub state: RunState,
    /// When it was accepted.
    pub queued: Timestamp,
    /// See [`Run::epoch`].
    pub epoch: i64,
    /// vCPUs of its machine.
    pub vcpus: i64,
    /// Memory of its machine, in MiB.
    pub memory_mib: i64,
}

/// The part of an ended run that log retention needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedRun {
    /// The run's id.
    pub id: String,
    /// The template.
    pub template: ResourceKey,
    /// When it was accepted.
    pub queued: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
}

/// A service principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The client (application) id.
    pub client_id: String,
    /// The object id.
    pub object_id: String,
    /// The display name.
    pub name: String,
    /// Salted hash of the secret.
    pub secret_hash: String,
    /// When it was created.
    pub created: Timestamp,
    /// When the secret was last set.
    pub rotated: Timestamp,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
}

/// A deployment.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    /// The canonical id.
    pub id: String,
    /// The key of the group or subscription that it is in.
    pub scope: ResourceKey,
    /// The name, in the spelling of the request.
    pub name: String,
    /// 0 before the first write; each write increments it.
    pub revision: i64,
    /// When it was accepted.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// The body of responses without `id`, `name` and `type`.
    pub body: Value,
    /// Internal data that is never part of a response.
    pub hidden: Value,
}

impl Deployment {
    /// The key of its id.
    pub fn key(&self) -> ResourceKey {
        ResourceKey::of(&self.id)
    }
}

/// Something that a deployment did: a resource that it wrote, read or deleted.
#[derive(Debug, Clone, PartialEq)]
pub struct DeploymentOperation {
    /// The key of the deployment.
    pub deployment: ResourceKey,
    /// Unique within the deployment.
    pub id: String,
    /// Its place among the others.
    pub number: i64,
    /// The `properties` of responses.
    pub body: Value,
    /// Internal data that is never part of a response.
    pub hidden: Value,
}

/// The kind of a deleted thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum TombstoneKind {
    /// A storage account, by its name: its blobs.
    Account,
    /// A run, by its id: its logs.
    Run,
    /// A managed image or a version, by its resource id in lower case: its disks.
    Image,
}

impl TombstoneKind {
    pub(super) fn name(self) -> &'static str {
        self.into()
    }
}

/// The record of a deleted thing whose files must still be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// The kind of the deleted thing.
    pub kind: TombstoneKind,
    /// Its name, in lower case.
    pub name: String,
    /// When it was deleted.
    pub made: Timestamp,
}

/// One write of a [commit](super::Store::commit).
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Adds; [`Stale`](super::Error::Stale) if the key is taken. Role assignments and locks that a racing write left at
    /// the key or below it are removed, so that they do not apply to a new resource.
    Insert(Resource),
    /// Replaces; `Stale` unless the stored revision matches.
    Replace(Resource),
    /// Removes with the role assignments and locks at the key and below it; `Stale` unless it has that revision.
    Remove(ResourceKey, i64),
    /// Removes all descendants of a resource or group, including deployments, but not the resource itself. Removes role
    /// assignments and locks as `Remove` does.
    RemoveBelow(ResourceKey),
    /// Adds or replaces by id.
    Operation(Operation),
    /// Adds; `Stale` if the id is taken, or if the template has another unfinished run.
    InsertRun(Run),
    /// Replaces all but the input; `Stale` unless the stored epoch matches.
    ReplaceRun(Run),
    /// Claims a run: as `ReplaceRun`, but the stored epoch must be one less.
    ClaimRun(Run),
    /// Replaces the input of a run. A write of the run in the same commit must check the epoch.
    RunInput(String, Value),
    /// Adds or replaces by client id. Its secret, if it has one, becomes the credential with the client's id.
    Client(Client),
    /// Adds a deployment with the client's request; `Stale` if there is one of that id.
    InsertDeployment(Deployment, String),
    /// Replaces all but scope, name, start and request; `Stale` unless the stored revision matches.
    ReplaceDeployment(Deployment),
    /// Removes a deployment and its operations; `Stale` unless it has that revision.
    RemoveDeployment(ResourceKey, i64),
    /// Changes nothing; `Stale` unless the deployment has that revision.
    CheckDeployment(ResourceKey, i64),
    /// Adds or replaces by deployment and id.
    DeploymentOperation(DeploymentOperation),
    /// Adds or replaces by id.
    PutSubscription(Subscription),
    /// Adds a role with revision 0, replaces another; `Stale` unless the stored revision matches, or if the id or the
    /// name is taken.
    PutRole(RoleDefinition),
    /// Removes a role by id; `Stale` unless it has that revision, or if it is assigned.
    RemoveRole(String, i64),
    /// Adds; `Stale` if the key is taken, or if the principal has the role at the scope already.
    InsertAssignment(RoleAssignment),
    /// Replaces body and type of the principal; `Stale` unless the stored revision matches.
    ReplaceAssignment(RoleAssignment),
    /// Removes; `Stale` unless it has that revision.
    RemoveAssignment(ResourceKey, i64),
    /// Adds a lock with revision 0, replaces level and body of another; `Stale` unless the stored revision matches, or
    /// if the key is taken.
    PutLock(LockRow),
    /// Removes; `Stale` unless it has that revision.
    RemoveLock(ResourceKey, i64),
    /// Adds or replaces by id; `Stale` if the owner has another valid one for the same subject of the issuer.
    PutCredential(Credential),
    /// Adds or replaces by issuer.
    PutIssuer(TrustedIssuer),
    /// Replaces the keys of an issuer and when they were fetched; nothing if the issuer was removed or added anew since.
    IssuerKeys(TrustedIssuer),
    /// Removes an issuer; `Stale` if there is none.
    RemoveIssuer(String),
    /// Makes roles decide from that time on; `Stale` if they do already, or without an installation.
    RolesSince(Timestamp),
    /// Adds an event. Nothing changes or removes one; see
    /// [`forget_activity_before`](super::Store::forget_activity_before).
    Activity(Activity),
    /// Requests the removal of files that have no row. `Remove` and `RemoveBelow` write the tombstones of the rows that
    /// they remove.
    Tombstone(TombstoneKind, String),
}
