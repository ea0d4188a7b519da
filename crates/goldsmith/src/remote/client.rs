//! The calls to a service. Errors are the service's own words.

use std::time::{Duration, Instant};

use api::ErrorCode;
use futures_util::StreamExt;
use images::{
    error::{Coded, Error},
    event::Event,
};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::sync::Mutex;

use super::{Login, sse};

const VERSION: &str = "api-version=2024-02-01";
const CONNECT: Duration = Duration::from_secs(10);
/// Between two tries to resume an event stream that broke.
const AGAIN: Duration = Duration::from_secs(1);
/// So often in a row a stream may break without anything received.
const TRIES: u32 = 30;
/// A token is replaced when this share of its life, in percent, is over.
const USED_UP: u32 = 80;

/// A connection in the name of a login.
pub(crate) struct Client {
    http: reqwest::Client,
    login: Login,
    token: Mutex<Token>,
}

/// An access token, replaced before it expires and when the service refuses it.
#[derive(Clone)]
struct Token {
    text: String,
    replace_at: Instant,
}

/// What comes in while a run is followed.
pub(crate) enum Followed {
    /// As a local build tells it.
    Event(Event),
    /// An attempt is over; the object says how.
    Ended(Value),
}

impl Client {
    /// Gets a token.
    pub(crate) async fn connect(login: Login) -> Result<Self, Error> {
        let http = http(&login)?;
        let token = token(&http, &login).await?;
        Ok(Self { http, login, token: Mutex::new(token) })
    }

    /// Subscriptions that the login may use: id and name.
    pub(crate) async fn subscriptions(&self) -> Result<Vec<(String, String)>, Error> {
        let list = self.call(Method::GET, "/subscriptions").await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let values = list["value"].as_array().cloned().unwrap_or_default();
        Ok(values
            .iter()
            .map(|one| (text(&one["subscriptionId"]), text(&one["displayName"])))
            .collect())
    }

