//! The resource manager: authentication, api-version and body; then [`routes::handle`].

use std::collections::BTreeMap;

use arm::{ApiError, Caller, Method, Path, Reply, Scope};
use axum::{extract::Request, response::Response};
use base64::{Engine, prelude::BASE64_STANDARD};
use db::ResourceKey;
use http::{HeaderMap, StatusCode, header};
use images::step::CUSTOMIZATION_LOG;
use runs::following::{self, Whose};
use service::{
    auth::{Audience, Denied},
    query,
};

use super::{
    Site,
    around::{self, Trace},
    body, following as sent, reply,
    session::Session,
    streamed,
};
use crate::routes;

/// Makes clients fetch a newer token: az then repeats the call.
const CHALLENGE: &str = r#"{"access_token":{"nbf":{"essential":true,"value":"1"}}}"#;

/// Handles a call to the resource manager.
pub(super) async fn answer(site: &Site, request: Request) -> Response {
    let base_url = site.base_url(&request);
    let client = Asker::of(&request);
    let caller = match caller(site, &client, &base_url, Audience::Arm).await {
        Ok(caller) => caller,
        Err(response) => return *response,
    };
    let path = Path::parse(request.uri().path());
    let query = query::parse(request.uri().query().unwrap_or_default());
    let version = query.get("api-version").map(|version| version.to_lowercase());
    let bare = reply::is_bare(&path, version.as_deref().unwrap_or_default());
    if let Some(live) = live(&path, request.method()) {
        let after = request.headers().get("last-event-id");
        let after =
            after.and_then(|id| id.to_str().ok()).or(query.get("after").map(String::as_str));
        let session = Session {
            site: site.clone(),
            authorization: client.authorization,
            base_url,
            audience: Audience::Arm,
        };
        let answered = live.answer(site, &caller, session, after).await;
        return answered.unwrap_or_else(|error| reply::error(&error, bare));
    }
    match call(site, request, caller, path, query).await {
        Ok(answered) => reply::of(&answered),
        Err(error) => reply::error(&error, bare),
    }
}

/// A stream of a run: its events or a log.
struct Live {
    whose: Whose,
    run: String,
    what: What,
}

enum What {
    Events,
    Log(String),
}

/// Parses `…/imageTemplates/{t}/runs/{id}/…`, or below the subscription `runs/{id}/…`, followed by `events`,
/// `log`, `validationLog` or `logs/{name}`.
fn live(path: &Path, method: &http::Method) -> Option<Live> {
    let is = |text: &str, word: &str| text.eq_ignore_ascii_case(word);
    if !path.in_namespace("Microsoft.VirtualMachineImages") || method != http::Method::GET {
        return None;
    }
    let (whose, run, what) = match (&path.scope, path.rest.as_slice()) {
        (_, [templates, _, runs, run, what @ ..])
            if is(templates, "imageTemplates") && is(runs, "runs") =>
        {
            let depth = what.len() + 2;
            let template = path.text.rsplitn(depth + 1, '/').nth(depth)?;
            (Whose::Template(ResourceKey::of(template)), run, what)
        }
        (Scope::Subscription(id), [runs, run, what @ ..]) if is(runs, "runs") => {
            (Whose::Subscription(id.clone()), run, what)
        }
        _ => return None,
    };
    let what = match what {
        [what] if is(what, "events") => What::Events,
        [what] if is(what, "log") => What::Log(CUSTOMIZATION_LOG.to_owned()),
        [what, name] if is(what, "logs") => What::Log(name.to_lowercase()),
        _ => return None,
    };
    Some(Live { whose, run: run.clone(), what })
}

impl Live {
    async fn answer(
        &self,
        site: &Site,
        caller: &Caller,
        session: Session,
        after: Option<&str>,
    ) -> Result<Response, ApiError> {
        let app = &site.app;
        let open = streamed::open(site, caller)?;
        let response = match &self.what {
            What::Events => {
                sent::events(following::events_of(app, &self.whose, &self.run, after).await?)
            }
            What::Log(name) => sent::log(following::log(app, &self.whose, &self.run, name).await?),
        };
        Ok(streamed::until_end(session.guard(response), open))
    }
}

async fn call(
    site: &Site,
    request: Request,
    caller: Caller,
    path: Path,
    query: BTreeMap<String, String>,
) -> Result<Reply, ApiError> {
    let method = method(&request)?;
    let api_version = api_version(&query)?;
    let base_url = site.base_url(&request);
    let trace = request.extensions().get::<Trace>().cloned().unwrap_or_default();
    let (parts, content) = request.into_parts();
    let bodies = &site.budgets.bodies;
    let (body, share) = body::read(&parts.headers, content, body::OF_ARM, bodies).await?;
    let call = arm::Request {
        method,
        path,
        query,
        api_version,
        body,
        base_url,
        request_id: trace.id,
        correlation_id: around::correlation(&parts.headers).map(str::to_owned),
        if_match: if_match(&parts.headers),
        caller,
    };
    // In a separate task, so that it continues when the client hangs up. Shutdown waits for it.
    let (app, tasks) = (site.app.clone(), site.app.tasks());
    match tasks
        .spawn(async move {
            let _until_answered = share;
            routes::handle(&app, call).await
        })
        .await
    {
        Ok(answered) => answered,
        Err(error) => Err(ApiError::internal(error)),
    }
}

fn method(request: &Request) -> Result<Method, ApiError> {
    Ok(match request.method().as_str() {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "PUT" => Method::Put,
        "PATCH" => Method::Patch,
        "POST" => Method::Post,
        "DELETE" => Method::Delete,
        _ => {
            return Err(reply::method_not_allowed(
                request,
                "GET, HEAD, PUT, PATCH, POST or DELETE",
            ));
        }
    })
}

