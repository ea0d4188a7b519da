//! The input of a run: the template as it was when the run was requested.

use db::Run;
use engine::template::Template;
use images::error::Error;
use serde_json::{Value, json};

use super::parse;

/// The input of a run, parsed once.
#[derive(Debug, Clone)]
pub struct RunInput {
    /// The template.
    pub template: Template,
    /// The id of the staging group.
    pub staging_group: String,
    /// The subnet of the build machine, spelled as the client spelled it.
    pub subnet_id: Option<String>,
}

impl RunInput {
    /// # Errors
    /// `ValidationFailed`: a later release stored the input, or the row is damaged.
    pub fn of(run: &Run) -> Result<Self, Error> {
        Self::parse(&run.input)
    }

    /// The input as it is stored: a template's body with the api-version under which it is read.
    ///
    /// # Errors
    /// As [`RunInput::of`].
    pub fn parse(input: &Value) -> Result<Self, Error> {
        let mut body = input.clone();
        let version = body.as_object_mut().and_then(|body| body.remove("apiVersion"));
        let version = version.as_ref().and_then(Value::as_str).and_then(|text| text.parse().ok());
        let properties = &body["properties"];
        let text =
            |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        Ok(Self {
            template: parse(&body, version)?,
            staging_group: text(&properties["exactStagingResourceGroup"]).unwrap_or_default(),
            subnet_id: text(&properties["vmProfile"]["vnetConfig"]["subnetId"]),
        })
    }

    /// Writes the exact version of the source into a stored input.
    pub fn set_exact_version(input: &mut Value, version: &str) {
        input["properties"]["source"]["exactVersion"] = json!(version);
    }
}

/// The exact version of the source in a template's body or a run's input.
pub fn exact_version(body: &Value) -> Option<&str> {
    body["properties"]["source"]["exactVersion"].as_str()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn run_input_is_read_under_the_version_it_was_stored_with() {
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
        let old = RunInput::parse(&body(json!("2020-02-14")));
        assert!(old.is_ok(), "old versions ignore what they do not know");
        let error = RunInput::parse(&body(Value::Null)).unwrap_err();
        assert!(error.message.contains("unknown"), "{error}");
    }
}
