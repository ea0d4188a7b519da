//! A resource provider with one type: `Example.Lab/widgets`, with a `size`.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeMap, sync::Arc};

use arm::{
    Actions, ApiError, Call, Caller, Context, Method, Path, Registry, Reply, Request, ResourceType,
    Service, Verb, fields, group, handle, rows,
};
use async_trait::async_trait;
use authorization::{Rights, Rule};
use db::{Resource, ResourceKey, Store, Write};
use serde_json::{Value, json};

/// The state that all types of the provider share.
struct Lab {
    context: Context,
}

#[async_trait]
impl Service for Lab {
    fn context(&self) -> &Context {
        &self.context
    }

    async fn may_add(&self, kind: &str) -> Result<(), ApiError> {
        let subscription = self.context.subscription();
        match self.context.store().count(subscription, &kind.to_lowercase()).await? {
            0..3 => Ok(()),
            _ => Err(ApiError::conflict("QuotaExceeded", "There is room for three widgets.")),
        }
    }
}

struct Widgets;

const ACTIONS: Actions = arm::actions!("Example.Lab/widgets", "polish");
const NAME: &str = ACTIONS.kind;

#[async_trait]
impl ResourceType<Lab> for Widgets {
    fn actions(&self) -> &'static Actions {
        &ACTIONS
    }

    fn api_versions(&self) -> &'static [&'static str] {
        &["2026-01-01"]
    }

    fn is_strict(&self) -> bool {
        true
    }

    async fn put(&self, lab: &Lab, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        let context = lab.context();
        let object = call.json()?;
        // This checks the precondition on the row that `put` replaces.
        let existing = rows::find(context, call, &key).await?;
        let location = fields::location(NAME, context, &object, existing.as_ref())?;
        let size = match fields::properties(&object)?.get("size") {
            Some(Value::Number(size)) => json!(size),
            Some(other) => {
                return Err(fields::invalid("properties.size", other, "it must be a number"));
            }
            None => return Err(fields::missing("properties.size")),
        };
        let body = json!({
            "location": location,
            "tags": fields::tags(&object)?.unwrap_or_else(|| json!({})),
            "properties": { "size": size, "provisioningState": "Succeeded" },
        });
        let (row, created) = rows::put(NAME, context, call, existing, body, json!({})).await?;
        Ok(rows::written(created, self.view(lab, call, &row), &row))
    }

    async fn action(
        &self,
        _lab: &Lab,
        _call: &Call,
        _key: ResourceKey,
        verb: &'static Verb,
    ) -> Result<Reply, ApiError> {
        assert_eq!(verb.action, "Example.Lab/widgets/polish/action");
        Ok(Reply::ok(json!({ "gloss": 1 })))
    }
}

/// The list of types.
static REGISTRY: Registry<Lab> = Registry::new(&[&Widgets], &["Example.Parts"]);

const SUBSCRIPTION: &str = "11111111-2222-3333-4444-555555555555";

/// A service whose subscription has the group `g`.
async fn lab(dir: &tempfile::TempDir) -> Lab {
    let store = Store::open(&format!("sqlite://{}/lab.db", dir.path().display())).await.unwrap();
    let context = Context::new(store, SUBSCRIPTION, &["lab1".to_owned()]);
    let group = Resource {
        id: group::id(&context, "g"),
        subscription: SUBSCRIPTION.to_owned(),
        group: "g".to_owned(),
        kind: group::KIND.to_owned(),
        name: "g".to_owned(),
        revision: 0,
        created: "2026-01-01T00:00:00Z".parse().unwrap(),
        changed: "2026-01-01T00:00:00Z".parse().unwrap(),
        body: json!({ "location": "lab1" }),
        hidden: json!({}),
    };
    context.store().commit(vec![Write::Insert(group)]).await.unwrap();
    Lab { context }
}

fn request(method: Method, path: &str, body: &str) -> Request {
    Request {
        method,
        path: Path::parse(&format!(
            "/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/{path}"
        )),
        query: BTreeMap::new(),
        api_version: "2026-01-01".to_owned(),
        body: body.to_owned(),
        base_url: "https://localhost".to_owned(),
        request_id: String::new(),
        correlation_id: None,
        if_match: None,
        client: arm::Client::default(),
        caller: Caller { client_id: String::new(), object_id: String::new() },
    }
}

