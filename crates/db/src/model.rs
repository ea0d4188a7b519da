//! The rows.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A resource's id in lower case: what it is found by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceKey(String);

impl ResourceKey {
    /// The key of an id, however it is spelled.
    pub fn of(id: &str) -> Self {
        Self(id.to_lowercase())
    }

    /// The text.
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
    /// The id in its canonical spelling, names as they were first given.
    pub id: String,
    /// In lower case.
    pub subscription: String,
    /// In lower case; of the resource group itself, its own name.
    pub group: String,
    /// Namespace and types in lower case: `microsoft.compute/galleries/images`.
    /// `microsoft.resources/resourcegroups` for a group.
    pub kind: String,
    /// The name as given.
    pub name: String,
    /// 0 before it is first written; raised by every write. The ETag is made from it.
    pub revision: i64,
    /// When it was first written.
    pub created: Timestamp,
    /// When it was last written.
    pub changed: Timestamp,
    /// `location`, `tags`, `identity`, `properties`, `sku`…: the body as it is answered, without `id`,
    /// `name` and `type`.
    pub body: Value,
    /// What the service knows beside it and never answers. The store keeps an index of what is in its
    /// `indexed`: `due` (a time), `follows` and `region` (texts), `scriptBytes` (a number). Its [`CLAIM`] is unique among its kind.
    pub hidden: Value,
}

/// In [`Resource::hidden`]: a text that no other resource of the kind has. A write that would give it to
/// a second one is [`Stale`](super::Error::Stale).
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
    /// Only what is below this resource, at any depth.
    pub below: Option<ResourceKey>,
    /// Only what comes after this key.
    pub after: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The resources.
    pub resources: Vec<Resource>,
    /// Where to go on (`Select::after`), if there is more.
    pub next: Option<String>,
}

/// How far a long-running operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperationStatus {
    /// Not over.
    InProgress,
    /// Over, and done.
    Succeeded,
    /// Over, and not done.
    Failed,
    /// Over because it was canceled.
    Canceled,
}

/// A long-running operation. It outlives its resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// Lower-case GUID.
    pub id: String,
    /// In lower case.
    pub subscription: String,
    /// What is going on: `putTemplate`, `deleteGroup`, … Decides how it is taken up again after a
    /// restart.
    pub kind: String,
    /// What it is about.
    pub target: ResourceKey,
    /// How far it is.
    pub status: OperationStatus,
    /// `{code, message}` if it failed.
    pub error: Option<Value>,
    /// When it was accepted.
    pub started: Timestamp,
    /// When it was over.
    pub ended: Option<Timestamp>,
}

/// The states of a run; see `operation::state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RunState {
    /// Waits for its turn.
    Queued,
    /// At work.
    Running,
    /// Told to end.
    Canceling,
    /// Over: everything done.
    Succeeded,
    /// Over: some outputs are there, some are not.
    PartiallySucceeded,
    /// Over: not done.
    Failed,
    /// Over: told to end.
    Canceled,
}

impl RunState {
    /// Whether nothing more becomes of a run in this state.
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
    /// A client asked for it.
    #[default]
    Manual,
    /// The template was created with `autoRun`.
    AutoRun,
    /// A trigger saw a new version of the source.
    Trigger {
        /// The trigger's name.
        name: String,
        /// The version it saw.
        version: String,
    },
    /// The template's schedule says so.
    Schedule {
        /// The time that it was due.
        due: Timestamp,
    },
}

