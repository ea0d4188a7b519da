//! The calls to a service. Errors are the service's own words.

use std::time::Duration;

use api::ErrorCode;
use engine::{
    error::{Coded, Error},
    event::Event,
};
use futures_util::StreamExt;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::{Login, sse};

const VERSION: &str = "api-version=2024-02-01";
const CONNECT: Duration = Duration::from_secs(10);
/// Between two tries to take up an event stream that broke.
const AGAIN: Duration = Duration::from_secs(1);
const TRIES: u32 = 30;

/// A connection in the name of a login.
pub(crate) struct Client {
    http: reqwest::Client,
    login: Login,
    token: String,
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
        Ok(Self { http, login, token })
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
        let url = format!("{}{path}?{VERSION}", self.login.url);
        let request = self.http.request(method, url).bearer_auth(&self.token);
        let answer = request.send().await.map_err(|e| unreachable(&self.login.url, e))?;
        let (status, body) = read(answer).await?;
        if status.is_success() { Ok(body) } else { Err(refused(status, &body)) }
    }

    /// A log of a run.
    pub(crate) async fn log(&self, path: &str) -> Result<String, Error> {
        let url = format!("{}{path}?{VERSION}", self.login.url);
        let request = self.http.get(url).bearer_auth(&self.token);
        let answer = request.send().await.map_err(|e| unreachable(&self.login.url, e))?;
        if answer.status().is_success() {
            return answer.text().await.map_err(|e| unreachable(&self.login.url, e));
        }
        let (status, body) = read(answer).await?;
        Err(refused(status, &body))
    }

    /// Follows a run to its end. A stream that breaks is taken up after the last event received.
    pub(crate) async fn follow(
        &self,
        run: &str,
        mut sink: impl FnMut(Followed),
    ) -> Result<(), Error> {
        let mut last = String::new();
        let mut tries = 0;
        loop {
            match self.follow_once(run, &mut last, &mut sink).await {
                Ok(()) => return Ok(()),
                Err(error) if error.code == ErrorCode::HostNotReady && tries < TRIES => {
                    tries += 1;
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn follow_once(
        &self,
        run: &str,
        last: &mut String,
        sink: &mut impl FnMut(Followed),
    ) -> Result<(), Error> {
        let url = format!("{}{run}/events?{VERSION}", self.login.url);
        let request = self.http.get(url).bearer_auth(&self.token).header("last-event-id", &*last);
        let answer = request.send().await.map_err(|e| unreachable(&self.login.url, e))?;
        if !answer.status().is_success() {
            let (status, body) = read(answer).await?;
            return Err(refused(status, &body));
        }
        let mut parser = sse::Parser::default();
        let mut bytes = answer.bytes_stream();
        while let Some(chunk) = bytes.next().await {
            let chunk = chunk.map_err(|e| unreachable(&self.login.url, e))?;
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
}

fn http(login: &Login) -> Result<reqwest::Client, Error> {
    if !login.url.starts_with("https://") || reqwest::Url::parse(&login.url).is_err() {
        let text = format!("the service's address {:?} is not https://HOST:PORT", login.url);
        return Err(Error::new(ErrorCode::InvalidArgument, text)
            .hint("for example: --server https://localhost:8443"));
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("goldsmith/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT);
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

async fn token(http: &reqwest::Client, login: &Login) -> Result<String, Error> {
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
        Some(token) if status.is_success() => Ok(token.to_owned()),
        _ => {
            let why = body["error_description"].as_str().unwrap_or("it gave no token");
            Err(Error::new(ErrorCode::InvalidArgument, format!("the service refused us: {why}"))
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
    let code = match status {
        StatusCode::NOT_FOUND => ErrorCode::NotFound,
        StatusCode::CONFLICT => ErrorCode::Conflict,
        _ => ErrorCode::InvalidArgument,
    };
    Error::new(code, format!("{message} ({word}, HTTP {})", status.as_u16()))
}
