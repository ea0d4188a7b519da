//! Deployments of templates, and what each of them did.

use serde_json::Value;
use sqlx::{Row as _, any::AnyRow};

use crate::{
    Error, Store,
    model::{Deployment, DeploymentOperation, ResourceKey},
    row::{self, below, decode, json, lower, nanoseconds, text},
    statement::{one, stale},
    writer::Tx,
};

macro_rules! deployments {
    ($rest:literal) => {
        concat!(
            "SELECT id, scope, name, revision, started, ended, body, hidden FROM deployments WHERE ",
            $rest
        )
    };
}

impl Store {
    /// One deployment.
    pub async fn deployment(&self, key: &ResourceKey) -> Result<Option<Deployment>, Error> {
        let row = sqlx::query(deployments!("key = $1"))
            .bind(text(key.as_str()))
            .fetch_optional(&self.pools.reader)
            .await?;
        Ok(row.as_ref().map(deployment).transpose()?)
    }

    /// The client's request of a deployment, as it came.
    pub async fn deployment_request(&self, key: &ResourceKey) -> Result<Option<String>, Error> {
        let row = sqlx::query("SELECT request FROM deployments WHERE key = $1")
            .bind(text(key.as_str()))
            .fetch_optional(&self.pools.reader)
            .await?;
        Ok(row.as_ref().map(|row| row.try_get("request")).transpose()?)
    }

    /// The deployments of a scope, newest first.
    pub async fn deployments(&self, scope: &ResourceKey) -> Result<Vec<Deployment>, Error> {
        let rows = sqlx::query(deployments!("scope = $1 ORDER BY started DESC, key"))
            .bind(text(scope.as_str()))
            .fetch_all(&self.pools.reader)
            .await?;
        Ok(rows.iter().map(deployment).collect::<Result<_, _>>()?)
    }

    /// The number of deployments of a scope.
    pub async fn count_deployments(&self, scope: &ResourceKey) -> Result<i64, Error> {
        Ok(sqlx::query_scalar("SELECT COUNT(*) FROM deployments WHERE scope = $1")
            .bind(text(scope.as_str()))
            .fetch_one(&self.pools.reader)
            .await?)
    }

    /// What a deployment did, in the order of its numbers.
    pub async fn deployment_operations(
        &self,
        key: &ResourceKey,
    ) -> Result<Vec<DeploymentOperation>, Error> {
        let rows = sqlx::query(
            "SELECT deployment, id, number, body, hidden FROM deployment_operations \
             WHERE deployment = $1 ORDER BY number, id",
        )
        .bind(text(key.as_str()))
        .fetch_all(&self.pools.reader)
        .await?;
        Ok(rows.iter().map(operation).collect::<Result<_, _>>()?)
    }
}

fn deployment(row: &AnyRow) -> Result<Deployment, sqlx::Error> {
    Ok(Deployment {
        id: row.try_get("id")?,
        scope: ResourceKey::of(row.try_get("scope")?),
        name: row.try_get("name")?,
        revision: row.try_get("revision")?,
        started: row::time(row.try_get("started")?)?,
        ended: row.try_get::<Option<i64>, _>("ended")?.map(row::time).transpose()?,
        body: parse(row.try_get("body")?)?,
        hidden: parse(row.try_get("hidden")?)?,
    })
}

fn operation(row: &AnyRow) -> Result<DeploymentOperation, sqlx::Error> {
    Ok(DeploymentOperation {
        deployment: ResourceKey::of(row.try_get("deployment")?),
        id: row.try_get("id")?,
        number: row.try_get("number")?,
        body: parse(row.try_get("body")?)?,
        hidden: parse(row.try_get("hidden")?)?,
    })
}

fn parse(text: &str) -> Result<Value, sqlx::Error> {
    serde_json::from_str(text).map_err(decode)
}

pub(super) async fn insert(
    tx: &mut Tx,
    deployment: &Deployment,
    request: &str,
) -> Result<(), Error> {
    let key = deployment.key();
    let query = sqlx::query(
        "INSERT INTO deployments (key, scope, id, name, revision, started, ended, body, hidden, \
         request) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
    )
    .bind(text(key.as_str()))
    .bind(text(deployment.scope.as_str()))
    .bind(text(&deployment.id))
    .bind(text(&deployment.name))
    .bind(deployment.revision.saturating_add(1))
    .bind(nanoseconds(deployment.started))
    .bind(deployment.ended.map(nanoseconds))
    .bind(json(&deployment.body))
    .bind(json(&deployment.hidden))
    .bind(text(request));
    one(tx, query, key.as_str()).await
}

pub(super) async fn replace(tx: &mut Tx, deployment: &Deployment) -> Result<(), Error> {
    let key = deployment.key();
    let query = sqlx::query(
        "UPDATE deployments SET revision = $2, ended = $3, body = $4, hidden = $5 \
         WHERE key = $1 AND revision = $6",
    )
    .bind(text(key.as_str()))
    .bind(deployment.revision.saturating_add(1))
    .bind(deployment.ended.map(nanoseconds))
    .bind(json(&deployment.body))
    .bind(json(&deployment.hidden))
    .bind(deployment.revision);
    one(tx, query, key.as_str()).await
}

pub(super) async fn remove(tx: &mut Tx, key: &ResourceKey, revision: i64) -> Result<(), Error> {
    let query = sqlx::query("DELETE FROM deployments WHERE key = $1 AND revision = $2")
        .bind(text(key.as_str()))
        .bind(revision);
    one(tx, query, key.as_str()).await?;
    sqlx::query("DELETE FROM deployment_operations WHERE deployment = $1")
        .bind(text(key.as_str()))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Removes the deployments of a group together with everything else in it.
pub(super) async fn remove_below(tx: &mut Tx, key: &ResourceKey) -> Result<(), Error> {
    let (after, before) = below(key);
    for statement in [
        "DELETE FROM deployments WHERE key > $1 AND key < $2",
        "DELETE FROM deployment_operations WHERE deployment > $1 AND deployment < $2",
    ] {
        sqlx::query(statement).bind(&after).bind(&before).execute(&mut **tx).await?;
    }
    Ok(())
}

/// Adds or replaces an operation of a deployment that exists in that revision.
pub(super) async fn put_operation(
    tx: &mut Tx,
    operation: &DeploymentOperation,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO deployment_operations (deployment, id, number, body, hidden) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (deployment, id) DO UPDATE SET \
         number = excluded.number, body = excluded.body, hidden = excluded.hidden",
    )
    .bind(text(operation.deployment.as_str()))
    .bind(lower(&operation.id))
    .bind(operation.number)
    .bind(json(&operation.body))
    .bind(json(&operation.hidden))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Rejects a commit for a deployment that is not in that revision any more, such as one that was canceled.
pub(super) async fn check(tx: &mut Tx, key: &ResourceKey, revision: i64) -> Result<(), Error> {
    let found = sqlx::query("SELECT key FROM deployments WHERE key = $1 AND revision = $2")
        .bind(text(key.as_str()))
        .bind(revision)
        .fetch_optional(&mut **tx)
        .await?;
    found.map(|_| ()).ok_or_else(|| stale(key.as_str()))
}
