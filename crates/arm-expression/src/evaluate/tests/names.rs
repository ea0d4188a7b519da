use super::*;

#[test]
fn names_are_found_without_regard_to_case() {
    let deployment =
        Deployment::new(r#"{"Size": 2}"#, r#"{"Twice": "[mul(parameters('SIZE'), 2)]"}"#);
    assert_eq!(deployment.value("[Variables('twice')]"), Value::Int(4));
    assert_eq!(deployment.value("[IF(TRUE(), PARAMETERS('size'), 1)]"), Value::Int(2));
}

#[test]
fn error_of_a_variable_has_the_place_of_the_variable() {
    let variables = "{\n  \"a\": {\"b\": [1, \"[variables('c')]\"]},\n  \"c\": \"[not(1)]\"\n}";
    let error = Deployment::new("{}", variables).error("[concat(variables('a').b)]");
    assert_eq!(error.position, Some(Position::new(3, 8)));
    assert_eq!(error.path, "variables.c");
    assert_eq!(error.function.as_deref(), Some("not"));
}

#[test]
fn names_that_are_not_there_are_errors() {
    for text in
        ["[parameters('x')]", "[variables('x')]", "[lambdaVariables('x')]", "[copyIndex('x')]"]
    {
        let message = message(text);
        assert!(message.contains("'x'"), "{message}");
    }
    for text in ["[parameters(1)]", "[variables()]", "[parameters('a', 'b')]", "[copyIndex()]"] {
        let error = Deployment::new("{}", "{}").error(text);
        assert!(error.function.is_some(), "{error}");
    }
}

#[test]
fn secure_values_mark_what_they_touch() {
    let deployment = Deployment::new(
        r#"{"secret": "x", "open": "y"}"#,
        r#"{"v": "[concat(parameters('secret'), 'z')]", "w": "z"}"#,
    );
    for (text, secure) in [
        ("[parameters('secret')]", true),
        ("[concat('a', toUpper(parameters('secret')))]", true),
        ("[length(variables('v'))]", true),
        ("[listKeys('a', '1')]", true),
        ("[concat(parameters('open'), variables('w'))]", false),
        ("[if(false(), parameters('secret'), 'a')]", false),
        ("plain", false),
    ] {
        let evaluated = deployment.evaluated(text).expect("it evaluates");
        assert_eq!(evaluated.secure, secure, "{text}");
    }
}

#[test]
fn mark_of_one_evaluation_does_not_reach_the_next() {
    let deployment = Deployment::new(r#"{"secret": "x"}"#, "{}");
    let evaluator = deployment.evaluator();
    let secure = |text: &str| {
        let evaluated = evaluator.text(&Text::new(text.into()), Position::new(1, 1));
        evaluated.expect("it evaluates").secure
    };
    assert!(secure("[parameters('secret')]"));
    assert!(!secure("[concat('a', 'b')]"));
}

#[test]
fn index_of_a_copy_loop_is_found_by_name_and_without() {
    let deployment = Deployment::new("{}", "{}");
    let evaluator = deployment.evaluator();
    let index = |text: &str| {
        let evaluated = evaluator.text(&Text::new(text.into()), Position::new(1, 1));
        evaluated.map(|evaluated| evaluated.value.as_int().expect("an integer"))
    };
    let iteration = |name: Option<&str>, index, of_property| Iteration {
        name: name.map(Into::into),
        index,
        of_property,
    };
    evaluator.within(iteration(Some("disks"), 4, true), || {
        assert_eq!(index("[copyIndex()]"), Ok(4));
        evaluator.within(iteration(Some("parts"), 5, true), || {
            let error = index("[copyIndex()]").expect_err("two loops of properties are open");
            assert!(error.message.contains("the name of a copy loop is needed"), "{error}");
        });
    });
    evaluator.within(iteration(Some("Vms"), 2, false), || {
        evaluator.within(iteration(Some("disks"), 7, true), || {
            for (text, expected) in [
                ("[copyIndex()]", 2),
                ("[copyIndex(10)]", 12),
                ("[copyIndex('vms')]", 2),
                ("[copyIndex('disks')]", 7),
                ("[copyIndex('disks', -7)]", 0),
            ] {
                assert_eq!(index(text), Ok(expected), "{text}");
            }
            assert!(index("[copyIndex(1, 'disks')]").is_err());
            assert!(index("[copyIndex(true())]").is_err());
        });
    });
    assert!(index("[copyIndex()]").is_err(), "the loops are closed");
}

#[test]
fn messages_do_not_repeat_secure_values() {
    let deployment = Deployment {
        functions: vec![super::user_functions::function("a.b", &["x"], "1")],
        ..Deployment::new(
            r#"{"secret": "hidden", "secrets": {"hidden": 1}, "open": "shown"}"#,
            "{}",
        )
    };
    for text in [
        "[int(parameters('secret'))]",
        "[fail(concat('x', parameters('secret')))]",
        "[parameters('secrets').other]",
        "[variables(concat('', parameters('open')))[parameters('secret')]]",
        "[createObject()[parameters('secret')]]",
        "[a.b(createArray(parameters('secret')))]",
    ] {
        let error = deployment.error(text);
        assert!(!error.to_string().contains("hidden"), "{text}: {error}");
    }
    let error = deployment.error("[int(parameters('open'))]");
    assert!(error.message.contains("shown"), "{error}");
}
