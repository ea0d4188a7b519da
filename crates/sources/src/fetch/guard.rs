//! Which addresses may be asked: never those by which a cloud tells a machine its secrets, and, for
//! templates of strangers, only global unicast that is not this machine's own.

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

/// Why an address is refused.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    why: &'static str,
    may_be_allowed: bool,
}

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

    /// Refuses an address that may not be asked when it stands for that host. `own` says whether an
    /// address is one of this machine.
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

    /// Refuses a URL whose host is a denied address: no resolver will see it.
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

/// The IPv4 addresses in an IPv6 one.
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
