//! Functions that take a lambda.

use std::sync::Arc;

use super::{
    Evaluator, sort,
    special::{unexpected_count, wrong_type},
};
use crate::{
    error::Fault,
    expression::{Call, Callee, Special, Term},
    value::{Array, Object, Value, same_name},
};

/// The variables of the lambdas that are called, outer ones first.
#[derive(Debug, Default)]
pub(super) struct LambdaVariables(Vec<(Arc<str>, Value)>);

impl LambdaVariables {
    pub(super) fn get(&self, name: &str) -> Result<Value, Fault> {
        let found = self.0.iter().rev().find(|(other, _)| same_name(other, name));
        let found = found.map(|(_, value)| value.clone());
        found.ok_or_else(|| Fault::new(format!("the lambda variable '{name}' is not defined here")))
    }
}

/// A lambda: the names of its variables, and its body.
struct Lambda<'a> {
    variables: Vec<&'a Arc<str>>,
    body: &'a Term,
}

impl Evaluator<'_> {
    pub(super) fn filter(&self, arguments: &[Term]) -> Result<Value, Fault> {
        let [array, lambda] = arguments else { return Err(unexpected_count()) };
        let (array, lambda) = (self.array(array)?, lambda_of(lambda, 2, 1..=2)?);
        let mut kept = Vec::new();
        for (index, item) in array.iter().enumerate() {
            if self.test(&lambda, &[item.clone(), int(index)])? {
                kept.push(item.clone());
            }
        }
        self.checked(kept.into())
    }

    pub(super) fn map(&self, arguments: &[Term]) -> Result<Value, Fault> {
        let [array, lambda] = arguments else { return Err(unexpected_count()) };
        let (array, lambda) = (self.array(array)?, lambda_of(lambda, 2, 1..=2)?);
        let items = array.iter().enumerate();
        let items = items.map(|(index, item)| self.apply(&lambda, &[item.clone(), int(index)]));
        let items: Vec<Value> = items.collect::<Result<_, _>>()?;
        self.checked(items.into())
    }

    pub(super) fn map_values(&self, arguments: &[Term]) -> Result<Value, Fault> {
        let [object, lambda] = arguments else { return Err(unexpected_count()) };
        let lambda = lambda_of(lambda, 2, 1..=1)?;
        let object = match self.term(object)? {
            Value::Object(object) => object,
            other => return Err(wrong_type(1, "Object", &other)),
        };
        let mut mapped = Object::new();
        for (key, value) in object.iter() {
            mapped.insert(key.clone(), self.apply(&lambda, std::slice::from_ref(value))?);
        }
        self.checked(mapped.into())
    }

    pub(super) fn reduce(&self, arguments: &[Term]) -> Result<Value, Fault> {
        let [array, initial, lambda] = arguments else { return Err(unexpected_count()) };
        let (array, lambda) = (self.array(array)?, lambda_of(lambda, 3, 2..=3)?);
        let mut result = self.term(initial)?;
        for (index, item) in array.iter().enumerate() {
            result = self.apply(&lambda, &[result, item.clone(), int(index)])?;
        }
        Ok(result)
    }

    pub(super) fn sort(&self, arguments: &[Term]) -> Result<Value, Fault> {
        let [array, lambda] = arguments else { return Err(unexpected_count()) };
        let (array, lambda) = (self.array(array)?, lambda_of(lambda, 2, 2..=2)?);
        let before = |a: &Value, b: &Value| self.test(&lambda, &[a.clone(), b.clone()]);
        let sorted = sort::stable(array.to_vec(), &before)?;
        self.checked(sorted.into())
    }

    /// Of equal keys, the last one gives the value.
    pub(super) fn to_object(&self, arguments: &[Term]) -> Result<Value, Fault> {
        let (array, key, value) = self.keyed(arguments)?;
        let mut object = Object::new();
        for item in array.iter() {
            let (key, value) = self.member(item, &key, value.as_ref())?;
            object.insert(key, value);
        }
        self.checked(object.into())
    }

    pub(super) fn group_by(&self, arguments: &[Term]) -> Result<Value, Fault> {
        let (array, key, value) = self.keyed(arguments)?;
        let mut groups: Vec<Vec<Value>> = Vec::new();
        let mut places = Object::new();
        for item in array.iter() {
            let (key, value) = self.member(item, &key, value.as_ref())?;
            let place = places.get_exact(&key).and_then(Value::as_int);
            match place.and_then(|place| usize::try_from(place).ok()) {
                Some(place) => groups[place].push(value),
                None => {
                    places.insert(key, int(groups.len()));
                    groups.push(vec![value]);
                }
            }
        }
        let keys = places.keys().cloned();
        let object: Object = keys.zip(groups.into_iter().map(Value::from)).collect();
        self.checked(object.into())
    }

    /// The arguments of a function that takes an array, a lambda for keys, and perhaps one for values.
    fn keyed<'t>(
        &self,
        arguments: &'t [Term],
    ) -> Result<(Array, Lambda<'t>, Option<Lambda<'t>>), Fault> {
        let (array, key, value) = match arguments {
            [array, key] => (array, key, None),
            [array, key, value] => (array, key, Some(lambda_of(value, 3, 1..=1)?)),
            _ => return Err(unexpected_count()),
        };
        Ok((self.array(array)?, lambda_of(key, 2, 1..=1)?, value))
    }

    fn member(
        &self,
        item: &Value,
        key: &Lambda<'_>,
        value: Option<&Lambda<'_>>,
    ) -> Result<(Arc<str>, Value), Fault> {
        let key = match self.apply(key, std::slice::from_ref(item))? {
            Value::String(key) => key,
            other => {
                let kind = other.type_name();
                return Err(Fault::new(format!(
                    "the lambda of argument 2 must return a key of type 'String', it returned '{kind}'"
                )));
            }
        };
        let value = match value {
            Some(value) => self.apply(value, std::slice::from_ref(item))?,
            None => item.clone(),
        };
        Ok((key, value))
    }

    fn array(&self, argument: &Term) -> Result<Array, Fault> {
        match self.term(argument)? {
            Value::Array(array) => Ok(array),
            other => Err(wrong_type(1, "Array", &other)),
        }
    }

    fn test(&self, lambda: &Lambda<'_>, values: &[Value]) -> Result<bool, Fault> {
        match self.apply(lambda, values)? {
            Value::Bool(bool) => Ok(bool),
            other => {
                let kind = other.type_name();
                Err(Fault::new(format!(
                    "the lambda must return a value of type 'Boolean', it returned '{kind}'"
                )))
            }
        }
    }

    /// Calls a lambda with as many of the values as it has variables.
    fn apply(&self, lambda: &Lambda<'_>, values: &[Value]) -> Result<Value, Fault> {
        let _depth = self.budget.enter()?;
        self.budget.charge_steps(1)?;
        let outer = self.lambda_variables.borrow().0.len();
        let named =
            lambda.variables.iter().map(|name| Arc::clone(name)).zip(values.iter().cloned());
        self.lambda_variables.borrow_mut().0.extend(named);
        let result = self.term(lambda.body);
        self.lambda_variables.borrow_mut().0.truncate(outer);
        result
    }
}

