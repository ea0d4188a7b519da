//! Which addresses may be asked: never those by which a cloud tells a machine its secrets, and, for
//! templates of strangers, none that is not public.

use std::{
    error::Error as StdError,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

/// A policy for addresses, applied to each address at the moment of connecting to it, so that a name
/// cannot point elsewhere later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// Whether loopback and private networks may be asked.
    allow_private: bool,
    /// Hosts that may be asked there all the same: names or addresses as a URL has them, in lower case.
    hosts: Arc<[String]>,
}

/// An address that may not be asked.
#[derive(Debug)]
pub(super) struct Denied {
    what: String,
    /// Whether an administrator could allow it.
    may_be_allowed: bool,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is an address that may not be fetched from", self.what)?;
        if self.may_be_allowed {
            f.write_str(": it is not public, and its host is not among those that the administrator allows (goldsmith serve --allow-fetch-from HOST)")?;
        }
        Ok(())
    }
}

impl StdError for Denied {}

/// Cloud metadata outside of the link-local range: Azure's wire server, Alibaba's, Amazon's.
const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

impl Guard {
    /// Loopback and private networks may be asked: the templates are the user's own.
    pub fn open() -> Self {
        Self { allow_private: true, hosts: Arc::default() }
    }

    /// Public addresses may be asked, and these hosts wherever they are.
    pub fn only(hosts: impl IntoIterator<Item = String>) -> Self {
        let bare = |host: String| host.trim_matches(['[', ']']).to_lowercase();
        Self { allow_private: false, hosts: hosts.into_iter().map(bare).collect() }
    }

    /// Whether that address may be asked when it stands for that host.
    fn allows(&self, host: &str, address: IpAddr) -> bool {
        let address = embedded_v4(address);
        if METADATA.contains(&address) {
            return false;
        }
        let private = self.allow_private
            || self.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host));
        match address {
            IpAddr::V4(v4) => allows_v4(v4, private),
            IpAddr::V6(v6) => allows_v6(v6, private),
        }
    }

    /// A URL whose host is an address is not resolved, so it is looked at by itself.
    pub(super) fn check(&self, url: &Url) -> Result<(), Denied> {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        match host.parse::<IpAddr>() {
            Ok(address) if !self.allows(host, address) => Err(Denied {
                what: address.to_string(),
                may_be_allowed: Self::open().allows(host, address),
            }),
            _ => Ok(()),
        }
    }
}

fn allows_v4(a: Ipv4Addr, allow_private: bool) -> bool {
    let [first, second, ..] = a.octets();
    let never = a.is_link_local() || a.is_multicast() || a.is_broadcast() || first == 0;
    let shared = first == 100 && (64..128).contains(&second);
    let benchmarks = first == 198 && (second & 0xfe) == 18;
    let reserved = first >= 240 || a.is_documentation();
    let private = a.is_loopback() || a.is_private() || shared || benchmarks || reserved;
    !never && (allow_private || !private)
}

fn allows_v6(a: Ipv6Addr, allow_private: bool) -> bool {
    let never = a.is_unicast_link_local() || a.is_multicast() || a.is_unspecified();
    let site_local = a.segments()[0] & 0xffc0 == 0xfec0;
    let private = a.is_loopback() || a.is_unique_local() || site_local;
    !never && (allow_private || !private)
}

/// The IPv4 address that an IPv6 one stands for (mapped, NAT64, 6to4).
fn embedded_v4(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    let s = v6.segments();
    let from = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            from(high, low)
        }
        [0x2002, high, low, ..] => from(high, low),
        _ => address,
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allows = |address: &SocketAddr| guard.allows(name.as_str(), address.ip());
            let allowed: Vec<SocketAddr> = found.iter().copied().filter(allows).collect();
            match found.first() {
                Some(first) if allowed.is_empty() => {
                    let what = format!("{} ({})", name.as_str(), first.ip());
                    let may_be_allowed = Self::open().allows(name.as_str(), first.ip());
                    Err(Box::new(Denied { what, may_be_allowed })
                        as Box<dyn StdError + Send + Sync>)
                }
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(guard: &Guard, text: &str) -> bool {
        guard.allows(text, text.parse().unwrap())
    }

    fn strict() -> Guard {
        Guard::only(None)
    }

    #[test]
    fn metadata_and_link_local_are_never_asked() {
        for guard in [&Guard::open(), &strict()] {
            for bad in [
                "169.254.169.254",
                "168.63.129.16",
                "100.100.100.200",
                "fd00:ec2::254",
                "fe80::1",
                "::ffff:169.254.169.254",
                "64:ff9b::a9fe:a9fe",
                "2002:a9fe:a9fe::1",
                "0.0.0.0",
                "::",
                "224.0.0.1",
                "255.255.255.255",
            ] {
                assert!(!allowed(guard, bad), "{bad} with {guard:?}");
            }
            for good in ["151.101.2.132", "2a04:4e42::644"] {
                assert!(allowed(guard, good), "{good} with {guard:?}");
            }
        }
    }

    #[test]
    fn private_networks_are_asked_only_where_allowed() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "198.18.0.1",
            "240.0.0.1",
            "::1",
            "fc00::1",
            "fec0::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(allowed(&Guard::open(), address), "{address}");
            assert!(!allowed(&strict(), address), "{address}");
        }
    }

    #[test]
    fn addresses_in_a_url_are_looked_at() {
        let guard = strict();
        for bad in [
            "http://127.0.0.1/x",
            "http://2130706433/x",
            "http://0x7f.1/x",
            "http://[::1]:80/x",
            "http://[::ffff:127.0.0.1]/",
        ] {
            assert!(guard.check(&bad.parse().unwrap()).is_err(), "{bad}");
        }
        assert!(guard.check(&"https://example.com/x".parse().unwrap()).is_ok());
    }

    #[test]
    fn a_host_is_allowed_by_its_name_alone() {
        let guard =
            Guard::only(["Files.corp".to_owned(), "10.0.0.7".to_owned(), "[::1]".to_owned()]);
        let corp = |host: &str, address: &str| guard.allows(host, address.parse().unwrap());
        assert!(corp("files.corp", "10.0.0.9") && corp("FILES.CORP", "127.0.0.1"));
        assert!(!corp("evil.example", "10.0.0.9"), "the address is not what was allowed");
        assert!(!corp("files.corp", "169.254.169.254"), "metadata never is");
        for (url, good) in [
            ("http://10.0.0.7/x", true),
            ("http://10.0.0.8/x", false),
            ("http://[::1]:8080/x", true),
            ("http://127.0.0.1/x", false),
        ] {
            assert_eq!(guard.check(&url.parse().unwrap()).is_ok(), good, "{url}");
        }
    }
}