    /// The id of a template: as it is, or from `GROUP/NAME`.
    pub(crate) fn template(&self, name: &str) -> Result<String, Error> {
        if name.starts_with('/') {
            return Ok(name.trim_end_matches('/').to_owned());
        }
        let parts = name
            .split_once('/')
            .filter(|(group, name)| !group.is_empty() && !name.is_empty() && !name.contains('/'));
        let Some((group, name)) = parts else {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                format!("`{name}` is neither GROUP/TEMPLATE nor a resource id"),
            )
            .hint("for example: goldsmith run start images/web-server"));
        };
        let subscription = &self.login.subscription_id;
        Ok(format!(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.VirtualMachineImages/imageTemplates/{name}"
        ))
    }

    /// The path of a run by its id alone, whatever became of its template.
    pub(crate) fn run(&self, id: &str) -> String {
        let subscription = &self.login.subscription_id;
        format!("/subscriptions/{subscription}/providers/Microsoft.VirtualMachineImages/runs/{id}")
    }

    /// A call; the body of the answer.
    pub(crate) async fn call(&self, method: Method, path: &str) -> Result<Value, Error> {
        let answer = self.send(method, path, None).await?;
        let (status, body) = read(answer).await?;
        if status.is_success() { Ok(body) } else { Err(refused(status, &body)) }
    }

    /// A log of a run.
    pub(crate) async fn log(&self, path: &str) -> Result<String, Error> {
        let answer = self.send(Method::GET, path, None).await?;
        if answer.status().is_success() {
            return answer.text().await.map_err(|e| unreachable(&self.login.url, e));
        }
        let (status, body) = read(answer).await?;
        Err(refused(status, &body))
    }

    /// Follows a run until it is over, and returns it. A stream that breaks or ends before the run does
    /// is resumed after the last event received.
    pub(crate) async fn follow(
        &self,
        run: &str,
        mut sink: impl FnMut(Followed),
    ) -> Result<Value, Error> {
        let mut patience = Patience::new();
        let mut last = String::new();
        loop {
            let streamed = self.follow_once(run, &mut last, &mut patience, &mut sink).await;
            let seen = match streamed {
                Ok(()) => self.call(Method::GET, run).await,
                Err(error) => Err(error),
            };
            match seen {
                Ok(run) if is_over(&run) => return Ok(run),
                // The service closed the stream and answers: the run continues.
                Ok(_) => patience.progress(),
                Err(error) if error.code == ErrorCode::HostNotReady && patience.lasts() => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn follow_once(
        &self,
        run: &str,
        last: &mut String,
        patience: &mut Patience,
        sink: &mut impl FnMut(Followed),
    ) -> Result<(), Error> {
        let answer = self.send(Method::GET, &format!("{run}/events"), Some(&*last)).await?;
        if !answer.status().is_success() {
            let (status, body) = read(answer).await?;
            return Err(refused(status, &body));
        }
        let mut parser = sse::Parser::default();
        let mut bytes = answer.bytes_stream();
        while let Some(chunk) = bytes.next().await {
            let chunk = chunk.map_err(|e| unreachable(&self.login.url, e))?;
            patience.progress();
            for message in parser.feed(&chunk) {
                *last = message.id;
                let Ok(value) = serde_json::from_str::<Value>(&message.data) else { continue };
                if value["kind"] == "runEnded" {
                    sink(Followed::Ended(value));
                } else if let Ok(event) = serde_json::from_value(value) {
                    // A newer service may tell more than we know.
                    sink(Followed::Event(event));
                }
            }
        }
        Ok(())
    }

    /// A request with a good token. One that is refused with 401 has done nothing, so it is repeated once
    /// with a new token.
    async fn send(
        &self,
        method: Method,
        path: &str,
        last_event: Option<&str>,
    ) -> Result<reqwest::Response, Error> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let url = format!("{}{path}{joint}{VERSION}", self.login.url);
        let mut refused = None;
        loop {
            let token = self.token(refused.as_deref()).await?;
            let mut request = self.http.request(method.clone(), &url).bearer_auth(&token);
            if let Some(id) = last_event {
                request = request.header("last-event-id", id);
            }
            let answer = request.send().await.map_err(|e| unreachable(&self.login.url, e))?;
            if answer.status() != StatusCode::UNAUTHORIZED || refused.is_some() {
                return Ok(answer);
            }
            refused = Some(token);
        }
    }

    /// The token, or a new one if it is about to expire or is the one that the service refused.
    async fn token(&self, refused: Option<&str>) -> Result<String, Error> {
        let mut known = self.token.lock().await;
        if Instant::now() >= known.replace_at || refused == Some(known.text.as_str()) {
            *known = token(&self.http, &self.login).await?;
        }
        Ok(known.text.clone())
    }
}

/// How often a stream may break before its follower gives up.
struct Patience {
    left: u32,
}

impl Patience {
    fn new() -> Self {
        Self { left: TRIES }
    }

    /// Something was received.
    fn progress(&mut self) {
        self.left = TRIES;
    }

    /// Counts a failure. Whether it is worth another try.
    fn lasts(&mut self) -> bool {
        let lasts = self.left > 0;
        self.left = self.left.saturating_sub(1);
        lasts
    }
}

/// Whether a run has a result. An unknown state, of a newer service, counts as one.
fn is_over(run: &Value) -> bool {
    !matches!(run["properties"]["runState"].as_str(), Some("Queued" | "Running" | "Canceling"))
}

fn http(login: &Login) -> Result<reqwest::Client, Error> {
    let parsed = reqwest::Url::parse(&login.url).ok();
    let Some(url) = parsed.filter(|_| login.url.starts_with("https://")) else {
        let text = format!("the service's address {:?} is not https://HOST:PORT", login.url);
        return Err(Error::new(ErrorCode::InvalidArgument, text)
            .hint("for example: --server https://localhost:8443"));
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("goldsmith/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT);
    if is_loopback(&url) {
        // A proxy has a loopback of its own, and the service is not there.
        builder = builder.no_proxy();
    }
    if let Some(pem) = &login.ca {
        let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes())
            .code(ErrorCode::InvalidArgument, || "--ca is no PEM certificate".to_owned())?;
        if certificates.is_empty() {
            let text = "the file given with --ca has no PEM certificate";
            return Err(Error::new(ErrorCode::InvalidArgument, text)
                .hint("goldsmith serve writes server/ca.pem into its data folder"));
        }
        builder = builder.tls_certs_only(certificates);
    }
    builder.build().code(ErrorCode::InternalError, || "no HTTP client".to_owned())
}

/// Whether the address is this machine's loopback, by name or by number.
fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost")
        || host.to_ascii_lowercase().ends_with(".localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

async fn token(http: &reqwest::Client, login: &Login) -> Result<Token, Error> {
    let asked = Instant::now();
    let url = format!("{}/{}/oauth2/v2.0/token", login.url, login.tenant_id);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &login.client_id),
        ("client_secret", &login.client_secret),
        ("scope", &format!("{}/.default", login.url)),
    ];
    let form = reqwest::Url::parse_with_params("form:", form)
        .code(ErrorCode::InternalError, || "the form cannot be written".to_owned())?;
    let request = http
        .post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.query().unwrap_or_default().to_owned());
    let answer = request.send().await.map_err(|e| unreachable(&login.url, e))?;
    let (status, body) = read(answer).await?;
    match body["access_token"].as_str() {
        Some(token) if status.is_success() => {
            let life = Duration::from_secs(body["expires_in"].as_u64().unwrap_or_default());
            let replace_at = asked + life * USED_UP / 100;
            Ok(Token { text: token.to_owned(), replace_at })
        }
        _ => {
            let why = body["error_description"].as_str().unwrap_or("it gave no token");
            Err(Error::new(code(status), format!("the service refused the login: {why}"))
                .hint("check tenant, client id and secret; goldsmith admin sp list knows them"))
        }
    }
}

