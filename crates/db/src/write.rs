//! One commit: applies all of its writes or none.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use sqlx::{Any, any::AnyArguments, query::Query};
use tokio::time::timeout;

use super::{
    Error, access,
    activity::Sequence,
    credentials, deployments, installation, locks,
    model::{CLAIM, Client, Operation, Resource, ResourceKey, Run, Write},
    open::Pools,
    roles,
    row::{as_json, below, json, lower, name, nanoseconds, text},
    statement::{one, stale},
    subscriptions, tombstone,
    writer::Tx,
};

/// Limits a commit, so that a vanished server does not block all others. Longer than any wait within a
/// commit, and shorter than the timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(55);
const ACCOUNTS: &str = "microsoft.storage/storageaccounts";

/// What a commit counted.
#[derive(Debug, Default)]
pub(super) struct Committed {
    /// The new mark, if the database has an installation.
    pub(super) mark: Option<i64>,
    /// The new generation, if the commit changed who may do what.
    pub(super) generation: Option<i64>,
}

/// Applies the writes durably.
pub(super) async fn commit(pools: &Pools, writes: &[Write]) -> Result<Committed, Error> {
    let Some(first) = writes.first() else { return Ok(Committed::default()) };
    match timeout(TIMEOUT, attempt(pools, writes)).await {
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()).into()),
        Ok(Err(Error::Database(error))) if lost_to_another(&error) => Err(stale(key(first))),
        Ok(result) => result,
    }
}

