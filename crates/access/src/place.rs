//! The scope of a request, and what is common to the answers about it.

use arm::{ApiError, Call, Extension, Path, denied, is};
use authorization::{Need, Scope, Visible, Wanted};
use db::ResourceKey;
use jiff::Timestamp;
use serde_json::Value;
use service::App;

use crate::DEFINITIONS;

/// Types below resources that have no rows of their own: assignments are possible at them all the same.
const PARTS: [&str; 3] = ["blobServices", "runOutputs", "runs"];

/// Checks that the scope of a request exists. The routes have checked the subscription.
///
/// # Errors
/// `ResourceGroupNotFound`, `ResourceNotFound`.
pub(crate) async fn check(app: &App, at: &Extension) -> Result<(), ApiError> {
    let Some(whole) = whole(&at.scope) else { return at.check_scope(app.context()).await };
    match app.store().resource(&ResourceKey::of(&whole)).await? {
        Some(_) => Ok(()),
        None => Err(at.scope_not_found()),
    }
}

/// The resource that contains a scope, such as the account of a container; `None` if the scope is a whole resource.
fn whole(scope: &str) -> Option<String> {
    let path = Path::parse(&scope.replace('%', "%25"));
    let types = path.rest.iter().step_by(2);
    let depth = types.take_while(|kind| !PARTS.iter().any(|part| is(part, kind))).count() * 2;
    let below = path.rest.len().checked_sub(depth).filter(|below| *below > 0)?;
    path.text.rsplitn(below + 1, '/').last().map(str::to_owned)
}

/// Checks that the path ends after the name of the resource.
///
/// # Errors
/// `InvalidResourceType`
pub(crate) fn check_depth(call: &Call, at: &Extension) -> Result<(), ApiError> {
    if at.rest.len() <= 2 {
        return Ok(());
    }
    Err(ApiError::absent(
        "InvalidResourceType",
        format!("There is nothing at '{}'.", call.path.text),
    ))
}

/// `/subscriptions/{id}` of a scope; empty for those that are in no subscription.
pub(crate) fn subscription_of(scope: &str) -> &str {
    const SUBSCRIPTIONS: &str = "/subscriptions/";
    let is_in = scope
        .get(..SUBSCRIPTIONS.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(SUBSCRIPTIONS));
    if !is_in {
        return "";
    }
    let id = &scope[SUBSCRIPTIONS.len()..];
    &scope[..SUBSCRIPTIONS.len() + id.find('/').unwrap_or(id.len())]
}

/// The id of a role definition, in the subscription of the request. Clients compare these ids as text.
pub(crate) fn definition_id(at: &Extension, name: &str) -> String {
    format!("{}/providers/{}/{name}", subscription_of(&at.scope), DEFINITIONS.kind)
}

/// A scope as answers show it.
pub(crate) fn shown(scope: &str) -> &str {
    if scope.is_empty() { "/" } else { scope }
}

/// A time with the seven decimals of these answers.
pub(crate) fn time(at: Timestamp) -> String {
    format!("{at:.7}")
}

/// Checks an action at more scopes than that of the request, for which it is permitted already.
///
/// # Errors
/// `LinkedAuthorizationFailed`, `ScopeLocked`.
pub(crate) fn check_linked(
    call: &Call,
    at: &Extension,
    action: &'static str,
    scopes: &[String],
) -> Result<(), ApiError> {
    let need = |scope: &str| Need::new(Wanted::action(action), Scope::parse(scope));
    let also: Vec<Need> = scopes.iter().map(|scope| need(scope)).collect();
    let checked = call.rights().linked(&need(&at.scope), &also);
    checked.map_err(|denial| denied(&call.caller, &denial))
}

/// Which entries of a list the caller may read.
pub(crate) struct Readable(Visible);

impl Readable {
    /// By the action that reads an entry.
    pub(crate) fn by(call: &Call, action: &'static str, at: &Extension) -> Self {
        Self(call.rights().visible(&Wanted::action(action), &Scope::parse(&at.scope)))
    }

    /// Whether the caller may read an entry at a scope. A caller who may read the scope of the request also sees the entries
    /// above it, because they apply there.
    pub(crate) fn has(&self, scope: &Scope) -> bool {
        self.0.has(scope)
    }
}

/// A text of the properties of a row; null if it is missing.
pub(crate) fn field(body: &Value, name: &str) -> Value {
    body.get(name).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscription_is_the_first_two_parts_of_a_scope() {
        for (scope, wanted) in [
            ("", ""),
            ("/", ""),
            ("/subscriptions/S", "/subscriptions/S"),
            ("/Subscriptions/S/resourceGroups/g", "/Subscriptions/S"),
            ("/providers/Microsoft.Management/managementGroups/m", ""),
        ] {
            assert_eq!(subscription_of(scope), wanted, "{scope}");
        }
    }

    #[test]
    fn part_of_a_resource_has_its_row() {
        let group = "/subscriptions/s/resourceGroups/runs";
        let account = format!("{group}/providers/Microsoft.Storage/storageAccounts/runs");
        let container = format!("{account}/blobServices/default/containers/c");
        assert_eq!(whole(&container), Some(account.clone()));
        for scope in ["", "/subscriptions/s", group, &account] {
            assert_eq!(whole(scope), None, "{scope}");
        }
    }

    #[test]
    fn times_have_seven_decimals() {
        let at: Timestamp = "2026-02-03T04:05:06.123456789Z".parse().unwrap();
        assert_eq!(time(at), "2026-02-03T04:05:06.1234567Z");
        assert_eq!(time("2026-02-03T04:05:06Z".parse().unwrap()), "2026-02-03T04:05:06.0000000Z");
    }
}
