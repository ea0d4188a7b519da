//! The syntax tree of expressions.

use std::sync::Arc;

use crate::{
    functions::{self, By, Entry, Function},
    value::{Value, fold_name},
};

/// A parsed expression.
#[derive(Debug, Clone)]
pub struct Expression {
    pub(crate) root: Term,
}

/// A part of an expression that has a value.
#[derive(Debug, Clone)]
pub(crate) enum Term {
    /// A text or an integer.
    Literal(Value),
    /// A call of a function.
    Call(Call),
    /// Properties and elements of a value.
    Access(Box<Access>),
}

/// A call of a function.
#[derive(Debug, Clone)]
pub struct Call {
    /// The name as it is written, with the namespace of a user function.
    pub(crate) name: Arc<str>,
    /// What is called, as far as the name alone tells.
    pub(crate) callee: Callee,
    /// The arguments in order.
    pub(crate) arguments: Vec<Term>,
}

impl Call {
    /// The name as it is written, with the namespace of a user function.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the function reads the state of a resource, so that the value exists only when the resource does.
    pub fn reads_resources(&self) -> bool {
        matches!(self.callee, Callee::Deployment(entry) if entry.is_runtime())
    }
}

/// Properties and elements of a value: `value.a[0].b`.
///
/// One list instead of nested terms, so that a long chain does not make a deep tree.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    /// The value before the first `.` or `[`.
    pub(crate) base: Term,
    /// What follows, at least one.
    pub(crate) steps: Vec<Step>,
}

/// A step from a value to a part of it.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// `.name`
    Property(Arc<str>),
    /// `[term]`
    Index(Term),
}

/// What a call calls.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Callee {
    /// A function of the evaluator.
    Special(Special, &'static Entry),
    /// A function of its arguments only.
    Pure(Function, &'static Entry),
    /// A function of the deployment.
    Deployment(&'static Entry),
    /// A function that the language has and this library does not, with the reason.
    Unsupported(&'static str),
    /// A function of the template: the name has a namespace.
    User,
    /// Not a function of the language.
    Unknown,
}

impl Callee {
    /// What a name without a namespace calls.
    pub(super) fn find(name: &str) -> Self {
        let Some(entry) = functions::find(name) else { return Self::Unknown };
        match entry.by {
            By::Function(function) => Self::Pure(function, entry),
            By::Deployment => Self::Deployment(entry),
            By::Unsupported(reason) => Self::Unsupported(reason),
            By::Evaluator => {
                let special = Special::find(&fold_name(name));
                special.map_or(Self::Unknown, |special| Self::Special(special, entry))
            }
        }
    }
}

/// Functions that do not evaluate all their arguments, or see the names of the template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Special {
    And,
    Coalesce,
    CopyIndex,
    Filter,
    GroupBy,
    If,
    Lambda,
    LambdaVariables,
    Map,
    MapValues,
    Or,
    Parameters,
    Reduce,
    Sort,
    ToObject,
    Variables,
}

impl Special {
    /// The function of this name, which is in lower case.
    pub(super) fn find(name: &str) -> Option<Self> {
        Some(match name {
            "and" => Self::And,
            "coalesce" => Self::Coalesce,
            "copyindex" => Self::CopyIndex,
            "filter" => Self::Filter,
            "groupby" => Self::GroupBy,
            "if" => Self::If,
            "lambda" => Self::Lambda,
            "lambdavariables" => Self::LambdaVariables,
            "map" => Self::Map,
            "mapvalues" => Self::MapValues,
            "or" => Self::Or,
            "parameters" => Self::Parameters,
            "reduce" => Self::Reduce,
            "sort" => Self::Sort,
            "toobject" => Self::ToObject,
            "variables" => Self::Variables,
            _ => return None,
        })
    }
}

impl Expression {
    /// The calls of the expression, outer ones first.
    pub fn calls(&self) -> Vec<&Call> {
        let mut calls = Vec::new();
        self.root.collect_calls(&mut calls);
        calls
    }
}

impl Term {
    fn collect_calls<'a>(&'a self, calls: &mut Vec<&'a Call>) {
        match self {
            Self::Literal(_) => {}
            Self::Call(call) => {
                calls.push(call);
                call.arguments.iter().for_each(|argument| argument.collect_calls(calls));
            }
            Self::Access(access) => {
                access.base.collect_calls(calls);
                for step in &access.steps {
                    if let Step::Index(index) = step {
                        index.collect_calls(calls);
                    }
                }
            }
        }
    }
}
