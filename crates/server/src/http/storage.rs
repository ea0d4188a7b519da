//! Blobs in the protocol of storage clients: path-style URLs, XML lists, ranges.
//!
//! ```text
//! GET  /storage/{account}?comp=list                              containers
//! GET  /storage/{account}/{container}?restype=container&comp=list    blobs
//! GET  /storage/{account}/{container}?restype=container              whether it exists
//! GET  /storage/{account}/{container}/{blob}                     the content, all of it or a range
//! ```
//!
//! HEAD works too. The roles are those of Azure: `containers/read` for lists of containers, and the data action
//! `containers/blobs/read` for what is in them, which Owner and Contributor do not have. Blobs are read-only. Bearer tokens are those of the resource manager, or ones for
//! `https://storage.azure.com`. Keys and shared access signatures are not supported.

mod blob;
mod error;
mod list;

use arm::Caller;
use authorization::{Need, Rule, Scope, Visible, Wanted};
use axum::{body::Body, extract::Request, response::Response};
use http::{HeaderMap, HeaderValue, Method, header};
use jiff::Timestamp;
use service::{
    auth::Audience,
    blobs::{self, Account},
    query,
};

use super::{
    Site,
    manager::{Asker, caller},
    permit::Permit,
    reply,
    session::Session,
    streamed,
};
use error::Refusal;

/// The default version of the protocol in responses.
const VERSION: &str = "2021-12-02";

/// Reads the list of containers, and what a container is.
const CONTAINERS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/read";

/// Reads the list of blobs, and a blob. A data action: rights to resources do not contain it.
const BLOBS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read";

/// The relevant parts of a request.
struct Asked {
    method: Method,
    headers: HeaderMap,
    query: std::collections::BTreeMap<String, String>,
    base_url: String,
}

impl Asked {
    fn parameter(&self, name: &str) -> &str {
        self.query.get(name).map(String::as_str).unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Handles requests below `/storage`. `path` is the rest.
pub(super) async fn answer(site: &Site, request: Request, path: &[String]) -> Response {
    let asked = Asked {
        method: request.method().clone(),
        headers: request.headers().clone(),
        query: query::parse(request.uri().query().unwrap_or_default()),
        base_url: site.base_url(&request),
    };
    let asker = Asker::of(&request);
    let mut response = match caller(site, &asker, &asked.base_url, Audience::Storage).await {
        Ok(caller) => match streamed::open(site, &caller) {
            Ok(open) => {
                let answered = match route(site, &caller, &asked, path).await {
                    Ok((answered, permit)) => {
                        let session = Session {
                            site: site.clone(),
                            authorization: asker.authorization,
                            base_url: asked.base_url.clone(),
                            audience: Audience::Storage,
                            permit,
                        };
                        session.guard(answered)
                    }
                    Err(refusal) => refusal.into_response(),
                };
                streamed::until_end(answered, open)
            }
            Err(error) => Refusal::busy(error.message).into_response(),
        },
        Err(denied) => *denied,
    };
    let version = asked.header("x-ms-version").filter(|version| version.len() == 10);
    reply::set(&mut response, "x-ms-version", version.unwrap_or(VERSION));
    response
}

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wants {
    Containers,
    Container(String),
    Blobs(String),
    Blob(String, String),
}

impl Wants {
    fn of(asked: &Asked, path: &[String]) -> Result<Self, Refusal> {
        let comp = asked.parameter("comp").to_lowercase();
        let restype = asked.parameter("restype").to_lowercase();
        let own = str::to_owned;
        Ok(match (path, restype.as_str(), comp.as_str()) {
            ([], "", "list") => Self::Containers,
            ([container], "container", "list") => Self::Blobs(own(container)),
            ([container], "container", "") => Self::Container(own(container)),
            ([_] | [], ..) => return Err(Refusal::unknown_query(asked)),
            ([container, blob @ ..], _, "") => Self::Blob(own(container), blob.join("/")),
            _ => return Err(Refusal::unknown_query(asked)),
        })
    }

    fn wanted(&self) -> Wanted {
        match self {
            Self::Containers | Self::Container(_) => Wanted::action(CONTAINERS),
            Self::Blobs(_) | Self::Blob(..) => Wanted::data(BLOBS),
        }
    }

    /// What the caller must satisfy at an account.
    fn rule(&self, account: &Account) -> Rule {
        let need = |scope| Need::new(self.wanted(), scope);
        match self {
            Self::Containers => Rule::List(need(Scope::parse(account.id()))),
            Self::Container(container) | Self::Blobs(container) | Self::Blob(container, _) => {
                Rule::All(vec![need(of_container(account, container))])
            }
        }
    }
}

fn of_container(account: &Account, container: &str) -> Scope {
    Scope::parse(&format!("{}/blobServices/default/containers/{container}", account.id()))
}

async fn route(
    site: &Site,
    caller: &Caller,
    asked: &Asked,
    path: &[String],
) -> Result<(Response, Permit), Refusal> {
    if !matches!(asked.method, Method::GET | Method::HEAD) {
        return Err(Refusal::read_only());
    }
    let (name, path) = path.split_first().ok_or_else(Refusal::resource_not_found)?;
    let (app, wants) = (&site.app, Wants::of(asked, path)?);
    let rights = app.rights(caller).await.map_err(blobs::Error::from)?;
    let Some(account) = Account::open(app, name).await? else {
        // Whoever may read no account learns from none whether it exists.
        return Err(match rights.visible(&wants.wanted(), &Scope::root()) {
            Visible::None => Refusal::permission(),
            Visible::All | Visible::Only(_) => Refusal::no_account(name),
        });
    };
    let permit = Permit::ask(app, caller, wants.rule(&account)).await?;
    let answered = match wants {
        Wants::Containers => list::containers(app, asked, &account, &rights).await?,
        Wants::Blobs(container) => list::blobs(app, asked, &account, &container).await?,
        Wants::Container(container) => container_there(site, &account, &container).await?,
        Wants::Blob(container, blob) => {
            blob::answer(app, asked, &account, &container, &blob).await?
        }
    };
    Ok((answered, permit))
}

async fn container_there(
    site: &Site,
    account: &Account,
    container: &str,
) -> Result<Response, Refusal> {
    let found = account.list(&site.app, container).await?.ok_or_else(Refusal::no_container)?;
    let newest = found.iter().map(blobs::Entry::time).max().unwrap_or(Timestamp::UNIX_EPOCH);
    let mut response = Response::new(Body::empty());
    for (name, value) in [
        ("last-modified", http_date(newest)),
        ("etag", container_etag(newest)),
        ("x-ms-lease-status", "unlocked".to_owned()),
        ("x-ms-lease-state", "available".to_owned()),
    ] {
        reply::set(&mut response, name, &value);
    }
    Ok(response)
}

fn container_etag(newest: Timestamp) -> String {
    format!("\"0x{:X}\"", newest.as_nanosecond())
}

/// A time in the format of RFC 9110.
fn http_date(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn xml(text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    let kind = HeaderValue::from_static("application/xml");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Escapes text for XML.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            // XML does not allow these, even escaped.
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}
