//! Locks: what nobody may delete or change, whatever the role. The crate `authorization` decides what a lock stops.

use arm::{
    ApiError, Call, Extension, Method, Reply,
    fields::{self, missing},
};
use authorization::Scope;
use db::{LockRow, ResourceKey, Write};
use http::StatusCode;
use serde_json::{Map, Value, json};
use service::App;

use crate::{
    LOCKS,
    filter::Scoped,
    place::{self, Readable, check_depth},
};

const LEVELS: [&str; 2] = ["CanNotDelete", "ReadOnly"];
/// Azure's limits.
const MOST: usize = 20;
const NAME_LIMIT: usize = 260;
const NOTES_LIMIT: usize = 512;

/// `{scope}/providers/Microsoft.Authorization/locks[/{name}]`
///
/// # Errors
/// Those of the request; `LockNotFound`.
pub async fn locks(app: &App, call: &Call, at: &Extension) -> Result<Reply, ApiError> {
    check_depth(call, at)?;
    let Some(name) = at.rest.get(1) else {
        call.only(&[Method::Get])?;
        place::check(app, at).await?;
        return list(app, call, at).await;
    };
    call.only(&[Method::Get, Method::Put, Method::Delete])?;
    let key = ResourceKey::of(&LockRow::id_at(&at.scope, name));
    let stored = app.store().lock(&key).await?;
    match (call.method, stored) {
        (Method::Put, stored) => put(app, call, at, name, stored).await,
        (Method::Delete, None) => Ok(Reply::empty(StatusCode::NO_CONTENT)),
        (Method::Delete, Some(stored)) => {
            app.store().commit(vec![Write::RemoveLock(key, stored.revision)]).await?;
            Ok(Reply::empty(StatusCode::OK))
        }
        (_, Some(stored)) => Ok(Reply::ok(view(&stored))),
        (_, None) => Err(ApiError::absent(
            "LockNotFound",
            format!("The lock '{name}' at the scope '{}' could not be found.", at.scope),
        )),
    }
}

/// Those at the scope, above it and below it; with `atScope()` not those below.
async fn list(app: &App, call: &Call, at: &Extension) -> Result<Reply, ApiError> {
    let filter = Scoped::of(call, &["atscope"], &[])?;
    let readable = Readable::by(call, LOCKS.read, at);
    let here = Scope::parse(&at.scope);
    let is_near =
        |scope: &Scope| scope.contains(&here) || (!filter.has("atscope") && here.contains(scope));
    let found = app.store().locks().await?;
    let found = found.iter().filter(|row| {
        let scope = Scope::parse(&row.scope);
        is_near(&scope) && readable.has(&scope)
    });
    Ok(Reply::ok(json!({ "value": found.map(view).collect::<Vec<_>>() })))
}

fn view(row: &LockRow) -> Value {
    json!({ "properties": row.body, "id": row.id, "type": LOCKS.kind, "name": row.name })
}

async fn put(
    app: &App,
    call: &Call,
    at: &Extension,
    name: &str,
    stored: Option<LockRow>,
) -> Result<Reply, ApiError> {
    check_name(name)?;
    if place::subscription_of(&at.scope).is_empty() {
        return Err(ApiError::bad_request(
            "InvalidLockScope",
            format!(
                "'{}' cannot be locked. Lock a subscription, a resource group or a resource.",
                place::shown(&at.scope)
            ),
        ));
    }
    place::check(app, at).await?;
    let body = properties(&fields::properties(&call.json()?)?)?;
    if stored.is_none() {
        check_room(app, at).await?;
    }
    let level = body["level"].as_str().unwrap_or_default().to_owned();
    let status = if stored.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    let row = match stored {
        Some(stored) => LockRow { level, body, ..stored },
        None => LockRow {
            id: LockRow::id_at(&at.scope, name),
            name: name.to_owned(),
            scope: at.scope.to_lowercase(),
            level,
            body,
            revision: 0,
        },
    };
    app.store().commit(vec![Write::PutLock(row.clone())]).await?;
    Ok(Reply::json(status, view(&row)))
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let is_good = |c: char| !c.is_control() && !"<>%&:\\?/".contains(c);
    if name.chars().count() <= NAME_LIMIT && name.chars().all(is_good) {
        return Ok(());
    }
    Err(ApiError::bad_request(
        "InvalidLockName",
        format!(
            "The name '{name}' of the lock is invalid. It may have {NAME_LIMIT} characters, but none of '<>%&:\\?/' and no control characters."
        ),
    )
    .target("name"))
}

async fn check_room(app: &App, at: &Extension) -> Result<(), ApiError> {
    let here = at.scope.to_lowercase();
    let all = app.store().locks_at_or_below(&at.scope).await?;
    if all.iter().filter(|row| row.scope == here).count() < MOST {
        return Ok(());
    }
    Err(ApiError::bad_request(
        "LockLimitExceeded",
        format!("The scope '{}' has {MOST} locks already. Delete one first.", at.scope),
    ))
}

fn properties(given: &Map<String, Value>) -> Result<Value, ApiError> {
    let level = fields::choice(given, "level", "properties.level", &LEVELS)?;
    let mut body = json!({ "level": level.ok_or_else(|| missing("properties.level"))? });
    match given.get("notes") {
        None | Some(Value::Null) => {}
        Some(Value::String(notes)) if notes.chars().count() <= NOTES_LIMIT => {
            body["notes"] = json!(notes);
        }
        Some(other) => {
            let why = format!("it must be a string of at most {NOTES_LIMIT} characters");
            return Err(fields::invalid("properties.notes", other, &why));
        }
    }
    match given.get("owners") {
        None | Some(Value::Null) => {}
        Some(owners @ Value::Array(all))
            if all.iter().all(|owner| owner["applicationId"].is_string()) =>
        {
            body["owners"] = owners.clone();
        }
        Some(other) => {
            let why = "it must be a list of objects with 'applicationId'";
            return Err(fields::invalid("properties.owners", other, why));
        }
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_lock_is_rejected_with_its_field() {
        let check = |given: Value| properties(given.as_object().unwrap());
        assert_eq!(check(json!({ "level": "cannotdelete" })).unwrap()["level"], "CanNotDelete");
        for (given, target) in [
            (json!({}), "properties.level"),
            (json!({ "level": "NotSpecified" }), "properties.level"),
            (json!({ "level": "ReadOnly", "notes": 1 }), "properties.notes"),
            (json!({ "level": "ReadOnly", "notes": "x".repeat(513) }), "properties.notes"),
            (json!({ "level": "ReadOnly", "owners": [{}] }), "properties.owners"),
        ] {
            assert_eq!(check(given.clone()).unwrap_err().target.unwrap(), target, "{given}");
        }
        for bad in ["a:b", "a%b", "a\u{7}", &"x".repeat(261)] {
            assert_eq!(check_name(bad).unwrap_err().code, "InvalidLockName", "{bad}");
        }
        check_name("no deletion (really)").unwrap();
    }
}
