//! Microsoft.Resources/templateSpecs.

use arm::{Actions, ApiError, Call, Method, Reply, ResourceType, fields, rows};
use async_trait::async_trait;
use db::{Resource, ResourceKey};
use serde_json::{Map, Value, json};
use service::App;

use super::{DESCRIPTION, DISPLAY_NAME, VERSIONS, check_name, given, object, text, version};

const ACTIONS: Actions = arm::actions!("Microsoft.Resources/templateSpecs");
const NAME: &str = ACTIONS.kind;

/// The name under which versions of a template are kept.
pub(crate) struct TemplateSpec;

#[async_trait]
impl ResourceType<App> for TemplateSpec {
    fn actions(&self) -> &'static Actions {
        &ACTIONS
    }

    fn api_versions(&self) -> &'static [&'static str] {
        VERSIONS
    }

    async fn preflight(&self, _app: &App, call: &Call) -> Result<(), ApiError> {
        properties(&call.json()?).map(|_| ())
    }

    async fn put(&self, app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        let existing = rows::find(app.context(), call, &key).await?;
        check_name(call.path.names().last().copied().unwrap_or_default())?;
        let object = call.json()?;
        let location = fields::location(NAME, app.context(), &object, existing.as_ref())?;
        let tags = fields::tags(&object)?.unwrap_or_else(|| json!({}));
        let properties = properties(&object)?;
        let body = json!({ "location": location, "tags": tags, "properties": properties });
        let (spec, created) =
            rows::put(NAME, app.context(), call, existing, body, json!({})).await?;
        Ok(rows::written(created, self.view(app, call, &spec), &spec))
    }

    /// With `$expand=versions`, what is known of the versions is in the answer.
    async fn get(
        &self,
        app: &App,
        call: &Call,
        key: &ResourceKey,
    ) -> Result<Option<Reply>, ApiError> {
        let expand = call.query.get("$expand");
        if call.method != Method::Get || !expand.is_some_and(|own| arm::is(own, "versions")) {
            return Ok(None);
        }
        let spec = rows::existing(NAME, app.context(), call, key).await?;
        let mut body = self.view(app, call, &spec);
        let versions = rows::below(app.context(), version::NAME, Some(key.clone())).await?;
        let versions: Map<String, Value> =
            versions.iter().map(|row| (row.name.clone(), summary(row))).collect();
        body["properties"]["versions"] = Value::Object(versions);
        Ok(Some(rows::with_etag(Reply::ok(body), &spec)))
    }

    fn view(&self, _app: &App, _call: &Call, spec: &Resource) -> Value {
        super::view(NAME, spec)
    }
}

fn properties(request: &Map<String, Value>) -> Result<Value, ApiError> {
    let new = fields::properties(request)?;
    Ok(Value::Object(given([
        ("description", text(&new, "description", DESCRIPTION)?),
        ("displayName", text(&new, "displayName", DISPLAY_NAME)?),
        ("metadata", object(&new, "metadata")?),
    ])))
}

/// A version as its spec shows it.
fn summary(version: &Resource) -> Value {
    let mut summary = json!({
        "timeCreated": version.created.to_string(), "timeModified": version.changed.to_string(),
    });
    if let Some(description) = version.body["properties"]["description"].as_str() {
        summary["description"] = json!(description);
    }
    summary
}
