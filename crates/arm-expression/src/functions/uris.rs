//! `uri`, `buildUri` and `parseUri`.

use std::fmt::Write;

use super::{Arguments, Entry, entry};
use crate::{
    error::Fault,
    value::{Object, Value},
};

pub(super) const FUNCTIONS: &[Entry] = &[
    entry("buildUri", 1..=1, build_uri),
    entry("parseUri", 1..=1, parse_uri),
    entry("uri", 2..=2, uri),
];

/// An absolute URI with an authority, in pieces.
struct Uri<'a> {
    scheme: String,
    /// Without the scheme's default port.
    authority: String,
    /// Empty or with a slash at the start.
    path: &'a str,
    /// Query and fragment, each with its mark.
    query: &'a str,
    fragment: &'a str,
}

impl<'a> Uri<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        if !is_scheme(scheme) {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.is_empty() && scheme != "file" || authority.contains(char::is_whitespace) {
            return None;
        }
        let (rest, fragment) = rest.split_at(rest.find('#').unwrap_or(rest.len()));
        let (path, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (format!("{user}@"), host),
            None => (String::new(), authority),
        };
        let default = default_port(&scheme).map(|port| format!(":{port}"));
        let host = default.and_then(|port| host.strip_suffix(&port)).unwrap_or(host);
        let authority = user + &host.to_ascii_lowercase();
        Some(Self { scheme, authority, path, query, fragment })
    }

    fn to_text(&self, path: &str, query: &str, fragment: &str) -> String {
        let slash = if path.starts_with('/') { "" } else { "/" };
        let path = without_dots(&format!("{slash}{path}"));
        format!("{}://{}{path}{query}{fragment}", self.scheme, self.authority)
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

fn default_port(scheme: &str) -> Option<i64> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        "ftp" => Some(21),
        _ => None,
    }
}

/// The reference of the second argument seen from the first, by RFC 3986, section 5.
fn uri(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let (base, reference) = (arguments.string(0)?, arguments.string(1)?);
    arguments.budget.charge_bytes(base.len().saturating_add(reference.len()))?;
    let base = Uri::parse(base).ok_or_else(|| {
        Fault::new(format!(
            "The template language function 'uri' expects its first argument to be a uri string. \
             The provided value is '{base}'"
        ))
    })?;
    Ok(resolve(&base, reference).into())
}

fn resolve(base: &Uri<'_>, reference: &str) -> String {
    if reference.starts_with("//") {
        return resolve(base, &format!("{}:{reference}", base.scheme));
    }
    if let Some(absolute) = Uri::parse(reference) {
        return absolute.to_text(absolute.path, absolute.query, absolute.fragment);
    }
    if reference.split_once(':').is_some_and(|(scheme, _)| is_scheme(scheme)) {
        return reference.to_owned();
    }
    let (rest, fragment) = reference.split_at(reference.find('#').unwrap_or(reference.len()));
    let (path, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    if path.is_empty() {
        let query = if query.is_empty() { base.query } else { query };
        return base.to_text(base.path, query, fragment);
    }
    if path.starts_with('/') {
        return base.to_text(path, query, fragment);
    }
    let folder = base.path.rfind('/').map_or("/", |slash| &base.path[..=slash]);
    base.to_text(&format!("{folder}{path}"), query, fragment)
}

/// RFC 3986, section 5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    for (index, segment) in segments.iter().enumerate() {
        let is_last = index + 1 == segments.len();
        match *segment {
            ".." => {
                kept.pop();
            }
            "." => {}
            other => kept.push(other),
        }
        if is_last && matches!(*segment, "." | "..") {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

/// The URI of `{scheme, host, port?, path?, query?}`.
fn build_uri(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let parts = arguments.object(0)?;
    let scheme = part(parts, "scheme")?.filter(|scheme| is_scheme(scheme));
    let host = part(parts, "host")?.filter(|host| !host.is_empty());
    let (Some(scheme), Some(host)) = (scheme, host) else {
        return Err(Fault::new("the object needs a 'scheme' and a 'host'"));
    };
    let mut built = format!("{scheme}://{host}");
    match parts.get("port") {
        None | Some(Value::Null | Value::Int(-1)) => {}
        Some(Value::Int(port)) if Some(*port) == default_port(&scheme.to_ascii_lowercase()) => {}
        Some(Value::Int(port)) if (0..=65_535).contains(port) => {
            let _ = write!(built, ":{port}");
        }
        Some(_) => return Err(Fault::new("the 'port' must be an integer from 0 to 65535")),
    }
    for (name, mark) in [("path", '/'), ("query", '?')] {
        let text = part(parts, name)?.unwrap_or_default();
        if !text.starts_with(mark) && (mark == '/' || !text.is_empty()) {
            built.push(mark);
        }
        built.push_str(text);
    }
    arguments.budget.charge_bytes(built.len())?;
    Ok(built.into())
}

fn part<'a>(parts: &'a Object, name: &str) -> Result<Option<&'a str>, Fault> {
    match parts.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Fault::new(format!("the '{name}' must be a string"))),
    }
}

/// `{scheme, host, port, path, query}` of a URI. The port is the scheme's default where there is
/// none in the text; the query keeps its question mark.
fn parse_uri(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let text = arguments.string(0)?;
    let refused = || {
        Fault::new(format!(
            "The template language function 'parseUri' expects its argument to be a uri string. \
             The provided value is '{text}'"
        ))
    };
    let uri = Uri::parse(text).ok_or_else(refused)?;
    let host = uri.authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = match host.rsplit_once(':').filter(|(_, port)| !port.contains(']')) {
        Some((host, port)) => (host, Some(i64::from(port.parse::<u16>().map_err(|_| refused())?))),
        None => (host, default_port(&uri.scheme)),
    };
    let parts = [
        ("scheme", Value::from(uri.scheme.as_str())),
        ("host", host.into()),
        ("port", port.map_or(Value::Null, Value::Int)),
        ("path", if uri.path.is_empty() { "/" } else { uri.path }.into()),
        ("query", uri.query.into()),
    ];
    Ok(Value::Object(parts.into_iter().collect()))
}
