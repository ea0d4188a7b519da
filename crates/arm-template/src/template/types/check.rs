//! Values against types.

use std::fmt;

use super::{Base, Bounds, Definitions, Discriminator, Rest, Type};
use arm_expression::{Array, Fault, Kind, Object, Quote, Value, same_name, write};

/// How many types may contain one another on the way to a value.
const MOST_TYPES: usize = 300;

pub(super) struct Checker<'a> {
    pub(super) definitions: &'a Definitions,
    /// Whether a value of a secure type was seen.
    pub(super) secure: bool,
}

/// The way from the whole value to a part of it.
pub(super) enum Path<'a> {
    Root,
    Property(&'a Path<'a>, &'a str),
    Element(&'a Path<'a>, usize),
    /// The same value, seen by the type that a reference means.
    Reference(&'a Path<'a>),
}

impl Path<'_> {
    fn depth(&self) -> usize {
        let mut depth = 0;
        let mut path = self;
        while let Self::Property(outer, _) | Self::Element(outer, _) | Self::Reference(outer) = path
        {
            depth += 1;
            path = outer;
        }
        depth
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Property(outer, name) => {
                let outer = outer.to_string();
                let dot = if outer.is_empty() { "" } else { "." };
                write!(f, "{outer}{dot}{name}")
            }
            Self::Element(outer, index) => write!(f, "{outer}[{index}]"),
            Self::Reference(outer) => outer.fmt(f),
        }
    }
}

impl Checker<'_> {
    pub(super) fn check(&mut self, value: &Value, of: &Type, path: &Path<'_>) -> Result<(), Fault> {
        if !value.is_null() {
            return self.check_present(value, of, path);
        }
        if self.definitions.accepts_null(of) {
            return Ok(());
        }
        Err(fault(path, "The value must not be null"))
    }

    fn check_present(&mut self, value: &Value, of: &Type, path: &Path<'_>) -> Result<(), Fault> {
        self.definitions.count_check()?;
        if let Some(reference) = &of.reference {
            if path.depth() > MOST_TYPES {
                return Err(fault(path, "The types refer to one another too deeply"));
            }
            let target = self.definitions.get(reference)?;
            self.check_present(value, &target, &Path::Reference(path))?;
        }
        self.check_base(value, of, path)?;
        match value {
            Value::String(text) => of.lengths.check_length(text.encode_utf16().count(), path)?,
            Value::Array(items) => of.lengths.check_length(items.len(), path)?,
            Value::Int(number) => of.values.check_value(*number, path)?,
            Value::Null | Value::Bool(_) | Value::Float(_) | Value::Object(_) => {}
        }
        if let Some(allowed) = &of.allowed {
            check_allowed(value, allowed, path)?;
        }
        match value {
            Value::Array(items) => self.check_items(items, of, path),
            Value::Object(object) => self.check_properties(object, of, path),
            _ => Ok(()),
        }
    }

    fn check_base(&mut self, value: &Value, of: &Type, path: &Path<'_>) -> Result<(), Fault> {
        let Some(base) = of.base else { return Ok(()) };
        self.secure |= base.is_secure();
        let fits = match base {
            Base::String | Base::SecureString => matches!(value, Value::String(_)),
            Base::Int => matches!(value, Value::Int(_)),
            Base::Bool => matches!(value, Value::Bool(_)),
            Base::Object | Base::SecureObject => matches!(value, Value::Object(_)),
            Base::Array => matches!(value, Value::Array(_)),
        };
        if fits {
            return Ok(());
        }
        let (expected, found) = (base.name(), value.type_name());
        let message = format!(
            "Expected a value of type '{expected}', but received a value of type '{found}'"
        );
        Err(fault(path, message))
    }

    fn check_items(&mut self, items: &Array, of: &Type, path: &Path<'_>) -> Result<(), Fault> {
        let fixed = of.prefix_items.len();
        if items.len() < fixed {
            let message =
                format!("The array must have at least {fixed} element(s), it has {}", items.len());
            return Err(fault(path, message));
        }
        for (index, item) in items.iter().enumerate() {
            let path = Path::Element(path, index);
            match (of.prefix_items.get(index), &of.items) {
                (Some(of), _) | (None, Some(Rest::Of(of))) => self.check(item, of, &path)?,
                (None, Some(Rest::Nothing)) => {
                    let message = format!("The array must not have more than {fixed} element(s)");
                    return Err(fault(&path, message));
                }
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn check_properties(
        &mut self,
        object: &Object,
        of: &Type,
        path: &Path<'_>,
    ) -> Result<(), Fault> {
        for (name, of) in &of.properties {
            match object.get(name) {
                Some(value) => self.check(value, of, &Path::Property(path, name))?,
                None if self.definitions.is_nullable(of) => {}
                None => {
                    let message = format!("The required property '{name}' is missing");
                    return Err(fault(path, message));
                }
            }
        }
        if let Some(discriminator) = &of.discriminator {
            let chosen = choose(object, discriminator, path)?;
            let whole = Value::Object(object.clone());
            self.check_present(&whole, chosen, &Path::Reference(path))?;
        }
        let Some(rest) = &of.additional else { return Ok(()) };
        for (name, value) in object.iter() {
            if of.properties.iter().any(|(known, _)| same_name(known, name)) {
                continue;
            }
            match rest {
                Rest::Of(of) => self.check(value, of, &Path::Property(path, name))?,
                Rest::Nothing => {
                    let known: Vec<&str> = of.properties.iter().map(|(name, _)| &**name).collect();
                    let message = format!(
                        "The property '{name}' is not allowed; the properties are '{}'",
                        known.join(", ")
                    );
                    return Err(fault(path, message));
                }
            }
        }
        Ok(())
    }
}

/// The type that the object's discriminator names.
fn choose<'a>(
    object: &Object,
    discriminator: &'a Discriminator,
    path: &Path<'_>,
) -> Result<&'a Type, Fault> {
    let property = &discriminator.property;
    let chosen = object.get(property).and_then(Value::as_str);
    let found = discriminator.mapping.iter().find(|(name, _)| Some(&**name) == chosen);
    found.map(|(_, of)| &**of).ok_or_else(|| {
        let names: Vec<&str> = discriminator.mapping.iter().map(|(name, _)| &**name).collect();
        fault(path, format!("The property '{property}' must be one of '{}'", names.join(", ")))
    })
}

