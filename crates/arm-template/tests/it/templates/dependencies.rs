//! What resources wait for.

use super::{after, classic, named, plan, plan_error};

/// Three resources; the third depends on what is given.
fn third_depends_on(entry: &str) -> String {
    classic(&format!(
        r#""resources": [
            {{"type": "Microsoft.Network/publicIPAddresses", "apiVersion": "1", "name": "ip"}},
            {{"type": "Microsoft.Network/virtualNetworks/subnets", "apiVersion": "1", "name": "net/sub"}},
            {{"type": "N.C/t", "apiVersion": "1", "name": "last", "dependsOn": [{entry}]}}]"#
    ))
}

#[test]
fn entries_name_resources_in_many_ways() {
    for (entry, found) in [
        (r#""ip""#, "ip"),
        (r#""IP""#, "ip"),
        (r#""Microsoft.Network/publicIpAddresses/ip""#, "ip"),
        (r#""[resourceId('Microsoft.Network/publicIPAddresses', 'ip')]""#, "ip"),
        (r#""[concat('Microsoft.Network/publicIPAddresses/', 'ip')]""#, "ip"),
        (r#""net/sub""#, "net/sub"),
        (r#""Microsoft.Network/virtualNetworks/net/subnets/sub""#, "net/sub"),
        (r#""Microsoft.Network/virtualNetworks/subnets/net/sub""#, "net/sub"),
        (r#""[resourceId('Microsoft.Network/virtualNetworks/subnets', 'NET', 'sub')]""#, "net/sub"),
    ] {
        assert_eq!(after(&plan(&third_depends_on(entry)), "last"), [found], "{entry}");
    }
}

#[test]
fn entry_that_names_nothing_is_an_error_with_its_place() {
    let error = plan_error(&third_depends_on(r#""[resourceId('Microsoft.Web/sites', 'x')]""#));
    let message = "The resource 'Microsoft.Web/sites/x' is not defined in the template";
    assert!(error.message.ends_with(message), "{error}");
    assert_eq!(error.path, "resources[2].dependsOn[0]");
    assert!(plan_error(&third_depends_on("1")).message.contains("must be a string"));
}

#[test]
fn bare_name_of_two_resources_is_ambiguous() {
    let template = classic(
        r#""resources": [
            {"type": "N.C/t", "apiVersion": "1", "name": "a"}, {"type": "N.C/u", "apiVersion": "1", "name": "a"},
            {"type": "N.C/v", "apiVersion": "1", "name": "b", "dependsOn": ["a"]}]"#,
    );
    assert!(plan_error(&template).message.contains("ambiguous"));
    assert_eq!(after(&plan(&template.replace(r#"["a"]"#, r#"["N.C/u/a"]"#)), "b").len(), 1);
}

#[test]
fn reference_and_list_are_dependencies_and_resource_id_is_not() {
    let template = classic(
        r#""resources": [
            {"type": "N.C/t", "apiVersion": "1", "name": "a"},
            {"type": "N.C/t", "apiVersion": "1", "name": "b"},
            {"type": "N.C/t", "apiVersion": "1", "name": "c", "properties": {
                "x": ["[reference('a').y]", {"[reference(resourceId('N.C/t', 'b'), '1').z]": 1}]}},
            {"type": "N.C/t", "apiVersion": "1", "name": "d", "properties": {"x": "[listKeys('a', '1').y]"}},
            {"type": "N.C/t", "apiVersion": "1", "name": "e", "properties": {"x": "[resourceId('N.C/t', 'a')]"}},
            {"type": "N.C/t", "apiVersion": "1", "name": "f", "properties": {"x": "[reference(concat('/subscriptions/s/x'), '1')]"}}]"#,
    );
    let plan = plan(&template);
    assert_eq!(after(&plan, "c"), ["a", "b"]);
    assert_eq!(after(&plan, "d"), ["a"]);
    assert!(after(&plan, "e").is_empty());
    assert!(after(&plan, "f").is_empty());
}

#[test]
fn nobody_waits_for_what_is_not_deployed() {
    let template = classic(
        r#""resources": [
            {"type": "N.C/t", "apiVersion": "1", "name": "a", "condition": false},
            {"type": "N.C/t", "apiVersion": "1", "name": "b", "dependsOn": ["a"]}]"#,
    );
    let plan = plan(&template);
    assert!(after(&plan, "b").is_empty());
    assert_eq!(named(&plan, "b").depends_on, [0]);
    assert!(named(&plan, "b").condition);
}

#[test]
fn order_has_dependencies_first() {
    let template = classic(
        r#""resources": [
            {"type": "N.C/t", "apiVersion": "1", "name": "a", "dependsOn": ["b", "c"]},
            {"type": "N.C/t", "apiVersion": "1", "name": "b", "dependsOn": ["c"]},
            {"type": "N.C/t", "apiVersion": "1", "name": "c"}]"#,
    );
    assert_eq!(plan(&template).order(), [2, 1, 0]);
}

#[test]
fn circle_is_an_error_with_its_path() {
    let template = classic(
        r#""resources": [
            {"type": "N.C/t", "apiVersion": "1", "name": "a", "dependsOn": ["b"]},
            {"type": "N.C/t", "apiVersion": "1", "name": "b", "properties": "[reference('a')]"},
            {"type": "N.C/t", "apiVersion": "1", "name": "c", "dependsOn": ["a"]}]"#,
    );
    let error = plan_error(&template);
    assert!(error.message.starts_with("Circular dependency detected on resource: '"), "{error}");
    assert!(error.message.contains("/N.C/t/a -> "), "{error}");
    let own = classic(
        r#""resources": [{"type": "N.C/t", "apiVersion": "1", "name": "a", "dependsOn": ["a"]}]"#,
    );
    assert!(plan_error(&own).message.starts_with("Circular dependency"));
}

#[test]
fn long_chain_is_ordered_without_recursion() {
    let mut resources = vec![r#"{"type": "N.C/t", "apiVersion": "1", "name": "n0"}"#.to_owned()];
    for n in 1..700 {
        let before = n - 1;
        resources.push(format!(
            r#"{{"type": "N.C/t", "apiVersion": "1", "name": "n{n}", "dependsOn": ["n{before}"]}}"#
        ));
    }
    resources.reverse();
    let plan = plan(&classic(&format!(r#""resources": [{}]"#, resources.join(","))));
    assert_eq!(plan.order().first(), Some(&699));
    assert_eq!(plan.order().len(), 700);
}