async fn attempt(pools: &Pools, writes: &[Write]) -> Result<Committed, Error> {
    let mut tx = pools.begin().await?;
    match apply(&mut tx, writes).await {
        Ok(committed) => {
            tx.commit().await?;
            Ok(committed)
        }
        // The connection is still usable. If it is not, a dead connection changed no rows either.
        Err(error @ Error::Stale { .. }) => {
            tx.rollback().await?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

async fn apply(tx: &mut Tx, writes: &[Write]) -> Result<Committed, Error> {
    // First, because the numbers of events follow from it.
    let mark = installation::count(tx).await?;
    let mut sequence = Sequence::new(mark);
    let mut changes_access = false;
    for write in writes {
        changes_access |= apply_one(tx, write, &mut sequence).await?;
    }
    let generation = match changes_access {
        true => Some(access::count(tx).await?),
        false => None,
    };
    Ok(Committed { mark, generation })
}

/// Returns whether it changed who may do what.
async fn apply_one(tx: &mut Tx, write: &Write, sequence: &mut Sequence) -> Result<bool, Error> {
    match write {
        Write::Insert(resource) => return insert(tx, resource).await,
        Write::Remove(key, revision) => return remove(tx, key, *revision).await,
        Write::RemoveBelow(key) => return remove_below(tx, key).await,
        Write::Replace(resource) => replace(tx, resource).await?,
        Write::InsertDeployment(deployment, request) => {
            deployments::insert(tx, deployment, request).await?;
        }
        Write::ReplaceDeployment(deployment) => deployments::replace(tx, deployment).await?,
        Write::RemoveDeployment(key, revision) => deployments::remove(tx, key, *revision).await?,
        Write::CheckDeployment(key, revision) => deployments::check(tx, key, *revision).await?,
        Write::DeploymentOperation(operation) => deployments::put_operation(tx, operation).await?,
        Write::Operation(operation) => put_operation(tx, operation).await?,
        Write::InsertRun(run) => insert_run(tx, run).await?,
        Write::ReplaceRun(run) => replace_run(tx, run, run.epoch).await?,
        Write::ClaimRun(run) => replace_run(tx, run, run.epoch.saturating_sub(1)).await?,
        Write::RunInput(id, input) => {
            put_json(tx, "UPDATE runs SET input = $2 WHERE id = $1", id, input).await?;
        }
        Write::Client(client) => put_client(tx, client).await?,
        Write::PutSubscription(subscription) => subscriptions::put(tx, subscription).await?,
        Write::PutRole(role) => roles::put_definition(tx, role).await?,
        Write::RemoveRole(id, revision) => roles::remove_definition(tx, id, *revision).await?,
        Write::InsertAssignment(assignment) => roles::insert(tx, assignment).await?,
        Write::ReplaceAssignment(assignment) => roles::replace(tx, assignment).await?,
        Write::RemoveAssignment(key, revision) => roles::remove(tx, key, *revision).await?,
        Write::PutLock(lock) => locks::put(tx, lock).await?,
        Write::RemoveLock(key, revision) => locks::remove(tx, key, *revision).await?,
        Write::PutCredential(credential) => credentials::put(tx, credential).await?,
        Write::PutIssuer(issuer) => credentials::put_issuer(tx, issuer).await?,
        Write::IssuerKeys(issuer) => credentials::put_keys(tx, issuer).await?,
        Write::RemoveIssuer(issuer) => credentials::remove_issuer(tx, issuer).await?,
        Write::RolesSince(since) => access::set_roles_since(tx, *since).await?,
        Write::Activity(event) => sequence.insert(tx, event).await?,
        Write::Tombstone(kind, name) => tombstone::put(tx, *kind, name).await?,
    }
    Ok(access::is_changed_by(write))
}

/// Whether PostgreSQL ended the transaction in favour of another one, for example an administrator's: those
/// of this service wait for each other.
fn lost_to_another(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|code| code == "40001" || code == "40P01")
}

fn key(write: &Write) -> &str {
    match write {
        Write::Insert(resource) | Write::Replace(resource) => &resource.id,
        Write::InsertDeployment(deployment, _) | Write::ReplaceDeployment(deployment) => {
            &deployment.id
        }
        Write::Remove(key, _)
        | Write::RemoveBelow(key)
        | Write::RemoveAssignment(key, _)
        | Write::RemoveLock(key, _)
        | Write::RemoveDeployment(key, _)
        | Write::CheckDeployment(key, _) => key.as_str(),
        Write::DeploymentOperation(operation) => operation.deployment.as_str(),
        Write::Operation(operation) => &operation.id,
        Write::InsertRun(run) | Write::ReplaceRun(run) | Write::ClaimRun(run) => &run.id,
        Write::RunInput(id, _) => id,
        Write::Client(client) => &client.client_id,
        Write::PutSubscription(subscription) => &subscription.id,
        Write::PutRole(role) => &role.id,
        Write::InsertAssignment(assignment) | Write::ReplaceAssignment(assignment) => {
            &assignment.id
        }
        Write::PutLock(lock) => &lock.id,
        Write::PutCredential(credential) => &credential.id,
        Write::PutIssuer(issuer) | Write::IssuerKeys(issuer) => &issuer.issuer,
        Write::RemoveRole(id, _) | Write::RemoveIssuer(id) => id,
        Write::RolesSince(_) => "roles_since",
        Write::Activity(event) => &event.id,
        Write::Tombstone(_, name) => name,
    }
}

async fn insert(tx: &mut Tx, resource: &Resource) -> Result<bool, Error> {
    let key = resource.key();
    // A write that raced with the removal of a resource of that name may have left some.
    let changes_access = access::remove_at(tx, &key).await?;
    tombstone::drop_of(tx, &key, &resource.kind, &resource.name).await?;
    let query = sqlx::query(
        "INSERT INTO resources (key, subscription, grp, kind, name, id, revision, created, \
         changed, body, hidden, due, follows, region, script_bytes, claim) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) \
         ON CONFLICT DO NOTHING",
    );
    let query = bind_resource(query, &key, resource).bind(claim(resource));
    one(tx, query, key.as_str()).await?;
    Ok(changes_access)
}

async fn replace(tx: &mut Tx, resource: &Resource) -> Result<(), Error> {
    let key = resource.key();
    let query = sqlx::query(
        "UPDATE resources SET subscription = $2, grp = $3, kind = $4, name = $5, id = $6, \
         revision = $7, created = $8, changed = $9, body = $10, hidden = $11, \
         due = $12, follows = $13, region = $14, script_bytes = $15, \
         claim = CASE WHEN kind = $18 THEN claim ELSE $16 END \
         WHERE key = $1 AND revision = $17",
    );
    // An account keeps its claim: one that has the name of an older account has none (migration 9).
    let query = bind_resource(query, &key, resource)
        .bind(resource.hidden[CLAIM].as_str().map(text))
        .bind(resource.revision)
        .bind(ACCOUNTS);
    one(tx, query, key.as_str()).await
}

fn bind_resource<'q>(
    query: Query<'q, Any, AnyArguments>,
    key: &ResourceKey,
    resource: &Resource,
) -> Query<'q, Any, AnyArguments> {
    let indexed = &resource.hidden["indexed"];
    let due = indexed["due"].as_str().and_then(|due| due.parse::<Timestamp>().ok());
    query
        .bind(text(key.as_str()))
        .bind(lower(&resource.subscription))
        .bind(lower(&resource.group))
        .bind(lower(&resource.kind))
        .bind(text(&resource.name))
        .bind(text(&resource.id))
        .bind(resource.revision.saturating_add(1))
        .bind(nanoseconds(resource.created))
        .bind(nanoseconds(resource.changed))
        .bind(json(&resource.body))
        .bind(json(&resource.hidden))
        .bind(due.map(nanoseconds))
        .bind(indexed["follows"].as_str().map(lower))
        .bind(indexed["region"].as_str().map(lower))
        .bind(indexed["scriptBytes"].as_i64())
}

/// What the resource alone may have. The name of a storage account is unique over all subscriptions,
/// because it names the account's folder.
fn claim(resource: &Resource) -> Option<String> {
    let is_account = resource.kind.eq_ignore_ascii_case(ACCOUNTS);
    let name = is_account.then(|| lower(&resource.name));
    resource.hidden[CLAIM].as_str().map(text).or(name)
}

