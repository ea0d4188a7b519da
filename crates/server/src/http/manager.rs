//! The resource manager: authentication, api-version and body; then [`routes::handle`].

use std::collections::BTreeMap;

use ::runs::following::{self, Whose};
use arm::{ApiError, Caller, Method, Path, Reply};
use authorization::{Denial, Need, Rule};
use axum::{extract::Request, response::Response};
use base64::{Engine, prelude::BASE64_STANDARD};
use db::ResourceKey;
use http::{HeaderMap, StatusCode, header};
use images::step::CUSTOMIZATION_LOG;
use providers::image_builder::runs;
use service::{
    auth::{Audience, Denied},
    query,
};

use super::{
    Site,
    around::{self, Trace},
    body, following as sent,
    permit::{Permit, Refused},
    reply,
    session::Session,
    streamed,
};
use crate::routes::{self, Target};

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
        let answered = live.answer(site, &caller, (client.authorization, base_url), after).await;
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
    /// What the caller must satisfy to ask for it.
    rule: Rule,
    /// What they are told they lack.
    need: Need,
}

enum What {
    Events,
    Log(String),
}

/// Parses `…/imageTemplates/{t}/runs/{id}/…`, or below the subscription `runs/{id}/…`, followed by `events`, `log` or
/// `logs/{name}`.
fn live(path: &Path, method: &http::Method) -> Option<Live> {
    if method != http::Method::GET {
        return None;
    }
    let target = Target::at(Method::Get, path);
    let (whose, rest) = match target {
        Target::RunStream => {
            let template = path.text.rsplitn(path.rest.len() - 1, '/').last()?;
            (Whose::Template(ResourceKey::of(template)), path.rest.get(3..)?)
        }
        Target::RunStreamById => {
            (Whose::Subscription(path.scope.subscription()?.to_owned()), path.rest.get(1..)?)
        }
        _ => return None,
    };
    let (run, what) = match rest {
        [run, what] if what.eq_ignore_ascii_case("events") => (run, What::Events),
        [run, _log] => (run, What::Log(CUSTOMIZATION_LOG.to_owned())),
        [run, _logs, name] => (run, What::Log(name.to_lowercase())),
        _ => return None,
    };
    let (rule, need) = (target.rule(Method::Get, path), target.need(Method::Get, path));
    Some(Live { whose, run: run.clone(), what, rule, need })
}

impl Live {
    async fn answer(
        self,
        site: &Site,
        caller: &Caller,
        (authorization, base_url): (Option<http::HeaderValue>, String),
        after: Option<&str>,
    ) -> Result<Response, ApiError> {
        let app = &site.app;
        let permit = self.permit(site, caller).await?;
        let audience = Audience::Arm;
        let session = Session { site: site.clone(), authorization, base_url, audience, permit };
        let open = streamed::open(site, caller)?;
        let response = match &self.what {
            What::Events => {
                sent::events(following::events_of(app, &self.whose, &self.run, after).await?)
            }
            What::Log(name) => sent::log(following::log(app, &self.whose, &self.run, name).await?),
        };
        Ok(streamed::until_end(session.guard(response), open))
    }

    /// By its id, a run that the caller may not read is as unknown as one that never was.
    async fn permit(&self, site: &Site, caller: &Caller) -> Result<Permit, ApiError> {
        let app = &site.app;
        let permit = Permit::ask(app, caller, self.rule.clone()).await;
        let permit = permit.map_err(|refused| forbidden(refused, caller, &self.need))?;
        if matches!(self.whose, Whose::Template(_)) {
            return Ok(permit);
        }
        let run = following::run_of(app, &self.whose, &self.run).await?;
        let rule = Rule::All(vec![runs::need(&run)]);
        Permit::ask(app, caller, rule).await.map_err(|refused| match refused {
            Refused::Denied(_) => runs::not_found(&self.run),
            Refused::Store(error) => error.into(),
        })
    }
}

/// The answer to a caller without permission, in terms of what they need.
pub(super) fn forbidden(refused: Refused, caller: &Caller, need: &Need) -> ApiError {
    match refused {
        Refused::Denied(Denial::Missing { .. }) => {
            arm::denied(caller, &Denial::Missing { need: need.clone() })
        }
        Refused::Denied(denial) => arm::denied(caller, &denial),
        Refused::Store(error) => error.into(),
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
        client: arm::Client {
            address: trace.peer.map(|peer| peer.ip().to_string()),
            request_id: around::client_request(&parts.headers).map(str::to_owned),
        },
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
