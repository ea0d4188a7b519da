//! Strings of a template, some of which are expressions.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use crate::{
    error::Fault,
    expression::{self, Expression},
    limits::Limits,
};

/// A string of a template. An expression is parsed once, when it is first needed.
#[derive(Clone)]
pub struct Text {
    raw: Arc<str>,
    /// Present if the string is an expression.
    parsed: Option<Arc<OnceLock<Parsed>>>,
}

type Parsed = Result<Arc<Expression>, Fault>;

impl Text {
    /// The string `raw`, as it stands in a template after JSON's escapes are decoded.
    pub fn new(raw: Arc<str>) -> Self {
        let parsed = expression::is_expression(&raw).then(Arc::default);
        Self { raw, parsed }
    }

    /// The string as it stands in the template.
    pub fn raw(&self) -> &Arc<str> {
        &self.raw
    }

    /// Whether the string is an expression.
    pub fn is_expression(&self) -> bool {
        self.parsed.is_some()
    }

    /// The text of a string that is not an expression: `[[a]` stands for `[a]`, all others for themselves.
    pub fn literal(&self) -> Option<Arc<str>> {
        if self.is_expression() {
            return None;
        }
        Some(match expression::unescaped(&self.raw) {
            Some(text) => text.into(),
            None => self.raw.clone(),
        })
    }

    /// The expression, or why it cannot be parsed; `None` if the string is not an expression.
    pub fn expression(&self, limits: &Limits) -> Option<Result<&Arc<Expression>, &Fault>> {
        let parsed = self.parsed.as_ref()?;
        Some(parsed.get_or_init(|| Expression::parse(&self.raw, limits).map(Arc::new)).as_ref())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}
