//! Decides which addresses may be contacted: never the metadata services of clouds, and for
//! templates of strangers only global unicast addresses that are not this host's own.

mod own;
mod ranges;

use std::{
    error::Error as StdError,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

use self::{
    own::is_own,
    ranges::{Reach, classify, embedded},
};

/// A policy for addresses. It is applied to each address at connection time, so that a name cannot
/// point elsewhere later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// Whether loopback and private networks are allowed.
    allow_private: bool,
    /// Hosts that are allowed there in any case: names or addresses as in a URL, in lower case.
    hosts: Arc<[String]>,
}

/// An address that must not be contacted.
#[derive(Debug)]
pub(super) struct Denied {
    what: String,
    why: &'static str,
    /// Whether an administrator could allow it.
    may_be_allowed: bool,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is an address that may not be fetched from ({})", self.what, self.why)?;
        if self.may_be_allowed {
            f.write_str(": it is not public, and its host is not among those that the administrator allows (goldsmith serve --allow-fetch-from HOST)")?;
        }
        Ok(())
    }
}

impl StdError for Denied {}

/// Why an address is rejected.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    why: &'static str,
    may_be_allowed: bool,
}

impl Guard {
    /// Allows loopback and private networks: the templates are the user's own.
    pub fn open() -> Self {
        Self { allow_private: true, hosts: Arc::default() }
    }

    /// Allows public addresses, and these hosts at any address.
    pub fn only(hosts: impl IntoIterator<Item = String>) -> Self {
        let bare = |host: String| host.trim_matches(['[', ']']).to_lowercase();
        Self { allow_private: false, hosts: hosts.into_iter().map(bare).collect() }
    }

    /// Rejects an address that is not allowed for that host. `own` decides whether an address
    /// belongs to this host.
    fn admit(
        &self,
        host: &str,
        address: IpAddr,
        own: impl Fn(IpAddr) -> io::Result<bool>,
    ) -> Result<(), Refusal> {
        let (reach, why) = classify(address);
        if reach == Reach::Never {
            return Err(Refusal { why, may_be_allowed: false });
        }
        if self.allow_private || self.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
        {
            return Ok(());
        }
        if reach == Reach::Private {
            return Err(Refusal { why, may_be_allowed: true });
        }
        for address in std::iter::once(address).chain(inner(address)) {
            let why = match own(address) {
                Ok(false) => continue,
                Ok(true) => "this machine's own",
                Err(error) => {
                    tracing::warn!(%error, "this machine's addresses cannot be listed");
                    "this machine's addresses cannot be listed to rule it out"
                }
            };
            return Err(Refusal { why, may_be_allowed: true });
        }
        Ok(())
    }

    /// Rejects a URL whose host is a denied address, since no resolver will check it.
    pub(super) fn check(&self, url: &Url) -> Result<(), Denied> {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let Ok(address) = host.parse::<IpAddr>() else {
            return Ok(());
        };
        self.admit(host, address, is_own).map_err(|refusal| denied(address.to_string(), &refusal))
    }
}

fn denied(what: String, refusal: &Refusal) -> Denied {
    Denied { what, why: refusal.why, may_be_allowed: refusal.may_be_allowed }
}

/// The IPv4 addresses embedded in an IPv6 one.
fn inner(address: IpAddr) -> Vec<IpAddr> {
    match address {
        IpAddr::V4(_) => Vec::new(),
        IpAddr::V6(v6) => embedded(v6).into_iter().map(IpAddr::V4).collect(),
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let mut allowed: Vec<SocketAddr> = Vec::new();
            let mut refused = None;
            for address in found {
                match guard.admit(name.as_str(), address.ip(), is_own) {
                    Ok(()) => allowed.push(address),
                    Err(refusal) => {
                        let what = format!("{} ({})", name.as_str(), address.ip());
                        refused.get_or_insert_with(|| denied(what, &refusal));
                    }
                }
            }
            match refused {
                Some(denied) if allowed.is_empty() => {
                    Err(Box::new(denied) as Box<dyn StdError + Send + Sync>)
                }
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests;
