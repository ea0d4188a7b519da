//! Checks that a database on another machine is reached through TLS.

use std::net::IpAddr;

/// The URL of a database on another machine has no `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the database is on another machine, and its URL does not say how the connection is protected"
)]
pub struct Unprotected;

impl Unprotected {
    /// How to fix it.
    pub const HINT: &str = "add ?sslmode=verify-full (and sslrootcert=FILE for a CA of your own); where the network is trusted, sslmode=require or sslmode=disable says so";
}

/// Rejects the URL of a PostgreSQL server on another machine without `sslmode`: the default falls back to an
/// unencrypted connection if the server offers no TLS.
///
/// # Errors
/// The URL has no `sslmode`.
pub fn check_transport(url: &str) -> Result<(), Unprotected> {
    let Some(rest) = url.strip_prefix("postgres://").or(url.strip_prefix("postgresql://")) else {
        return Ok(());
    };
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let parameter = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next_back()
    };
    let authority = before.split('/').next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = parameter("host").unwrap_or(host);
    if is_local(host) {
        return Ok(());
    }
    match parameter("sslmode") {
        Some("verify-full") => Ok(()),
        Some(mode) => {
            tracing::warn!(
                sslmode = mode,
                "the connection to the database does not check the server's certificate; sslmode=verify-full does"
            );
            Ok(())
        }
        None => Err(Unprotected),
    }
}

/// Whether a host, with or without a port, is this machine.
fn is_local(host: &str) -> bool {
    let is_socket = |host: &str| {
        host.is_empty() || host.starts_with('/') || host.to_lowercase().starts_with("%2f")
    };
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, _)) => v6,
        None if host.parse::<IpAddr>().is_ok() => host,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    is_socket(host)
        || name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remote_database_without_sslmode_is_rejected() {
        for fine in [
            "sqlite:///a/b",
            "postgres://u:p@localhost:5432/d",
            "postgres://u@127.0.0.1/d",
            "postgresql://u:p@[::1]:5432/d",
            "postgres://%2Fvar%2Frun%2Fpostgresql/d",
            "postgres:///d?host=/run/postgresql",
            "postgres://u:p@db.example/d?sslmode=verify-full",
            "postgres://u:p@db.example/d?sslmode=disable",
        ] {
            assert_eq!(check_transport(fine), Ok(()), "{fine}");
        }
        for bad in [
            "postgres://u:secret@db.example/d",
            "postgresql://db.example:5432/d?application_name=x",
            "postgres://localhost/d?host=db.example",
            "postgres://u:secret@10.0.0.1/d",
        ] {
            let error = check_transport(bad).expect_err(bad);
            assert!(Unprotected::HINT.contains("verify-full"), "{bad}");
            assert!(!error.to_string().contains("secret"));
        }
    }
}
