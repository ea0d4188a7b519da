//! The functions whose result depends on their arguments and on constants of the deployment only.

mod arguments;
mod logic;

use std::{collections::HashMap, sync::LazyLock};

pub(crate) use arguments::Arguments;

use crate::{
    error::Fault,
    value::{Value, fold_name},
};

/// A function. It checks the number and types of its arguments; the evaluator adds name and place to a fault.
///
/// A message that already has the function's name in single quotes, as some of Azure's own have, stays as it is.
pub(crate) type Function = fn(&Arguments<'_>) -> Result<Value, Fault>;

/// All functions, one list for each file.
const GROUPS: &[&[(&str, Function)]] = &[logic::FUNCTIONS];

static BY_NAME: LazyLock<HashMap<String, Function>> = LazyLock::new(|| {
    let all = GROUPS.iter().copied().flatten();
    all.map(|(name, function)| (fold_name(name).into_owned(), *function)).collect()
});

/// The function of this name without regard to case.
pub(crate) fn find(name: &str) -> Option<Function> {
    BY_NAME.get(&*fold_name(name)).copied()
}
