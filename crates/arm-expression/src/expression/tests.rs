use proptest::prelude::*;

use super::*;
use crate::{
    error::{Fault, Kind},
    limits::Limits,
};

fn parse(text: &str) -> Result<Expression, Fault> {
    Expression::parse(text, &Limits::default())
}

fn failure(text: &str) -> String {
    let fault = parse(text).expect_err("the expression breaks the grammar");
    assert_eq!(fault.kind(), Kind::Syntax, "{text}");
    fault.message().to_owned()
}

/// The expression in one canonical form.
fn shown(expression: &Expression) -> String {
    format!("[{}]", show(&expression.root))
}

fn show(term: &Term) -> String {
    match term {
        Term::Literal(value) => match value.as_str() {
            Some(text) => format!("'{}'", text.replace('\'', "''")),
            None => value.as_int().expect("a text or an integer").to_string(),
        },
        Term::Call(call) => {
            let arguments: Vec<String> = call.arguments.iter().map(show).collect();
            format!("{}({})", call.name, arguments.join(","))
        }
        Term::Access(access) => {
            let steps = access.steps.iter().map(|step| match step {
                Step::Property(name) => format!(".{name}"),
                Step::Index(index) => format!("[{}]", show(index)),
            });
            steps.fold(show(&access.base), |text, step| text + &step)
        }
    }
}

#[test]
fn expressions_of_every_form_are_parsed() {
    for (text, canonical) in [
        ("['a']", "['a']"),
        ("['it''s']", "['it''s']"),
        ("['''']", "['''']"),
        ("['']", "['']"),
        ("['a\n]\u{1f600}']", "['a\n]\u{1f600}']"),
        ("[-2147483648]", "[-2147483648]"),
        ("[ null ( ) ]", "[null()]"),
        ("[f(1,'b' , g())]", "[f(1,'b',g())]"),
        ("[ns.f(1)]", "[ns.f(1)]"),
        ("[__bicep.f()]", "[__bicep.f()]"),
        ("[sys.concat('a')]", "[concat('a')]"),
        ("[resourceGroup().Id ]", "[resourceGroup().Id]"),
        ("[f()\n.a [ 0 ]\t['b-c'].d[g().e]]", "[f().a[0]['b-c'].d[g().e]]"),
        ("['a'.length]", "['a'.length]"),
        ("[true()[false()]]", "[true()[false()]]"),
    ] {
        let expression = parse(text).unwrap_or_else(|fault| panic!("{text}: {}", fault.message()));
        assert_eq!(shown(&expression), canonical);
    }
}

#[test]
fn faults_name_the_tokens() {
    for (text, expected, actual) in [
        ("[concat('a']", "RightParenthesis", "EndOfData"),
        ("[]", "Identifier", "EndOfData"),
        ("[a]", "LeftParenthesis", "EndOfData"),
        ("[a.b]", "LeftParenthesis", "EndOfData"),
        ("[a.b.c()]", "LeftParenthesis", "Dot"),
        ("[f(,)]", "Identifier", "Comma"),
        ("[f(1,)]", "Identifier", "RightParenthesis"),
        ("[f(1 2)]", "RightParenthesis", "Integer"),
        ("[f() g()]", "EndOfData", "Identifier"),
        ("[f().1]", "Identifier", "Integer"),
        ("[f()[1]", "RightSquareBracket", "EndOfData"),
        ("[f()[]]", "Identifier", "RightSquareBracket"),
        ("[1.5]", "Identifier", "Integer"),
        ("[(f())]", "Identifier", "LeftParenthesis"),
        ("[f()()]", "EndOfData", "LeftParenthesis"),
    ] {
        let message = failure(text);
        let part = format!("expected token '{expected}' and actual '{actual}'");
        assert!(message.contains(&part), "{text}: {message}");
        assert!(message.starts_with("Unable to parse language expression '"), "{message}");
    }
}