async fn remove(tx: &mut Tx, key: &ResourceKey, revision: i64) -> Result<bool, Error> {
    tombstone::put_of(tx, key).await?;
    let query = sqlx::query("DELETE FROM resources WHERE key = $1 AND revision = $2")
        .bind(text(key.as_str()))
        .bind(revision);
    one(tx, query, key.as_str()).await?;
    Ok(access::remove_at(tx, key).await?)
}

async fn remove_below(tx: &mut Tx, key: &ResourceKey) -> Result<bool, Error> {
    tombstone::put_below(tx, key).await?;
    let (after, before) = below(key);
    sqlx::query("DELETE FROM resources WHERE key > $1 AND key < $2")
        .bind(after)
        .bind(before)
        .execute(&mut **tx)
        .await?;
    deployments::remove_below(tx, key).await?;
    Ok(access::remove_at(tx, key).await?)
}

async fn put_operation(tx: &mut Tx, operation: &Operation) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO operations (id, subscription, kind, target, status, error, started, ended, \
         origin) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO UPDATE SET \
         subscription = excluded.subscription, kind = excluded.kind, target = excluded.target, \
         status = excluded.status, error = excluded.error, started = excluded.started, \
         ended = excluded.ended, origin = COALESCE(excluded.origin, operations.origin)",
    )
    .bind(lower(&operation.id))
    .bind(lower(&operation.subscription))
    .bind(text(&operation.kind))
    .bind(text(operation.target.as_str()))
    .bind(name(operation.status))
    .bind(operation.error.as_ref().map(json))
    .bind(nanoseconds(operation.started))
    .bind(operation.ended.map(nanoseconds))
    .bind(operation.origin.as_ref().map(json))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn insert_run(tx: &mut Tx, run: &Run) -> Result<(), Error> {
    // The unique index rejects a second unfinished run, but does not cover the insertion of an ended
    // run.
    let active = sqlx::query("SELECT id FROM runs WHERE template = $1 AND ended IS NULL")
        .bind(text(run.template.as_str()))
        .fetch_optional(&mut **tx)
        .await?;
    if active.is_some() {
        return Err(stale(&run.id));
    }
    let query = sqlx::query(
        "INSERT INTO runs (id, template, subscription, operation, state, sub_state, message, \
         queued, ended, epoch, vcpus, memory_mib, cause, owner, crashes, input) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) \
         ON CONFLICT DO NOTHING",
    );
    one(tx, bind_run(query, run).bind(json(&run.input)), &run.id).await
}

async fn replace_run(tx: &mut Tx, run: &Run, stored_epoch: i64) -> Result<(), Error> {
    let query = sqlx::query(
        "UPDATE runs SET template = $2, subscription = $3, operation = $4, state = $5, \
         sub_state = $6, message = $7, queued = $8, ended = $9, epoch = $10, vcpus = $11, \
         memory_mib = $12, cause = $13, owner = $14, crashes = $15 WHERE id = $1 AND epoch = $16",
    );
    one(tx, bind_run(query, run).bind(stored_epoch), &run.id).await?;
    let Some(optimization) = &run.optimization else { return Ok(()) };
    put_json(tx, "UPDATE runs SET optimization = $2 WHERE id = $1", &run.id, optimization).await
}

async fn put_json(
    tx: &mut Tx,
    statement: &'static str,
    run: &str,
    value: &Value,
) -> Result<(), Error> {
    let query = sqlx::query(statement).bind(lower(run)).bind(json(value));
    query.execute(&mut **tx).await?;
    Ok(())
}

fn bind_run<'q>(query: Query<'q, Any, AnyArguments>, run: &Run) -> Query<'q, Any, AnyArguments> {
    query
        .bind(lower(&run.id))
        .bind(text(run.template.as_str()))
        .bind(lower(&run.subscription))
        .bind(lower(&run.operation))
        .bind(name(run.state))
        .bind(text(&run.sub_state))
        .bind(text(&run.message))
        .bind(nanoseconds(run.queued))
        .bind(run.ended.map(nanoseconds))
        .bind(run.epoch)
        .bind(run.vcpus)
        .bind(run.memory_mib)
        .bind(as_json(&run.cause))
        .bind(run.owner.as_deref().map(text))
        .bind(run.crashes)
}

async fn put_client(tx: &mut Tx, client: &Client) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO clients (client_id, object_id, name, secret_hash, created, rotated, revoked) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (client_id) DO UPDATE SET \
         object_id = excluded.object_id, name = excluded.name, \
         secret_hash = excluded.secret_hash, created = excluded.created, \
         rotated = excluded.rotated, revoked = COALESCE(clients.revoked, excluded.revoked)",
    )
    .bind(lower(&client.client_id))
    .bind(lower(&client.object_id))
    .bind(text(&client.name))
    .bind(text(&client.secret_hash))
    .bind(nanoseconds(client.created))
    .bind(nanoseconds(client.rotated))
    .bind(client.revoked.map(nanoseconds))
    .execute(&mut **tx)
    .await?;
    credentials::put_secret_of(tx, client).await
}
