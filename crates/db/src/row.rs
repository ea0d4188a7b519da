//! Converts values to columns and rows to values.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use sqlx::{Row as _, any::AnyRow};

use super::model::{ActiveRun, Client, EndedRun, Operation, Resource, ResourceKey, Run, RunState};

/// Replaces NUL, which PostgreSQL does not support in text.
pub(super) fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Identifiers are not case-sensitive.
pub(super) fn lower(id: &str) -> String {
    text(&id.to_lowercase())
}

/// Scopes are written without a slash at their end.
pub(super) fn scope(scope: &str) -> String {
    lower(scope.trim_end_matches('/'))
}

/// The exclusive bounds of the keys of descendants: `0` is the character after `/`.
pub(super) fn below(key: &ResourceKey) -> (String, String) {
    let key = text(key.as_str());
    (format!("{key}/"), format!("{key}0"))
}

/// JSON escapes NUL.
pub(super) fn json(value: &Value) -> String {
    value.to_string()
}

pub(super) fn as_json(value: &impl Serialize) -> String {
    serde_json::to_string(value)
        .unwrap_or_else(|error| unreachable!("plain data is always JSON: {error}"))
}

pub(super) fn name(state: impl Serialize) -> String {
    match serde_json::to_value(state) {
        Ok(Value::String(name)) => name,
        other => unreachable!("states are unit variants, not {other:?}"),
    }
}

/// Nanoseconds since 1970: exact until the year 2262.
pub(super) fn nanoseconds(time: Timestamp) -> i64 {
    let limit = if time.as_second() < 0 { i64::MIN } else { i64::MAX };
    i64::try_from(time.as_nanosecond()).unwrap_or(limit)
}

pub(super) fn resource(row: &AnyRow) -> Result<Resource, sqlx::Error> {
    Ok(Resource {
        id: row.try_get("id")?,
        subscription: row.try_get("subscription")?,
        group: row.try_get("grp")?,
        kind: row.try_get("kind")?,
        name: row.try_get("name")?,
        revision: row.try_get("revision")?,
        created: time(row.try_get("created")?)?,
        changed: time(row.try_get("changed")?)?,
        body: parse(row.try_get("body")?)?,
        hidden: parse(row.try_get("hidden")?)?,
    })
}

pub(super) fn operation(row: &AnyRow) -> Result<Operation, sqlx::Error> {
    Ok(Operation {
        id: row.try_get("id")?,
        subscription: row.try_get("subscription")?,
        kind: row.try_get("kind")?,
        target: ResourceKey::of(row.try_get("target")?),
        status: state(row.try_get("status")?)?,
        error: maybe_json(row.try_get("error")?)?,
        started: time(row.try_get("started")?)?,
        ended: maybe_time(row.try_get("ended")?)?,
        origin: maybe_json(row.try_get("origin")?)?,
    })
}

pub(super) fn run(row: &AnyRow) -> Result<Run, sqlx::Error> {
    Ok(Run {
        id: row.try_get("id")?,
        template: ResourceKey::of(row.try_get("template")?),
        subscription: row.try_get("subscription")?,
        operation: row.try_get("operation")?,
        state: state(row.try_get("state")?)?,
        sub_state: row.try_get("sub_state")?,
        message: row.try_get("message")?,
        queued: time(row.try_get("queued")?)?,
        ended: maybe_time(row.try_get("ended")?)?,
        epoch: row.try_get("epoch")?,
        vcpus: row.try_get("vcpus")?,
        memory_mib: row.try_get("memory_mib")?,
        input: parse(row.try_get("input")?)?,
        cause: serde_json::from_str(row.try_get("cause")?).map_err(decode)?,
        optimization: maybe_json(row.try_get("optimization")?)?,
        owner: row.try_get("owner")?,
        crashes: row.try_get("crashes")?,
        worked: Duration::from_nanos(
            u64::try_from(row.try_get::<i64, _>("worked")?).unwrap_or_default(),
        ),
    })
}

pub(super) fn active_run(row: &AnyRow) -> Result<ActiveRun, sqlx::Error> {
    Ok(ActiveRun {
        id: row.try_get("id")?,
        template: ResourceKey::of(row.try_get("template")?),
        subscription: row.try_get("subscription")?,
        state: state(row.try_get("state")?)?,
        queued: time(row.try_get("queued")?)?,
        epoch: row.try_get("epoch")?,
        vcpus: row.try_get("vcpus")?,
        memory_mib: row.try_get("memory_mib")?,
    })
}

pub(super) fn state_count(row: &AnyRow) -> Result<(RunState, i64), sqlx::Error> {
    Ok((state(row.try_get("state")?)?, row.try_get("count")?))
}

pub(super) fn hidden(row: &AnyRow) -> Result<(ResourceKey, Value), sqlx::Error> {
    Ok((ResourceKey::of(row.try_get("key")?), parse(row.try_get("hidden")?)?))
}

pub(super) fn ended_run(row: &AnyRow) -> Result<EndedRun, sqlx::Error> {
    Ok(EndedRun {
        id: row.try_get("id")?,
        template: ResourceKey::of(row.try_get("template")?),
        queued: time(row.try_get("queued")?)?,
        ended: time(row.try_get("ended")?)?,
    })
}

pub(super) fn client(row: &AnyRow) -> Result<Client, sqlx::Error> {
    Ok(Client {
        client_id: row.try_get("client_id")?,
        object_id: row.try_get("object_id")?,
        name: row.try_get("name")?,
        secret_hash: row.try_get("secret_hash")?,
        created: time(row.try_get("created")?)?,
        rotated: time(row.try_get("rotated")?)?,
        revoked: maybe_time(row.try_get("revoked")?)?,
    })
}

pub(super) fn time(nanoseconds: i64) -> Result<Timestamp, sqlx::Error> {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).map_err(decode)
}

pub(super) fn maybe_time(nanoseconds: Option<i64>) -> Result<Option<Timestamp>, sqlx::Error> {
    nanoseconds.map(time).transpose()
}

pub(super) fn parse(text: &str) -> Result<Value, sqlx::Error> {
    serde_json::from_str(text).map_err(decode)
}

pub(super) fn maybe_json(text: Option<&str>) -> Result<Option<Value>, sqlx::Error> {
    text.map(parse).transpose()
}

pub(super) fn state<T: DeserializeOwned>(name: &str) -> Result<T, sqlx::Error> {
    serde_json::from_value(Value::from(name)).map_err(decode)
}

pub(super) fn decode(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}
