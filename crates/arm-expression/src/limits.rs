//! Limits of evaluation. A template is the input of a stranger: each limit turns a hostile one into an [`Error`](crate::Error).

use std::{cell::Cell, fmt};

use crate::error::{Fault, Kind};

/// What one evaluation may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a template's text. Azure's limit is 4 MB.
    pub template_bytes: usize,
    /// Arrays and objects inside one another, in a text and in a value.
    pub value_depth: u32,
    /// Characters of one expression. Azure's limit is 24,576.
    pub expression_chars: usize,
    /// Calls, look-ups, arrays and objects inside one another in evaluation, across variables and user functions. It
    /// bounds the stack: each takes up to 6 KiB of it in a debug build, and 2 KiB in a release build.
    pub evaluation_depth: u32,
    /// [Weight](crate::Value::weight) of one value, about the bytes of its JSON.
    pub value_weight: u64,
    /// Bytes that all functions together may produce.
    pub total_bytes: u64,
    /// Steps of evaluation; one call is at least one step.
    pub steps: u64,
    /// Iterations of one copy loop. Azure's limit is 800.
    pub copies: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            template_bytes: 4 << 20,
            value_depth: 200,
            expression_chars: 24_576,
            evaluation_depth: 250,
            value_weight: 16 << 20,
            total_bytes: 256 << 20,
            steps: 20_000_000,
            copies: 800,
        }
    }
}

/// What is left of the [`Limits`] in one evaluation, shared by all expressions of a deployment.
pub struct Budget {
    limits: Limits,
    depth: Cell<u32>,
    steps: Cell<u64>,
    bytes: Cell<u64>,
    stop: Option<Box<dyn Fn() -> bool>>,
}

impl Budget {
    /// A budget of which nothing is used.
    pub fn new(limits: Limits) -> Self {
        Self { limits, depth: Cell::new(0), steps: Cell::new(0), bytes: Cell::new(0), stop: None }
    }

    /// Ends the evaluation with an error of [`Kind::Limit`] as soon as `stop` answers `true`, such as after a deadline.
    pub fn stopped_by(mut self, stop: impl Fn() -> bool + 'static) -> Self {
        self.stop = Some(Box::new(stop));
        self
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Charges bytes that a function is about to produce. Functions call it before they allocate.
    pub fn charge_bytes(&self, bytes: usize) -> Result<(), Fault> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if bytes > self.limits.value_weight {
            return Err(exceeded("size of a value", self.limits.value_weight));
        }
        let total = self.bytes.get().saturating_add(bytes);
        self.bytes.set(total);
        if total > self.limits.total_bytes {
            return Err(exceeded("total size of values", self.limits.total_bytes));
        }
        Ok(())
    }

    /// Charges steps of work.
    pub fn charge_steps(&self, steps: u64) -> Result<(), Fault> {
        let before = self.steps.get();
        let total = before.saturating_add(steps);
        self.steps.set(total);
        if total > self.limits.steps {
            return Err(exceeded("number of evaluation steps", self.limits.steps));
        }
        // Asking a clock at each step would cost more than the step.
        if before >> 8 != total >> 8 && self.stop.as_ref().is_some_and(|stop| stop()) {
            return Err(Fault::of(Kind::Limit, "The evaluation of the template took too long"));
        }
        Ok(())
    }

    /// Enters a call, array or object. The guard leaves it.
    pub fn enter(&self) -> Result<Depth<'_>, Fault> {
        if self.depth.get() >= self.limits.evaluation_depth {
            return Err(exceeded("depth of evaluation", self.limits.evaluation_depth));
        }
        self.depth.set(self.depth.get() + 1);
        Ok(Depth(self))
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("limits", &self.limits)
            .field("depth", &self.depth)
            .field("steps", &self.steps)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// A call, array or object that is being evaluated; see [`Budget::enter`].
#[derive(Debug)]
pub struct Depth<'a>(&'a Budget);

impl Drop for Depth<'_> {
    fn drop(&mut self) {
        self.0.depth.set(self.0.depth.get() - 1);
    }
}

fn exceeded(what: &str, limit: impl fmt::Display) -> Fault {
    Fault::of(Kind::Limit, format!("The {what} exceeds the limit of {limit}"))
}
