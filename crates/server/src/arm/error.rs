//! The one error that leaves the service.

use http::StatusCode;
use serde_json::{Value, json};

/// What a client is told. What only the log is told is in `internal`.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// Code of the wire, such as `ResourceNotFound`.
    pub code: String,
    /// For the reader; names the field, the value and the way out.
    pub message: String,
    /// Path of the field, or id of the resource.
    pub target: Option<String>,
    /// Several errors found at once.
    pub details: Vec<ApiError>,
    /// For the log only.
    pub internal: Option<String>,
}

impl ApiError {
    /// An error of that status.
    pub fn new(status: StatusCode, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            target: None,
            details: Vec::new(),
            internal: None,
        }
    }

    /// 400.
    pub fn bad_request(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 404 `ResourceNotFound` in ARM's words. `kind` is `Namespace/type`, `name` the resource's.
    pub fn not_found(kind: &str, name: &str, group: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "ResourceNotFound",
            format!(
                "The Resource '{kind}/{name}' under resource group '{group}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
            ),
        )
    }

    /// 404 `ResourceGroupNotFound` in ARM's words.
    pub fn group_not_found(group: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "ResourceGroupNotFound",
            format!("Resource group '{group}' could not be found."),
        )
    }

    /// 405.
    pub fn method_not_allowed(call: &super::Call) -> Self {
        let method = format!("{:?}", call.method).to_uppercase();
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            format!("The method {method} is not allowed at '{}'.", call.path.text),
        )
    }

    /// 405 for what clients only read; `why` ends the sentence.
    pub fn read_only(call: &super::Call, why: &str) -> Self {
        let message = format!("'{}' can only be read: {why}.", call.path.text);
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    /// 409.
    pub fn conflict(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// 500; the reason goes to the log alone.
    pub fn internal(why: impl std::fmt::Display) -> Self {
        let mut error = Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerError",
            "Internal error occurred. The server's log says more under this request id.",
        );
        error.internal = Some(why.to_string());
        error
    }

    /// Names the field or resource that is meant.
    #[must_use]
    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// `{code, message, target, details}` without the envelope.
    pub fn body(&self) -> Value {
        let mut body = json!({ "code": self.code, "message": self.message });
        if let Some(target) = &self.target {
            body["target"] = json!(target);
        }
        if !self.details.is_empty() {
            body["details"] = self.details.iter().map(Self::body).collect();
        }
        body
    }
}

impl From<crate::store::Error> for ApiError {
    fn from(error: crate::store::Error) -> Self {
        match error {
            crate::store::Error::Stale { .. } => Self::conflict(
                "Conflict",
                "The resource was changed by another request at the same time. Please retry.",
            ),
            error @ crate::store::Error::NotOwner => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailable",
                format!("This server is about to end: {error}."),
            ),
            error @ crate::store::Error::Database(_) => Self::internal(error),
        }
    }
}
