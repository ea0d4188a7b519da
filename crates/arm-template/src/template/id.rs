//! Resource ids.

use super::{Scope, resource::Resource};
use arm_expression::same_name;

/// The id of a resource in a scope (an id without a slash at its end), by its full type and name.
///
/// The error is the rule that type and name break.
pub(super) fn of_resource(scope: &str, resource_type: &str, name: &str) -> Result<String, String> {
    let (namespace, types) = resource_type.split_once('/').unwrap_or((resource_type, ""));
    let types: Vec<&str> = types.split('/').collect();
    let names: Vec<&str> = name.split('/').collect();
    if types.len() != names.len()
        || types.iter().any(|part| part.is_empty())
        || namespace.is_empty()
    {
        return Err("has incorrect segment lengths. A nested resource type must have identical number of segments as its resource name. A root resource type must have segment length one greater than its resource name".to_owned());
    }
    if let [name] = names[..]
        && let Some(id) = of_container(scope, resource_type, name)
    {
        return Ok(id);
    }
    let mut id = format!("{scope}/providers/{namespace}");
    for (part, name) in types.iter().zip(names) {
        id.push('/');
        id.push_str(part);
        id.push('/');
        id.push_str(name);
    }
    Ok(id)
}

/// The ids of resources that are scopes themselves.
fn of_container(scope: &str, resource_type: &str, name: &str) -> Option<String> {
    if same_name(resource_type, "Microsoft.Resources/resourceGroups") {
        let in_subscription = matches!(Scope::parse(scope), Some(Scope::Subscription(_)));
        return in_subscription.then(|| format!("{scope}/resourceGroups/{name}"));
    }
    if same_name(resource_type, "Microsoft.Resources/subscriptions") {
        return Some(format!("/subscriptions/{name}"));
    }
    let is_group = same_name(resource_type, "Microsoft.Management/managementGroups");
    is_group.then(|| format!("/providers/Microsoft.Management/managementGroups/{name}"))
}

/// The ids under which a template may speak of a resource: its own, and for a resource that is a scope itself also that
/// of `resourceId`, which treats it as any other.
pub(super) fn spellings(resource: &Resource) -> Vec<String> {
    if resource.id.is_empty() {
        return Vec::new();
    }
    let own = resource.id.to_string();
    let plain =
        format!("{}/providers/{}/{}", resource.scope, resource.resource_type, resource.name);
    let is_container = !resource.name.contains('/') && plain != own;
    if is_container { vec![own, plain] } else { vec![own] }
}

/// The id of `Namespace/type/name/type/name` in a scope.
pub(super) fn relative(scope: &str, path: &str) -> Option<String> {
    let segments: Vec<&str> = path.split('/').collect();
    let fits = segments.len() >= 3 && segments.len() % 2 == 1 && segments[0].contains('.');
    if !fits || segments.iter().any(|segment| segment.is_empty()) {
        return None;
    }
    if same_name(segments[0], "Microsoft.Management") && same_name(segments[1], "managementGroups")
    {
        return Some(format!("/providers/{path}"));
    }
    Some(format!("{scope}/providers/{path}"))
}

/// The scope of an id, and what follows `/providers/`. An extension's scope is the resource that it extends.
pub(super) fn split(id: &str) -> (&str, &str) {
    let lower = id.to_ascii_lowercase();
    match lower.rfind("/providers/") {
        Some(at) => (&id[..at], &id[at + "/providers/".len()..]),
        None => match id.rfind("/resourceGroups/") {
            Some(at) => (&id[..at], &id[at + 1..]),
            None => ("", id),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = "/subscriptions/s/resourceGroups/g";

    #[test]
    fn id_is_split_at_its_last_provider() {
        let extension = format!("{GROUP}/providers/N.C/t/a/Providers/N.D/u/b");
        assert_eq!(split(&extension), (&*format!("{GROUP}/providers/N.C/t/a"), "N.D/u/b"));
        assert_eq!(split(GROUP), ("/subscriptions/s", "resourceGroups/g"));
    }

    #[test]
    fn relative_path_has_names_between_types() {
        assert_eq!(relative(GROUP, "N.C/t/a"), Some(format!("{GROUP}/providers/N.C/t/a")));
        for path in ["name", "N.C/t", "t/a/b", "N.C/t//u/b"] {
            assert_eq!(relative(GROUP, path), None, "{path}");
        }
    }

    #[test]
    fn scopes_are_parsed_from_their_ids() {
        for id in
            ["", "/subscriptions/s", GROUP, "/providers/Microsoft.Management/managementGroups/m"]
        {
            assert_eq!(Scope::parse(id).map(|scope| scope.to_string()).as_deref(), Some(id));
        }
        assert_eq!(Scope::parse("/"), Some(Scope::Tenant));
        assert_eq!(Scope::parse(&format!("{GROUP}/providers/N.C/t/a")), None);
    }
}