async fn read(answer: reqwest::Response) -> Result<(StatusCode, Value), Error> {
    let status = answer.status();
    let url = answer.url().clone();
    let bytes = answer.bytes().await.map_err(|e| unreachable(url.as_str(), e))?;
    Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
}

fn unreachable(url: &str, error: reqwest::Error) -> Error {
    let mut source: Option<&dyn std::error::Error> = Some(&error);
    let mut is_untrusted = false;
    while let Some(cause) = source {
        is_untrusted |= cause.to_string().contains("invalid peer certificate");
        source = cause.source();
    }
    let hint = if is_untrusted {
        "its certificate is not trusted: goldsmith login --ca FILE, where FILE is server/ca.pem in \
         the data folder of goldsmith serve"
    } else {
        "is goldsmith serve running there?"
    };
    Error::new(ErrorCode::HostNotReady, format!("the service at {url} cannot be reached"))
        .hint(hint)
        .caused_by(error)
}

fn refused(status: StatusCode, body: &Value) -> Error {
    let error = if body["error"].is_object() { &body["error"] } else { body };
    let word = error["code"].as_str().unwrap_or("no code");
    let message = error["message"].as_str().unwrap_or("no message");
    let error = Error::new(code(status), format!("{message} ({word}, HTTP {})", status.as_u16()));
    match error.code {
        ErrorCode::AccessDenied => error.hint("goldsmith login, with a secret that is good"),
        _ => error,
    }
}

/// What a refusal means to the user. A service that is overloaded, or that is starting behind a proxy, is
/// one that cannot be reached.
fn code(status: StatusCode) -> ErrorCode {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorCode::AccessDenied,
        StatusCode::NOT_FOUND => ErrorCode::NotFound,
        StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => ErrorCode::Conflict,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => ErrorCode::HostNotReady,
        status if status.is_server_error() => ErrorCode::HostNotReady,
        _ => ErrorCode::InvalidArgument,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn refused_token_is_access_denied_and_server_errors_are_not_the_users() {
        let code = |status: u16| code(StatusCode::from_u16(status).expect("a status"));
        for denied in [401, 403] {
            assert_eq!(code(denied), ErrorCode::AccessDenied, "{denied}");
        }
        for not_ready in [408, 429, 500, 502, 503, 504, 507] {
            assert_eq!(code(not_ready), ErrorCode::HostNotReady, "{not_ready}");
        }
        assert_eq!(code(400), ErrorCode::InvalidArgument);
        assert_eq!((code(404), code(412)), (ErrorCode::NotFound, ErrorCode::Conflict));
    }

    #[test]
    fn patience_starts_anew_with_every_progress() {
        let mut patience = Patience::new();
        let drops = |patience: &mut Patience| (0..100).take_while(|_| patience.lasts()).count();
        assert_eq!(drops(&mut patience), 30);
        assert!(!patience.lasts());
        patience.progress();
        assert_eq!(drops(&mut patience), 30);
    }

    #[test]
    fn run_is_over_unless_it_waits_or_works() {
        let of = |state: &str| is_over(&json!({ "properties": { "runState": state } }));
        assert!(!of("Queued") && !of("Running") && !of("Canceling"));
        assert!(of("Succeeded") && of("Failed") && of("Canceled") && of("PartiallySucceeded"));
    }
}
