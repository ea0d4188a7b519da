//! Microsoft.Resources/templateSpecs/versions.

use arm::{Actions, ApiError, Call, Reply, ResourceType, fields, rows};
use arm_template::{Limits, Template};
use async_trait::async_trait;
use db::{Resource, ResourceKey};
use serde_json::{Map, Value, json};
use service::App;

use super::{DESCRIPTION, VERSIONS, check_name, given, missing, object, text};

/// The type.
const ACTIONS: Actions = arm::actions!("Microsoft.Resources/templateSpecs/versions");
pub const NAME: &str = ACTIONS.kind;

const MAIN: &str = "properties.mainTemplate";
const LINKED: &str = "properties.linkedTemplates";

/// A template, with the templates that it links by relative paths.
pub(crate) struct Version;

#[async_trait]
impl ResourceType<App> for Version {
    fn actions(&self) -> &'static Actions {
        &ACTIONS
    }

    fn api_versions(&self) -> &'static [&'static str] {
        VERSIONS
    }

    async fn preflight(&self, _app: &App, call: &Call) -> Result<(), ApiError> {
        properties(&call.json()?, None).map(|_| ())
    }

    async fn put(&self, app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        let existing = rows::find(app.context(), call, &key).await?;
        check_name(call.path.names().last().copied().unwrap_or_default())?;
        let object = call.json()?;
        let location = fields::location(NAME, app.context(), &object, existing.as_ref())?;
        check_location(app, call, &key, &location).await?;
        let tags = fields::tags(&object)?.unwrap_or_else(|| json!({}));
        let properties = properties(&object, existing.as_ref())?;
        let body = json!({ "location": location, "tags": tags, "properties": properties });
        let (version, created) =
            rows::put(NAME, app.context(), call, existing, body, json!({})).await?;
        Ok(rows::written(created, self.view(app, call, &version), &version))
    }

    fn view(&self, _app: &App, _call: &Call, version: &Resource) -> Value {
        super::view(NAME, version)
    }
}

/// A version is where its spec is.
async fn check_location(
    app: &App,
    call: &Call,
    key: &ResourceKey,
    location: &str,
) -> Result<(), ApiError> {
    let gone = || rows::not_found(NAME, &call.path);
    let parent = rows::parent_key(key).ok_or_else(gone)?;
    let spec = app.store().resource(&parent).await?.ok_or_else(gone)?;
    let theirs = spec.body["location"].as_str().unwrap_or_default();
    if theirs == location {
        return Ok(());
    }
    let why = format!("it must be the location of the template spec, '{theirs}'");
    Err(fields::invalid("location", &json!(location), &why))
}

fn properties(
    request: &Map<String, Value>,
    existing: Option<&Resource>,
) -> Result<Value, ApiError> {
    let new = fields::properties(request)?;
    let main = object(&new, "mainTemplate")?.ok_or_else(|| missing(MAIN))?;
    check_template(&main, MAIN)?;
    let stored = existing.map_or(&Value::Null, |version| &version.body["properties"]);
    let linked = match new.get("linkedTemplates") {
        // `az ts update` of a description sends the template that it read, without the linked ones.
        None | Some(Value::Null) if stored["mainTemplate"] == main => {
            stored.get("linkedTemplates").cloned()
        }
        None | Some(Value::Null) => None,
        Some(given) => Some(linked(given)?),
    };
    let form = new.get("uiFormDefinition").filter(|form| !form.is_null()).cloned();
    Ok(Value::Object(given([
        ("description", text(&new, "description", DESCRIPTION)?),
        ("linkedTemplates", linked),
        ("mainTemplate", Some(main)),
        ("metadata", object(&new, "metadata")?),
        ("uiFormDefinition", form),
    ])))
}

/// Checks what needs no parameters.
fn check_template(template: &Value, path: &str) -> Result<(), ApiError> {
    let Err(error) = Template::parse(&template.to_string(), &Limits::default()) else {
        return Ok(());
    };
    let place = match error.path.as_str() {
        "" => path.to_owned(),
        inside => format!("{path}.{inside}"),
    };
    let message = error.message.trim_end_matches('.');
    Err(ApiError::bad_request(
        "InvalidTemplate",
        format!("Deployment template validation failed: '{message}. Path '{place}'.'."),
    )
    .target(place))
}

