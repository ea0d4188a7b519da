//! Lists of containers and of blobs, in pages.

use std::fmt::Write;

use authorization::{Rights, Scope, Wanted};
use axum::response::Response;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use service::{
    App,
    blobs::{Account, Entry},
};

use super::{Asked, CONTAINERS, Refusal, blob, escaped, http_date, of_container, xml};

/// The maximum size of a page, as in Azure.
const PAGE: usize = 5000;

/// `GET /storage/{account}?comp=list`: those that the caller may read.
pub(super) async fn containers(
    app: &App,
    asked: &Asked,
    account: &Account,
    rights: &Rights,
) -> Result<Response, Refusal> {
    let page = Page::of(asked)?;
    let names = account.containers(app).await?;
    let readable = rights.visible(&Wanted::action(CONTAINERS), &Scope::parse(account.id()));
    let is_shown = |name: &String| {
        name.starts_with(&page.prefix) && readable.has(&of_container(account, name))
    };
    let names = names.into_iter().filter(is_shown);
    let (names, next) = page.cut(names.map(Item::Prefix));
    let mut text = head(asked, account, None, &page);
    text.push_str("<Containers>");
    for name in &names {
        let _ = write!(
            text,
            "<Container><Name>{}</Name><Properties><LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState></Properties></Container>",
            escaped(name.name())
        );
    }
    text.push_str("</Containers>");
    Ok(finished(text, next))
}

/// `GET /storage/{account}/{container}?restype=container&comp=list`
pub(super) async fn blobs(
    app: &App,
    asked: &Asked,
    account: &Account,
    container: &str,
) -> Result<Response, Refusal> {
    let page = Page::of(asked)?;
    let found = account.list(app, container).await?.ok_or_else(Refusal::no_container)?;
    let delimiter = asked.parameter("delimiter");
    let items = folded(found, &page.prefix, delimiter);
    let (items, next) = page.cut(items);
    let mut text = head(asked, account, Some(container), &page);
    if !delimiter.is_empty() {
        let _ = write!(text, "<Delimiter>{}</Delimiter>", escaped(delimiter));
    }
    text.push_str("<Blobs>");
    for item in &items {
        match item {
            Item::Prefix(name) => {
                let _ = write!(text, "<BlobPrefix><Name>{}</Name></BlobPrefix>", escaped(name));
            }
            Item::Blob(entry) => blob_item(&mut text, container, entry),
        }
    }
    text.push_str("</Blobs>");
    Ok(finished(text, next))
}

enum Item {
    Prefix(String),
    Blob(Entry),
}

impl Item {
    fn name(&self) -> &str {
        match self {
            Self::Prefix(name) => name,
            Self::Blob(entry) => &entry.name,
        }
    }
}

/// The blobs below a prefix. Those with a common name up to the next delimiter become one entry.
fn folded(found: Vec<Entry>, prefix: &str, delimiter: &str) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    for entry in found {
        let Some(rest) = entry.name.strip_prefix(prefix) else { continue };
        let end = if delimiter.is_empty() { None } else { rest.find(delimiter) };
        let Some(end) = end else {
            items.push(Item::Blob(entry));
            continue;
        };
        let name = format!("{prefix}{}", &rest[..end + delimiter.len()]);
        if items.last().is_none_or(|last| last.name() != name) {
            items.push(Item::Prefix(name));
        }
    }
    items
}

fn blob_item(text: &mut String, container: &str, entry: &Entry) {
    let time = http_date(entry.time());
    let _ = write!(
        text,
        "<Blob><Name>{}</Name><Properties><Creation-Time>{time}</Creation-Time><Last-Modified>{time}</Last-Modified><Etag>{}</Etag><Content-Length>{}</Content-Length><Content-Type>{}</Content-Type><BlobType>{}</BlobType><LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState></Properties></Blob>",
        escaped(&entry.name),
        escaped(entry.etag().trim_matches('"')),
        entry.bytes,
        blob::content_type(&entry.name),
        blob::kind(container, &entry.name),
    );
}