async fn answer(lab: &Lab, request: Request) -> Result<Reply, ApiError> {
    let rights = Arc::new(Rights::everything());
    let call = Call::admit(request, rights, &Rule::SignedIn).unwrap();
    let namespace = call.path.namespace.clone().unwrap_or_default();
    handle(&REGISTRY, lab, &call, &namespace).await
}

#[tokio::test]
async fn widget_is_created_read_changed_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab(&dir).await;
    let widget = "Example.Lab/widgets/w";
    let small = r#"{ "location": "lab1", "properties": { "size": 1 } }"#;
    let made = answer(&lab, request(Method::Put, widget, small)).await.unwrap();
    assert_eq!(made.status, 201);
    let read = answer(&lab, request(Method::Get, "example.lab/WIDGETS/W", "")).await.unwrap();
    assert_eq!((read.status.as_u16(), &read.body), (200, &made.body));
    let body = read.body.unwrap();
    assert_eq!(body["type"], NAME);
    assert_eq!(body["properties"]["size"], 1);

    let mut late = request(Method::Put, widget, small);
    late.if_match = Some("\"of-another-time\"".to_owned());
    assert_eq!(answer(&lab, late).await.unwrap_err().code, "PreconditionFailed");

    let polish = |verb: &str| request(Method::Post, &format!("{widget}/{verb}"), "");
    assert_eq!(answer(&lab, polish("POLISH")).await.unwrap().body, Some(json!({ "gloss": 1 })));
    // What the type does not declare never reaches it.
    assert_eq!(answer(&lab, polish("melt")).await.unwrap_err().code, "ResourceNotFound");

    let tagged = answer(&lab, request(Method::Patch, widget, r#"{ "tags": { "a": "b" } }"#)).await;
    assert_eq!(tagged.unwrap().body.unwrap()["tags"], json!({ "a": "b" }));
    let all = answer(&lab, request(Method::Get, "Example.Lab/widgets", "")).await.unwrap();
    assert_eq!(all.body.unwrap()["value"].as_array().unwrap().len(), 1);

    let removed = answer(&lab, request(Method::Delete, widget, "")).await.unwrap();
    let again = answer(&lab, request(Method::Delete, widget, "")).await.unwrap();
    assert_eq!((removed.status.as_u16(), again.status.as_u16()), (200, 204));
    let gone = answer(&lab, request(Method::Get, widget, "")).await.unwrap_err();
    assert_eq!(gone.code, "ResourceNotFound");
}

#[tokio::test]
async fn invalid_request_is_rejected_in_arms_wording() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab(&dir).await;
    let code = async |asked: Request| answer(&lab, asked).await.unwrap_err().code;
    let get = |path: &str| request(Method::Get, path, "");
    assert_eq!(code(get("Example.Other/widgets/w")).await, "InvalidResourceNamespace");
    assert_eq!(code(get("Example.Parts/screws/s")).await, "InvalidResourceType");
    let old = Request { api_version: "2020-01-01".to_owned(), ..get("Example.Lab/widgets/w") };
    assert_eq!(code(old).await, "NoRegisteredProviderFound");

    let put =
        |name: &str, body: &str| request(Method::Put, &format!("Example.Lab/widgets/{name}"), body);
    assert_eq!(code(put("w", "{")).await, "InvalidRequestContent");
    assert_eq!(code(put("w", r#"{ "location": "lab1" }"#)).await, "InvalidParameter");
    let elsewhere = r#"{ "location": "moon", "properties": { "size": 1 } }"#;
    assert_eq!(code(put("w", elsewhere)).await, "LocationNotAvailableForResourceType");

    let good = r#"{ "location": "lab1", "properties": { "size": 1 } }"#;
    for name in ["a", "b", "c"] {
        assert_eq!(answer(&lab, put(name, good)).await.unwrap().status, 201);
    }
    assert_eq!(code(put("d", good)).await, "QuotaExceeded");
}
