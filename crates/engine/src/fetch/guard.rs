//! Which addresses may be asked: never those by which a cloud tells a machine its secrets, and, for
//! templates of strangers, none that is not public.

use std::{
    error::Error as StdError,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

/// A policy for addresses, applied to each address at the moment of connecting to it, so that a name
/// cannot point elsewhere later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    /// Whether loopback and private networks may be asked.
    pub allow_private: bool,
}

/// An address that may not be asked.
#[derive(Debug)]
pub(super) struct Denied {
    what: String,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is an address that may not be fetched from", self.what)
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
    /// Whether that address may be asked.
    pub fn allows(self, address: IpAddr) -> bool {
        let address = embedded_v4(address);
        if METADATA.contains(&address) {
            return false;
        }
        match address {
            IpAddr::V4(v4) => self.allows_v4(v4),
            IpAddr::V6(v6) => self.allows_v6(v6),
        }
    }

    fn allows_v4(self, a: Ipv4Addr) -> bool {
        let [first, second, ..] = a.octets();
        let never = a.is_link_local() || a.is_multicast() || a.is_broadcast() || first == 0;
        let shared = first == 100 && (64..128).contains(&second);
        let benchmarks = first == 198 && (second & 0xfe) == 18;
        let reserved = first >= 240 || a.is_documentation();
        let private = a.is_loopback() || a.is_private() || shared || benchmarks || reserved;
        !never && (self.allow_private || !private)
    }

    fn allows_v6(self, a: Ipv6Addr) -> bool {
        let never = a.is_unicast_link_local() || a.is_multicast() || a.is_unspecified();
        let site_local = a.segments()[0] & 0xffc0 == 0xfec0;
        let private = a.is_loopback() || a.is_unique_local() || site_local;
        !never && (self.allow_private || !private)
    }

    /// A URL whose host is an address is not resolved, so it is looked at by itself.
    pub(super) fn check(self, url: &Url) -> Result<(), Denied> {
        let host = url.host_str().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match literal {
            Ok(address) if !self.allows(address) => Err(Denied { what: address.to_string() }),
            _ => Ok(()),
        }
    }
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
        let guard = *self;
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> =
                found.iter().copied().filter(|address| guard.allows(address.ip())).collect();
            match found.first() {
                Some(first) if allowed.is_empty() => {
                    let what = format!("{} ({})", name.as_str(), first.ip());
                    Err(Box::new(Denied { what }) as Box<dyn StdError + Send + Sync>)
                }
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(guard: Guard, text: &str) -> bool {
        guard.allows(text.parse().unwrap())
    }

    #[test]
    fn metadata_and_link_local_are_never_asked() {
        for guard in [Guard { allow_private: true }, Guard { allow_private: false }] {
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
            assert!(allowed(Guard { allow_private: true }, address), "{address}");
            assert!(!allowed(Guard { allow_private: false }, address), "{address}");
        }
    }

    #[test]
    fn addresses_in_a_url_are_looked_at() {
        let guard = Guard { allow_private: false };
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
}
