//! The login endpoint, in the forms of Entra and of AD FS: discovery, keys, and tokens for service
//! principals. As there are no users, it supports no other grants.

use std::{collections::BTreeMap, time::Instant};

use arm::ApiError;
use axum::{extract::Request, response::Response};
use http::StatusCode;
use serde_json::{Value, json};
use service::{
    auth::{Proof, Rejected, audience_of, name_of},
    query,
};

use super::{Site, around::Trace, body, reply};
use crate::limits::Cut;

/// The relation that MSAL.NET asks about before it sends a secret to a login endpoint of AD FS.
const TRUSTED_REALM: &str = "http://schemas.microsoft.com/rel/trusted-realm";

/// The type of a signed token that a client shows instead of a secret (RFC 7523).
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What ends a scope: everything that the service principal may do, in the forms of Entra and of AD FS.
const EVERYTHING: [&str; 2] = ["/.default", "/openid"];

/// `.well-known/webfinger?resource=https://HOST`: trusts the names of this server.
///
/// # Errors
/// 404 for another host, 400 without one.
pub(super) fn web_finger(site: &Site, request: &Request) -> Result<Response, ApiError> {
    let query = query::parse(request.uri().query().unwrap_or_default());
    let resource = query.get("resource").map(String::as_str).unwrap_or_default();
    if resource.is_empty() {
        return Err(ApiError::bad_request(
            "InvalidQueryParameter",
            "The query parameter 'resource' is missing. It is the address of a login endpoint, such as https://localhost.",
        )
        .target("resource"));
    }
    let name = name_of(resource).filter(|host| site.names.iter().any(|own| arm::is(own, host)));
    if name.is_none() {
        return Err(ApiError::absent(
            "ResourceNotFound",
            format!("'{}' is not a name of this server.", Cut(resource)),
        )
        .target("resource"));
    }
    // MSAL.NET compares `href` with the resource.
    let links = json!([{ "rel": TRUSTED_REALM, "href": resource }]);
    Ok(reply::json(StatusCode::OK, &json!({ "subject": resource, "links": links })))
}

/// `.well-known/openid-configuration`.
pub(super) fn openid_configuration(
    site: &Site,
    request: &Request,
    adfs: bool,
    tenant: Option<&str>,
) -> Response {
    let own = site.auth.tenant();
    if let Some(tenant) = tenant.filter(|tenant| !is_our_tenant(tenant, own)) {
        return unknown_tenant(tenant, own);
    }
    let body = discovery(&site.base_url(request), own, adfs && tenant.is_none(), adfs);
    reply::json(StatusCode::OK, &body)
}

/// The discovery document. `plain_adfs`: the URL has no tenant. Otherwise `issuer` has the tenant's id directly
/// after the host, even below `/adfs`, because az reads it there.
fn discovery(base: &str, tenant: &str, plain_adfs: bool, adfs: bool) -> Value {
    let (issuer, oauth2, keys) = if plain_adfs {
        (
            format!("{base}/adfs"),
            format!("{base}/adfs/oauth2"),
            format!("{base}/adfs/discovery/keys"),
        )
    } else {
        let root = if adfs { format!("{base}/adfs/{tenant}") } else { format!("{base}/{tenant}") };
        let issuer = format!("{base}/{tenant}/v2.0");
        (issuer, format!("{root}/oauth2/v2.0"), format!("{root}/discovery/v2.0/keys"))
    };
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{oauth2}/authorize"),
        "token_endpoint": format!("{oauth2}/token"),
        "device_authorization_endpoint": format!("{oauth2}/devicecode"),
        "jwks_uri": keys,
        "response_types_supported": ["code", "token"],
        "grant_types_supported": ["client_credentials"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "scopes_supported": [],
        "tenant_region_scope": null,
    })
}

/// The public keys for verifying tokens.
pub(super) fn keys(site: &Site) -> Response {
    reply::json(StatusCode::OK, &site.auth.jwks())
}

/// The token endpoint. Its errors have the form of OAuth2.
pub(super) async fn token(site: &Site, request: Request, tenant: Option<&str>) -> Response {
    let mut response = match issue(site, request, tenant).await {
        Ok(body) => reply::json(StatusCode::OK, &body),
        Err(response) => *response,
    };
    // RFC 6749, 5.1.
    reply::set(&mut response, "cache-control", "no-store");
    reply::set(&mut response, "pragma", "no-cache");
    response
}

/// The fields of a request for a token.
struct Form(BTreeMap<String, String>);

