//! The part of the service that a path belongs to. Keywords ignore case, and repeated slashes count once.

/// The parts of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(strum::EnumIter))]
pub(super) enum Route {
    /// The metadata of the cloud.
    Metadata,
    /// Short names of images, for `az`.
    Aliases,
    /// Discovery of the login endpoint.
    OpenId { adfs: bool, tenant: Option<String> },
    /// Whether the login endpoint, in its form of AD FS, is trusted for this host.
    WebFinger,
    /// Public keys of tokens.
    Keys,
    /// The token endpoint.
    Token { tenant: Option<String> },
    /// The directory, with the path after `/graph`.
    Graph(Vec<String>),
    /// Blobs, with the path after `/storage` in its original case.
    Storage(Vec<String>),
    /// Liveness.
    Alive,
    /// Readiness.
    Ready,
    /// Metrics.
    Metrics,
    /// The description of the API.
    OpenApi,
    /// Everything else.
    Arm,
}

impl Route {
    /// The part that a path belongs to.
    pub(super) fn of(path: &str) -> Self {
        let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
        let given: Vec<&str> = decoded.split('/').filter(|part| !part.is_empty()).collect();
        let lower: Vec<String> = given.iter().map(|part| part.to_lowercase()).collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        match lower.as_slice() {
            ["metadata", "endpoints"] => Self::Metadata,
            ["metadata", "aliases.json"] => Self::Aliases,
            ["healthz"] => Self::Alive,
            ["readyz"] => Self::Ready,
            ["metrics"] => Self::Metrics,
            ["openapi.json"] => Self::OpenApi,
            [".well-known", "webfinger"] => Self::WebFinger,
            ["graph", ..] => {
                Self::Graph(given[1..].iter().map(|part| (*part).to_owned()).collect())
            }
            ["storage", _, ..] => {
                Self::Storage(given[1..].iter().map(|part| (*part).to_owned()).collect())
            }
            ["adfs", rest @ ..] => authority(true, rest).unwrap_or(Self::Arm),
            rest => authority(false, rest).unwrap_or(Self::Arm),
        }
    }

    /// Whether it allows only reading.
    pub(super) fn is_read_only(&self) -> bool {
        match self {
            Self::Token { .. } | Self::Graph(_) | Self::Storage(_) | Self::Arm => false,
            Self::Metadata
            | Self::Aliases
            | Self::OpenId { .. }
            | Self::WebFinger
            | Self::Keys
            | Self::Alive
            | Self::Ready
            | Self::Metrics
            | Self::OpenApi => true,
        }
    }

    /// A label for metrics, of a few values.
    pub(super) fn class(&self) -> &'static str {
        match self {
            Self::Metadata | Self::Aliases => "metadata",
            Self::OpenId { .. } | Self::WebFinger | Self::Keys => "discovery",
            Self::Token { .. } => "token",
            Self::Graph(_) => "graph",
            Self::Storage(_) => "storage",
            Self::Alive | Self::Ready | Self::Metrics => "health",
            Self::OpenApi => "openapi",
            Self::Arm => "arm",
        }
    }
}

/// Parses both trees of login endpoints: Entra's begins with a tenant; the tenant is optional in that of AD FS.
fn authority(adfs: bool, segments: &[&str]) -> Option<Route> {
    let some = |tenant: &str| Some(tenant.to_owned());
    Some(match segments {
        [".well-known", "openid-configuration"] if adfs => Route::OpenId { adfs, tenant: None },
        [tenant, "v2.0", ".well-known", "openid-configuration"]
        | [tenant, ".well-known", "openid-configuration"] => {
            Route::OpenId { adfs, tenant: some(tenant) }
        }
        ["oauth2", "token"] if adfs => Route::Token { tenant: None },
        [tenant, "oauth2", "v2.0", "token"] | [tenant, "oauth2", "token"] => {
            Route::Token { tenant: some(tenant) }
        }
        ["discovery", "keys"] if adfs => Route::Keys,
        [_, "discovery", "v2.0", "keys"] | [_, "discovery", "keys"] => Route::Keys,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_trees_have_the_same_endpoints() {
        let tenant = || Some("t".to_owned());
        for (path, wanted) in [
            ("/metadata/endpoints", Route::Metadata),
            ("//Metadata/Endpoints/", Route::Metadata),
            (
                "/T/v2.0/.well-known/openid-configuration",
                Route::OpenId { adfs: false, tenant: tenant() },
            ),
            ("/adfs/.well-known/openid-configuration", Route::OpenId { adfs: true, tenant: None }),
            (
                "/adfs/t/v2.0/.well-known/openid-configuration",
                Route::OpenId { adfs: true, tenant: tenant() },
            ),
            ("/t/oauth2/v2.0/token", Route::Token { tenant: tenant() }),
            ("/adfs/oauth2/token", Route::Token { tenant: None }),
            ("/.well-known/webfinger", Route::WebFinger),
            ("/adfs/t/oauth2/v2.0/token", Route::Token { tenant: tenant() }),
            ("/t/discovery/v2.0/keys", Route::Keys),
            ("/adfs/discovery/keys", Route::Keys),
            ("/graph/v1.0/Users", Route::Graph(vec!["v1.0".into(), "Users".into()])),
            (
                "/storage/acc/shell/A%20b",
                Route::Storage(["acc", "shell", "A b"].map(str::to_owned).into()),
            ),
            ("/healthz", Route::Alive),
            ("/subscriptions", Route::Arm),
            ("/subscriptions/s/resourceGroups/metrics", Route::Arm),
            ("/", Route::Arm),
        ] {
            assert_eq!(Route::of(path), wanted, "{path}");
        }
    }
}
