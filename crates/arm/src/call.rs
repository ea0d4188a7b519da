//! A request, parsed as far as all routes need it, and a call: a request that its caller may make.

use std::{collections::BTreeMap, ops::Deref, sync::Arc};

use authorization::{Denial, Rights, Rule, Wanted};
use http::StatusCode;
use serde_json::Value;

use crate::{ApiError, Path};

/// The verbs that ARM uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Read.
    Get,
    /// Check whether it exists.
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

impl Method {
    /// As HTTP spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// The client that the token names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The application (client) id.
    pub client_id: String,
    /// The object id.
    pub object_id: String,
}

/// Where a request comes from, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// The client's IP address.
    pub address: Option<String>,
    /// The id that the client gave to this request, if it is a GUID.
    pub request_id: Option<String>,
}

/// A request, which nobody has permitted yet.
#[derive(Debug, Clone)]
pub struct Request {
    /// The verb.
    pub method: Method,
    /// The path, in the client's spelling.
    pub path: Path,
    /// Query parameters, with names in lower case, such as `$filter`.
    pub query: BTreeMap<String, String>,
    /// The `api-version`, in lower case.
    pub api_version: String,
    /// The body as text; empty without one.
    pub body: String,
    /// `https://host:port` in the client's spelling, for absolute URLs.
    pub base_url: String,
    /// For logs and `x-ms-request-id`.
    pub request_id: String,
    /// The id that the client gave to a group of its requests, if it is a GUID.
    pub correlation_id: Option<String>,
    /// The value of `If-Match`; `!*` for `If-None-Match: *`.
    pub if_match: Option<String>,
    /// Where the request comes from.
    pub client: Client,
    /// The client.
    pub caller: Caller,
}

/// A request that its caller may make. Handlers take only these, so that none can be reached without a decision:
///
/// ```
/// fn call(request: arm::Request, rights: std::sync::Arc<authorization::Rights>) -> Option<arm::Call> {
///     arm::Call::admit(request, rights, &authorization::Rule::SignedIn).ok()
/// }
/// ```
///
/// No one else can make one:
///
/// ```compile_fail,E0451
/// fn call(request: arm::Request, rights: std::sync::Arc<authorization::Rights>) -> Option<arm::Call> {
///     Some(arm::Call { request, rights })
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Call {
    request: Request,
    rights: Arc<Rights>,
    action: Option<Wanted>,
}

impl Call {
    /// The only way to a call: the caller's rights satisfy the rule of its target.
    ///
    /// # Errors
    /// What the caller lacks, or the lock in the way.
    pub fn admit(request: Request, rights: Arc<Rights>, rule: &Rule) -> Result<Self, Denial> {
        rights.rule(rule)?;
        let action = match rule {
            Rule::All(needs) => needs.first().map(|need| need.wanted.clone()),
            Rule::SignedIn | Rule::Touches(_) | Rule::List(_) => None,
        };
        Ok(Self { request, rights, action })
    }

    /// The action that was permitted; empty for requests that need none.
    pub fn action(&self) -> &str {
        self.action.as_ref().map_or("", Wanted::name)
    }

    /// The caller's rights, for what the request reaches beside its target.
    pub fn rights(&self) -> &Arc<Rights> {
        &self.rights
    }
}

impl Deref for Call {
    type Target = Request;

    fn deref(&self) -> &Request {
        &self.request
    }
}

impl Request {
    /// Refuses every method but these.
    ///
    /// # Errors
    /// `MethodNotAllowed`
    pub fn only(&self, methods: &[Method]) -> Result<(), ApiError> {
        let is_allowed = methods.contains(&self.method);
        is_allowed.then_some(()).ok_or_else(|| ApiError::method_not_allowed(self))
    }

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

    /// An absolute URL of this server. `path` begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }
}

impl ApiError {
    /// 405.
    pub fn method_not_allowed(call: &Request) -> Self {
        let method = call.method.name();
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            format!("The method {method} is not allowed at '{}'.", call.path.text),
        )
    }

    /// 405 for a read-only resource; `why` completes the sentence.
    pub fn read_only(call: &Request, why: &str) -> Self {
        let message = format!("'{}' can only be read: {why}.", call.path.text);
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }
}
