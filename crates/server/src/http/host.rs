//! How a client names us: URLs that we give out are built from it, so it must be one of our names.

use arm::ApiError;
use axum::extract::Request;
use http::{StatusCode, header::HOST};

use crate::limits::Cut;

/// Refuses a request that names no host, several, or another than us. The port is not looked at: it may be
/// that of a tunnel.
pub(super) fn check(request: &Request, names: &[String]) -> Result<(), ApiError> {
    let bad = |text: &str| ApiError::bad_request("InvalidHostHeader", text);
    let mut given = request.headers().get_all(HOST).iter();
    let first = given.next();
    if given.next().is_some() {
        return Err(bad("The request has more than one 'Host' header."));
    }
    let named = match (request.uri().authority(), first) {
        (Some(authority), _) => authority.as_str(),
        (None, Some(host)) => host.to_str().unwrap_or_default(),
        (None, None) => return Err(bad("The request has no 'Host' header.")),
    };
    let host = host_of(named).trim_start_matches('[').trim_end_matches(']');
    let host = host.strip_suffix('.').unwrap_or(host);
    if is_sane(named) && names.iter().any(|name| name.eq_ignore_ascii_case(host)) {
        return Ok(());
    }
    let text = format!(
        "This server is not '{}'. Its names are {}; further ones are given to it with `goldsmith serve --host NAME`.",
        Cut(named),
        names.join(", ")
    );
    Err(ApiError::new(StatusCode::MISDIRECTED_REQUEST, "MisdirectedRequest", text))
}

/// `https://host[:port]` from the request, or from where we listen if the request names no sane host.
pub(super) fn base_url(request: &Request, listen: &str) -> String {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    // HTTP/2 has no Host header: the authority is part of the address.
    let named = request.uri().authority().map(http::uri::Authority::as_str).or(host);
    let authority = named.filter(|text| is_sane(text)).unwrap_or(listen);
    format!("https://{authority}")
}

/// The host without its port.
pub(super) fn host_of(base_url: &str) -> &str {
    let authority = base_url.strip_prefix("https://").unwrap_or(base_url);
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// A host name or address with or without a port, and nothing that could end up elsewhere in a URL or
/// a header.
fn is_sane(authority: &str) -> bool {
    if authority.len() > 260 || authority.contains('@') {
        return false;
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let (host, port) = match authority.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((v6, rest))) => {
            let fine = v6.parse::<std::net::Ipv6Addr>().is_ok();
            (fine, rest.strip_prefix(':').or(rest.is_empty().then_some("1")))
        }
        Some(None) => (false, None),
        None => {
            let (host, port) = authority.split_once(':').unwrap_or((authority, "1"));
            (!host.is_empty() && host.bytes().all(plain), Some(port))
        }
    };
    host && port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_taken_as_given_unless_it_is_none() {
        let base = |host: &str| {
            let request =
                Request::builder().uri("/x").header("host", host).body(axum::body::Body::empty());
            base_url(&request.unwrap(), "127.0.0.1:8443")
        };
        for host in ["localhost:8443", "forge.example", "[::1]:9", "[::1]", "a_b.c-d:65535"] {
            assert_eq!(base(host), format!("https://{host}"));
        }
        for host in
            ["", ":1", "a b", "a/b", "u@h", "h:0", "h:70000", "h:x", "[x]:1", "[::1", "a\"b"]
        {
            assert_eq!(base(host), "https://127.0.0.1:8443", "{host}");
        }
    }

    fn refused(uri: &str, hosts: &[&str]) -> Option<u16> {
        let names = service::names::all(vec!["localhost".to_owned(), "::1".to_owned()]);
        let request =
            hosts.iter().fold(Request::builder().uri(uri), |r, host| r.header(HOST, *host));
        let request = request.body(axum::body::Body::empty()).unwrap();
        check(&request, &names).err().map(|error| error.status.as_u16())
    }

    #[test]
    fn only_our_own_names_are_answered_and_one_of_them() {
        for host in ["localhost:9", "LOCALHOST", "localhost.", "[::1]:9", "[::1]", "10.0.2.2:8443"]
        {
            assert_eq!(refused("/x", &[host]), None, "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "", "u@localhost", "127.0.0.2:1"] {
            assert_eq!(refused("/x", &[host]), Some(421), "{host}");
        }
        assert_eq!(refused("/x", &[]), Some(400));
        assert_eq!(refused("/x", &["localhost", "localhost"]), Some(400));
        assert_eq!(refused("https://localhost/x", &[]), None);
        assert_eq!(refused("https://evil.example/x", &["localhost"]), Some(421));
    }

    #[test]
    fn the_port_is_no_part_of_the_host() {
        assert_eq!(host_of("https://localhost:8443"), "localhost");
        assert_eq!(host_of("https://localhost"), "localhost");
        assert_eq!(host_of("https://[::1]:8443"), "[::1]");
        assert_eq!(host_of("https://[::1]"), "[::1]");
    }
}
