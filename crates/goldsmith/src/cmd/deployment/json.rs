//! Values of templates as JSON, with the order of their keys.

use arm_template::Value;
use serde::{Serialize, Serializer, ser::SerializeMap};

/// A value that keeps the order of its keys when it is written.
pub(super) struct Ordered<'a>(pub(super) &'a Value);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(object) => {
                let mut map = serializer.serialize_map(Some(object.len()))?;
                for (key, value) in object.iter() {
                    map.serialize_entry(&**key, &Self(value))?;
                }
                map.end()
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(Ordered)),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_) => {
                serde_json::Value::from(self.0).serialize(serializer)
            }
        }
    }
}

/// The value as indented JSON.
pub(super) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(&Ordered(value)).unwrap_or_default()
}

/// An object of these members; those without a value are left out.
pub(super) fn object<'a>(members: impl IntoIterator<Item = (&'a str, Option<Value>)>) -> Value {
    let present = members.into_iter().filter_map(|(key, value)| Some((key, value?)));
    Value::Object(present.collect())
}

#[cfg(test)]
mod tests {
    use arm_template::{Limits, Node};

    use super::pretty;

    #[test]
    fn keys_keep_their_order() {
        let text = "{\n  \"b\": [\n    1,\n    2.5,\n    null\n  ],\n  \"a\": {}\n}";
        let value = Node::parse(text, &Limits::default()).expect("JSON").to_value();
        assert_eq!(pretty(&value), text);
    }
}
