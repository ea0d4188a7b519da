//! Functions that see arrays as sets and objects as maps: `distinct`, `union`, `intersection`,
//! `shallowMerge`.

use std::collections::{HashMap, hash_map::DefaultHasher};
use std::hash::{Hash, Hasher};

use super::{ANY, Arguments, Entry, entry, text};
use crate::{
    error::Fault,
    value::{Object, Value},
};

pub(super) const FUNCTIONS: &[Entry] = &[
    entry("distinct", 1..=1, distinct),
    entry("intersection", 2..=ANY, intersection),
    entry("shallowMerge", 1..=1, shallow_merge),
    entry("union", 2..=ANY, union),
];

fn distinct(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let mut set = Set::default();
    for element in arguments.array(0)?.iter() {
        set.add(element);
    }
    Ok(set.into_value())
}

/// Elements of all arrays, each once; or objects merged in depth, where later values win.
fn union(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    if let Value::Array(_) = arguments.value(0)? {
        let mut set = Set::default();
        for index in 0..arguments.values.len() {
            for element in arguments.array(index)?.iter() {
                set.add(element);
            }
        }
        return Ok(set.into_value());
    }
    let mut merged = first_object(arguments)?.clone();
    for index in 1..arguments.values.len() {
        let object = arguments.object(index)?;
        text::charge(arguments, &arguments.values[index])?;
        merge(&mut merged, object);
    }
    Ok(merged.into())
}

fn merge(merged: &mut Object, later: &Object) {
    for (key, value) in later.iter() {
        let merged_value = match (merged.get(key), value) {
            (Some(Value::Object(earlier)), Value::Object(value)) => {
                let mut inner = earlier.clone();
                merge(&mut inner, value);
                Value::Object(inner)
            }
            _ => value.clone(),
        };
        merged.insert_any_case(key.clone(), merged_value);
    }
}

/// What all have, in the order of the first: elements, or keys with equal values.
fn intersection(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    if let Value::Array(first) = arguments.value(0)? {
        let mut others = Vec::new();
        for index in 1..arguments.values.len() {
            let mut set = Set::default();
            arguments.array(index)?.iter().for_each(|element| set.add(element));
            others.push(set);
        }
        let mut common = Set::default();
        for element in first.iter() {
            if others.iter().all(|other| other.contains(element)) {
                common.add(element);
            }
        }
        return Ok(common.into_value());
    }
    let mut common = first_object(arguments)?.clone();
    for index in 1..arguments.values.len() {
        let other = arguments.object(index)?;
        common = common
            .iter()
            .filter(|(key, value)| other.get(key) == Some(value))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
    }
    Ok(common.into())
}

/// Members of all objects of an array. Of keys that differ in case only, the first gives the
/// spelling and the last the value.
fn shallow_merge(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let mut merged = Object::new();
    for element in arguments.array(0)?.iter() {
        let object = element.as_object().ok_or_else(|| {
            let found = element.type_name();
            Fault::new(format!("every element must be of type 'Object', one is of type '{found}'"))
        })?;
        text::charge(arguments, element)?;
        for (key, value) in object.iter() {
            merged.insert_any_case(key.clone(), value.clone());
        }
    }
    Ok(merged.into())
}

fn first_object<'a>(arguments: &Arguments<'a>) -> Result<&'a Object, Fault> {
    let first = arguments.value(0)?.as_object();
    first.ok_or_else(|| arguments.wrong_type(0, &["Array", "Object"]))
}

/// Different values in the order of their arrival. Comparing each with each would take too long.
#[derive(Default)]
struct Set {
    values: Vec<Value>,
    places: HashMap<u64, Vec<usize>>,
}

impl Set {
    fn add(&mut self, value: &Value) {
        let places = self.places.entry(hash(value)).or_default();
        if places.iter().all(|place| self.values[*place] != *value) {
            places.push(self.values.len());
            self.values.push(value.clone());
        }
    }

    fn contains(&self, value: &Value) -> bool {
        let places = self.places.get(&hash(value));
        places.is_some_and(|places| places.iter().any(|place| self.values[*place] == *value))
    }

    fn into_value(self) -> Value {
        self.values.into()
    }
}

/// Equal for equal values.
fn hash(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    feed(value, &mut hasher);
    hasher.finish()
}

fn feed(value: &Value, hasher: &mut DefaultHasher) {
    std::mem::discriminant(value).hash(hasher);
    match value {
        Value::Null => (),
        Value::Bool(bool) => bool.hash(hasher),
        Value::Int(number) => number.hash(hasher),
        // Zero has two forms that are equal.
        Value::Float(number) => (number + 0.0).to_bits().hash(hasher),
        Value::String(text) => text.hash(hasher),
        Value::Array(array) => {
            array.len().hash(hasher);
            array.iter().for_each(|element| feed(element, hasher));
        }
        Value::Object(object) => {
            // The order of keys does not matter.
            let members = object.iter().map(|(key, value)| {
                let mut member = DefaultHasher::new();
                key.hash(&mut member);
                feed(value, &mut member);
                member.finish()
            });
            members.fold(0u64, u64::wrapping_add).hash(hasher);
        }
    }
}
