use super::*;

fn limited(limits: Limits, text: &str) -> Error {
    let error = Deployment::within(limits).error(text);
    assert_eq!(error.kind, Kind::Limit, "{error}");
    error
}

#[test]
fn variables_that_contain_themselves_are_an_error() {
    // This context does not look for circles, so the limit of depth must end the evaluation.
    let error =
        Deployment::new("{}", r#"{"a": {"b": ["[variables('a')]"]}}"#).error("[variables('a')]");
    assert_eq!(error.kind, Kind::Limit, "{error}");
    assert!(error.message.contains("depth of evaluation"), "{error}");
}

/// Evaluates on a thread with the stack that threads have by default.
fn on_a_thread<T: Send + 'static>(evaluate: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(evaluate);
    thread.expect("a thread starts").join().expect("the stack suffices")
}

#[test]
fn deepest_allowed_expressions_fit_the_stack_of_a_thread() {
    for (open, close, levels) in [
        ("array(", ")", 1),
        ("if(true(), ", ", 2)", 1),
        ("createArray(0)[", "]", 1),
        ("map(range(0, 1), lambda('x', ", "))", 2),
        ("reduce(range(0, 1), 0, lambda('x', 'y', ", "))", 2),
    ] {
        let depth = (Limits::default().evaluation_depth as usize - 2) / levels;
        let text = format!("[{}0{}]", open.repeat(depth), close.repeat(depth));
        let kind = on_a_thread(move || {
            let deployment = Deployment::within(Limits::default());
            deployment.evaluated(&text).map(drop).map_err(|error| error.kind)
        });
        assert_eq!(kind, Ok(()), "{open}");
    }
}

#[test]
fn endless_chain_of_deep_variables_fits_the_stack_of_a_thread() {
    for (open, close) in [
        ("[", "]"),
        ("{\"a\": ", "}"),
        ("{\"copy\": [{\"name\": \"a\", \"count\": 1, \"input\": ", "}]}"),
    ] {
        for (before, after) in [("array(", ")"), ("createArray(0)[", "]"), ("if(true(), ", ", 1)")]
        {
            let expression = format!("[{}variables('v'){}]", before.repeat(60), after.repeat(60));
            let body = format!("{}\"{expression}\"{}", open.repeat(60), close.repeat(60));
            let variables = format!("{{\"v\": {body}}}");
            let error =
                on_a_thread(move || Deployment::new("{}", &variables).error("[variables('v')]"));
            assert_eq!(error.kind, Kind::Limit, "{error}");
        }
    }
}

#[test]
fn value_that_doubles_is_an_error() {
    let lambda = "lambda('a', 'x', concat(lambdaVariables('a'), lambdaVariables('a')))";
    limited(Limits::default(), &format!("[reduce(range(0, 100), 'a', {lambda})]"));
    // Shared halves need little memory, but their JSON would not.
    let lambda = "lambda('a', 'x', createArray(lambdaVariables('a'), lambdaVariables('a')))";
    limited(Limits::default(), &format!("[reduce(range(0, 100), 'a', {lambda})]"));
}

#[test]
fn body_that_repeats_a_large_value_is_an_error() {
    let deployment = Deployment::new("{}", r#"{"v": "[padLeft('', 1000000)]"}"#);
    let leaves = vec!["\"[variables('v')]\""; 100].join(",");
    let error = deployment.body(&format!("[{leaves}]")).expect_err("the body is too large");
    assert_eq!(error.kind, Kind::Limit, "{error}");
}

#[test]
fn value_that_deepens_is_an_error() {
    let lambda = "lambda('a', 'x', createArray(lambdaVariables('a')))";
    let error = limited(Limits::default(), &format!("[reduce(range(0, 10000), 'a', {lambda})]"));
    assert!(error.message.contains("depth of a value"), "{error}");
}

#[test]
fn loops_inside_loops_are_an_error() {
    let inner = "map(range(0, 10000), lambda('y', 1))";
    let limits = Limits { steps: 100_000, ..Limits::default() };
    let error = limited(limits, &format!("[map(range(0, 10000), lambda('x', {inner}))]"));
    assert!(error.message.contains("evaluation steps"), "{error}");
}

#[test]
fn loops_of_properties_inside_one_another_are_an_error() {
    let mut body = "1".to_owned();
    for name in ["a", "b", "c", "d"] {
        body = format!(r#"{{"copy": [{{"name": "{name}", "count": 800, "input": {body}}}]}}"#);
    }
    let limits = Limits { steps: 100_000, ..Limits::default() };
    let error = Deployment::within(limits).body(&body).expect_err("too many iterations");
    assert_eq!(error.kind, Kind::Limit, "{error}");
}

#[test]
fn evaluation_ends_when_the_caller_says_so() {
    let calls = std::rc::Rc::new(Cell::new(0));
    let counter = calls.clone();
    let stop = move || {
        counter.set(counter.get() + 1);
        counter.get() == 3
    };
    let budget = Budget::new(Limits::default()).stopped_by(stop);
    let deployment = Deployment { budget, ..Deployment::new("{}", "{}") };
    let error = deployment.error("[map(range(0, 10000), lambda('x', 1))]");
    assert_eq!((error.kind, calls.get()), (Kind::Limit, 3));
    assert!(error.message.contains("took too long"), "{error}");
}

#[test]
fn total_of_all_values_is_limited() {
    let limits = Limits { total_bytes: 1 << 20, ..Limits::default() };
    let error = limited(limits, "[map(range(0, 1000), lambda('x', padLeft('', 5000)))]");
    assert!(error.message.contains("total size"), "{error}");
}
