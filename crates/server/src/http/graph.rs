//! The part of Microsoft Graph that role assignments and service principals need: finds principals, registers
//! applications, and gives them secrets.
//!
//! Differences from Graph: the object id of an application is its client id; each application has its service principal
//! from the beginning, and they are deleted together.

mod applications;
mod filter;
mod view;

use std::sync::Arc;

use access::principals::{self, Kind, Principal};
use arm::{ApiError, is};
use authorization::{Rights, Scope};
use axum::{extract::Request, response::Response};
use db::{Credential, CredentialKind, Store};
use http::StatusCode;
use serde_json::{Value, json};
use service::{activity, auth::Audience, query};

use self::filter::Filter;
use super::{Site, body, manager, reply};

/// The limit for a list of ids; Graph allows 1,000.
const OF_IDS: usize = 64 << 10;

/// The directory, as one caller sees it.
struct Directory<'a> {
    site: &'a Site,
    base: String,
    rights: Arc<Rights>,
    /// The database: changes are in the activity log, as those of the caller.
    store: Store,
}

/// A principal as an answer shows it.
type View = fn(&Directory<'_>, &Principal, &[Credential]) -> Value;

/// Handles requests below `/graph`.
pub(super) async fn answer(
    site: &Site,
    request: Request,
    segments: &[String],
) -> Result<Response, ApiError> {
    let base = site.base_url(&request);
    let asker = manager::Asker::of(&request);
    let (parts, content) = request.into_parts();
    let caller = match manager::caller(site, &asker, &base, Audience::Graph).await {
        Ok(caller) => caller,
        Err(response) => return Ok(*response),
    };
    let rights = site.app.rights(&caller).await?;
    // The directory belongs to everybody who has some role; a machine's identity without one learns nothing.
    if !rights.touches(&Scope::root()) {
        return Err(insufficient());
    }
    let store = activity::by_client(site.app.store(), &caller);
    let directory = Directory { site, base, rights, store };
    let lower: Vec<String> = segments.iter().skip(1).map(|part| part.to_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let answered = match parts.method.as_str() {
        "GET" => {
            let query = query::parse(parts.uri.query().unwrap_or_default());
            directory.read(&lower, query.get("$filter").map(String::as_str)).await?
        }
        "POST" | "PATCH" | "DELETE" => {
            let bodies = &site.budgets.bodies;
            let (body, _held) = body::read(&parts.headers, content, OF_IDS, bodies).await?;
            directory.write(parts.method.as_str(), &lower, &body).await?
        }
        _ => None,
    };
    answered.ok_or_else(|| {
        ApiError::absent(
            "Request_ResourceNotFound",
            format!(
                "There is nothing for {} at '{}'. This directory has applications, service principals and managed identities only.",
                parts.method,
                parts.uri.path()
            ),
        )
    })
}

impl Directory<'_> {
    /// Handles GET; `None` if there is nothing at the path.
    async fn read(
        &self,
        path: &[&str],
        filter: Option<&str>,
    ) -> Result<Option<Response>, ApiError> {
        let wanted = filter.map_or_else(|| Ok(Filter::default()), Filter::parse);
        Ok(Some(match path {
            ["serviceprincipals"] => {
                let found = self.service_principals().await?;
                self.filtered("servicePrincipals", found, &wanted?, view::principal).await?
            }
            ["applications"] => {
                let found = self.applications().await?;
                self.filtered("applications", found, &wanted?, view::application).await?
            }
            ["serviceprincipals" | "directoryobjects", id] => {
                let found = self.service_principals().await?;
                self.one(found.iter().find(|one| is(&one.object_id, id)), id, view::principal)
                    .await?
            }
            ["applications", id] => {
                let found = self.applications().await?;
                self.one(found.iter().find(|one| is(&one.client_id, id)), id, view::application)
                    .await?
            }
            ["applications" | "serviceprincipals", _, "owners"]
            | ["applications", _, "federatedidentitycredentials"] => {
                self.list("directoryObjects", Vec::new())
            }
            // PowerShell tries each kind of principal in turn, and lists users by name.
            ["users" | "groups"] => self.list(path[0], Vec::new()),
            ["users" | "groups", id] => return Err(not_found(id)),
            ["me"] => {
                return Err(ApiError::bad_request(
                    "Request_BadRequest",
                    "/me request is only valid with delegated authentication flow: a service principal is no user. Use /servicePrincipals.",
                ));
            }
            _ => return Ok(None),
        }))
    }

    /// Handles other methods; `None` if there is nothing at the path.
    async fn write(
        &self,
        method: &str,
        path: &[&str],
        body: &str,
    ) -> Result<Option<Response>, ApiError> {
        Ok(Some(match (method, path) {
            ("POST", ["directoryobjects", "getbyids"]) => {
                let ids = ids(body)?;
                let found = self.service_principals().await?.into_iter();
                let found = found.filter(|one| ids.iter().any(|id| is(&one.object_id, id)));
                let found = found.map(|one| view::principal(self, &one, &[])).collect();
                self.list("directoryObjects", found)
            }
            ("POST", ["applications"]) => self.register(body).await?,
            ("POST", ["serviceprincipals"]) => self.service_principal(body).await?,
            ("PATCH", ["applications" | "serviceprincipals", id]) => self.change(id, body).await?,
            ("DELETE", ["applications" | "serviceprincipals", id]) => self.delete(id).await?,
            ("POST", ["applications" | "serviceprincipals", id, "addpassword"]) => {
                self.add_password(id, body).await?
            }
            ("POST", ["applications" | "serviceprincipals", id, "removepassword"]) => {
                self.remove_password(id, body).await?
            }
            _ => return Ok(None),
        }))
    }

    async fn service_principals(&self) -> Result<Vec<Principal>, ApiError> {
        Ok(principals::all(&self.site.app).await?)
    }

    async fn applications(&self) -> Result<Vec<Principal>, ApiError> {
        Ok(principals::applications(&self.site.app).await?)
    }

    /// The credentials that are not revoked. Those of identities belong to the platform.
    async fn credentials(&self, of: &Principal) -> Result<Vec<Credential>, ApiError> {
        if of.kind != Kind::Application {
            return Ok(Vec::new());
        }
        let mut all = self.site.app.store().credentials_of(&of.client_id.to_lowercase()).await?;
        all.retain(|one| one.revoked.is_none() && one.kind != CredentialKind::Federated);
        Ok(all)
    }

    async fn one(
        &self,
        found: Option<&Principal>,
        id: &str,
        view: View,
    ) -> Result<Response, ApiError> {
        let found = found.ok_or_else(|| not_found(id))?;
        let body = view(self, found, &self.credentials(found).await?);
        Ok(reply::json(StatusCode::OK, &body))
    }

    async fn filtered(
        &self,
        what: &str,
        found: Vec<Principal>,
        wanted: &Filter,
        view: View,
    ) -> Result<Response, ApiError> {
        let mut kept = Vec::new();
        for one in found.iter().filter(|one| wanted.fits(one, &found)) {
            kept.push(view(self, one, &self.credentials(one).await?));
        }
        Ok(self.list(what, kept))
    }

    fn list(&self, what: &str, found: Vec<Value>) -> Response {
        let context = format!("{}/graph/v1.0/$metadata#{what}", self.base);
        reply::json(StatusCode::OK, &json!({ "@odata.context": context, "value": found }))
    }
}

/// 403 in Graph's wording.
fn insufficient() -> ApiError {
    ApiError::new(
        StatusCode::FORBIDDEN,
        "Authorization_RequestDenied",
        "Insufficient privileges to complete the operation.",
    )
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
    fn body_without_ids_is_rejected() {
        assert_eq!(ids(r#"{"ids":["a"],"types":["x"]}"#).unwrap(), ["a"]);
        for bad in ["", "[]", "{}", r#"{"ids":1}"#] {
            assert_eq!(ids(bad).unwrap_err().code, "Request_BadRequest", "{bad}");
        }
    }
}
