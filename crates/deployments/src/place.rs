//! Where a deployment is: its scope and its name.

use arm::{ApiError, Extension, Method, Path, Scope, group};
use db::{Resource, ResourceKey, Subscription};
use providers::subscription;
use service::App;

pub(crate) const TYPE: &str = "Microsoft.Resources/deployments";

/// The longest name.
const NAME: usize = 64;

/// A scope that deployments can be in.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The canonical id: of a group in its own spelling.
    pub(crate) id: String,
    /// The group, if it is one.
    pub(crate) group: Option<Resource>,
    /// The subscription that it is or is in.
    pub(crate) subscription: Subscription,
}

impl Place {
    /// The scope of a request, which must exist. A write needs one that is not being deleted.
    ///
    /// # Errors
    /// `SubscriptionNotFound`, `ResourceGroupNotFound`, `ResourceGroupBeingDeleted`; `ScopeNotSupported` for the tenant and management groups.
    pub(crate) async fn of(app: &App, at: &Extension, method: Method) -> Result<Self, ApiError> {
        let path = Path::parse(&at.scope);
        let id = path.scope.subscription();
        let subscription = subscription::find(app, id.unwrap_or(app.subscription())).await?;
        match (&path.scope, &path.namespace) {
            (Scope::Subscription(_), None) if path.rest.is_empty() => {
                let id = format!("/subscriptions/{}", subscription.id);
                Ok(Self { id, group: None, subscription })
            }
            (Scope::Group(_, name), None) if path.rest.is_empty() => {
                let context = app.context().within(&subscription.id);
                let group = group::existing(&context, name).await?;
                if method == Method::Put {
                    group::check_stays(&group)?;
                }
                Ok(Self { id: group.id.clone(), group: Some(group), subscription })
            }
            _ => Err(ApiError::bad_request(
                "ScopeNotSupported",
                format!(
                    "Deployments at '{}' are not supported. Deploy to a resource group or to the subscription.",
                    if at.scope.is_empty() { "/" } else { &at.scope }
                ),
            )),
        }
    }

    pub(crate) fn key(&self) -> ResourceKey {
        ResourceKey::of(&self.id)
    }

    /// The id of the deployment of that name.
    pub(crate) fn deployment(&self, name: &str) -> String {
        format!("{}/providers/{TYPE}/{name}", self.id)
    }
}

/// Checks the name of a new deployment.
///
/// # Errors
/// `InvalidDeploymentName`
pub(crate) fn check_name(name: &str) -> Result<(), ApiError> {
    let good = |c: char| c.is_alphanumeric() || "-_.()".contains(c);
    if (1..=NAME).contains(&name.chars().count()) && name.chars().all(good) {
        return Ok(());
    }
    Err(ApiError::bad_request(
        "InvalidDeploymentName",
        format!(
            "The deployment name '{name}' is invalid. It must have 1 to {NAME} characters, each a letter, digit, '-', '_', '.', '(' or ')'."
        ),
    )
    .target("name"))
}

/// 404 for a deployment.
pub(crate) fn not_found(name: &str) -> ApiError {
    ApiError::absent("DeploymentNotFound", format!("Deployment '{name}' could not be found."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_has_at_most_64_characters_of_a_few_kinds() {
        for good in ["a", "main.json", "Rg_1-(x)", &"x".repeat(64)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", &"x".repeat(65)] {
            assert_eq!(check_name(bad).unwrap_err().code, "InvalidDeploymentName", "{bad}");
        }
    }
}
