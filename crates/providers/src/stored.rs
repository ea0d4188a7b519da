//! The template of a row.

use api::{
    ErrorCode,
    template::{ApiVersion, Face, ParseOptions, Severity, Template},
};
use images::error::Error;
use serde_json::Value;

/// The template of a stored body, which was checked when it was stored: under the api-version that is
/// kept in it, or else the newest.
pub fn parse(input: &Value) -> Result<Template, Error> {
    let mut body = input.clone();
    let stored = body.as_object_mut().and_then(|body| body.remove("apiVersion"));
    let stored = stored.as_ref().and_then(Value::as_str).and_then(|text| text.parse().ok());
    let api_version = Some(stored.unwrap_or(ApiVersion::LATEST));
    let options = ParseOptions { api_version, face: Face::Service };
    let parsed = api::template::parse(&body.to_string(), &options);
    parsed.template.ok_or_else(|| {
        let errors = parsed.diagnostics.into_iter().filter(|d| d.severity == Severity::Error);
        let errors = errors.map(|d| Error::new(d.code, d.message).target(d.path)).collect();
        let none = || Error::new(ErrorCode::ValidationFailed, "the template cannot be read");
        Error::all(errors).err().unwrap_or_else(none)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    #[test]
    fn a_template_is_read_under_the_version_it_was_stored_with() {
        let body = |version: Value| {
            json!({
                "apiVersion": version,
                "location": "westus2",
                "identity": { "type": "None" },
                "properties": {
                    "provisioningState": "Succeeded",
                    "unknown": 1,
                    "source": { "type": "PlatformImage", "publisher": "p", "offer": "o", "sku": "s",
                        "version": "latest" },
                    "distribute": [{ "type": "VHD", "runOutputName": "disk" }],
                },
            })
        };
        assert!(
            parse(&body(json!("2020-02-14"))).is_ok(),
            "old versions ignore what they do not know"
        );
        let error = parse(&body(Value::Null)).unwrap_err();
        assert!(error.message.contains("unknown"), "{error}");
    }
}