/// The linked templates, each with the path that links name.
fn linked(given: &Value) -> Result<Value, ApiError> {
    let list = given
        .as_array()
        .ok_or_else(|| fields::invalid(LINKED, given, "it must be a list of {path, template}"))?;
    let mut linked: Vec<Value> = Vec::new();
    for (index, one) in list.iter().enumerate() {
        let field = format!("{LINKED}[{index}]");
        let path = one["path"].as_str().filter(|path| !path.is_empty());
        let path = path.ok_or_else(|| missing(&format!("{field}.path")))?;
        if linked.iter().any(|other| same_path(other["path"].as_str().unwrap_or_default(), path)) {
            let why = "another linked template has that path";
            return Err(fields::invalid(&format!("{field}.path"), &json!(path), why));
        }
        let template = &one["template"];
        if !template.is_object() {
            return Err(missing(&format!("{field}.template")));
        }
        check_template(template, &format!("{field}.template"))?;
        linked.push(json!({ "path": path, "template": template }));
    }
    Ok(Value::Array(linked))
}

/// The main template of a version's row or, with a path that is not empty, a linked one. Clients that run on Windows
/// write paths with backslashes.
pub fn template<'a>(version: &'a Resource, path: &str) -> Option<&'a Value> {
    let properties = &version.body["properties"];
    if path.is_empty() {
        return properties.get("mainTemplate");
    }
    let mut linked = properties["linkedTemplates"].as_array().into_iter().flatten();
    let found = linked.find(|one| same_path(one["path"].as_str().unwrap_or_default(), path));
    found.map(|one| &one["template"])
}

fn same_path(one: &str, other: &str) -> bool {
    let plain = |path: &str| {
        let path = path.replace('\\', "/");
        path.strip_prefix("./").unwrap_or(&path).to_lowercase()
    };
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "/subscriptions/S/resourceGroups/Rg/providers/Microsoft.Resources/templateSpecs/web/versions/1";

    fn main() -> Value {
        json!({
            "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
            "contentVersion": "1.0.0.0", "resources": [],
        })
    }

    fn check(new: Value, existing: Option<&Resource>) -> Result<Value, ApiError> {
        properties(json!({ "properties": new }).as_object().unwrap(), existing)
    }

    #[test]
    fn invalid_template_is_refused_with_its_place() {
        let wrong = json!({ "contentVersion": "1.0.0.0" });
        let linked = |list: Value| json!({ "mainTemplate": main(), "linkedTemplates": list });
        for (new, code, target) in [
            (json!({}), "InvalidParameter", MAIN),
            (json!({ "mainTemplate": wrong }), "InvalidTemplate", MAIN),
            (linked(json!({})), "InvalidParameter", LINKED),
            (
                linked(json!([{ "template": main() }])),
                "InvalidParameter",
                "properties.linkedTemplates[0].path",
            ),
            (
                linked(
                    json!([{ "path": "a", "template": main() }, { "path": "b", "template": wrong }]),
                ),
                "InvalidTemplate",
                "properties.linkedTemplates[1].template",
            ),
            (
                linked(json!([
                    { "path": "a/B", "template": main() }, { "path": "A\\b", "template": main() },
                ])),
                "InvalidParameter",
                "properties.linkedTemplates[1].path",
            ),
        ] {
            let error = check(new, None).unwrap_err();
            assert_eq!((error.code.as_str(), error.target.as_deref()), (code, Some(target)));
        }
    }

    #[test]
    fn linked_templates_stay_with_the_same_main_template_only() {
        let linked = json!([{ "path": "a\\b.json", "template": main() }]);
        let new = json!({ "mainTemplate": main(), "linkedTemplates": linked });
        let body = json!({ "properties": check(new, None).unwrap() });
        let row = Resource::new(ID.to_owned(), NAME, body, json!({}));
        let again = check(json!({ "mainTemplate": main(), "description": "d" }), Some(&row));
        assert_eq!(again.unwrap()["linkedTemplates"], linked);
        let mut other = main();
        other["contentVersion"] = json!("2.0.0.0");
        let other = check(json!({ "mainTemplate": other }), Some(&row)).unwrap();
        assert_eq!(other.get("linkedTemplates"), None);
        assert_eq!(template(&row, "./A/b.json"), Some(&main()));
        assert_eq!(template(&row, "b.json"), None);
    }
}
