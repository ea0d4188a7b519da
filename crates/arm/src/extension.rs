//! Extension resources of any scope: roles, locks, tags. The scope is the part of the path before its
//! last `providers`.

use db::ResourceKey;

use crate::{ApiError, Context, Path, is};

/// A path, split at its last `providers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// `/subscriptions/S`, a group or a resource; empty for the tenant.
    pub scope: String,
    /// Namespace and type in lower case: `microsoft.authorization/roleassignments`.
    pub kind: String,
    /// Type, name and the remaining parts.
    pub rest: Vec<String>,
}

impl Extension {
    /// Splits a path; `None` without a namespace and a type.
    pub fn of(path: &Path) -> Option<Self> {
        let segments: Vec<&str> = path.text.split('/').skip(1).collect();
        let at = segments.iter().rposition(|part| is(part, "providers"))?;
        let [namespace, rest @ ..] = &segments[at + 1..] else { return None };
        let kind = format!("{namespace}/{}", rest.first()?).to_lowercase();
        let scope: String = segments[..at].iter().map(|part| format!("/{part}")).collect();
        let rest = rest.iter().map(|part| (*part).to_owned()).collect();
        Some(Self { scope, kind, rest })
    }

    /// Checks that the scope exists. The caller has checked the subscription.
    ///
    /// # Errors
    /// `ResourceGroupNotFound`, `ResourceNotFound`.
    pub async fn check_scope(&self, context: &Context) -> Result<(), ApiError> {
        if self.scope.matches('/').count() <= 2 {
            return Ok(());
        }
        let key = ResourceKey::of(&self.scope);
        match context.store().resource(&key).await? {
            Some(_) => Ok(()),
            None => Err(self.scope_not_found()),
        }
    }

    /// 404 for the scope.
    pub fn scope_not_found(&self) -> ApiError {
        let path = Path::parse(&self.scope);
        let group = path.scope.group().unwrap_or_default();
        match &path.namespace {
            None => ApiError::group_not_found(group),
            Some(namespace) => {
                let kind = format!("{namespace}/{}", path.types());
                ApiError::not_found(&kind, &path.names().join("/"), group)
            }
        }
    }
}