/// The requested part of a list.
struct Page {
    prefix: String,
    marker: String,
    after: Option<String>,
    size: usize,
}

impl Page {
    fn of(asked: &Asked) -> Result<Self, Refusal> {
        let marker = asked.parameter("marker");
        let after = (!marker.is_empty()).then(|| {
            let bytes = URL_SAFE_NO_PAD.decode(marker).ok();
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            text.ok_or_else(|| Refusal::parameter("marker", marker))
        });
        let size = match asked.parameter("maxresults") {
            "" => PAGE,
            text => text
                .parse::<usize>()
                .ok()
                .filter(|size| *size > 0)
                .ok_or_else(|| Refusal::parameter("maxresults", text))?
                .min(PAGE),
        };
        let prefix = asked.parameter("prefix").to_owned();
        Ok(Self { prefix, marker: marker.to_owned(), after: after.transpose()?, size })
    }

    /// The page's items, and the marker of the next page.
    fn cut(&self, items: impl IntoIterator<Item = Item>) -> (Vec<Item>, String) {
        let is_due = |item: &Item| self.after.as_deref().is_none_or(|after| item.name() > after);
        let mut items: Vec<Item> =
            items.into_iter().filter(is_due).take(self.size.saturating_add(1)).collect();
        if items.len() <= self.size {
            return (items, String::new());
        }
        items.truncate(self.size);
        let last = items.last().map(Item::name).unwrap_or_default();
        let next = URL_SAFE_NO_PAD.encode(last);
        (items, next)
    }
}

fn head(asked: &Asked, account: &Account, container: Option<&str>, page: &Page) -> String {
    let endpoint = format!("{}/storage/{}/", asked.base_url, account.name());
    let container =
        container.map_or_else(String::new, |name| format!(" ContainerName=\"{}\"", escaped(name)));
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"{}\"{container}><Prefix>{}</Prefix><Marker>{}</Marker><MaxResults>{}</MaxResults>",
        escaped(&endpoint),
        escaped(&page.prefix),
        escaped(&page.marker),
        page.size,
    )
}

fn finished(mut text: String, next: String) -> Response {
    let _ = write!(text, "<NextMarker>{}</NextMarker></EnumerationResults>", escaped(&next));
    xml(text)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn entries(names: &[&str]) -> Vec<Entry> {
        let entry = |name: &&str| Entry {
            name: (*name).to_owned(),
            path: "/".into(),
            bytes: 1,
            modified: SystemTime::UNIX_EPOCH,
        };
        names.iter().map(entry).collect()
    }

    fn names(items: &[Item]) -> Vec<&str> {
        items.iter().map(Item::name).collect()
    }

    #[test]
    fn blobs_of_a_folder_become_one_entry() {
        let found = || entries(&["a/1", "a/2", "b", "c/d/3"]);
        assert_eq!(names(&folded(found(), "", "/")), ["a/", "b", "c/"]);
        assert_eq!(names(&folded(found(), "c/", "/")), ["c/d/"]);
        assert_eq!(names(&folded(found(), "a", "")), ["a/1", "a/2"]);
    }

    #[test]
    fn next_page_starts_after_the_last_name() {
        let page = |after: Option<&str>| Page {
            prefix: String::new(),
            marker: String::new(),
            after: after.map(str::to_owned),
            size: 2,
        };
        let items = || folded(entries(&["a", "b", "c"]), "", "");
        let (first, next) = page(None).cut(items());
        assert_eq!(names(&first), ["a", "b"]);
        let next = String::from_utf8(URL_SAFE_NO_PAD.decode(next).unwrap()).unwrap();
        let (second, next) = page(Some(&next)).cut(items());
        assert_eq!((names(&second), next.as_str()), (vec!["c"], ""));
    }

    #[test]
    fn names_are_escaped_in_xml() {
        assert_eq!(escaped("<a b=\"c\">&\u{1}"), "&lt;a b=&quot;c&quot;&gt;&amp;\u{fffd}");
    }
}