impl Bounds {
    fn check_length(self, length: usize, path: &Path<'_>) -> Result<(), Fault> {
        self.check(i64::try_from(length).unwrap_or(i64::MAX), "Length of the value", path)
    }

    fn check_value(self, number: i64, path: &Path<'_>) -> Result<(), Fault> {
        self.check(number, "The value", path)
    }

    fn check(self, number: i64, what: &str, path: &Path<'_>) -> Result<(), Fault> {
        if let Some(least) = self.least.filter(|least| number < *least) {
            return Err(fault(
                path,
                format!("{what} should be greater than or equal to '{least}'"),
            ));
        }
        if let Some(most) = self.most.filter(|most| number > *most) {
            return Err(fault(path, format!("{what} should be less than or equal to '{most}'")));
        }
        Ok(())
    }
}

/// An array may be among the allowed values, or have allowed elements only.
fn check_allowed(value: &Value, allowed: &Array, path: &Path<'_>) -> Result<(), Fault> {
    let elements = value.as_array();
    let fits = allowed.contains(value)
        || elements.is_some_and(|items| items.iter().all(|item| allowed.contains(item)));
    if fits {
        return Ok(());
    }
    let allowed: Vec<String> = allowed
        .iter()
        .map(|value| match value {
            Value::String(text) => text.to_string(),
            other => write(other, Quote::Double),
        })
        .collect();
    let allowed = allowed.join(",");
    Err(fault(path, format!("The value is not part of the allowed value(s): '{allowed}'")))
}

fn fault(path: &Path<'_>, message: impl Into<String>) -> Fault {
    let (message, path) = (message.into(), path.to_string());
    let message = if path.is_empty() { message } else { format!("{message} (at '{path}')") };
    Fault::of(Kind::Parameter, message)
}
