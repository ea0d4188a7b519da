//! The errors of deployments, in the shapes that clients know from Azure.

use arm::ApiError;
use arm_template::Error;
use http::StatusCode;
use serde_json::{Value, json};

/// A template, its parameters or its expressions are wrong: with line, column and path.
pub(crate) fn template(error: &Error) -> ApiError {
    let message = format!(
        "Deployment template validation failed: '{}.'.",
        error.message.trim_end_matches('.')
    );
    let mut wrong = ApiError::bad_request("InvalidTemplate", message);
    wrong.additional_info = vec![violation(error)];
    wrong
}

fn violation(error: &Error) -> Value {
    let (line, column) = error.position.map_or((0, 0), |at| (at.line, at.column));
    let path = match error.path.as_str() {
        "" => String::new(),
        path if path.starts_with("properties.") => path.to_owned(),
        path => format!("properties.template.{path}"),
    };
    json!({
        "type": "TemplateViolation",
        "info": { "lineNumber": line, "linePosition": column, "path": path },
    })
}

/// The text of a request cannot be read.
pub(crate) fn content(error: &Error) -> ApiError {
    let place = error.position.map_or(String::new(), |at| {
        format!(" Path '{}', line {}, position {}.", error.path, at.line, at.column)
    });
    ApiError::bad_request(
        "InvalidRequestContent",
        format!(
            "The request content was invalid and could not be deserialized: '{}.{place}'.",
            error.message.trim_end_matches('.')
        ),
    )
}

/// A field of the request is wrong.
pub(crate) fn field(path: &str, why: &str) -> ApiError {
    ApiError::bad_request(
        "InvalidRequestContent",
        format!(
            "The request content was invalid and could not be deserialized: '{why}. Path '{path}'.'."
        ),
    )
    .target(path)
}

/// The preflight of a template found mistakes in its resources.
pub(crate) fn preflight(name: &str, tracking: &str, details: Vec<ApiError>) -> ApiError {
    let message = format!(
        "The template deployment '{name}' is not valid according to the validation procedure. The tracking id is '{tracking}'. See inner errors for details."
    );
    ApiError { details, ..ApiError::bad_request("InvalidTemplateDeployment", message) }
}

/// The client may not write resources of the template.
pub(crate) fn forbidden(details: Vec<ApiError>) -> ApiError {
    let texts: Vec<&str> = details.iter().map(|one| one.message.as_str()).collect();
    let message = match texts.as_slice() {
        [one] => format!("The template deployment failed with error: '{one}'."),
        all => format!("Deployment failed with multiple errors: '{}'", all.join(":")),
    };
    ApiError { details, ..ApiError::bad_request("InvalidTemplateDeployment", message) }
}

/// The expressions of a resource could not be evaluated when its turn came. The message names resource and place.
pub(crate) fn expressions(id: &str, error: &Error) -> ApiError {
    ApiError::bad_request("InvalidTemplate", error.message.clone()).target(id)
}

/// An output could not be evaluated.
pub(crate) fn outputs(name: &str, error: &ApiError) -> Value {
    json!({
        "code": "DeploymentOutputEvaluationFailed",
        "message": format!("Unable to evaluate template outputs: '{name}'. Please see error details and deployment operations. Please see https://aka.ms/arm-common-errors for usage details."),
        "details": [{ "code": error.code, "target": name, "message": error.message }],
    })
}

/// A deployment failed at its resources.
pub(crate) fn failed(id: &str, details: &[Value]) -> Value {
    json!({
        "code": "DeploymentFailed",
        "target": id,
        "message": "At least one resource deployment operation failed. Please list deployment operations for details. Please see https://aka.ms/arm-deployment-operations for usage details.",
        "details": details,
    })
}

/// A resource was accepted, and ended in a state that is no success.
pub(crate) fn resource_state(id: &str, state: &str, cause: Option<Value>) -> Value {
    let mut error = json!({
        "code": "ResourceDeploymentFailure",
        "target": id,
        "message": format!("The resource write operation failed to complete successfully, because it reached terminal provisioning state '{state}'."),
    });
    if let Some(cause) = cause.filter(Value::is_object) {
        error["details"] = json!([cause]);
    }
    error
}

/// A resource was refused.
pub(crate) fn resource_refused(id: &str, error: &ApiError) -> Value {
    let mut body = error.body();
    if error.target.is_none() {
        body["target"] = json!(id);
    }
    body
}

/// The wording of a status, as operations show it: `Conflict`, `BadRequest`.
pub(crate) fn status_word(status: StatusCode) -> String {
    let reason = status.canonical_reason().unwrap_or("InternalServerError");
    reason.split([' ', '-']).collect()
}

#[cfg(test)]
mod tests {
    use arm_template::{Kind, Position};

    use super::*;

    #[test]
    fn template_error_has_line_column_and_path() {
        let error = Error::new(Kind::Parameter, "no value", Some(Position::new(18, 20)));
        let body = template(&error).body();
        assert_eq!(body["message"], "Deployment template validation failed: 'no value.'.");
        let info = &body["additionalInfo"][0]["info"];
        assert_eq!((&info["lineNumber"], &info["linePosition"]), (&json!(18), &json!(20)));
    }

    #[test]
    fn status_is_one_word() {
        assert_eq!(status_word(StatusCode::BAD_REQUEST), "BadRequest");
        assert_eq!(status_word(StatusCode::CONFLICT), "Conflict");
        assert_eq!(status_word(StatusCode::OK), "OK");
    }
}
