//! Copy loops and their indices.

use std::sync::Arc;

use crate::{error::Fault, value::same_name};

/// One iteration of a copy loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Iteration {
    /// The loop's name; the loop of an output has none.
    pub name: Option<Arc<str>>,
    /// The index, from 0.
    pub index: usize,
    /// Whether the loop makes properties inside a resource or variable. A `copyIndex` without a name means the
    /// innermost loop that does not.
    pub of_property: bool,
}

/// The loops that are open, outer ones first.
#[derive(Debug, Default)]
pub(super) struct Loops(Vec<Iteration>);

impl Loops {
    pub(super) fn open(&mut self, iteration: Iteration) {
        self.0.push(iteration);
    }

    pub(super) fn close(&mut self) {
        self.0.pop();
    }

    /// The index of the loop of this name.
    pub(super) fn named(&self, name: &str) -> Result<i64, Fault> {
        let has_name = |iteration: &&Iteration| {
            iteration.name.as_deref().is_some_and(|other| same_name(other, name))
        };
        let iteration = self.0.iter().rev().find(has_name);
        iteration
            .map(index)
            .ok_or_else(|| Fault::new(format!("no copy loop '{name}' is open here")))
    }

    /// The index of the loop that a `copyIndex` without a name means.
    pub(super) fn unnamed(&self) -> Result<i64, Fault> {
        let outer = self.0.iter().rev().find(|iteration| !iteration.of_property);
        match (outer, self.0.as_slice()) {
            (Some(iteration), _) | (None, [iteration]) => Ok(index(iteration)),
            (None, []) => Err(Fault::new("no copy loop is open here")),
            (None, _) => {
                Err(Fault::new("the name of a copy loop is needed, as several are open here"))
            }
        }
    }
}

fn index(iteration: &Iteration) -> i64 {
    i64::try_from(iteration.index).unwrap_or(i64::MAX)
}