fn api_version(query: &BTreeMap<String, String>) -> Result<String, ApiError> {
    let given = query.get("api-version").map_or("", |version| version.trim());
    if given.is_empty() {
        return Err(ApiError::bad_request(
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        ));
    }
    if !is_version(given) {
        return Err(ApiError::bad_request(
            "InvalidApiVersionParameter",
            format!(
                "The api-version '{given}' is invalid. It is a date, such as 2024-02-01, optionally followed by '-preview'."
            ),
        ));
    }
    Ok(given.to_lowercase())
}

/// Whether it is a valid date, with or without a suffix.
fn is_version(text: &str) -> bool {
    let (Some(date), Some(rest)) = (text.get(..10), text.get(10..)) else {
        return false;
    };
    let word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let shape = date.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    shape
        && date.parse::<jiff::civil::Date>().is_ok()
        && (rest.is_empty() || rest.strip_prefix('-').is_some_and(word))
}

fn if_match(headers: &HeaderMap) -> Option<String> {
    let given = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    match (given(header::IF_MATCH), given(header::IF_NONE_MATCH)) {
        (Some(tag), _) => Some(tag.trim().to_owned()),
        (None, Some(none)) if none.trim() == "*" => Some("!*".to_owned()),
        _ => None,
    }
}

/// The parts of a request that identify the client.
pub(super) struct Asker {
    pub(super) authorization: Option<http::HeaderValue>,
    trace: Trace,
}

impl Asker {
    pub(super) fn of(request: &Request) -> Self {
        Self {
            authorization: request.headers().get(header::AUTHORIZATION).cloned(),
            trace: request.extensions().get::<Trace>().cloned().unwrap_or_default(),
        }
    }

    /// The client's address.
    pub(super) fn peer(&self) -> Option<std::net::SocketAddr> {
        self.trace.peer
    }
}

/// The caller according to the `Authorization` header, or the error response.
pub(super) async fn caller(
    site: &Site,
    client: &Asker,
    base: &str,
    wanted: Audience,
) -> Result<Caller, Box<Response>> {
    let header = client.authorization.as_ref().and_then(|header| header.to_str().ok());
    let caller = site.auth.caller(header, wanted, &site.names, base).await;
    let caller = caller.map_err(|denied| Box::new(refusal(denied, base, site.auth.tenant())))?;
    site.budgets.trust(client.trace.peer);
    client.trace.name(&caller.client_id);
    Ok(caller)
}

fn refusal(denied: Denied, base: &str, tenant: &str) -> Response {
    let (error, challenge) = match denied {
        Denied::Store(error) => return reply::error(&error.into(), false),
        Denied::NoToken => (
            ApiError::new(
                StatusCode::UNAUTHORIZED,
                "AuthenticationFailed",
                "Authentication failed. The 'Authorization' header is missing or has no bearer token. Sign in with `az login --service-principal`.",
            ),
            format!(
                r#"Bearer authorization_uri="{base}/{tenant}", error="invalid_token", error_description="The authentication failed because of missing 'Authorization' header.""#
            ),
        ),
        Denied::BadToken { code, why } => (
            ApiError::new(StatusCode::UNAUTHORIZED, code, why),
            format!(
                r#"Bearer realm="", authorization_uri="{base}/common/oauth2/authorize", error="insufficient_claims", claims="{}""#,
                BASE64_STANDARD.encode(CHALLENGE)
            ),
        ),
    };
    let mut response = reply::error(&error, false);
    reply::set(&mut response, "www-authenticate", &challenge);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_version_must_be_a_date() {
        let of = |version: &str| {
            api_version(&query::parse(&format!("api-version={version}"))).map_err(|e| e.code)
        };
        for good in ["2024-02-01", "2019-05-01-preview", "2016-02-01-alpha"] {
            assert_eq!(of(good).unwrap(), good);
        }
        assert_eq!(of("2019-05-01-Preview").unwrap(), "2019-05-01-preview");
        assert_eq!(of("").unwrap_err(), "MissingApiVersionParameter");
        for bad in [
            "1",
            "2024-2-1",
            "2024-13-01",
            "2024-02-01-",
            "2024-02-01x",
            "%2b024-02-01",
            "2024-02-01-a-b",
        ] {
            assert_eq!(of(bad).unwrap_err(), "InvalidApiVersionParameter", "{bad}");
        }
    }

    #[test]
    fn invalid_token_gets_a_claims_challenge() {
        let denied =
            Denied::BadToken { code: "ExpiredAuthenticationToken", why: "late".to_owned() };
        let response = refusal(denied, "https://h:1", "T");
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(
            response.headers()["www-authenticate"],
            "Bearer realm=\"\", authorization_uri=\"https://h:1/common/oauth2/authorize\", error=\"insufficient_claims\", claims=\"eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwidmFsdWUiOiIxIn19fQ==\""
        );
        let response = refusal(Denied::NoToken, "https://h:1", "T");
        assert_eq!(response.headers()["x-ms-error-code"], "AuthenticationFailed");
    }

    #[test]
    fn both_kinds_of_preconditions_are_parsed() {
        let of = |name: &'static str, value: &str| {
            if_match(&HeaderMap::from_iter([(
                http::HeaderName::from_static(name),
                value.parse().unwrap(),
            )]))
        };
        assert_eq!(of("if-match", "\"1\"").as_deref(), Some("\"1\""));
        assert_eq!(of("if-none-match", "*").as_deref(), Some("!*"));
        assert_eq!(of("if-none-match", "\"1\""), None);
    }
}
