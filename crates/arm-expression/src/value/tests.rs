use proptest::prelude::*;

use super::*;

/// Any value, at most three levels deep.
pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<i32>().prop_map(|eighths| Value::Float(f64::from(eighths) / 8.0)),
        any::<String>().prop_map(Value::from),
        "[a-zA-Z\\[\\]'{}0-9 ]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 40, 6, |inner| {
        let members = proptest::collection::vec(("[a-cA-Cé]{0,2}", inner.clone()), 0..20);
        prop_oneof![
            proptest::collection::vec(inner, 0..6).prop_map(Value::from),
            members.prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn object(members: &[(&str, i64)]) -> Object {
    members.iter().map(|(key, number)| (*key, Value::Int(*number))).collect()
}

#[test]
fn exact_key_goes_before_one_in_another_case() {
    let object = object(&[("name", 1), ("NAME", 2), ("Name", 3)]);
    for (key, number) in [("NAME", 2), ("Name", 3), ("name", 1), ("nAME", 1)] {
        assert_eq!(object.get(key), Some(&Value::Int(number)), "{key}");
    }
    assert_eq!(object.key("nAME").map(|key| &**key), Some("name"));
    assert_eq!(object.get_exact("nAME"), None);
}

#[test]
fn insertion_without_regard_to_case_keeps_the_first_spelling() {
    let mut merged = object(&[("ABC", 0)]);
    merged.insert_any_case("aBC", Value::Int(1));
    merged.insert_any_case("d", Value::Int(2));
    let members: Vec<(&str, &Value)> = merged.iter().map(|(key, value)| (&**key, value)).collect();
    assert_eq!(members, [("ABC", &Value::Int(1)), ("d", &Value::Int(2))]);
}

#[test]
fn change_of_a_clone_leaves_the_original() {
    let original = object(&[("a", 1)]);
    let mut clone = original.clone();
    clone.insert("a", Value::Int(2));
    assert_eq!(original.get("a"), Some(&Value::Int(1)));
    assert_ne!(clone, original);
}

#[test]
fn types_are_never_equal() {
    assert_ne!(Value::Int(1), Value::Float(1.0));
    assert_ne!(Value::from("1"), Value::Int(1));
    assert_ne!(Value::Null, Value::Bool(false));
    assert_ne!(Value::from(Vec::new()), Value::from(Object::new()));
}

#[test]
fn order_of_keys_does_not_matter_and_that_of_elements_does() {
    assert_eq!(object(&[("a", 1), ("b", 2)]), object(&[("b", 2), ("a", 1)]));
    assert_ne!(object(&[("a", 1)]), object(&[("A", 1)]));
    let array = |numbers: [i64; 2]| Value::from(numbers.map(Value::Int).to_vec());
    assert_ne!(array([1, 2]), array([2, 1]));
}

#[test]
fn case_is_folded_without_a_locale() {
    assert!(same_name("Straße", "STRAßE"));
    assert!(!same_name("Straße", "STRASSE"));
    assert!(same_name("Äpfel", "äPFEL"));
    assert!(!same_name("i", "İ"));
    assert!(!same_name("a", "ab"));
}

#[test]
fn depth_and_weight_count_the_contents() {
    let inner = Value::from(vec![Value::from("abc")]);
    let outer = Value::from(Object::from_iter([("k", inner.clone())]));
    assert_eq!((Value::Null.depth(), inner.depth(), outer.depth()), (0, 1, 2));
    assert!(inner.weight() >= 5, "{}", inner.weight());
    assert!(outer.weight() > inner.weight());
    // The same array in both places weighs twice, as its JSON does.
    let twice = Value::from(vec![inner.clone(), inner.clone()]);
    assert!(twice.weight() >= 2 * inner.weight());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn names_are_the_same_if_their_folded_forms_are(a in "[aAbBéÉßſK\u{212a}]{0,3}", b in "[aAbBéÉßſK\u{212a}]{0,3}") {
        prop_assert_eq!(same_name(&a, &b), fold_name(&a) == fold_name(&b));
    }

    #[test]
    fn objects_of_any_size_find_what_a_list_finds(members in proptest::collection::vec(("[a-cA-C]{1,2}", any::<i64>()), 0..60), key in "[a-cA-C]{1,2}") {
        let mut list: Vec<(String, i64)> = Vec::new();
        let mut object = Object::new();
        for (key, number) in members {
            match list.iter_mut().find(|(other, _)| *other == key) {
                Some((_, old)) => *old = number,
                None => list.push((key.clone(), number)),
            }
            object.insert(key, Value::Int(number));
        }
        let exact = list.iter().find(|(other, _)| *other == key);
        let found = exact.or_else(|| list.iter().find(|(other, _)| same_name(other, &key)));
        prop_assert_eq!(object.get(&key).cloned(), found.map(|(_, number)| Value::Int(*number)));
        let built: Vec<(String, i64)> = object.iter().map(|(key, value)| (key.to_string(), value.as_int().expect("an integer"))).collect();
        prop_assert_eq!(built, list);
    }

    #[test]
    fn weight_does_not_depend_on_how_an_object_was_made(members in proptest::collection::vec(("[a-c]", any_value()), 0..8)) {
        let changed: Object = members.into_iter().collect();
        let fresh: Object = changed.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        prop_assert_eq!(changed.weight(), fresh.weight());
        prop_assert!(changed.depth() >= fresh.depth());
    }

    #[test]
    fn conversion_to_json_and_back_keeps_the_value(value in any_value()) {
        prop_assert_eq!(Value::from(&serde_json::Value::from(&value)), value);
    }
}
