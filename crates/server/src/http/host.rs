//! How a client names us: URLs that we give out are built from it.

use axum::extract::Request;

/// `https://host[:port]` from the request, or from where we listen if the request names no sane host.
pub(super) fn base_url(request: &Request, listen: &str) -> String {
    let host = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
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

    #[test]
    fn the_port_is_no_part_of_the_host() {
        assert_eq!(host_of("https://localhost:8443"), "localhost");
        assert_eq!(host_of("https://localhost"), "localhost");
        assert_eq!(host_of("https://[::1]:8443"), "[::1]");
        assert_eq!(host_of("https://[::1]"), "[::1]");
    }
}
