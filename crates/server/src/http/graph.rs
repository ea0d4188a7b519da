//! The part of Microsoft Graph that role assignments need: finds a service principal or managed identity
//! by its client id or object id.

use arm::{ApiError, rows};
use axum::{extract::Request, response::Response};
use db::{Client, Resource};
use http::StatusCode;
use serde_json::{Value, json};
use service::{
    auth::{Audience, ManagedIdentity},
    query,
};

use super::{Site, body, manager, reply};

/// The limit for a list of ids; Graph allows 1,000.
const OF_IDS: usize = 64 << 10;

/// Handles requests below `/graph`.
pub(super) async fn answer(
    site: &Site,
    request: Request,
    segments: &[String],
) -> Result<Response, ApiError> {
    let base = site.base_url(&request);
    let asker = manager::Asker::of(&request);
    let (parts, content) = request.into_parts();
    if let Err(response) = manager::caller(site, &asker, &base, Audience::Graph).await {
        return Ok(*response);
    }
    let lower: Vec<String> = segments.iter().map(|part| part.to_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    match (parts.method.as_str(), lower.as_slice()) {
        ("GET", [_, "serviceprincipals"]) => {
            let query = query::parse(parts.uri.query().unwrap_or_default());
            let wanted = query.get("$filter").map(|text| Filter::parse(text)).transpose()?;
            let found = principals(site).await?.into_iter();
            let found: Vec<Value> =
                found.filter(|one| wanted.as_ref().is_none_or(|w| w.fits(one))).collect();
            Ok(list(&base, "servicePrincipals", &found))
        }
        ("GET", [_, "serviceprincipals" | "directoryobjects", id]) => {
            let found = principals(site).await?.into_iter();
            let found = found.into_iter().find(|one| is(&one["id"], id));
            let body = found.ok_or_else(|| not_found(id))?;
            Ok(reply::json(StatusCode::OK, &body))
        }
        // PowerShell tries each kind of principal in turn, and lists users by name.
        ("GET", [_, "users" | "groups"]) => Ok(list(&base, lower[1], &[])),
        ("GET", [_, "users" | "groups", id]) => Err(not_found(id)),
        ("POST", [_, "directoryobjects", "getbyids"]) => {
            let bodies = &site.budgets.bodies;
            let (body, _held) = body::read(&parts.headers, content, OF_IDS, bodies).await?;
            let ids = ids(&body)?;
            let found = principals(site).await?.into_iter();
            let found: Vec<Value> =
                found.filter(|one| ids.iter().any(|id| is(&one["id"], id))).collect();
            Ok(list(&base, "directoryObjects", &found))
        }
        _ => Err(ApiError::absent(
            "Request_ResourceNotFound",
            format!(
                "There is nothing for {} at '{}'. This directory has service principals and managed identities only.",
                parts.method,
                parts.uri.path()
            ),
        )),
    }
}

/// A condition of `$filter`, in the forms of az.
#[derive(Debug, PartialEq)]
struct Filter {
    field: &'static str,
    value: String,
}

impl Filter {
    fn parse(text: &str) -> Result<Self, ApiError> {
        const FIELDS: [&str; 3] = ["appId", "id", "displayName"];
        let text = text.trim();
        if let Some(value) = member(text) {
            return Ok(Self { field: "appId", value });
        }
        for field in FIELDS {
            if let Some(value) = equals(text, field) {
                return Ok(Self { field, value });
            }
        }
        Err(ApiError::bad_request(
            "Request_UnsupportedQuery",
            format!(
                "The filter \"{text}\" is not supported. Use servicePrincipalNames/any(c:c eq 'ID'), appId eq 'ID', id eq 'ID' or displayName eq 'NAME'."
            ),
        ))
    }

    fn fits(&self, principal: &Value) -> bool {
        is(&principal[self.field], &self.value)
    }
}

/// The value of `servicePrincipalNames/any(c:c eq 'VALUE')`. The variable has another name with each client.
fn member(text: &str) -> Option<String> {
    const LIST: &str = "serviceprincipalnames/any(";
    let head = text.get(..LIST.len()).filter(|head| head.eq_ignore_ascii_case(LIST))?;
    let (variable, condition) = text[head.len()..].strip_suffix(')')?.split_once(':')?;
    equals(condition.trim(), variable.trim())
}

/// The value of `FIELD eq 'VALUE'`.
fn equals(text: &str, field: &str) -> Option<String> {
    let (own, rest) = text.split_once(' ')?;
    let (operator, value) = rest.trim_start().split_once(' ')?;
    if !own.eq_ignore_ascii_case(field) || !operator.eq_ignore_ascii_case("eq") {
        return None;
    }
    let value = value.trim().strip_prefix('\'')?.strip_suffix('\'')?;
    let ends_early = value.replace("''", "").contains('\'');
    (!ends_early).then(|| value.replace("''", "'"))
}

fn is(value: &Value, text: &str) -> bool {
    value.as_str().is_some_and(|own| own.eq_ignore_ascii_case(text))
}

async fn principals(site: &Site) -> Result<Vec<Value>, ApiError> {
    let store = site.app.store();
    let clients = store.clients().await?;
    let mut all: Vec<Value> =
        clients.iter().filter(|client| client.revoked.is_none()).map(of_client).collect();
    let identities = rows::of_kind(site.app.context(), ManagedIdentity::KIND).await?;
    all.extend(identities.iter().map(of_identity));
    Ok(all)
}

fn of_client(client: &Client) -> Value {
    json!({
        "@odata.type": "#microsoft.graph.servicePrincipal",
        "id": client.object_id,
        "appId": client.client_id,
        "displayName": client.name,
        "accountEnabled": true,
        "servicePrincipalType": "Application",
        "servicePrincipalNames": [client.client_id],
        "createdDateTime": client.created.to_string(),
    })
}

fn of_identity(identity: &Resource) -> Value {
    let properties = &identity.body["properties"];
    json!({
        "@odata.type": "#microsoft.graph.servicePrincipal",
        "id": properties["principalId"],
        "appId": properties["clientId"],
        "displayName": identity.name,
        "accountEnabled": true,
        "servicePrincipalType": "ManagedIdentity",
        "servicePrincipalNames": [properties["clientId"]],
        "alternativeNames": ["isExplicit=True", identity.id],
        "createdDateTime": identity.created.to_string(),
    })
}

fn list(base: &str, what: &str, found: &[Value]) -> Response {
    let context = format!("{base}/graph/v1.0/$metadata#{what}");
    reply::json(StatusCode::OK, &json!({ "@odata.context": context, "value": found }))
}

/// `ids` of the body of `getByIds`.
fn ids(body: &str) -> Result<Vec<String>, ApiError> {
    #[derive(serde::Deserialize)]
    struct Body {
        ids: Vec<String>,
    }
    serde_json::from_str(body).map(|body: Body| body.ids).map_err(|error| {
        ApiError::bad_request(
            "Request_BadRequest",
            format!("The body must be an object with 'ids', a list of strings: {error}"),
        )
        .target("ids")
    })
}

fn not_found(id: &str) -> ApiError {
    ApiError::absent(
        "Request_ResourceNotFound",
        format!(
            "Resource '{id}' does not exist or one of its queried reference-property objects are not present."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_of_az_are_parsed_and_others_rejected() {
        let field = |text: &str| Filter::parse(text).map(|filter| (filter.field, filter.value));
        assert_eq!(
            field("servicePrincipalNames/any(c:c eq 'ID')").unwrap(),
            ("appId", "ID".to_owned())
        );
        assert_eq!(
            field("servicePrincipalNames/any(c: c eq 'ID')").unwrap(),
            ("appId", "ID".to_owned())
        );
        assert_eq!(field("APPID eq 'ID'").unwrap(), ("appId", "ID".to_owned()));
        assert_eq!(field("displayName eq 'it''s'").unwrap(), ("displayName", "it's".to_owned()));
        for bad in [
            "",
            "appId ne 'x'",
            "appId eq 'x",
            "appIdeq 'x'",
            "appId eq 'x' or id eq 'y'",
            "startswith(displayName,'a')",
            "servicePrincipalNames/any(c:d eq 'x')",
            "servicePrincipalNames/any(c:c eq 'x'",
        ] {
            assert_eq!(field(bad).unwrap_err().code, "Request_UnsupportedQuery", "{bad}");
        }
    }

    #[test]
    fn body_without_ids_is_rejected() {
        assert_eq!(ids(r#"{"ids":["a"],"types":["x"]}"#).unwrap(), ["a"]);
        for bad in ["", "[]", "{}", r#"{"ids":1}"#] {
            assert_eq!(ids(bad).unwrap_err().code, "Request_BadRequest", "{bad}");
        }
    }
}