#[test]
fn wrong_characters_and_literals_are_faults() {
    for (text, part) in [
        ("['a]", "no closing quote"),
        ("[f('a''')'b]", "no closing quote"),
        ("[f(\"a\")]", "unexpected character '\\\"'"),
        ("[1 + 2]", "unexpected character '+'"),
        ("[f(é)]", "unexpected character"),
        ("[2147483648]", "32 bits"),
        ("[12a]", "32 bits"),
        ("[-]", "32 bits"),
    ] {
        let message = failure(text);
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn long_expressions_are_cut_in_messages() {
    let message = failure(&format!("[f('{}')", "x".repeat(10_000)).replace("')", "']"));
    assert!(message.len() < 500, "{message}");
}

#[test]
fn expression_beyond_the_limit_of_characters_is_a_fault() {
    let text = |chars: usize| format!("['{}']", "é".repeat(chars - 4));
    let limit = Limits::default().expression_chars;
    assert!(parse(&text(limit)).is_ok());
    assert_eq!(parse(&text(limit + 1)).expect_err("too long").kind(), Kind::Limit);
}

#[test]
fn hostile_depth_is_a_fault() {
    let limits = Limits { expression_chars: usize::MAX, ..Limits::default() };
    for text in [
        format!("[{}]", "f(".repeat(100_000)),
        format!("[{}]", "f()[".repeat(100_000)),
        format!("[{}1{}]", "f(".repeat(100_000), ")".repeat(100_000)),
        format!("[{}1{}]", "f()[".repeat(100_000), "]".repeat(100_000)),
    ] {
        let fault = Expression::parse(&text, &limits).expect_err("too deep");
        assert_eq!(fault.kind(), Kind::Limit);
    }
    for text in ["[".repeat(100_000) + "]", "(".repeat(100_000)] {
        assert!(Expression::parse(&text, &limits).is_err());
    }
}

#[test]
fn long_chain_of_properties_is_not_deep() {
    let limits = Limits { expression_chars: usize::MAX, ..Limits::default() };
    let text = format!("[f(){}]", ".a[0]".repeat(100_000));
    assert!(Expression::parse(&text, &limits).is_ok());
}

#[test]
fn calls_are_listed_from_outside_to_inside() {
    let expression = parse("[if(f().a[g()], reference(h('x')), ns.k())]").expect("it parses");
    let names: Vec<&str> = expression.calls().into_iter().map(|call| &*call.name).collect();
    assert_eq!(names, ["if", "f", "g", "reference", "h", "ns.k"]);
    let runtime: Vec<bool> =
        expression.calls().into_iter().map(|call| call.reads_resources()).collect();
    assert_eq!(runtime, [false, false, false, true, false, false]);
}

#[test]
fn every_function_of_the_evaluator_is_known() {
    for name in ["and", "copyIndex", "if", "lambda", "mapValues", "toObject", "VARIABLES"] {
        assert!(matches!(Callee::find(name), Callee::Special(..)), "{name}");
    }
    assert!(matches!(Callee::find("concat"), Callee::Pure(..)));
    assert!(matches!(Callee::find("LISTKEYS"), Callee::Deployment(_)));
    assert!(matches!(Callee::find("loadTextContent"), Callee::Unsupported(_)));
    assert!(matches!(Callee::find("nothing"), Callee::Unknown));
}

/// The canonical text of an expression.
fn any_term() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<i32>().prop_map(|number| number.to_string()),
        "[^']{0,6}".prop_map(|text| format!("'{text}'")),
        "[a-z][a-zA-Z0-9_]{0,4}(\\.[a-z]{1,3})?\\(\\)"
            .prop_filter("a namespace of the language is left out", |text| {
                !text.starts_with("sys.") && !text.starts_with("az.")
            }),
    ];
    leaf.prop_recursive(4, 30, 4, |inner| {
        prop_oneof![
            ("[a-z]{1,4}", proptest::collection::vec(inner.clone(), 1..4))
                .prop_map(|(name, arguments)| format!("{name}({})", arguments.join(","))),
            (inner.clone(), "[a-z_]{1,3}").prop_map(|(term, name)| format!("{term}.{name}")),
            (inner.clone(), inner).prop_map(|(term, index)| format!("{term}[{index}]")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_parsed_or_refused(text in "[a-c'()\\[\\],.0-9\\- \u{e9}]{0,30}") {
        let _ = parse(&format!("[{text}]"));
    }

    #[test]
    fn canonical_text_of_an_expression_parses_to_the_same(term in any_term()) {
        let text = format!("[{term}]");
        let expression = parse(&text).map_err(|fault| TestCaseError::fail(fault.message().to_owned()))?;
        prop_assert_eq!(shown(&expression), text);
    }
}
