//! Checks the host name of a request: URLs in responses contain it, so it must be a name of this server.

use arm::ApiError;
use axum::extract::Request;
use http::{StatusCode, header::HOST};

use crate::limits::Cut;

/// Rejects a request without a host, with several, or with that of another server. It ignores the port, which may
/// be that of a tunnel.
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
    if is_valid(named) && names.iter().any(|name| name.eq_ignore_ascii_case(host)) {
        return Ok(());
    }
    let text = format!(
        "This server is not '{}'. Its names are {}; add further ones with `goldsmith serve --host NAME`.",
        Cut(named),
        names.join(", ")
    );
    Err(ApiError::new(StatusCode::MISDIRECTED_REQUEST, "MisdirectedRequest", text))
}

/// `https://host[:port]` of the request, or of the listener if the request has no valid host.
pub(super) fn base_url(request: &Request, listen: &str) -> String {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    // HTTP/2 has an authority instead of a Host header.
    let named = request.uri().authority().map(http::uri::Authority::as_str).or(host);
    let authority = named.filter(|text| is_valid(text)).unwrap_or(listen);
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

/// Whether it is a host name or address, with or without a port, that is safe in URLs and headers.
fn is_valid(authority: &str) -> bool {
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
    fn valid_host_of_request_is_used() {
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
    fn request_needs_exactly_one_name_of_this_server() {
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
    fn port_is_not_part_of_the_host() {
        assert_eq!(host_of("https://localhost:8443"), "localhost");
        assert_eq!(host_of("https://localhost"), "localhost");
        assert_eq!(host_of("https://[::1]:8443"), "[::1]");
        assert_eq!(host_of("https://[::1]"), "[::1]");
    }
}
