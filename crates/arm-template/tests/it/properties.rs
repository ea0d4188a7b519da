//! Laws that functions obey for any arguments, and comparison with slow models.

use std::net::Ipv4Addr;

use arm_template::{Node, Object, Position, Value};
use proptest::{prelude::*, test_runner::RngSeed};

use crate::world::World;

/// The value of an expression in which `parameters('a')`, `('b')` and `('c')` are the arguments.
fn value(expression: &str, arguments: &[&Value]) -> Value {
    let mut world = World::new("00000000-0000-0000-0000-000000000000", "rg");
    world.parameters =
        ["a", "b", "c"].into_iter().zip(arguments.iter().map(|value| (*value).clone())).collect();
    let expression = expression
        .replace("$a", "parameters('a')")
        .replace("$b", "parameters('b')")
        .replace("$c", "parameters('c')");
    let node = Node::from_value(&Value::from(format!("[{expression}]")), Position::new(1, 1));
    world.evaluate(&node).unwrap_or_else(|error| panic!("{expression}: {error}"))
}

fn is_true(expression: &str, arguments: &[&Value]) -> bool {
    value(expression, arguments) == Value::Bool(true)
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

/// Strings without characters outside of the basic plane, which a position may divide.
fn plain_text() -> impl Strategy<Value = Value> {
    "[\u{1}-\u{d7ff}]{0,12}|[a-cA-C,;]{0,12}".prop_map(Value::from)
}

fn any_text() -> impl Strategy<Value = Value> {
    any::<String>().prop_map(Value::from)
}

/// Values without floats, whose keys differ by more than case.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (0..4i64).prop_map(Value::Int),
        any_text(),
        "[a-b]{0,1}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let members = proptest::collection::vec(("[a-d]{1,2}", inner.clone()), 0..5);
        prop_oneof![
            proptest::collection::vec(inner, 0..5).prop_map(Value::from),
            members.prop_map(|members| Value::from(members.into_iter().collect::<Object>())),
        ]
    })
}

fn any_array() -> impl Strategy<Value = Value> {
    proptest::collection::vec(any_value(), 0..8).prop_map(Value::from)
}

fn any_object() -> impl Strategy<Value = Value> {
    let members = proptest::collection::vec(("[a-d]{1,2}", any_value()), 0..6);
    members.prop_map(|members| Value::from(members.into_iter().collect::<Object>()))
}

/// Elements, each once, by comparing each with each.
fn distinct(values: impl Iterator<Item = Value>) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::new();
    for value in values {
        if !kept.contains(&value) {
            kept.push(value);
        }
    }
    kept
}

fn elements(array: &Value) -> Vec<Value> {
    array.as_array().expect("an array").to_vec()
}

/// Objects merged in depth, later values first.
fn merged(earlier: &Value, later: &Value) -> Value {
    let (Value::Object(earlier), Value::Object(later)) = (earlier, later) else {
        return later.clone();
    };
    let mut keys: Vec<&str> = earlier.keys().chain(later.keys()).map(|key| &**key).collect();
    keys.dedup();
    let member = |key: &str| match (earlier.get_exact(key), later.get_exact(key)) {
        (Some(earlier), Some(later)) => merged(earlier, later),
        (Some(value), None) | (None, Some(value)) => value.clone(),
        (None, None) => Value::Null,
    };
    Value::from(keys.into_iter().map(|key| (key, member(key))).collect::<Object>())
}

/// Whether a text has the form of a pattern, by trying every length for each `*`.
fn matches(text: &[u8], pattern: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|at| matches(&text[at..], rest)),
        Some((first, rest)) => {
            text.first().is_some_and(|byte| byte.eq_ignore_ascii_case(first))
                && matches(&text[1..], rest)
        }
    }
}

