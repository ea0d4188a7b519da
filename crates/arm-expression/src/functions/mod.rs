//! The functions of the language by name, and those whose result depends on their arguments and on
//! constants of the deployment only.
//!
//! Text follows .NET, since Azure's engine does: positions count UTF-16 units, and case is mapped
//! without a locale. The lazy functions belong to the evaluator, and those that read resources or the
//! deployment belong to the [`Context`](crate::Context); here they have their names and the number of
//! their arguments.

mod arguments;
mod arrays;
mod casing;
mod cidr;
mod dates;
mod elsewhere;
mod encodings;
mod format;
mod hash;
mod json;
mod logic;
mod number_format;
mod number_pattern;
mod numbers;
mod objects;
mod resource_ids;
mod search;
mod sets;
mod strings;
mod text;
mod uris;

use std::{collections::HashMap, ops::RangeInclusive, sync::LazyLock};

pub(crate) use arguments::Arguments;
pub use hash::{hash, uuid};

use crate::{
    error::Fault,
    value::{Value, fold_name},
};

/// A function. It checks the types of its arguments; their number was checked before. The evaluator
/// adds name and place to a fault.
///
/// A message that already has the function's name in single quotes, as some of Azure's own have,
/// stays as it is.
pub(crate) type Function = fn(&Arguments<'_>) -> Result<Value, Fault>;

/// A function that the language has.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The name as Azure spells it. A `*` at the end stands for any letters.
    pub(crate) name: &'static str,
    arguments: RangeInclusive<usize>,
    /// Where it is evaluated.
    pub(crate) by: By,
}

/// Where a function is evaluated.
#[derive(Debug)]
pub(crate) enum By {
    /// Here.
    Function(Function),
    /// In the evaluator: it is lazy, takes a lambda, or reads a name of the template.
    Evaluator,
    /// In the context: it needs resources or facts of the deployment.
    Deployment,
    /// Nowhere, for this reason, which completes "is not supported: ...".
    Unsupported(&'static str),
}

impl Entry {
    /// Whether the function reads the state of a resource, so that the value exists only when the
    /// resource does.
    pub(crate) fn is_runtime(&self) -> bool {
        matches!(self.name, LIST | "reference" | "references" | "target")
    }

    /// Checks the number of arguments of a call.
    pub(crate) fn check_count(&self, count: usize) -> Result<(), Fault> {
        if self.arguments.contains(&count) {
            return Ok(());
        }
        let wanted = match (*self.arguments.start(), *self.arguments.end()) {
            (least, ANY) => format!("at least {least}"),
            (least, most) if least == most => least.to_string(),
            (least, most) => format!("{least} to {most}"),
        };
        Err(Fault::new(format!(
            "The template language function '{}' takes {wanted} argument(s), {count} given",
            self.name
        )))
    }
}

/// The largest number of arguments of a function that takes any number.
const ANY: usize = usize::MAX;

const fn entry(name: &'static str, arguments: RangeInclusive<usize>, function: Function) -> Entry {
    Entry { name, arguments, by: By::Function(function) }
}

/// All functions, one list for each file.
const GROUPS: &[&[Entry]] = &[
    arrays::FUNCTIONS,
    cidr::FUNCTIONS,
    dates::FUNCTIONS,
    elsewhere::FUNCTIONS,
    encodings::FUNCTIONS,
    format::FUNCTIONS,
    hash::FUNCTIONS,
    json::FUNCTIONS,
    logic::FUNCTIONS,
    numbers::FUNCTIONS,
    objects::FUNCTIONS,
    resource_ids::FUNCTIONS,
    search::FUNCTIONS,
    sets::FUNCTIONS,
    strings::FUNCTIONS,
    text::FUNCTIONS,
    uris::FUNCTIONS,
];

/// The functions whose name begins with `list` and has no entry of its own.
const LIST: &str = "list*";

static BY_NAME: LazyLock<HashMap<String, &'static Entry>> = LazyLock::new(|| {
    let all = GROUPS.iter().copied().flatten();
    all.map(|entry| (fold_name(entry.name).into_owned(), entry)).collect()
});

/// Whether the function of that name reads the state of a resource, so that its value exists only when
/// the resource does.
pub fn reads_resources(name: &str) -> bool {
    find(name).is_some_and(Entry::is_runtime)
}

/// The function of this name without regard to case.
pub(crate) fn find(name: &str) -> Option<&'static Entry> {
    let name = fold_name(name);
    let found = BY_NAME.get(&*name).filter(|entry| entry.name != LIST);
    let is_list = || name.len() >= LIST.len() && name.starts_with("list") && !name.contains('*');
    found.or_else(|| is_list().then(|| BY_NAME.get(LIST)).flatten()).copied()
}

#[cfg(test)]
mod tests;
