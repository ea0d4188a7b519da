//! Every function with random arguments: a fault is a result, a panic is not.

use proptest::prelude::*;

use crate::{
    environment::{Environment, Place},
    functions::{Arguments, By, Entry, Function, GROUPS},
    limits::{Budget, Limits},
    value::{Object, Value, tests::any_value},
};

/// Texts with a meaning for one function or another, and what lies beside them.
const TEXTS: &[&str] = &[
    "",
    " ",
    "a",
    "A",
    "abc",
    "aBc",
    "é",
    "\u{1f600}x",
    "İ",
    "ß",
    "\u{0}",
    "/",
    "//",
    "-",
    "*",
    "a*b",
    "***a",
    "%",
    "%2",
    "%2G",
    "%C3%A9",
    "%ff",
    "0",
    "-1",
    "9223372036854775807",
    "9223372036854775808",
    "1.5",
    "1e5",
    "true",
    "TRUE",
    "null",
    "{",
    "{}",
    "[1,'a',{b:2}]",
    "{'a':1,'A':2}",
    "{0}",
    "{{0}}",
    "{0,5}",
    "{0,-2147483648}",
    "{0,1000000000}",
    "{0:N99}",
    "{0:D20}",
    "{0:X}",
    "{0:#,##0.00}",
    "{1}",
    "{99999999999}",
    "{",
    "}",
    "{0:",
    "{0:yyyy}",
    "YWJj",
    "eyJhIjpbMV19",
    "YWJ",
    "/w==",
    "data:;base64,YWJj",
    "data:text/plain;charset=utf8;base64,YQ==",
    "data:,a%20b",
    "data:x",
    "http://a/b/c",
    "http://a",
    "https://u:p@h:80/p?q#f",
    "../x",
    "//h/x",
    "?q",
    "http://[::1]/",
    "mailto:a",
    "http://a/%zz",
    "10.0.0.0/8",
    "10.0.0.1/32",
    "0.0.0.0/0",
    "255.255.255.255/31",
    "10.0.0.0/33",
    "::/0",
    "fd00::/64",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
    "::1/127",
    "2020-02-29T12:00:00Z",
    "2020-04-07 14:53:14Z",
    "0001-01-01",
    "9999-12-31T23:59:59Z",
    "4/7/2023 2:53:14 PM",
    "2020-01-01T00:00:00.1234567+14:00",
    "P1D",
    "-P1M",
    "P9999Y",
    "P99999999999Y",
    "PT1H30M",
    "-P3Y6M4DT12H30M5S",
    "P",
    "PT",
    "P1W",
    "P1.5D",
    "PT99999999999999999S",
    "d",
    "D",
    "u",
    "o",
    "R",
    "yyyy-MM-dd HH:mm:ss.fffffff",
    "'x",
    "\\",
    "%d",
    "zzz",
    "ggg tt",
    "Microsoft.A/b",
    "Microsoft.A/b/c",
    "/subscriptions/s/resourceGroups/g",
    "00000000-0000-0000-0000-000000000000",
];

const NUMBERS: &[i64] = &[
    0,
    1,
    -1,
    2,
    3,
    7,
    31,
    32,
    64,
    127,
    128,
    255,
    10_000,
    10_001,
    65_536,
    2_147_483_647,
    2_147_483_648,
    -2_147_483_648,
    253_402_300_799,
    253_402_300_800,
    -62_135_596_800,
    i64::MAX,
    i64::MIN,
];

fn argument() -> impl Strategy<Value = Value> {
    let text = prop::sample::select(TEXTS).prop_map(Value::from).boxed();
    let number = prop::sample::select(NUMBERS).prop_map(Value::Int).boxed();
    let leaf =
        prop_oneof![6 => text.clone(), 4 => number, 1 => any::<bool>().prop_map(Value::Bool)]
            .boxed();
    let members = prop::collection::vec((prop::sample::select(TEXTS), leaf.clone()), 0..6);
    let object =
        members.prop_map(|members| Value::from(members.into_iter().collect::<Object>())).boxed();
    let item = prop_oneof![3 => leaf.clone(), 1 => object.clone()];
    prop_oneof![
        8 => leaf,
        1 => prop::collection::vec(text, 0..5).prop_map(Value::from),
        2 => prop::collection::vec(item, 0..6).prop_map(Value::from),
        2 => object,
        1 => prop::collection::vec(prop::sample::select(TEXTS), 4).prop_map(|texts| uri(&texts)),
        1 => Just(Value::Null),
        1 => any_value(),
    ]
}

/// An object for `buildUri`, which needs these keys.
fn uri(texts: &[&str]) -> Value {
    let texts = ["host", "path", "query", "scheme"].into_iter().zip(texts);
    let mut parts: Object = texts.map(|(key, text)| (key, Value::from(*text))).collect();
    parts.insert("port", Value::Int(443));
    if let Some("" | "/") = parts.get("scheme").and_then(Value::as_str) {
        return parts.into();
    }
    parts.insert("scheme", "https".into());
    parts.into()
}

fn call(
    entry: &Entry,
    function: Function,
    values: &[Value],
    place: Place,
) -> Result<(), TestCaseError> {
    let environment = Environment {
        place,
        now: jiff::Timestamp::MAX,
        tenant: "t".into(),
        management_group: Some("m".into()),
        subscription: Some("s".into()),
        resource_group: Some("g".into()),
    };
    let limits =
        Limits { value_weight: 1 << 20, total_bytes: 8 << 20, steps: 50_000, ..Limits::default() };
    let budget = Budget::new(limits);
    if entry.check_count(values.len()).is_ok() {
        let arguments = Arguments { values, environment: &environment, budget: &budget };
        match function(&arguments) {
            // Functions ask before they allocate; half as much again covers separators and escapes.
            Ok(value) => prop_assert!(
                value.weight() <= 3 << 19,
                "{} made {} bytes",
                entry.name,
                value.weight()
            ),
            Err(fault) => prop_assert!(!fault.message().is_empty(), "{}", entry.name),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_function_takes_or_refuses_any_arguments(values in prop::collection::vec(argument(), 0..5)) {
        for entry in GROUPS.iter().copied().flatten() {
            if let By::Function(function) = entry.by {
                call(entry, function, &values, Place::ParameterDefault)?;
                call(entry, function, &values, Place::Resource)?;
            }
        }
    }
}
