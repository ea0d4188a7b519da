//! Lists in pages: `value`, and `nextLink` only when there is more.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use db::{Resource, Select};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::{ApiError, Call, Context, Reply};

/// So many on a page unless `$top` asks for fewer.
const PAGE: usize = 100;

const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How far a list has come and how much of it is wanted.
struct Position {
    after: Option<String>,
    size: usize,
}

impl Position {
    fn of(call: &Call) -> Result<Self, ApiError> {
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
                    format!("The value '{token}' of $skiptoken is not one that a nextLink had."),
                )
                .target("$skiptoken")
            })
        });
        Ok(Self { after: after.transpose()?, size })
    }
}

/// A page of what `select` finds and `keep` lets pass, each as `view` shows it. By ARM's contract `nextLink` is an absolute
/// URL, and a page without it is the last one; `$top` may ask for less than a whole page.
///
/// # Errors
/// `InvalidTopQueryParameter`, `InvalidSkipToken`; the database fails.
pub async fn list(
    context: &Context,
    call: &Call,
    select: Select,
    keep: impl Fn(&Resource) -> bool + Send,
    view: impl Fn(&Resource) -> Value + Send,
) -> Result<Reply, ApiError> {
    let Position { mut after, size } = Position::of(call)?;
    let mut found: Vec<Resource> = Vec::new();
    loop {
        let select = Select { after: after.clone(), limit: PAGE as u32, ..select.clone() };
        let page = context.store().list(&select).await?;
        for resource in page.resources {
            if !keep(&resource) {
                continue;
            }
            if found.len() == size {
                let last = found.last().map(Resource::key);
                let next = last.map(|key| key.as_str().to_owned());
                return Ok(page_of(call, found.iter().map(&view).collect(), next));
            }
            found.push(resource);
        }
        after = page.next;
        if after.is_none() {
            return Ok(page_of(call, found.iter().map(&view).collect(), None));
        }
    }
}

fn page_of(call: &Call, value: Vec<Value>, next: Option<String>) -> Reply {
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
