//! Registers, changes and deletes applications, and gives them secrets. For those who may give themselves every right
//! already: Owner or User Access Administrator at `/`.

use access::{
    check_owner_stays,
    principals::{Kind, Principal},
};
use api::ErrorCode;
use arm::{ApiError, is};
use authorization::{Need, Scope, Wanted};
use axum::response::Response;
use db::{Client, Write};
use http::StatusCode;
use images::error::Error;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use service::auth::{
    credentials::{self, Valid},
    principal,
};

use super::{Directory, insufficient, not_found, view};
use crate::http::reply;

/// Owner and User Access Administrator have this right, and no other built-in role.
const MANAGE: &str = "Microsoft.Authorization/elevateAccess/action";

/// How long a secret is valid whose request does not say so: Graph's two years.
const VALID: SignedDuration = SignedDuration::from_hours(2 * 365 * 24);

/// Fields without meaning here, which clients send with their defaults.
const IGNORED: [&str; 8] = [
    "signInAudience",
    "accountEnabled",
    "appId",
    "displayName",
    "description",
    "notes",
    "tags",
    "isFallbackPublicClient",
];

impl Directory<'_> {
    fn check_manager(&self) -> Result<(), ApiError> {
        let need = Need::new(Wanted::action(MANAGE), Scope::root());
        self.rights.check(&need).map_err(|_| insufficient())
    }

    /// `POST applications`
    pub(super) async fn register(&self, body: &str) -> Result<Response, ApiError> {
        self.check_manager()?;
        let body = object(body)?;
        check_supported(&body)?;
        let name = text(&body, "displayName")?;
        let client = principal::register(&self.store, name).await.map_err(refused)?;
        let body = view::application(self, &of(&client), &[]);
        Ok(reply::json(StatusCode::CREATED, &body))
    }

    /// `POST servicePrincipals`: an application has its own from the beginning.
    pub(super) async fn service_principal(&self, body: &str) -> Result<Response, ApiError> {
        self.check_manager()?;
        let body = object(body)?;
        check_supported(&body)?;
        let id = text(&body, "appId")?;
        let all = self.applications().await?;
        let found = all.iter().find(|one| is(&one.client_id, id)).ok_or_else(|| {
            ApiError::bad_request(
                "Request_BadRequest",
                format!(
                    "The appId '{id}' of the service principal does not reference a valid application object."
                ),
            )
            .target("appId")
        })?;
        let body = view::principal(self, found, &self.credentials(found).await?);
        Ok(reply::json(StatusCode::CREATED, &body))
    }

    /// `PATCH`: the name can change.
    pub(super) async fn change(&self, id: &str, body: &str) -> Result<Response, ApiError> {
        self.check_manager()?;
        let found = self.application(id).await?;
        let body = object(body)?;
        check_supported(&body)?;
        if let Some(name) = body.get("displayName").and_then(Value::as_str)
            && name != found.name
        {
            let store = &self.store;
            principal::rename(store, &found.client_id, name).await.map_err(refused)?;
        }
        Ok(reply::empty(StatusCode::NO_CONTENT))
    }

    /// `DELETE`: the application with its service principal, its secrets, tokens and role assignments.
    pub(super) async fn delete(&self, id: &str) -> Result<Response, ApiError> {
        self.check_manager()?;
        let found = self.application(id).await?;
        let (app, store) = (&self.site.app, &self.store);
        check_owner_stays(app, &found.object_id).await?;
        let client = store.client(&found.client_id.to_lowercase()).await?;
        let client = client.ok_or_else(|| not_found(id))?;
        // Without the hash, which would become a credential again.
        let revoked = Some(Timestamp::now());
        let mut writes =
            vec![Write::Client(Client { revoked, secret_hash: String::new(), ..client })];
        let assigned = store.assignments_of(&found.object_id.to_lowercase()).await?;
        writes.extend(assigned.iter().map(|row| Write::RemoveAssignment(row.key(), row.revision)));
        store.commit(writes).await?;
        Ok(reply::empty(StatusCode::NO_CONTENT))
    }

    /// `addPassword`: the only answer with the secret.
    pub(super) async fn add_password(&self, id: &str, body: &str) -> Result<Response, ApiError> {
        self.check_manager()?;
        let found = self.application(id).await?;
        let body = match body.trim() {
            "" => Map::new(),
            body => object(body)?,
        };
        let asked = body.get("passwordCredential").cloned().unwrap_or_default();
        let name = asked["displayName"].as_str().unwrap_or_default();
        let starts = time(&asked, "startDateTime")?;
        let expires = match time(&asked, "endDateTime")? {
            Some(expires) => expires,
            None => {
                let starts = starts.unwrap_or_else(Timestamp::now);
                starts.saturating_add(VALID).unwrap_or(Timestamp::MAX)
            }
        };
        let valid = Valid { starts, expires: Some(expires) };
        let store = &self.store;
        let added = credentials::add_secret(store, &found.client_id, name, valid).await;
        let (credential, secret) = added.map_err(refused)?;
        let mut body = view::password(&credential);
        body["@odata.context"] =
            json!(format!("{}/graph/v1.0/$metadata#microsoft.graph.passwordCredential", self.base));
        body["hint"] = json!(secret.get(..3));
        body["secretText"] = json!(secret);
        Ok(reply::json(StatusCode::OK, &body))
    }

    /// `removePassword`
    pub(super) async fn remove_password(&self, id: &str, body: &str) -> Result<Response, ApiError> {
        self.check_manager()?;
        let found = self.application(id).await?;
        let body = object(body)?;
        let key = text(&body, "keyId")?;
        let known = self.credentials(&found).await?;
        if !known.iter().any(|one| is(&one.id, key)) {
            return Err(ApiError::bad_request(
                "Request_BadRequest",
                format!("No password credential found with keyId '{key}'."),
            )
            .target("keyId"));
        }
        let store = &self.store;
        credentials::remove(store, &found.client_id, key).await.map_err(refused)?;
        Ok(reply::empty(StatusCode::NO_CONTENT))
    }

    /// The application by its own object id, or by that of its service principal.
    async fn application(&self, id: &str) -> Result<Principal, ApiError> {
        let all = self.service_principals().await?;
        let found = all.into_iter().find(|one| is(&one.object_id, id) || is(&one.client_id, id));
        let found = found.ok_or_else(|| not_found(id))?;
        match &found.kind {
            Kind::Application => Ok(found),
            Kind::ManagedIdentity(_) => Err(ApiError::bad_request(
                "Request_BadRequest",
                format!(
                    "'{}' is a managed identity. It has no secrets, and it changes and ends with its resource.",
                    found.name
                ),
            )),
        }
    }
}

