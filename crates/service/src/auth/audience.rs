//! What a token is for. Clients name us in several ways, with and without a slash at the end.

/// The things that tokens are given out for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The resource manager.
    Arm,
    /// The directory: `/graph`.
    Graph,
    /// Blobs. Clients of storage ask for one name, whoever keeps their blobs.
    Storage,
}

impl Audience {
    /// What its name has behind the host.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Arm | Self::Storage => "/",
            Self::Graph => "/graph/",
        }
    }

    /// Whether a token for `found` opens this. Who may manage everything may read blobs as well.
    pub(super) fn admits(self, found: Self) -> bool {
        self == found || self == Self::Storage && found == Self::Arm
    }
}

/// What that `aud` stands for, if it is one of ours: `names` are our host names without port.
///
/// SDKs without `credential_scopes` ask for `https://management.azure.com` even when they talk to us.
pub fn audience_of(aud: &str, names: &[String]) -> Option<Audience> {
    let aud = aud.trim_end_matches('/').to_ascii_lowercase();
    match aud.as_str() {
        "https://management.azure.com" | "https://management.core.windows.net" => {
            return Some(Audience::Arm);
        }
        "https://graph.microsoft.com" => return Some(Audience::Graph),
        "https://storage.azure.com" => return Some(Audience::Storage),
        _ => {}
    }
    let (base, audience) = match aud.strip_suffix("/graph") {
        Some(base) => (base, Audience::Graph),
        None => (aud.as_str(), Audience::Arm),
    };
    let authority = base.strip_prefix("https://")?;
    let named = names.iter().any(|name| host_of(authority).eq_ignore_ascii_case(name));
    named.then_some(audience)
}

/// The host of `https://host:port`.
pub fn name_of(url: &str) -> Option<String> {
    url.strip_prefix("https://").map(|authority| host_of(authority).to_lowercase())
}

/// The host of `host`, `host:port`, `[v6]:port`.
fn host_of(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split_once(']').map_or("", |(host, _)| host);
    }
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_that_clients_name_us_is_known() {
        let names = ["localhost".to_owned(), "::1".to_owned()];
        let of = |aud| audience_of(aud, &names);
        for aud in [
            "https://localhost:8443/",
            "https://localhost:8443",
            "https://LOCALHOST",
            "https://[::1]:8443/",
            "https://management.azure.com/",
            "https://management.azure.com",
        ] {
            assert_eq!(of(aud), Some(Audience::Arm), "{aud}");
        }
        assert_eq!(of("https://localhost:8443/graph/"), Some(Audience::Graph));
        assert_eq!(of("https://graph.microsoft.com"), Some(Audience::Graph));
        assert_eq!(of("https://storage.azure.com/"), Some(Audience::Storage));
        assert!(
            Audience::Storage.admits(Audience::Arm) && !Audience::Arm.admits(Audience::Storage)
        );
        for aud in [
            "https://example.com",
            "https://forwarded:1",
            "http://localhost:8443",
            "localhost",
            "",
            "https://",
        ] {
            assert_eq!(of(aud), None, "{aud}");
        }
    }
}
