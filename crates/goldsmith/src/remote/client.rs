//! Calls to a service. Errors carry the service's messages.

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

use super::{Login, login::is_loopback, sse};

const VERSION: &str = "api-version=2024-02-01";
const CONNECT: Duration = Duration::from_secs(10);
/// The pause before resuming a broken event stream.
const AGAIN: Duration = Duration::from_secs(1);
/// How many times in a row a stream may break without progress.
const TRIES: u32 = 30;
/// A token is renewed after this share of its lifetime, in percent.
const RENEW_AFTER: u32 = 80;

/// An authenticated connection to a service.
pub(crate) struct Client {
    http: reqwest::Client,
    login: Login,
    token: Mutex<Token>,
}

/// An access token. It is renewed before it expires, and when the service rejects it.
#[derive(Clone)]
struct Token {
    text: String,
    renew_at: Instant,
}

/// A message of the event stream of a run.
pub(crate) enum Followed {
    /// An event as in a local build.
    Event(Event),
    /// An attempt has ended; the object is its result.
    Ended(Value),
}

impl Client {
    /// Requests a token.
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

    /// The resource id of a template, from a resource id or `GROUP/NAME`.
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

    /// The path of a run by its id, which also works after its template is deleted.
    pub(crate) fn run(&self, id: &str) -> String {
        let subscription = &self.login.subscription_id;
        format!("/subscriptions/{subscription}/providers/Microsoft.VirtualMachineImages/runs/{id}")
    }

    /// Calls the service and returns the response body.
    pub(crate) async fn call(&self, method: Method, path: &str) -> Result<Value, Error> {
        let answer = self.send(method, path, None).await?;
        let (status, body) = read(answer).await?;
        if status.is_success() { Ok(body) } else { Err(refused(status, &body)) }
    }

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
            let progress = match streamed {
                Ok(()) => self.call(Method::GET, run).await,
                Err(error) => Err(error),
            };
            match progress {
                Ok(run) if is_over(&run) => return Ok(run),
                // The service responds but closed the stream: the run continues.
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
                    // A newer service may send events unknown to this client, which are skipped.
                    sink(Followed::Event(event));
                }
            }
        }
        Ok(())
    }

    /// Sends a request with a token. A request that is rejected with 401 had no effect, so it is
    /// repeated once with a new token.
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

    /// The current token, or a new one if it expires soon or is the rejected one.
    async fn token(&self, rejected: Option<&str>) -> Result<String, Error> {
        let mut current = self.token.lock().await;
        if Instant::now() >= current.renew_at || rejected == Some(current.text.as_str()) {
            *current = token(&self.http, &self.login).await?;
        }
        Ok(current.text.clone())
    }
}

/// Counts how often a stream may break before the client gives up.
struct Patience {
    left: u32,
}

impl Patience {
    fn new() -> Self {
        Self { left: TRIES }
    }

    /// Resets the count after a message was received.
    fn progress(&mut self) {
        self.left = TRIES;
    }

    /// Counts a failure. Returns whether another attempt is allowed.
    fn lasts(&mut self) -> bool {
        let lasts = self.left > 0;
        self.left = self.left.saturating_sub(1);
        lasts
    }
}

/// Whether a run has ended. An unknown state, from a newer service, counts as ended.
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
        // To a proxy, loopback is the proxy's own host.
        builder = builder.no_proxy();
    }
    if let Some(pem) = &login.ca {
        let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes())
            .code(ErrorCode::InvalidArgument, || "--ca is not a PEM certificate".to_owned())?;
        if certificates.is_empty() {
            let text = "the file of --ca does not contain a PEM certificate";
            return Err(Error::new(ErrorCode::InvalidArgument, text)
                .hint("goldsmith serve writes server/ca.pem to its data folder"));
        }
        builder = builder.tls_certs_only(certificates);
    }
    builder.build().code(ErrorCode::InternalError, || "cannot create an HTTP client".to_owned())
}

async fn token(http: &reqwest::Client, login: &Login) -> Result<Token, Error> {
    let requested = Instant::now();
    let url = format!("{}/{}/oauth2/v2.0/token", login.url, login.tenant_id);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &login.client_id),
        ("client_secret", &login.client_secret),
        ("scope", &format!("{}/.default", login.url)),
    ];
    let form = reqwest::Url::parse_with_params("form:", form)
        .code(ErrorCode::InternalError, || "cannot encode the login form".to_owned())?;
    let request = http
        .post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.query().unwrap_or_default().to_owned());
    let answer = request.send().await.map_err(|e| unreachable(&login.url, e))?;
    let (status, body) = read(answer).await?;
    match body["access_token"].as_str() {
        Some(token) if status.is_success() => {
            let life = Duration::from_secs(body["expires_in"].as_u64().unwrap_or_default());
            let renew_at = requested + life * RENEW_AFTER / 100;
            Ok(Token { text: token.to_owned(), renew_at })
        }
        _ => {
            let why = body["error_description"].as_str().unwrap_or("it returned no token");
            Err(Error::new(code(status), format!("the service rejected the login: {why}")).hint(
                "check tenant, client id and secret; goldsmith admin sp list shows client ids",
            ))
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
    Error::new(ErrorCode::HostNotReady, format!("cannot reach the service at {url}"))
        .hint(hint)
        .caused_by(error)
}

fn refused(status: StatusCode, body: &Value) -> Error {
    let error = if body["error"].is_object() { &body["error"] } else { body };
    let word = error["code"].as_str().unwrap_or("no code");
    let message = error["message"].as_str().unwrap_or("no message");
    let error = Error::new(code(status), format!("{message} ({word}, HTTP {})", status.as_u16()));
    match error.code {
        ErrorCode::AccessDenied => error.hint("run goldsmith login with a valid secret"),
        _ => error,
    }
}

/// The error code for a failed request. A service that is overloaded, or still starting behind a
/// proxy, counts as unreachable.
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
    fn rejected_token_is_access_denied_and_server_error_is_unreachable() {
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
    fn progress_resets_the_failure_count() {
        let mut patience = Patience::new();
        let drops = |patience: &mut Patience| (0..100).take_while(|_| patience.lasts()).count();
        assert_eq!(drops(&mut patience), 30);
        assert!(!patience.lasts());
        patience.progress();
        assert_eq!(drops(&mut patience), 30);
    }

    #[test]
    fn run_has_ended_unless_queued_or_active() {
        let of = |state: &str| is_over(&json!({ "properties": { "runState": state } }));
        assert!(!of("Queued") && !of("Running") && !of("Canceling"));
        assert!(of("Succeeded") && of("Failed") && of("Canceled") && of("PartiallySucceeded"));
    }
}