impl Form {
    fn field(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    fn required(&self, name: &str) -> Result<&str, Box<Response>> {
        self.field(name).ok_or_else(|| {
            let text = format!(
                "AADSTS900144: The request body must contain the following parameter: '{name}'."
            );
            refusal(StatusCode::BAD_REQUEST, "invalid_request", 900_144, &text)
        })
    }

    /// What the client shows.
    fn proof<'a>(&'a self, endpoints: &'a [String]) -> Result<Proof<'a>, Box<Response>> {
        match self.field("client_assertion") {
            Some(token) if self.field("client_assertion_type") == Some(ASSERTION) => {
                Ok(Proof::Assertion(token, endpoints))
            }
            Some(_) => {
                let text =
                    format!("AADSTS90023: The 'client_assertion_type' must be '{ASSERTION}'.");
                Err(refusal(StatusCode::BAD_REQUEST, "invalid_request", 90_023, &text))
            }
            None => Ok(Proof::Secret(self.required("client_secret")?)),
        }
    }

    /// The name of this server that the token is for.
    fn audience(&self, site: &Site, base: &str) -> Result<&str, Box<Response>> {
        // Version 1 of the protocol names a resource where version 2 has scopes.
        let asked = match self.field("resource") {
            Some(resource) => resource,
            None => self.required("scope")?,
        };
        let audience = asked.split(' ').next().unwrap_or_default();
        let ends = EVERYTHING.iter().find_map(|end| audience.strip_suffix(end));
        let audience = ends.unwrap_or(audience);
        if audience_of(audience, &site.names).is_some() {
            return Ok(audience);
        }
        let text = format!(
            "AADSTS500011: The resource principal named '{}' was not found. Use '{base}/.default'; add other names of this server with `goldsmith serve --host NAME`.",
            Cut(audience)
        );
        Err(refusal(StatusCode::BAD_REQUEST, "invalid_resource", 500_011, &text))
    }
}

async fn issue(
    site: &Site,
    request: Request,
    tenant: Option<&str>,
) -> Result<Value, Box<Response>> {
    let own = site.auth.tenant();
    if let Some(tenant) = tenant.filter(|tenant| !is_our_tenant(tenant, own)) {
        return Err(Box::new(unknown_tenant(tenant, own)));
    }
    if request.method() != http::Method::POST {
        let error = reply::method_not_allowed(&request, "POST");
        return Err(Box::new(reply::error(&error, false)));
    }
    let trace = request.extensions().get::<Trace>().cloned().unwrap_or_default();
    let base = site.base_url(&request);
    let (parts, content) = request.into_parts();
    let bodies = &site.budgets.bodies;
    let form = body::read(&parts.headers, content, body::SMALL, bodies).await;
    let (form, _held) = form.map_err(|error| Box::new(reply::error(&error, false)))?;
    // After reading the body, so that the client can reuse the connection.
    may_try(site, &trace)?;
    let form = Form(query::parse(&form));
    let grant = form.required("grant_type")?;
    if grant != "client_credentials" {
        let text = format!(
            "AADSTS70003: The app requested an unsupported grant type '{}'. Use 'client_credentials', as `az login --service-principal` does.",
            Cut(grant)
        );
        return Err(refusal(StatusCode::BAD_REQUEST, "unsupported_grant_type", 70_003, &text));
    }
    let id = form.required("client_id")?;
    let endpoints = token_endpoints(&base, own);
    let proof = form.proof(&endpoints)?;
    let audience = form.audience(site, &base)?;
    let issuer = format!("{base}/{own}/");
    match site.auth.token(id, &proof, audience, &issuer).await {
        Ok(Ok(token)) => {
            site.budgets.trust(trace.peer);
            trace.name(&id.to_lowercase());
            Ok(json!({
                "token_type": "Bearer",
                "expires_in": site.auth.lifetime() - 1,
                "ext_expires_in": site.auth.lifetime() - 1,
                "access_token": token,
            }))
        }
        Ok(Err(rejected)) => {
            let (code, text) = explained(&rejected, id);
            let (given, id) = (id, Cut(id));
            let address = trace.peer.map(|peer| peer.ip().to_string());
            site.app.activities().login_failed(given, address.as_deref(), code);
            tracing::warn!(client_id = %id, peer = ?trace.peer, code, "rejected the login of a service principal");
            if let Some(peer) = trace.peer {
                site.budgets.logins.fail(peer.ip(), Instant::now());
            }
            // Not 400, which MSAL caches for a minute.
            Err(refusal(StatusCode::UNAUTHORIZED, "invalid_client", code, &text))
        }
        Err(error) => Err(Box::new(reply::error(&error.into(), false))),
    }
}

/// The number and the text of a rejected login. The same for an unknown id as for a wrong secret, so that it does not reveal
/// which ids exist.
fn explained(rejected: &Rejected, id: &str) -> (u32, String) {
    let id = Cut(id);
    match rejected {
        Rejected::Wrong => (
            7_000_215,
            format!(
                "AADSTS7000215: Invalid client secret provided, or there is no service principal '{id}', or it was revoked. `goldsmith admin sp list` shows them, `goldsmith admin sp rotate` creates a new secret."
            ),
        ),
        Rejected::Expired(at) => (
            7_000_222,
            format!(
                "AADSTS7000222: The provided client secret keys or certificate of app '{id}' are expired since {at}. `goldsmith admin sp secret add` and `goldsmith admin sp certificate add` add others."
            ),
        ),
        Rejected::Assertion(code, why) => (
            *code,
            format!("AADSTS{code}: The client assertion of '{id}' is not valid: {}.", Cut(why)),
        ),
    }
}

/// The URLs of the token endpoint, in the forms that clients take for the audience of their assertions.
fn token_endpoints(base: &str, tenant: &str) -> Vec<String> {
    let trees = ["adfs".to_owned(), tenant.to_owned(), format!("adfs/{tenant}")];
    let ends = ["oauth2/token", "oauth2/v2.0/token"];
    let mut all: Vec<String> =
        trees.iter().flat_map(|tree| ends.map(|end| format!("{base}/{tree}/{end}"))).collect();
    all.extend(["common", "organizations"].map(|any| format!("{base}/{any}/oauth2/v2.0/token")));
    all
}

/// Rejects logins from an address after too many failures.
fn may_try(site: &Site, trace: &Trace) -> Result<(), Box<Response>> {
    let Some(peer) = trace.peer else { return Ok(()) };
    let Some(wait) = site.budgets.logins.wait(peer.ip(), Instant::now()) else { return Ok(()) };
    let seconds = wait.as_secs() + 1;
    let text = format!(
        "AADSTS50196: Too many logins from {} failed within a minute. Correct the secret, and try again in {seconds} s.",
        peer.ip()
    );
    let status = StatusCode::TOO_MANY_REQUESTS;
    let mut response = refusal(status, "temporarily_unavailable", 50_196, &text);
    reply::set(&mut response, "retry-after", &seconds.to_string());
    Err(response)
}

/// Whether it is this server's tenant: its id, or any name. Only another id is another tenant.
fn is_our_tenant(tenant: &str, own: &str) -> bool {
    tenant.eq_ignore_ascii_case(own) || uuid::Uuid::try_parse(tenant).is_err()
}

fn unknown_tenant(tenant: &str, own: &str) -> Response {
    let text =
        format!("AADSTS90002: Tenant '{tenant}' not found. This server's tenant is '{own}'.");
    // Not 400, which MSAL caches for a minute.
    *refusal(StatusCode::UNAUTHORIZED, "invalid_tenant", 90_002, &text)
}

fn refusal(status: StatusCode, error: &str, code: u32, description: &str) -> Box<Response> {
    let body = json!({
        "error": error, "error_description": description, "error_codes": [code],
        "timestamp": jiff::Timestamp::now().to_string(),
    });
    Box::new(reply::json(status, &body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tree_has_its_own_token_endpoint() {
        let at = |plain, adfs| discovery("https://h:1", "T", plain, adfs);
        assert_eq!(at(true, true)["token_endpoint"], "https://h:1/adfs/oauth2/token");
        assert_eq!(at(true, true)["issuer"], "https://h:1/adfs");
        assert_eq!(at(false, true)["token_endpoint"], "https://h:1/adfs/T/oauth2/v2.0/token");
        assert_eq!(at(false, true)["issuer"], "https://h:1/T/v2.0");
        assert_eq!(at(false, false)["token_endpoint"], "https://h:1/T/oauth2/v2.0/token");
        assert_eq!(at(false, false)["jwks_uri"], "https://h:1/T/discovery/v2.0/keys");
    }

    #[test]
    fn tenant_matches_by_id_or_any_name() {
        let own = "0b0e1c4a-7b3c-4b57-9f65-1d8f2a6b3c4d";
        assert!(is_our_tenant(&own.to_uppercase(), own));
        assert!(is_our_tenant("common", own) && is_our_tenant("forge.example", own));
        assert!(!is_our_tenant("11111111-7b3c-4b57-9f65-1d8f2a6b3c4d", own));
    }
}
