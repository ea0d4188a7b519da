//! Types, names, scopes and ids.

use arm_template::{Facts, Limits, Parameters, Plan, Scope, Template};

use super::{SUBSCRIPTION, classic, facts, group_scope, plan, plan_error};

fn only_id(resource: &str) -> String {
    let plan = plan(&classic(&format!(r#""resources": [{{"apiVersion": "1", {resource}}}]"#)));
    plan.resources()[0].id.to_string()
}

#[test]
fn ids_follow_type_name_and_scope() {
    let group = group_scope().to_string();
    let cases = [
        (r#""type": "N.C/t", "name": "a""#, format!("{group}/providers/N.C/t/a")),
        (r#""type": "N.C/t/u", "name": "a/b""#, format!("{group}/providers/N.C/t/a/u/b")),
        (
            r#""type": "N.C/t/providers/locks", "name": "a/Microsoft.Authorization/l""#,
            format!("{group}/providers/N.C/t/a/providers/Microsoft.Authorization/locks/l"),
        ),
        (
            r#""type": "Microsoft.Authorization/locks", "name": "l", "scope": "N.C/t/a""#,
            format!("{group}/providers/N.C/t/a/providers/Microsoft.Authorization/locks/l"),
        ),
        (
            r#""type": "Microsoft.Authorization/locks", "name": "l", "scope": "[resourceId('N.C/t/u', 'a', 'b')]""#,
            format!("{group}/providers/N.C/t/a/u/b/providers/Microsoft.Authorization/locks/l"),
        ),
        (r#""type": "N.C/t", "name": "a", "scope": "/""#, "/providers/N.C/t/a".to_owned()),
        (
            r#""type": "N.C/t", "name": "a", "scope": "Microsoft.Management/managementGroups/m""#,
            "/providers/Microsoft.Management/managementGroups/m/providers/N.C/t/a".to_owned(),
        ),
        (
            r#""type": "N.C/t", "name": "a", "resourceGroup": "other""#,
            format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/other/providers/N.C/t/a"),
        ),
        (
            r#""type": "N.C/t", "name": "a", "subscriptionId": "s2", "resourceGroup": "other""#,
            "/subscriptions/s2/resourceGroups/other/providers/N.C/t/a".to_owned(),
        ),
        (
            r#""type": "N.C/t", "name": "a", "subscriptionId": "s2""#,
            "/subscriptions/s2/providers/N.C/t/a".to_owned(),
        ),
    ];
    for (resource, id) in cases {
        assert_eq!(only_id(resource), id, "{resource}");
    }
}

/// A deployment to a subscription.
fn subscription_plan(rest: &str) -> Plan {
    let template = format!(
        r#"{{"$schema": "https://x/2018-05-01/subscriptionDeploymentTemplate.json#", "contentVersion": "1", {rest}}}"#
    );
    let template = Template::parse(&template, &Limits::default()).expect("the template");
    let facts = Facts {
        scope: Scope::Subscription(SUBSCRIPTION.into()),
        location: Some("westeurope".into()),
        resource_group: None,
        ..facts()
    };
    template.plan(&Parameters::new(), facts).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn subscription_deployment_makes_groups_and_deploys_into_them() {
    let plan = subscription_plan(
        r#""resources": [
            {"type": "Microsoft.Resources/resourceGroups", "apiVersion": "1", "name": "g", "location": "[deployment().location]"},
            {"type": "Microsoft.Resources/deployments", "apiVersion": "1", "name": "d", "resourceGroup": "g",
             "dependsOn": ["[subscriptionResourceId('Microsoft.Resources/resourceGroups', 'g')]"],
             "properties": {"mode": "Incremental", "template": {}}},
            {"type": "Microsoft.Authorization/roleDefinitions", "apiVersion": "1", "name": "r", "dependsOn": ["[resourceId('Microsoft.Resources/resourceGroups', 'g')]", "d"]}]"#,
    );
    let ids: Vec<_> = plan.resources().iter().map(|r| r.id.to_string()).collect();
    let subscription = format!("/subscriptions/{SUBSCRIPTION}");
    assert_eq!(ids[0], format!("{subscription}/resourceGroups/g"));
    assert_eq!(
        ids[1],
        format!("{subscription}/resourceGroups/g/providers/Microsoft.Resources/deployments/d")
    );
    assert_eq!(
        ids[2],
        format!("{subscription}/providers/Microsoft.Authorization/roleDefinitions/r")
    );
    assert_eq!(plan.resources()[1].after, [0]);
    assert_eq!(plan.resources()[2].after, [0, 1]);
}

#[test]
fn functions_of_a_narrower_scope_are_refused() {
    let template =
        r#""resources": [], "outputs": {"x": {"type": "object", "value": "[resourceGroup()]"}}"#;
    let plan = subscription_plan(template);
    let errors = plan.outputs(&arm_template::NothingDeployed).expect_err("there is no group");
    assert!(errors[0].error.message.contains("'resourceGroup' is not expected"), "{errors:?}");
}

#[test]
fn segments_of_type_and_name_must_fit() {
    for resource in [
        r#""type": "N.C/t/u", "name": "a""#,
        r#""type": "N.C/t", "name": "a/b""#,
        r#""type": "N.C", "name": "a""#,
    ] {
        let error =
            plan_error(&classic(&format!(r#""resources": [{{"apiVersion": "1", {resource}}}]"#)));
        assert!(error.message.contains("has incorrect segment lengths"), "{error}");
        assert_eq!(error.path, "resources[0]");
    }
}

#[test]
fn type_and_version_must_be_literals() {
    for (resource, path) in [
        (r#""type": "[concat('N.C', '/t')]", "apiVersion": "1", "name": "a""#, "resources[0].type"),
        (r#""type": "N.C/t", "apiVersion": "[string(1)]", "name": "a""#, "resources[0].apiVersion"),
        (r#""type": "N.C/t", "apiVersion": "1", "name": 5"#, "resources[0].name"),
    ] {
        let error = plan_error(&classic(&format!(r#""resources": [{{{resource}}}]"#)));
        assert_eq!(error.path, path, "{error}");
    }
}

#[test]
fn two_deployed_resources_with_one_id_are_an_error() {
    let twice = |condition: &str| {
        classic(&format!(
            r#""resources": [{{"type": "N.C/t", "apiVersion": "1", "name": "a"}},
            {{"condition": {condition}, "type": "n.c/T", "apiVersion": "1", "name": "A"}}]"#
        ))
    };
    let error = plan_error(&twice("true"));
    assert!(error.message.contains("is defined multiple times in a template"), "{error}");
    assert_eq!(plan(&twice("false")).resources().len(), 2);
}

#[test]
fn condition_must_be_a_bool_known_before_deployment() {
    let with = |condition: &str| {
        classic(&format!(
            r#""resources": [{{"condition": {condition}, "type": "N.C/t", "apiVersion": "1", "name": "a"}}]"#
        ))
    };
    assert!(!plan(&with(r#""[equals(1, 2)]""#)).resources()[0].condition);
    for condition in [r#""true""#, "1", r#""[reference('a').b]""#] {
        assert_eq!(plan_error(&with(condition)).path, "resources[0].condition", "{condition}");
    }
}

#[test]
fn name_of_a_resource_that_is_not_deployed_may_be_senseless() {
    let template = classic(
        r#""resources": [
            {"condition": false, "type": "N.C/t", "apiVersion": "1", "name": "[split(null(), '/')[3]]"},
            {"type": "N.C/t", "apiVersion": "1", "name": "a"}]"#,
    );
    let plan = plan(&template);
    assert_eq!(&*plan.resources()[0].id, "");
    assert!(!plan.resources()[0].condition);
}

#[test]
fn child_of_a_resource_without_a_name_must_not_be_deployed() {
    let template = classic(
        r#""resources": [{"condition": false, "type": "N.C/t", "apiVersion": "1", "name": "[split(null(), '/')[3]]",
            "resources": [{"condition": CHILD, "type": "u", "apiVersion": "1", "name": "c"}]}]"#,
    );
    assert_eq!(plan(&template.replace("CHILD", "false")).resources().len(), 2);
    let error = plan_error(&template.replace("CHILD", "true"));
    assert_eq!(error.path, "resources[0].resources[0]", "{error}");
}

#[test]
fn resource_group_can_be_named_as_samples_do() {
    let plan = subscription_plan(
        r#""resources": [
            {"type": "Microsoft.Resources/resourceGroups", "apiVersion": "1", "name": "g", "location": "westus"},
            {"type": "Microsoft.Resources/deployments", "apiVersion": "1", "name": "d", "resourceGroup": "g",
             "dependsOn": ["[resourceId('Microsoft.Resources/resourceGroups/', 'g')]"],
             "properties": {"mode": "Incremental", "template": {}}}]"#,
    );
    assert_eq!(plan.resources()[1].after, [0]);
}

#[test]
fn deployment_tells_its_location_outside_of_resource_groups_only() {
    let output = r#""resources": [], "outputs": {"x": {"type": "bool", "value": "[contains(deployment(), 'location')]"}}"#;
    let value = |plan: &Plan| {
        plan.outputs(&arm_template::NothingDeployed).expect("the outputs")[0].value.clone()
    };
    assert_eq!(value(&subscription_plan(output)), Some(true.into()));
    let template = Template::parse(&classic(output), &Limits::default()).expect("the template");
    let facts = Facts { location: Some("westus".into()), ..facts() };
    let plan = template.plan(&Parameters::new(), facts).expect("the plan");
    assert_eq!(value(&plan), Some(false.into()));
}
