//! Functions of truth. `if`, `and`, `or` and `coalesce` are lazy and belong to the evaluator.

use super::{Arguments, Function};
use crate::{error::Fault, value::Value};

pub(super) const FUNCTIONS: &[(&str, Function)] = &[("not", not)];

fn not(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    arguments.count(1..=1)?;
    Ok(Value::Bool(!arguments.bool(0)?))
}
