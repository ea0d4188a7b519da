//! A response.

use http::StatusCode;
use serde_json::Value;

/// The response of a handler, before the headers that all responses have.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// The JSON body, if any.
    pub body: Option<Value>,
    /// Names in lower case.
    pub headers: Vec<(&'static str, String)>,
}

impl Reply {
    /// A body with a status.
    pub fn json(status: StatusCode, body: Value) -> Self {
        Self { status, body: Some(body), headers: Vec::new() }
    }

    /// 200 with a body.
    pub fn ok(body: Value) -> Self {
        Self::json(StatusCode::OK, body)
    }

    /// A status alone.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, body: None, headers: Vec::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}
