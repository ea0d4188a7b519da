//! One request, parsed as far as all routes agree on it.

use std::collections::BTreeMap;

use serde_json::Value;

use http::StatusCode;

use crate::{ApiError, Path};

/// The verbs that ARM uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Read.
    Get,
    /// Whether it exists.
    Head,
    /// Create or replace.
    Put,
    /// Change some fields.
    Patch,
    /// An action.
    Post,
    /// Remove.
    Delete,
}

/// Who calls, as the token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The application (client) id.
    pub client_id: String,
    /// Its object id.
    pub object_id: String,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Call {
    /// The verb.
    pub method: Method,
    /// The path, in the spelling it came in.
    pub path: Path,
    /// Query parameters, names in lower case. `$filter` keeps its dollar sign.
    pub query: BTreeMap<String, String>,
    /// The `api-version`, in lower case.
    pub api_version: String,
    /// The body as text; empty if there was none.
    pub body: String,
    /// `https://host:port`, as the client named us: absolute URLs are built from it.
    pub base_url: String,
    /// For logs and `x-ms-request-id`.
    pub request_id: String,
    /// Value of `If-Match`, or `*` of `If-None-Match` as `!*`.
    pub if_match: Option<String>,
    /// Who calls.
    pub caller: Caller,
}

impl Call {
    /// The body as a JSON object.
    ///
    /// # Errors
    /// `InvalidRequestContent`, with line and column.
    pub fn json(&self) -> Result<serde_json::Map<String, Value>, ApiError> {
        let wrong = |why: String| {
            ApiError::bad_request(
                "InvalidRequestContent",
                format!("The request content was invalid and could not be deserialized: {why}"),
            )
        };
        match serde_json::from_str(&self.body) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => Err(wrong("the body must be a JSON object".to_owned())),
            Err(_) if self.body.trim().is_empty() => Err(wrong("the body is empty".to_owned())),
            Err(error) => Err(wrong(error.to_string())),
        }
    }

    /// An absolute URL of this server: `path` begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }
}

impl ApiError {
    /// 405.
    pub fn method_not_allowed(call: &Call) -> Self {
        let method = format!("{:?}", call.method).to_uppercase();
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            format!("The method {method} is not allowed at '{}'.", call.path.text),
        )
    }

    /// 405 for what clients only read; `why` ends the sentence.
    pub fn read_only(call: &Call, why: &str) -> Self {
        let message = format!("'{}' can only be read: {why}.", call.path.text);
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }
}
