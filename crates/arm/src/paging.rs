//! Lists in pages: `value`, and `nextLink` if there is another page.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use db::{Resource, Select};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::{ApiError, Call, Context, Readable, Reply, walk::Walk};

/// The size of a page unless `$top` is smaller.
const PAGE: usize = 100;

const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The start and the size of the requested page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The key of the last entry of the previous page.
    pub after: Option<String>,
    /// The maximum number of entries.
    pub size: usize,
}

impl Position {
    /// What a request asks for by `$top` and `$skiptoken`.
    ///
    /// # Errors
    /// `InvalidTopQueryParameter`, `InvalidSkipToken`.
    pub fn of(call: &Call) -> Result<Self, ApiError> {
        let size = match call.query.get("$top").map(String::as_str) {
            None | Some("") => PAGE,
            Some(text) => {
                let number = text.parse::<usize>().ok().filter(|top| *top > 0);
                let number = number.ok_or_else(|| {
                    ApiError::bad_request(
                        "InvalidTopQueryParameter",
                        format!("The value '{text}' of $top is not a number above 0."),
                    )
                    .target("$top")
                })?;
                number.min(PAGE)
            }
        };
        let after = call.query.get("$skiptoken").map(|token| {
            let bytes = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).ok();
            bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| {
                ApiError::bad_request(
                    "InvalidSkipToken",
                    format!("The value '{token}' of $skiptoken is not from a nextLink."),
                )
                .target("$skiptoken")
            })
        });
        Ok(Self { after: after.transpose()?, size })
    }
}

/// A page of the resources that match `select` and `filter` and that the caller may read, each converted by `view`. By ARM's
/// contract `nextLink` is an absolute URL, a page without it is the last one, and `$top` may reduce the size of a page.
///
/// # Errors
/// `InvalidTopQueryParameter`, `InvalidSkipToken`; the database fails.
pub async fn list(
    context: &Context,
    call: &Call,
    select: Select,
    filter: impl Fn(&Resource) -> bool + Send,
    view: impl Fn(&Resource) -> Value + Send,
) -> Result<Reply, ApiError> {
    let Position { after, size } = Position::of(call)?;
    let mut found: Vec<Resource> = Vec::new();
    let mut readable = Readable::by(call, &top(&select));
    let mut walk = Walk::new(select, &mut readable, after);
    while let Some(rows) = walk.next(context.store()).await? {
        for resource in rows {
            if !readable.has(&resource) || !filter(&resource) {
                continue;
            }
            if found.len() == size {
                let last = found.last().map(Resource::key);
                let next = last.map(|key| key.as_str().to_owned());
                return Ok(page_of(call, found.iter().map(&view).collect(), next));
            }
            found.push(resource);
        }
    }
    Ok(page_of(call, found.iter().map(&view).collect(), None))
}

/// The scope that contains everything that is selected.
fn top(select: &Select) -> String {
    match (&select.below, &select.group) {
        (Some(key), _) => key.as_str().to_owned(),
        (None, Some(group)) => {
            format!("/subscriptions/{}/resourceGroups/{group}", select.subscription)
        }
        (None, None) => format!("/subscriptions/{}", select.subscription),
    }
}

/// A page of a list, with the link to the next one, if there is one; `next` is the key of the last entry of this page.
pub fn page_of(call: &Call, value: Vec<Value>, next: Option<String>) -> Reply {
    let mut body = json!({ "value": value });
    if let Some(key) = next {
        let mut query = vec![format!("api-version={}", call.api_version)];
        for (name, value) in &call.query {
            if name != "$skiptoken" && name != "api-version" {
                let name = name.replace('$', "%24");
                query.push(format!("{name}={}", utf8_percent_encode(value, QUERY)));
            }
        }
        query.push(format!("%24skiptoken={}", URL_SAFE_NO_PAD.encode(key)));
        let path = utf8_percent_encode(&call.path.text, PATH).to_string();
        body["nextLink"] = json!(call.url(&format!("{path}?{}", query.join("&"))));
    }
    Reply::ok(body)
}
