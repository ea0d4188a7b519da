//! Whether an image from this source can become a version of that image definition: generation, system,
//! architecture and security type must be the same, before anything is built.
//!
//! Missing definitions are ignored here; `compute::targets` reports them.

use api::ErrorCode;
use db::{Resource, ResourceKey};
use engine::{OsType, distribute, template::Template};
use images::error::Error;
use serde_json::Value;
use service::App;

use super::exact::Exact;

/// Security types whose virtual machines leave guest state in their image. An image that is made from
/// a template has no such state.
const WITH_STATE: [&str; 2] = ["TrustedLaunch", "ConfidentialVM"];
/// The security type of a definition that names none.
const STANDARD: &str = "Standard";

/// The first incompatibility of the source with a gallery target.
pub(super) async fn disagreement(
    app: &App,
    template: &Template,
    exact: &Exact,
) -> Result<Option<Error>, db::Error> {
    for target in &template.properties.distribute {
        let Some(version) = target.kind.version() else { continue };
        let key = ResourceKey::of(&version.definition.to_string());
        let Some(definition) = app.store().resource(&key).await? else { continue };
        if let Some(why) = with(exact, &definition) {
            let Why { message, hint } = why;
            let error = Error::new(ErrorCode::BadSharedImageDistribute, message)
                .target(version.field)
                .hint(hint);
            return Ok(Some(distribute::at(target, error)));
        }
    }
    Ok(None)
}

struct Why {
    message: String,
    hint: String,
}

fn with(exact: &Exact, definition: &Resource) -> Option<Why> {
    let properties = &definition.body["properties"];
    let id = &definition.id;
    let generation = format!("V{}", exact.generation);
    let pairs = [
        ("hyperVGeneration", Some(generation.as_str())),
        ("osType", exact.os.map(OsType::name)),
        ("architecture", exact.architecture.as_deref()),
    ];
    for (field, ours) in pairs {
        // An unknown value is compatible with any.
        let (Some(ours), Some(theirs)) = (ours, properties[field].as_str()) else { continue };
        if !ours.eq_ignore_ascii_case(theirs) {
            return Some(Why {
                message: format!(
                    "the source has {field} {ours}, and the image definition '{id}' has {theirs}"
                ),
                hint: format!(
                    "name an image definition with {field} {ours}, or a source with {field} {theirs}"
                ),
            });
        }
    }
    if properties["osState"].as_str() == Some("Specialized") {
        return Some(Why {
            message: format!("the image definition '{id}' is for specialized images"),
            hint: "name one with osState Generalized: images of templates are generalized"
                .to_owned(),
        });
    }
    security(exact, properties, id)
}

fn security(exact: &Exact, properties: &Value, id: &str) -> Option<Why> {
    let theirs = security_type(properties);
    if has_state(&theirs) {
        return Some(Why {
            message: format!("the image definition '{id}' has the security type {theirs}"),
            hint: format!("name one with the security type {theirs}Supported, or with none"),
        });
    }
    if theirs != STANDARD && exact.generation == 1 {
        return Some(Why {
            message: format!(
                "the image definition '{id}' has the security type {theirs}, which needs generation 2"
            ),
            hint: "build upon a source of generation 2".to_owned(),
        });
    }
    let ours = exact.security.as_deref()?;
    (!ours.eq_ignore_ascii_case(&theirs)).then(|| Why {
        message: format!(
            "the source has the security type {ours}, and the image definition '{id}' has {theirs}"
        ),
        hint: format!("name an image definition with the security type {ours}"),
    })
}

/// The feature `SecurityType` of a definition.
pub(super) fn security_type(properties: &Value) -> String {
    let features = properties["features"].as_array();
    features
        .into_iter()
        .flatten()
        .find(|feature| feature["name"].as_str() == Some("SecurityType"))
        .and_then(|feature| feature["value"].as_str())
        .unwrap_or(STANDARD)
        .to_owned()
}

/// Whether images of that security type carry the state of a guest.
pub(super) fn has_state(security_type: &str) -> bool {
    WITH_STATE.iter().any(|with| with.eq_ignore_ascii_case(security_type))
}