fn of(client: &Client) -> Principal {
    Principal {
        object_id: client.object_id.clone(),
        client_id: client.client_id.clone(),
        name: client.name.clone(),
        created: client.created,
        kind: Kind::Application,
    }
}

fn object(body: &str) -> Result<Map<String, Value>, ApiError> {
    serde_json::from_str(body).map_err(|error| {
        ApiError::bad_request(
            "Request_BadRequest",
            format!("The body must be a JSON object: {error}"),
        )
    })
}

fn text<'a>(body: &'a Map<String, Value>, field: &str) -> Result<&'a str, ApiError> {
    body.get(field).and_then(Value::as_str).ok_or_else(|| {
        ApiError::bad_request("Request_BadRequest", format!("'{field}' must be a string."))
            .target(field)
    })
}

fn time(body: &Value, field: &str) -> Result<Option<Timestamp>, ApiError> {
    match &body[field] {
        Value::Null => Ok(None),
        value => value.as_str().and_then(|text| text.parse().ok()).map(Some).ok_or_else(|| {
            ApiError::bad_request(
                "Request_BadRequest",
                format!(
                    "The value {value} of '{field}' is not a time such as 2027-01-31T00:00:00Z."
                ),
            )
            .target(format!("passwordCredential.{field}"))
        }),
    }
}

/// Refuses what would be lost silently.
fn check_supported(body: &Map<String, Value>) -> Result<(), ApiError> {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    let other = body
        .iter()
        .find(|(field, value)| !IGNORED.iter().any(|known| is(known, field)) && !is_empty(value));
    match other {
        None => Ok(()),
        Some((field, _)) => Err(ApiError::bad_request(
            "Request_BadRequest",
            format!(
                "'{field}' is not supported. An application has a display name and secrets; add a certificate with `goldsmith admin sp certificate add`."
            ),
        )
        .target(field)),
    }
}

fn refused(error: Error) -> ApiError {
    let message = match &error.hint {
        Some(hint) => format!("{}: {hint}.", error.message),
        None => format!("{}.", error.message),
    };
    match error.code {
        ErrorCode::InvalidArgument | ErrorCode::Conflict => {
            ApiError::bad_request("Request_BadRequest", message)
        }
        ErrorCode::NotFound => ApiError::absent("Request_ResourceNotFound", message),
        _ => ApiError::failed(&error),
    }
}
