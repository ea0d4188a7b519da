use proptest::prelude::*;

use super::*;

#[test]
fn lambdas_receive_elements_and_indices() {
    for (text, expected) in [
        ("[map(range(1, 3), lambda('x', mul(lambdaVariables('X'), 2)))]", "[2,4,6]"),
        (
            "[map(createArray('a','b'), lambda('x', 'i', concat(lambdaVariables('x'), lambdaVariables('i'))))]",
            "['a0','b1']",
        ),
        ("[filter(range(0, 6), lambda('x', greater(lambdaVariables('x'), 3)))]", "[4,5]"),
        (
            "[filter(createArray('a','b','c'), lambda('x', 'i', equals(lambdaVariables('i'), 1)))]",
            "['b']",
        ),
        (
            "[reduce(range(1, 4), 0, lambda('sum', 'x', add(lambdaVariables('sum'), lambdaVariables('x'))))]",
            "10",
        ),
        (
            "[reduce(createArray('a','b'), '', lambda('s', 'x', 'i', concat(lambdaVariables('s'), lambdaVariables('x'), lambdaVariables('i'))))]",
            "'a0b1'",
        ),
        ("[reduce(createArray(), null(), lambda('a', 'b', fail('x')))]", "null"),
        (
            "[sort(createArray(3,1,2), lambda('a', 'b', less(lambdaVariables('a'), lambdaVariables('b'))))]",
            "[1,2,3]",
        ),
        (
            "[mapValues(createObject('a', 1, 'b', 2), lambda('v', add(lambdaVariables('v'), 1)))]",
            "{'a':2,'b':3}",
        ),
        (
            "[toObject(createArray('a','b'), lambda('x', lambdaVariables('x')))]",
            "{'a':'a','b':'b'}",
        ),
        (
            "[toObject(range(0, 3), lambda('x', string(mod(lambdaVariables('x'), 2))), lambda('x', lambdaVariables('x')))]",
            "{'0':2,'1':1}",
        ),
        (
            "[groupBy(range(0, 5), lambda('x', if(less(lambdaVariables('x'), 2), 'low', 'high')))]",
            "{'low':[0,1],'high':[2,3,4]}",
        ),
        (
            "[groupBy(createArray('aa','b'), lambda('x', take(lambdaVariables('x'), 1)), lambda('x', length(lambdaVariables('x'))))]",
            "{'a':[2],'b':[1]}",
        ),
    ] {
        assert_eq!(value(text), json(expected), "{text}");
    }
}

#[test]
fn groups_keep_the_order_of_first_sight() {
    let groups = value("[groupBy(createArray('b','a','b'), lambda('x', lambdaVariables('x')))]");
    let keys: Vec<&str> = groups.as_object().expect("an object").keys().map(|key| &**key).collect();
    assert_eq!(keys, ["b", "a"]);
}

#[test]
fn inner_lambdas_see_and_hide_outer_variables() {
    let text = "[map(range(0, 2), lambda('x', map(range(5, 2), lambda('y', add(mul(lambdaVariables('x'), 10), lambdaVariables('y'))))))]";
    assert_eq!(value(text), json("[[5,6],[15,16]]"));
    let text = "[map(range(0, 2), lambda('x', concat(string(first(map(range(7, 1), lambda('X', lambdaVariables('x'))))), string(lambdaVariables('x')))))]";
    assert_eq!(value(text), json("['70','71']"));
}

#[test]
fn variables_end_with_their_lambda() {
    let deployment = Deployment::new("{}", "{}");
    let evaluator = deployment.evaluator();
    let evaluate = |text: &str| evaluator.text(&Text::new(text.into()), Position::new(1, 1));
    // A failed lambda leaves no variable behind either.
    for text in ["[map(range(0, 1), lambda('x', 1))]", "[map(range(0, 1), lambda('x', fail('x')))]"]
    {
        let _ = evaluate(text);
        let error = evaluate("[lambdaVariables('x')]").expect_err("no lambda is called");
        assert!(error.message.contains("the lambda variable 'x' is not defined here"), "{error}");
    }
}

#[test]
fn malformed_lambdas_are_refused() {
    for (text, part) in [
        ("[map(range(0, 1), 1)]", "argument 2 must be a lambda"),
        ("[map(range(0, 1), concat('a'))]", "argument 2 must be a lambda"),
        ("[map(range(0, 1), lambda(1))]", "must have 1 to 2 variable(s), it has 0"),
        ("[map(range(0, 1), lambda('a', 'b', 'c', 1))]", "it has 3"),
        ("[map(range(0, 1), lambda(concat('a'), 1))]", "must be string literals"),
        ("[map(range(0, 1), lambda())]", "has no body"),
        ("[lambda('x', 1)]", "only as an argument"),
        ("[map('text', lambda('x', 1))]", "must be of type 'Array'"),
        ("[mapValues(createArray(), lambda('x', 1))]", "must be of type 'Object'"),
        ("[filter(range(0, 1), lambda('x', 1))]", "of type 'Boolean', it returned 'Integer'"),
        ("[sort(range(0, 2), lambda('a', 'b', 1))]", "it returned 'Integer'"),
        ("[toObject(range(0, 1), lambda('x', 1))]", "a key of type 'String'"),
        ("[reduce(range(0, 1), lambda('x', 1))]", "takes 3 argument(s)"),
    ] {
        let message = message(text);
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn comparison_that_contradicts_itself_is_not_a_crash() {
    for body in ["true()", "not(equals(lambdaVariables('a'), lambdaVariables('b')))"] {
        let sorted = value(&format!("[sort(range(0, 500), lambda('a', 'b', {body}))]"));
        assert_eq!(sorted.as_array().expect("an array").len(), 500);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sort_is_stable(items in proptest::collection::vec((0..5i64, any::<u16>()), 0..40)) {
        let mut expected = items.clone();
        expected.sort_by_key(|item| item.0);
        let less = sort::stable(items.clone(), &|a, b| Ok(a.0 < b.0));
        prop_assert_eq!(less.as_ref(), Ok(&expected));
        let less_or_equal = sort::stable(items, &|a, b| Ok(a.0 <= b.0));
        prop_assert_eq!(less_or_equal, Ok(expected));
    }
}
