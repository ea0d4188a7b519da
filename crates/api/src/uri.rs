//! URIs for display: without parts that may be secret, such as a user's password or a shared access
//! signature.

/// The URI without user information, query and fragment.
pub fn shown(uri: &str) -> String {
    if let Some((scheme, rest)) = uri.split_once("://")
        && has_odd_password(rest)
    {
        return format!("{scheme}://…");
    }
    let end = if uri.contains("://") { uri.find(['?', '#']) } else { None };
    let public = &uri[..end.unwrap_or(uri.len())];
    match public.split_once("://").and_then(|(scheme, rest)| {
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        authority.rsplit_once('@').map(|(_, host)| format!("{scheme}://{host}{path}"))
    }) {
        Some(without_user) => without_user,
        None => public.to_owned(),
    }
}

/// Replaces secrets in a text that may contain URIs, also malformed ones, with an ellipsis.
pub(crate) fn concealed(text: &str) -> String {
    // In a list or an object, each string is in quotes.
    text.split('"').map(conceal).collect::<Vec<_>>().join("\"")
}

/// Whether the part after the slashes may begin with a password that contains a character that ends
/// a host: `u:p?w@host`. After a host's colon only a port may follow.
fn has_odd_password(rest: &str) -> bool {
    let Some(mark) = rest.find(['/', '?', '#', '&']) else { return false };
    let (head, tail) = rest.split_at(mark);
    let port = head.rsplit_once('@').map_or(head, |(_, host)| host).split_once(':');
    let is_bracketed = head.contains(['[', ']']);
    tail.contains('@')
        && !is_bracketed
        && port.is_some_and(|(_, port)| port.parse::<u16>().is_err())
}

fn conceal(text: &str) -> String {
    let slashes = ["//", ":/"].iter().filter_map(|mark| text.find(mark)).min();
    let host = |at: usize| text[at + 1..].find(|c| c != '/').map_or(text.len(), |to| at + 1 + to);
    let start = slashes.map_or(0, host);
    let (before, rest) = text.split_at(start);
    let is_uri = slashes.is_some();
    if has_odd_password(rest) {
        return format!("{before}…");
    }
    let is_query = |at: &usize| is_uri || rest[*at..].contains('=');
    let marks: &[char] = if is_uri { &['?', '#', '&'] } else { &['?'] };
    let end = rest.find(marks).filter(is_query).map(|at| at + 1);
    let (rest, hidden) = rest.split_at(end.unwrap_or(rest.len()));
    let slash = rest.find('/').unwrap_or(rest.len());
    let user = rest[..slash].rfind('@').filter(|at| is_uri || rest[..*at].contains(':'));
    let (hidden_user, rest) = rest.split_at(user.unwrap_or(0));
    let user = if hidden_user.is_empty() { "" } else { "…" };
    let end = if hidden.is_empty() { "" } else { "…" };
    format!("{before}{user}{rest}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_uri_omits_secrets() {
        for (uri, public) in [
            ("https://a.net/x.sh?sv=1&sig=abc#frag", "https://a.net/x.sh"),
            ("https://user:pass@a.net/x", "https://a.net/x"),
            ("https://a.net/@x", "https://a.net/@x"),
            ("https://a.net:8443/@x", "https://a.net:8443/@x"),
            ("https://[::1]:8443/@x", "https://[::1]:8443/@x"),
            ("https://bob:s3cr?t@a.net/x", "https://…"),
            ("https://bob:a/b@a.net", "https://…"),
            ("scripts/what?.sh", "scripts/what?.sh"),
        ] {
            assert_eq!(shown(uri), public);
        }
    }

    #[test]
    fn concealed_text_omits_secrets_of_malformed_uris() {
        for (text, public) in [
            ("https://u:pw@a.net/x y.vhd?sv=1&sig=S", "https://…@a.net/x y.vhd?…"),
            ("htps:/u:pw@a.net/x.vhd?sig=S", "htps:/…@a.net/x.vhd?…"),
            ("https:///u:pw@a.net/x", "https:///…@a.net/x"),
            ("https://bob:s3cr?t@a.net/x", "https://…"),
            ("https://bob:a&b@a.net/x", "https://…"),
            ("https://bob:a/b@a.net", "https://…"),
            ("bob:a/b@a.net", "…"),
            ("https//a.net/x.vhd&sig=S", "https//a.net/x.vhd&…"),
            ("a.net/x.vhd?sig=S", "a.net/x.vhd?…"),
            ("u:pw@a.net/x.vhd", "…@a.net/x.vhd"),
            (r#"["https://a.net/?sig=S", "b"]"#, r#"["https://a.net/?…", "b"]"#),
            ("https://a.net/pkg@1.2/x.sh", "https://a.net/pkg@1.2/x.sh"),
            ("/subscriptions/s/resourceGroups/g", "/subscriptions/s/resourceGroups/g"),
            ("who? me", "who? me"),
            ("me@example.org", "me@example.org"),
            ("?", "?"),
            ("", ""),
        ] {
            assert_eq!(concealed(text), public);
        }
    }
}
