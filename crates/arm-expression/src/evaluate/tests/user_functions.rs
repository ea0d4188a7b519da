use super::*;

/// A function whose parameters are all strings.
pub(super) fn function(name: &str, parameters: &[&str], body: &str) -> Arc<UserFunction> {
    let parameter = |name: &&str| UserParameter { name: (*name).into(), check: Box::new(string) };
    Arc::new(UserFunction {
        name: name.into(),
        parameters: parameters.iter().map(parameter).collect(),
        body: Node::parse(body, &Limits::default()).expect("the body is JSON"),
        check: Box::new(|_| Ok(())),
        isolated: false,
    })
}

fn string(value: &Value) -> Result<(), Fault> {
    match value {
        Value::String(_) => Ok(()),
        other => Err(Fault::new(format!("expected a string, it is {other:?}"))),
    }
}

fn deployment(functions: Vec<Arc<UserFunction>>) -> Deployment {
    Deployment {
        functions,
        ..Deployment::new(r#"{"p": "outer"}"#, r#"{"v": "[parameters('p')]"}"#)
    }
}

#[test]
fn function_returns_its_body_with_the_arguments() {
    let deployment = deployment(vec![
        function(
            "contoso.join",
            &["a", "b"],
            "\"[concat(parameters('A'), '-', parameters('b'))]\"",
        ),
        function(
            "contoso.tag",
            &["a"],
            r#"{"[parameters('a')]": ["x", "[contoso.JOIN('1', parameters('a'))]"]}"#,
        ),
    ]);
    assert_eq!(deployment.value("[contoso.join('x', 'y')]"), "x-y".into());
    assert_eq!(deployment.value("[CONTOSO.tag('k').k[1]]"), "1-k".into());
}

#[test]
fn function_does_not_see_parameters_of_the_template_but_variables() {
    let deployment = deployment(vec![
        function("a.parameter", &[], "\"[parameters('p')]\""),
        function("a.variable", &[], "\"[variables('v')]\""),
        function("a.group", &[], "\"[resourceGroup().id]\""),
    ]);
    let error = deployment.error("[a.parameter()]");
    assert!(error.message.contains("has no parameter 'p'"), "{error}");
    assert_eq!(deployment.value("[a.variable()]"), "outer".into());
    assert_eq!(deployment.value("[a.group()]"), "/g".into());
}

#[test]
fn isolated_function_sees_neither_variables_nor_functions() {
    let isolate = |function: Arc<UserFunction>| {
        let function = Arc::into_inner(function).expect("it is not shared");
        Arc::new(UserFunction { isolated: true, ..function })
    };
    let deployment = deployment(vec![
        isolate(function("a.variable", &[], "\"[variables('v')]\"")),
        isolate(function("a.function", &[], "\"[a.plain()]\"")),
        isolate(function("a.plain", &[], "\"plain\"")),
    ]);
    assert_eq!(deployment.value("[a.plain()]"), "plain".into());
    assert!(deployment.error("[a.variable()]").message.contains("variables can't be used"));
    assert!(deployment.error("[a.function()]").message.contains("'a.plain' is not valid"));
}

#[test]
fn functions_of_resources_are_refused_inside() {
    for body in ["reference('x')", "listKeys('x', '1')", "newGuid()", "references('x')"] {
        let deployment = deployment(vec![function("a.b", &[], &format!("\"[{body}]\""))]);
        let error = deployment.error("[a.b()]");
        assert!(error.message.contains("can't be used in a user-defined function"), "{error}");
        assert!(deployment.references.borrow().is_empty());
    }
}

#[test]
fn arguments_and_results_are_checked() {
    let never = |_: &Value| Err(Fault::new("no value fits"));
    let inner = Arc::into_inner(function("a.never", &[], "1")).expect("it is not shared");
    let deployment = deployment(vec![
        function("a.one", &["text"], "\"[parameters('text')]\""),
        Arc::new(UserFunction { check: Box::new(never), ..inner }),
    ]);
    for (text, part) in [
        ("[a.one(1)]", "'a.one': the argument 'text' does not fit: expected a string"),
        ("[a.one()]", "'a.one': the function takes 1 argument(s), 0 given"),
        ("[a.one('a', 'b')]", "takes 1 argument(s), 2 given"),
        ("[a.never()]", "'a.never': the result does not fit: no value fits"),
    ] {
        let error = deployment.error(text);
        assert!(error.message.contains(part), "{text}: {error}");
    }
}

#[test]
fn recursion_is_refused() {
    let deployment = deployment(vec![
        function("a.self", &[], "\"[A.SELF()]\""),
        function("a.ping", &[], "\"[a.pong()]\""),
        function("a.pong", &[], "\"[a.ping()]\""),
    ]);
    for text in ["[a.self()]", "[a.ping()]"] {
        let error = deployment.error(text);
        assert!(error.message.contains("must not call itself"), "{text}: {error}");
    }
}

#[test]
fn lambda_variables_and_loops_of_the_caller_are_not_seen() {
    let deployment = deployment(vec![
        function("a.lambda", &[], "\"[lambdaVariables('x')]\""),
        function("a.index", &[], "\"[copyIndex()]\""),
    ]);
    let error = deployment.error("[map(range(0, 1), lambda('x', a.lambda()))]");
    assert!(error.message.contains("'x' is not defined here"), "{error}");
    let iteration = Iteration { name: None, index: 0, of_property: false };
    let evaluator = deployment.evaluator();
    let text = Text::new("[a.index()]".into());
    let result = evaluator.within(iteration, || evaluator.text(&text, Position::new(1, 1)));
    assert!(result.expect_err("no loop is open inside").message.contains("no copy loop is open"));
}

#[test]
fn secure_argument_marks_the_result() {
    let deployment = Deployment {
        functions: vec![function("a.b", &["x"], "\"[parameters('x')]\"")],
        ..Deployment::new(r#"{"secret": "s"}"#, "{}")
    };
    assert!(deployment.evaluated("[a.b(parameters('secret'))]").expect("it evaluates").secure);
    assert!(!deployment.evaluated("[a.b('x')]").expect("it evaluates").secure);
}