/// The lambda that must stand as the argument with this number, with one of the allowed numbers of variables.
fn lambda_of(
    term: &Term,
    number: usize,
    allowed: std::ops::RangeInclusive<usize>,
) -> Result<Lambda<'_>, Fault> {
    let Term::Call(Call { callee: Callee::Special(Special::Lambda, _), arguments, .. }) = term
    else {
        return Err(Fault::new(format!("argument {number} must be a lambda")));
    };
    let Some((body, names)) = arguments.split_last() else {
        return Err(Fault::new(format!("the lambda of argument {number} has no body")));
    };
    let names = names.iter().map(|name| match name {
        Term::Literal(Value::String(name)) => Ok(name),
        _ => Err(Fault::new("the variables of a lambda must be string literals")),
    });
    let variables: Vec<&Arc<str>> = names.collect::<Result<_, _>>()?;
    if !allowed.contains(&variables.len()) {
        let (least, most, count) = (allowed.start(), allowed.end(), variables.len());
        return Err(Fault::new(format!(
            "the lambda of argument {number} must have {least} to {most} variable(s), it has {count}"
        )));
    }
    Ok(Lambda { variables, body })
}

fn int(index: usize) -> Value {
    Value::Int(i64::try_from(index).unwrap_or(i64::MAX))
}
