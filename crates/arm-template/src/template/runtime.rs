//! Questions that only deployed resources can answer: `reference`, `list*`, `target`.
//!
//! Evaluation is synchronous and does no I/O. A caller evaluates with [`Answers`]; if the result is an error of
//! [`Kind::Pending`](crate::Kind::Pending), it finds out what [`Answers::open_questions`] asks, adds the answers, and evaluates again. So only
//! what an expression really reads is asked: `if(false(), reference('x'), null())` asks nothing.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use arm_expression::{Fault, Kind, Value, fold_name};

/// What an expression asks about a resource.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// The whole resource, as a GET gives it. For a nested deployment that is the deployment with its
    /// `properties.outputs`.
    State {
        /// The resource's id.
        id: Arc<str>,
        /// The version to ask with. It is the template's if the template has the resource and the expression gives
        /// none.
        api_version: Arc<str>,
    },
    /// What `POST {id}/{action}` answers.
    List {
        /// The resource's id.
        id: Arc<str>,
        /// The action, such as `listKeys`, as the template spells it.
        action: Arc<str>,
        /// The version to ask with.
        api_version: Arc<str>,
        /// The body of the request.
        body: Option<Value>,
    },
}

/// What is known about a [`Question`].
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The answer.
    Known(Value),
    /// A part of the answer, in a preview: what is missing may exist later.
    Partial(Value),
    /// There is no such resource.
    NotFound,
    /// Not known yet.
    Pending,
}

/// Answers the questions of expressions.
pub trait Runtime {
    /// The answer. A fault fails the expression with this message.
    fn ask(&self, question: &Question) -> Result<Answer, Fault>;
}

/// A runtime that knows nothing: every question is [pending](Answer::Pending).
#[derive(Debug, Clone, Copy, Default)]
pub struct NothingDeployed;

impl Runtime for NothingDeployed {
    fn ask(&self, _question: &Question) -> Result<Answer, Fault> {
        Ok(Answer::Pending)
    }
}

/// Answers that were collected before, and the questions that were asked in vain.
#[derive(Debug, Default)]
pub struct Answers {
    known: HashMap<String, Result<Answer, Fault>>,
    open: RefCell<Vec<Question>>,
}

impl Answers {
    /// No answers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an answer, or the fault that asking ended with.
    pub fn insert(&mut self, question: &Question, answer: Result<Answer, Fault>) {
        self.known.insert(key(question), answer);
    }

    /// The questions since the last call that had no answer, each once.
    pub fn open_questions(&mut self) -> Vec<Question> {
        std::mem::take(self.open.get_mut())
    }
}

impl Runtime for Answers {
    fn ask(&self, question: &Question) -> Result<Answer, Fault> {
        if let Some(answer) = self.known.get(&key(question)) {
            return answer.clone();
        }
        let mut open = self.open.borrow_mut();
        if !open.contains(question) {
            open.push(question.clone());
        }
        Ok(Answer::Pending)
    }
}

fn key(question: &Question) -> String {
    match question {
        Question::State { id, api_version } => format!("{}\n{api_version}", fold_name(id)),
        Question::List { id, action, api_version, body } => {
            format!("{}\n{api_version}\n{}\n{body:?}", fold_name(id), fold_name(action))
        }
    }
}

/// The fault of an expression whose value is not known yet.
pub(super) fn pending(what: &str) -> Fault {
    Fault::of(Kind::Pending, format!("{what} is known only after the deployment of what it reads"))
}
