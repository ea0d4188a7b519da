//! The audience of a token. Clients name the service in several ways, with or without a trailing slash.

/// The APIs that tokens are issued for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The resource manager.
    Arm,
    /// The directory: `/graph`.
    Graph,
    /// Blobs. Storage clients use one name for every storage service.
    Storage,
}

impl Audience {
    /// The path of its URL.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Arm | Self::Storage => "/",
            Self::Graph => "/graph/",
        }
    }

    /// Whether it accepts a token for `found`. A token for the resource manager also allows reading blobs.
    pub(super) fn admits(self, found: Self) -> bool {
        self == found || self == Self::Storage && found == Self::Arm
    }
}

/// The audience of an `aud` claim, if it is one of this service. `names` are its host names without a port.
///
/// SDKs without `credential_scopes` request `https://management.azure.com` even for this service.
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
    fn every_spelling_of_the_service_is_recognized() {
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
