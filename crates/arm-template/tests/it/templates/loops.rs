//! Copy loops of resources, variables, properties and outputs.

use super::{World, after, body, classic, json, named, plan, plan_error, plan_with};

fn looped(copy: &str) -> String {
    classic(&format!(
        r#""parameters": {{"n": {{"type": "int", "defaultValue": 3}}}},
        "resources": [{{"type": "N.C/t", "apiVersion": "1", "name": "[concat('r', copyIndex(1))]", "copy": {copy},
            "properties": {{"i": "[copyIndex('loop')]"}}}},
            {{"type": "N.C/t", "apiVersion": "1", "name": "last", "dependsOn": ["loop"]}}]"#
    ))
}

#[test]
fn resource_loop_makes_one_resource_for_each_index() {
    let plan = plan(&looped(r#"{"name": "loop", "count": "[parameters('n')]"}"#));
    let names: Vec<_> = plan.resources().iter().map(|r| &*r.name).collect();
    assert_eq!(names, ["r1", "r2", "r3", "last"]);
    assert_eq!(body(&plan, "r2", &World::default()), json(r#"{"properties": {"i": 1}}"#));
    assert_eq!(after(&plan, "last"), ["r1", "r2", "r3"]);
    assert!(after(&plan, "r3").is_empty());
    assert_eq!(named(&plan, "r2").copy.as_ref().map(|copy| copy.index), Some(1));
}

#[test]
fn loop_without_iterations_makes_nothing_and_can_be_waited_for() {
    let template = looped(r#"{"name": "loop", "count": "[parameters('n')]"}"#);
    let plan = plan_with(&template, r#"{"n": {"value": 0}}"#);
    assert_eq!(plan.resources().len(), 1);
    assert!(after(&plan, "last").is_empty());
}

#[test]
fn serial_loop_goes_on_when_the_batch_before_has_ended() {
    let one = plan(&looped(r#"{"name": "loop", "count": 3, "mode": "Serial"}"#));
    assert_eq!(after(&one, "r2"), ["r1"]);
    assert_eq!(after(&one, "r3"), ["r2"]);
    let two = plan(&looped(r#"{"name": "loop", "count": 5, "mode": "serial", "batchSize": 2}"#));
    assert!(after(&two, "r2").is_empty());
    assert_eq!(after(&two, "r3"), ["r1", "r2"]);
    assert_eq!(after(&two, "r4"), ["r1", "r2"]);
    assert_eq!(after(&two, "r5"), ["r3", "r4"]);
    assert!(named(&two, "r5").depends_on.is_empty());
}

#[test]
fn serial_loop_skips_batches_that_are_not_deployed() {
    let template = classic(
        r#""resources": [{"type": "N.C/t", "apiVersion": "1", "name": "[concat('r', copyIndex())]",
            "condition": "[not(equals(copyIndex(), 1))]", "copy": {"name": "loop", "count": 3, "mode": "serial"}}]"#,
    );
    assert_eq!(after(&plan(&template), "r2"), ["r0"]);
}

#[test]
fn wrong_loops_are_errors() {
    for (copy, message) in [
        (r#"{"name": "loop", "count": -1}"#, "non-negative integer"),
        (r#"{"name": "loop", "count": "3"}"#, "non-negative integer"),
        (r#"{"name": "loop", "count": 801}"#, "'800'"),
        (r#"{"name": "loop"}"#, "'count'"),
        (r#"{"count": 1}"#, "no 'name'"),
        (r#"{"name": "loop", "count": 1, "mode": "slow"}"#, "'serial' or 'parallel'"),
        (r#"{"name": "loop", "count": 1, "mode": "serial", "batchSize": 0}"#, "positive integer"),
        (r#"{"name": "loop", "count": "[reference('x').n]"}"#, "not expected at this location"),
    ] {
        let error = plan_error(&looped(copy));
        assert!(error.message.contains(message), "{copy}: {error}");
        assert!(error.path.starts_with("resources[0].copy"), "{copy}: {}", error.path);
    }
}

#[test]
fn too_many_resources_are_an_error() {
    let one = r#"{"type": "N.C/t", "apiVersion": "1", "name": "[concat('NAME', copyIndex())]", "copy": {"name": "NAME", "count": 500}}"#;
    let template =
        format!(r#""resources": [{}, {}]"#, one.replace("NAME", "a"), one.replace("NAME", "b"));
    let error = plan_error(&classic(&template));
    assert_eq!(error.kind, arm_template::Kind::Limit, "{error}");
}

#[test]
fn variables_have_loops_at_their_top_and_inside() {
    let template = classic(
        r#""variables": {
            "copy": [{"name": "top", "count": 2, "input": "[concat('t', copyIndex('top'))]"},
                     {"name": "empty", "count": 0, "input": "[fail('never')]"}],
            "object": {"copy": [{"name": "inner", "count": 2, "input": {"n": "[copyIndex('inner', 5)]"}}], "other": 1},
            "bare": {"copy": [{"name": "list", "count": 2, "input": "[copyIndex()]"}]}
        },
        "resources": [],
        "outputs": {"all": {"type": "array", "value": ["[variables('TOP')]", "[variables('empty')]", "[variables('object')]", "[variables('bare').list]"]}}"#,
    );
    let outputs = plan(&template).outputs(&World::default()).expect("the outputs");
    let expected = r#"[["t0", "t1"], [], {"inner": [{"n": 5}, {"n": 6}], "other": 1}, [0, 1]]"#;
    assert_eq!(outputs[0].value, Some(json(expected)));
}

#[test]
fn property_loops_nest_inside_resource_loops() {
    let template = classic(
        r#""resources": [{"type": "N.C/t", "apiVersion": "1", "name": "[concat('r', copyIndex())]", "copy": {"name": "outer", "count": 2},
            "properties": {"copy": [{"name": "disks", "count": 2, "input": {
                "lun": "[copyIndex('disks')]", "of": "[copyIndex()]", "name": "[format('{0}{1}', copyIndex('outer'), copyIndex('disks', 1))]"}}],
                "[string('copy')]": "a key"}}]"#,
    );
    let expected = r#"{"properties": {"disks": [{"lun": 0, "of": 1, "name": "11"}, {"lun": 1, "of": 1, "name": "12"}], "copy": "a key"}}"#;
    assert_eq!(body(&plan(&template), "r1", &World::default()), json(expected));
}

#[test]
fn output_loop_has_no_name() {
    let template = classic(
        r#""resources": [], "outputs": {"all": {"type": "array", "copy": {"count": 3, "input": "[mul(copyIndex(), 2)]"}}}"#,
    );
    let outputs = plan(&template).outputs(&World::default()).expect("the outputs");
    assert_eq!(outputs[0].value, Some(json("[0, 2, 4]")));
}

#[test]
fn child_inside_a_looped_parent_is_made_for_each_iteration() {
    let template = classic(
        r#""resources": [{"type": "N.C/t", "apiVersion": "1", "name": "[concat('r', copyIndex())]", "copy": {"name": "outer", "count": 2},
            "resources": [{"type": "u", "apiVersion": "1", "name": "[concat('c', copyIndex())]", "dependsOn": ["[concat('r', copyIndex())]"]}]}]"#,
    );
    let plan = plan(&template);
    assert_eq!(after(&plan, "r1/c1"), ["r1"]);
    assert_eq!(&*named(&plan, "r1/c1").resource_type, "N.C/t/u");
    let nested_loop = classic(
        r#""resources": [{"type": "N.C/t", "apiVersion": "1", "name": "r",
            "resources": [{"type": "u", "apiVersion": "1", "name": "c", "copy": {"name": "l", "count": 1}}]}]"#,
    );
    assert!(plan_error(&nested_loop).message.contains("must not have 'copy'"));
}