/// All addresses that share the first bits, by comparing bits as text.
fn addresses(address: Ipv4Addr, prefix: usize) -> Vec<Ipv4Addr> {
    let bits = |address: u32| format!("{address:032b}")[..prefix].to_owned();
    let (number, size) = (u32::from(address), 1u32 << (32 - prefix));
    let near = number.saturating_sub(size)..=number.saturating_add(size);
    near.filter(|other| bits(*other) == bits(number)).map(Ipv4Addr::from).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn encodings_return_the_text(a in any_text()) {
        prop_assert_eq!(&value("base64ToString(base64($a))", &[&a]), &a);
        prop_assert_eq!(&value("dataUriToString(dataUri($a))", &[&a]), &a);
        prop_assert_eq!(&value("uriComponentToString(uriComponent($a))", &[&a]), &a);
        prop_assert_eq!(&value("format('{0}', $a)", &[&a]), &a);
        let escaped = Value::from(text(&a).replace('{', "{{").replace('}', "}}"));
        prop_assert_eq!(&value("format($a)", &[&escaped]), &a);
        let component = value("uriComponent($a)", &[&a]);
        let is_safe = |c: char| c.is_ascii_alphanumeric() || "-_.~%".contains(c);
        prop_assert!(text(&component).chars().all(is_safe));
    }

    #[test]
    fn json_returns_the_value(a in any_array(), b in any_object()) {
        prop_assert_eq!(&value("json(string($a))", &[&a]), &a);
        prop_assert_eq!(&value("json(string($a))", &[&b]), &b);
        // With the single quotes of `format` too.
        prop_assert_eq!(&value("json(format('{0}', $a))", &[&a]), &a);
        prop_assert_eq!(&value("base64ToJson(base64(string($a)))", &[&b]), &b);
    }

    #[test]
    fn joined_parts_are_the_text(a in plain_text(), b in "[a-cA-C,;]{1,2}") {
        let b = Value::from(b);
        prop_assert_eq!(&value("join(split($a, $b), $b)", &[&a, &b]), &a);
        prop_assert_eq!(value("length(split($a, $b))", &[&a, &b]),
            Value::Int(text(&a).split(text(&b)).count() as i64));
        prop_assert_eq!(value("replace($a, $b, '-')", &[&a, &b]),
            value("join(split($a, $b), '-')", &[&a, &b]));
    }

    #[test]
    fn parts_of_a_text_are_the_text(a in plain_text(), n in -3..15i64) {
        let n = Value::Int(n);
        prop_assert_eq!(&value("concat(take($a, $b), skip($a, $b))", &[&a, &n]), &a);
        prop_assert!(is_true("startsWith($a, take($a, $b))", &[&a, &n]));
        prop_assert!(is_true("endsWith($a, skip($a, $b))", &[&a, &n]));
        prop_assert!(is_true("contains($a, skip($a, $b))", &[&a, &n]));
        prop_assert!(is_true("lessOrEquals(indexOf($a, skip($a, $b)), lastIndexOf($a, skip($a, $b)))", &[&a, &n]));
        let length = value("length($a)", &[&a]);
        prop_assert_eq!(&value("substring($a, 0, $b)", &[&a, &length]), &a);
        prop_assert_eq!(&value("concat(substring($a, 0, div($b, 2)), substring($a, div($b, 2)))", &[&a, &length]), &a);
        prop_assert!(is_true("equals(length(padLeft($a, $b)), max(length($a), $b))", &[&a, &Value::Int(20)]));
    }

    #[test]
    fn parts_of_an_array_are_the_array(a in any_array(), n in -3..10i64) {
        let n = Value::Int(n);
        prop_assert_eq!(&value("concat(take($a, $b), skip($a, $b))", &[&a, &n]), &a);
        prop_assert_eq!(&value("flatten(map($a, lambda('x', createArray(lambdaVariables('x')))))", &[&a]), &a);
        prop_assert_eq!(value("last($a)", &[&a]), value("tryIndexFromEnd($a, 1)", &[&a]));
        prop_assert_eq!(value("first($a)", &[&a]), value("tryGet($a, 0)", &[&a]));
    }

    #[test]
    fn array_sets_agree_with_a_model(a in any_array(), b in any_array(), c in any_array()) {
        let all = elements(&a).into_iter().chain(elements(&b)).chain(elements(&c));
        prop_assert_eq!(elements(&value("union($a, $b, $c)", &[&a, &b, &c])), distinct(all));
        let (of_b, of_c) = (elements(&b), elements(&c));
        let common = elements(&a).into_iter().filter(|x| of_b.contains(x) && of_c.contains(x));
        prop_assert_eq!(elements(&value("intersection($a, $b, $c)", &[&a, &b, &c])), distinct(common));
        prop_assert_eq!(elements(&value("distinct($a)", &[&a])), distinct(elements(&a).into_iter()));
        prop_assert_eq!(value("union($a, $a)", &[&a]), value("distinct($a)", &[&a]));
        prop_assert_eq!(value("union(union($a, $b), $c)", &[&a, &b, &c]), value("union($a, union($b, $c))", &[&a, &b, &c]));
    }

    #[test]
    fn object_sets_agree_with_a_model(a in any_object(), b in any_object()) {
        prop_assert_eq!(value("union($a, $b)", &[&a, &b]), merged(&a, &b));
        prop_assert_eq!(&value("union($a, createObject())", &[&a]), &a);
        prop_assert_eq!(&value("intersection($a, $a)", &[&a]), &a);
        prop_assert_eq!(&value("shallowMerge(createArray(createObject(), $a))", &[&a]), &a);
        prop_assert_eq!(&value("intersection($a, shallowMerge(createArray($b, $a)))", &[&a, &b]), &a);
        prop_assert_eq!(&value("toObject(items($a), lambda('i', lambdaVariables('i').key), lambda('i', lambdaVariables('i').value))", &[&a]), &a);
        prop_assert_eq!(value("map(items($a), lambda('i', lambdaVariables('i').key))", &[&a]), value("objectKeys($a)", &[&a]));
        let mut keys: Vec<_> = a.as_object().expect("an object").keys().cloned().map(Value::from).collect();
        keys.sort_by(|one, other| text(one).cmp(text(other)));
        prop_assert_eq!(elements(&value("objectKeys($a)", &[&a])), keys);
    }

    #[test]
    fn like_agrees_with_a_model(a in "[abAB]{0,7}", b in "[ab*]{0,6}") {
        let expected = matches(a.as_bytes(), b.as_bytes());
        prop_assert_eq!(is_true("like($a, $b)", &[&Value::from(&*a), &Value::from(&*b)]), expected, "{} {}", a, b);
    }

    #[test]
    fn arithmetic_agrees_with_wide_integers(a in any::<i64>(), b in any::<i32>()) {
        let (x, y, wide, other) = (Value::Int(a), Value::Int(b.into()), i128::from(a), i128::from(b));
        let number = |value: Value| i128::from(value.as_int().expect("an integer"));
        if let Ok(sum) = i64::try_from(wide + other) {
            prop_assert_eq!(value("add($a, $b)", &[&x, &y]), Value::Int(sum));
            prop_assert_eq!(value("sub($a, $b)", &[&Value::Int(sum), &y]), x.clone());
        }
        if b != 0 && wide / other <= i128::from(i64::MAX) {
            prop_assert_eq!(number(value("div($a, $b)", &[&x, &y])), wide / other);
            prop_assert_eq!(number(value("mod($a, $b)", &[&x, &y])), wide % other);
        }
        prop_assert_eq!(value("int(string($a))", &[&x]), x.clone());
        let grouped = value("format('{0:N0}', $a)", &[&x]);
        prop_assert_eq!(text(&grouped).replace(',', ""), a.to_string());
        prop_assert_eq!(value("format('{0:#,0}', $a)", &[&x]), grouped);
        let hexadecimal = value("format('{0:X}', $a)", &[&x]);
        prop_assert_eq!(u64::from_str_radix(text(&hexadecimal), 16).map(|bits| bits as i64), Ok(a));
        prop_assert_eq!(value("format('{0:00000}', $a)", &[&y]), value("format('{0:D5}', $a)", &[&y]));
    }

    #[test]
    fn dates_are_seconds(n in -62_135_596_800..=253_402_300_799i64, days in 0..10_000i64) {
        let epoch = Value::Int(n);
        let date = value("dateTimeFromEpoch($a)", &[&epoch]);
        prop_assert_eq!(&value("dateTimeToEpoch($a)", &[&date]), &epoch);
        for pattern in ["yyyyMMddTHHmmssZ", "u", "o", "R", "G", "M/d/yyyy h:mm:ss tt"] {
            let pattern = Value::from(pattern);
            let other = value("dateTimeAdd($a, 'PT0S', $b)", &[&date, &pattern]);
            prop_assert_eq!(&value("dateTimeToEpoch($a)", &[&other]), &epoch, "{:?}", other);
        }
        let days = Value::Int(days);
        let base = value("dateTimeFromEpoch(0)", &[]);
        let later = value("dateTimeAdd($a, format('P{0}D', $b))", &[&base, &days]);
        prop_assert!(is_true("equals(dateTimeToEpoch($a), mul($b, 86400))", &[&later, &days]));
        prop_assert_eq!(value("dateTimeAdd($a, format('-PT{0}H', mul($b, 24)))", &[&later, &days]), base);
    }

    #[test]
    fn networks_agree_with_a_model(number in any::<u32>(), prefix in 20..=32usize, more in 0..=4usize) {
        let all = addresses(Ipv4Addr::from(number), prefix);
        let cidr = Value::from(format!("{}/{prefix}", Ipv4Addr::from(number)));
        let at = |index: usize| Value::from(all[index].to_string());
        prop_assert_eq!(all.len(), 1 << (32 - prefix));
        prop_assert_eq!(value("parseCidr($a).network", &[&cidr]), at(0));
        prop_assert_eq!(value("parseCidr($a).broadcast", &[&cidr]), at(all.len() - 1));
        let hosts = all.len().saturating_sub(2);
        if hosts > 0 {
            prop_assert_eq!(value("parseCidr($a).firstUsable", &[&cidr]), at(1));
            prop_assert_eq!(value("parseCidr($a).lastUsable", &[&cidr]), at(hosts));
            let index = number as usize % hosts;
            prop_assert_eq!(value("cidrHost($a, $b)", &[&cidr, &Value::Int(index as i64)]), at(index + 1));
        }
        let smaller = (prefix + more).min(32);
        let size = 1 << (32 - smaller);
        for (index, subnet) in all.chunks(size).enumerate() {
            let found = value("cidrSubnet($a, $b, $c)", &[&cidr, &Value::Int(smaller as i64), &Value::Int(index as i64)]);
            prop_assert_eq!(found, Value::from(format!("{}/{smaller}", subnet[0])));
        }
    }

    #[test]
    fn subnets_of_ipv6_follow_one_another(number in any::<u128>(), prefix in 0..=128u32, more in 0..=20u32, index in 0..1000i64) {
        let smaller = (prefix + more).min(128);
        let index = index % (1 << (smaller - prefix));
        let network = number & u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
        let step = 1u128.checked_shl(128 - smaller).unwrap_or(0);
        let first = network + step * index as u128;
        let cidr = Value::from(format!("{}/{prefix}", std::net::Ipv6Addr::from(number)));
        let found = value("cidrSubnet($a, $b, $c)", &[&cidr, &Value::Int(smaller.into()), &Value::Int(index)]);
        let expected = std::net::Ipv6Addr::from(first);
        prop_assert_eq!(&found, &Value::from(format!("{expected}/{smaller}")));
        prop_assert_eq!(value("parseCidr($a).network", &[&found]), Value::from(expected.to_string()));
    }

    #[test]
    fn hashes_have_a_fixed_form(a in any_text(), b in any_text()) {
        let name = value("uniqueString($a, $b)", &[&a, &b]);
        prop_assert!(text(&name).len() == 13 && text(&name).bytes().all(|c| matches!(c, b'a'..=b'z' | b'2'..=b'7')));
        prop_assert_eq!(value("uniqueString(concat($a, '-', $b))", &[&a, &b]), name);
        let guid = value("guid($a, $b)", &[&a, &b]);
        prop_assert!(text(&guid).len() == 36 && &text(&guid)[14..15] == "5", "{:?}", guid);
        prop_assert_eq!(value("guid(concat($a, '-', $b))", &[&a, &b]), guid);
    }
}