/// One run of an image template.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Lower-case GUID (v7: sorts by time). The engine's run has the same name.
    pub id: String,
    /// The template.
    pub template: ResourceKey,
    /// In lower case.
    pub subscription: String,
    /// The operation whose URL was given out.
    pub operation: String,
    /// How far it is.
    pub state: RunState,
    /// `Queued`, `Building`, `Customizing`, `Distributing`; empty once over.
    pub sub_state: String,
    /// For the reader; empty on success.
    pub message: String,
    /// When it was accepted.
    pub queued: Timestamp,
    /// When it was over.
    pub ended: Option<Timestamp>,
    /// Raised by everyone who takes the run on. Writes of an earlier holder are refused.
    pub epoch: i64,
    /// vCPUs its machine takes.
    pub vcpus: i64,
    /// Memory its machine takes, in MiB.
    pub memory_mib: i64,
    /// The template's body at the time of submission. Null where a query leaves it out.
    pub input: Value,
    /// Why it began.
    pub cause: Cause,
    /// What the optimization of boot and disk brought, once it is known.
    pub optimization: Option<Value>,
    /// The holder of the lease under which it was taken on last.
    pub owner: Option<String>,
    /// Attempts that ended without handing it over.
    pub crashes: i64,
    /// How long it has been at work, in all attempts. Written by the heartbeat of its owner alone.
    pub worked: Duration,
}

/// A run that is not over, as far as its turn is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveRun {
    /// The run's id.
    pub id: String,
    /// The template.
    pub template: ResourceKey,
    /// In lower case.
    pub subscription: String,
    /// How far it is.
    pub state: RunState,
    /// When it was accepted.
    pub queued: Timestamp,
    /// See [`Run::epoch`].
    pub epoch: i64,
    /// vCPUs its machine takes.
    pub vcpus: i64,
    /// Memory its machine takes, in MiB.
    pub memory_mib: i64,
}

/// A run that is over, as far as keeping its logs is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedRun {
    /// The run's id.
    pub id: String,
    /// The template.
    pub template: ResourceKey,
    /// When it was accepted.
    pub queued: Timestamp,
    /// When it was over.
    pub ended: Timestamp,
}

/// A service principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The client (application) id.
    pub client_id: String,
    /// The object id.
    pub object_id: String,
    /// For people.
    pub name: String,
    /// Salted hash of the secret.
    pub secret_hash: String,
    /// When it was made.
    pub created: Timestamp,
    /// When the secret was last set.
    pub rotated: Timestamp,
    /// Since when it is refused.
    pub revoked: Option<Timestamp>,
}

/// What a tombstone is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grave {
    /// A storage account, by its name: its blobs.
    Account,
    /// A run, by its id: its logs.
    Run,
    /// A managed image or a version, by its resource id in lower case: its disks.
    Image,
}

impl Grave {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Run => "run",
            Self::Image => "image",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        [Self::Account, Self::Run, Self::Image].into_iter().find(|kind| kind.name() == name)
    }
}

/// What was deleted, and whose files are still to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// What it is for.
    pub kind: Grave,
    /// Its name, in lower case.
    pub name: String,
    /// When it was deleted.
    pub made: Timestamp,
}

/// One write of a [commit](super::Store::commit).
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Adds; [`Stale`](super::Error::Stale) if the key is taken.
    Insert(Resource),
    /// Replaces; `Stale` unless the stored revision is the given one's.
    Replace(Resource),
    /// Removes one; `Stale` unless it has that revision.
    Remove(ResourceKey, i64),
    /// Removes everything below a resource or group, at any depth, and not the thing itself.
    RemoveBelow(ResourceKey),
    /// Adds or replaces by id.
    Operation(Operation),
    /// Adds; `Stale` if the id is taken, or if the template has another run that is not over.
    InsertRun(Run),
    /// Replaces all but the input; `Stale` unless the stored epoch is the given one's.
    ReplaceRun(Run),
    /// Takes a run on: as `ReplaceRun`, but the stored epoch must be one less.
    ClaimRun(Run),
    /// Replaces the input of the run with this id. It goes with a write of the run in the same commit, which checks the epoch.
    RunInput(String, Value),
    /// Adds or replaces by client id.
    Client(Client),
    /// Says that the files of something are to go that has no row of its own. `Remove`, `RemoveBelow` write those of the
    /// rows that they remove.
    Tombstone(Grave, String),
}
