//! Every route with every method by every kind of caller: each has the status that Azure's rules demand.
//!
//! The examples say what a request asks for, the expectation knows what each caller may do, and the walk compares. It also
//! keeps docs/authorization-matrix.md current.

mod callers;
mod document;
mod examples;
mod expected;

use std::collections::BTreeSet;

use arm::Path;
use db::{Operation, OperationStatus, Resource, ResourceKey, Run, RunState, Write};
use jiff::Timestamp;
use serde_json::json;
use service::run_folder;

use super::*;
use crate::{http::route::Route, routes::Target};
use callers::{Caller, GROUPS, Tokens};
use examples::Example;

/// A run of the identity that is not over.
const ACTIVE: &str = "00000000-0000-7000-8000-000000000009";
const UNKNOWN: &str = "77777777-7b3c-4b57-9f65-1d8f2a6b3c4d";

/// A request, and its status for each caller.
#[derive(Debug, Clone)]
pub(super) struct Row {
    method: &'static str,
    path: String,
    /// The action that is asked for; empty outside of the resource manager.
    action: String,
    cells: Vec<(Caller, u16)>,
}

#[tokio::test]
async fn every_route_answers_every_caller_by_its_rights() {
    let place = Bench::new().await;
    let identity = furnish(&place).await;
    let callers = callers::tokens(&place, &identity, ACTIVE).await;
    callers::lock(&place).await;
    let mut wrong = Vec::new();
    let mut sections = Vec::new();
    for target in <Target as strum::IntoEnumIterator>::iter() {
        let examples = examples::of(target);
        assert!(!examples.is_empty(), "no example of {target:?}");
        check_target(target, &examples);
        let rows = walk(&place, &callers, &examples, &mut wrong).await;
        sections.push((format!("{target:?}"), rows));
    }
    let mut beside = Vec::new();
    for route in <Route as strum::IntoEnumIterator>::iter() {
        let examples = examples::beside(&route);
        assert!(route == Route::Arm || !examples.is_empty(), "no example of {route:?}");
        for example in &examples {
            let found = Route::of(&filled(example.path.split('?').next().unwrap(), Caller::Owner));
            let same = std::mem::discriminant(&found) == std::mem::discriminant(&route);
            assert!(same, "{}: {found:?}", example.path);
        }
        beside.extend(walk(&place, &callers, &examples, &mut wrong).await);
    }
    sections.push(("Beside".to_owned(), beside));
    assert!(wrong.is_empty(), "{} of the cells:\n{}", wrong.len(), wrong.join("\n"));
    document::check(&sections);
}

/// The examples are of the target, and those of the types are of all types.
fn check_target(target: Target, examples: &[Example]) {
    for example in examples {
        let path = Path::parse(&filled(&example.path, Caller::Owner));
        let found: BTreeSet<String> = example
            .methods
            .iter()
            .filter_map(|(method, ..)| {
                Some(format!("{:?}", Target::at(arm_method(method)?, &path)))
            })
            .collect();
        assert!(found.contains(&format!("{target:?}")), "{}: {found:?}", example.path);
    }
}

fn arm_method(name: &str) -> Option<arm::Method> {
    use arm::Method::{Delete, Get, Head, Patch, Post, Put};
    let all = [Get, Head, Put, Patch, Post, Delete];
    examples::METHODS.iter().zip(all).find(|(own, _)| **own == name).map(|(_, method)| method)
}

async fn walk(
    place: &Bench,
    callers: &[(Caller, Tokens)],
    examples: &[Example],
    wrong: &mut Vec<String>,
) -> Vec<Row> {
    let mut rows = Vec::new();
    for example in examples {
        for (method, asks, permitted) in &example.methods {
            let mut cells = Vec::new();
            for (caller, tokens) in callers {
                let path = filled(&example.path, *caller);
                let (status, said) = ask(place, example, method, &path, tokens).await;
                let wanted = expected::status(*asks, example.level, *caller, *permitted);
                if status != wanted {
                    wrong.push(format!(
                        "{method} {path} by {caller:?} ({asks:?}): {status}, not {wanted}: {said}"
                    ));
                }
                cells.push((*caller, wanted));
            }
            let action = arm_method(method).map(|method| action(method, &example.path));
            let action = action.unwrap_or_default();
            rows.push(Row { method, path: example.path.clone(), action, cells });
        }
    }
    rows
}

/// The action in the documentation.
fn action(method: arm::Method, path: &str) -> String {
    if !path.starts_with("/subscriptions") && !path.starts_with("/providers") {
        return String::new();
    }
    let path = Path::parse(&filled(path, Caller::Owner));
    Target::at(method, &path).need(method, &path).wanted.name().to_owned()
}

async fn ask(
    place: &Bench,
    example: &Example,
    method: &str,
    path: &str,
    tokens: &Tokens,
) -> (u16, String) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let uri = format!("{path}?api-version={}&{query}", example.version);
    let token = if path.starts_with("/graph") { &tokens.graph } else { &tokens.arm };
    let mut request = Request::builder().method(method).uri(uri).header("host", "localhost:1");
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if matches!(method, "PUT" | "PATCH" | "DELETE") && example.is_guarded() {
        request = request.header("if-match", "\"of-another-time\"");
    }
    let body = if matches!(method, "GET" | "HEAD") { "" } else { example.body };
    let response = place.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await;
    let response = response.unwrap();
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 24).await.unwrap();
    (status, String::from_utf8_lossy(&bytes).chars().take(300).collect())
}

impl Example {
    /// Whether its writes have a precondition that fails.
    fn is_guarded(&self) -> bool {
        self.methods.iter().any(|(.., status)| *status == 412)
    }
}

/// The path with the names of what exists for a caller.
fn filled(path: &str, caller: Caller) -> String {
    let group = caller.group();
    let number = GROUPS.iter().position(|own| *own == group).unwrap_or_default();
    path.replace("{subscription}", SUBSCRIPTION)
        .replace("{unknown}", UNKNOWN)
        .replace("{group}", group)
        .replace("{run}", &id_of(number))
        .replace("{operation}", &id_of(number))
        .replace("{account}", &account_of(number))
}

fn id_of(number: usize) -> String {
    format!("00000000-0000-7000-8000-00000000000{number}")
}

fn account_of(number: usize) -> String {
    format!("account{number}")
}

/// Everything that the examples name. Returns the id of a managed identity.
async fn furnish(place: &Bench) -> String {
    for (number, group) in GROUPS.iter().enumerate() {
        let id = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}");
        insert(place, row(&id, arm::group::KIND)).await;
        for kind in providers::REGISTRY.types() {
            let (namespace, types) = kind.name().split_once('/').unwrap();
            let last = match kind.name() {
                "Microsoft.Storage/storageAccounts" => account_of(number),
                "Microsoft.VirtualMachineImages/imageTemplates/runs" => continue,
                _ => "x".to_owned(),
            };
            let types: Vec<&str> = types.split('/').collect();
            let path = format!("/{}/{last}", types.join("/x/"));
            let path = format!("{id}/providers/{namespace}{path}");
            insert(place, row(&path, &kind.name().to_lowercase())).await;
        }
        let template = format!("{id}/providers/Microsoft.VirtualMachineImages/imageTemplates/x");
        let template = ResourceKey::of(&template);
        run(place, &id_of(number), &template, RunState::Succeeded).await;
        let operation = Operation {
            id: id_of(number),
            target: template,
            status: OperationStatus::Succeeded,
            ..ended_operation()
        };
        place.store.commit(vec![Write::Operation(operation)]).await.unwrap();
        let shell = service::blobs::root(&place.app.settings().layout)
            .join(account_of(number))
            .join("shell");
        std::fs::create_dir_all(&shell).unwrap();
        std::fs::write(shell.join("hello.sh"), "echo").unwrap();
    }
    let identity = format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/x"
    );
    run(place, ACTIVE, &ResourceKey::of("/none"), RunState::Running).await;
    identity
}

fn ended_operation() -> Operation {
    Operation {
        id: String::new(),
        subscription: SUBSCRIPTION.to_owned(),
        kind: "runTemplate".to_owned(),
        target: ResourceKey::of("/"),
        status: OperationStatus::Succeeded,
        error: None,
        started: Timestamp::now(),
        ended: Some(Timestamp::now()),
        origin: None,
    }
}

fn row(id: &str, kind: &str) -> Resource {
    let ids = json!({
        "principalId": "aaaaaaaa-0000-0000-0000-000000000001",
        "clientId": "aaaaaaaa-0000-0000-0000-000000000002",
        "provisioningState": "Succeeded",
    });
    let body = json!({ "location": "westus2", "properties": ids });
    Resource {
        subscription: SUBSCRIPTION.to_owned(),
        ..Resource::new(id.to_owned(), kind, body, json!({}))
    }
}

async fn insert(place: &Bench, row: Resource) {
    place.store.commit(vec![Write::Insert(row)]).await.unwrap();
}

/// A run with a log.
pub(super) async fn run(place: &Bench, id: &str, template: &ResourceKey, state: RunState) {
    let run = Run {
        id: id.to_owned(),
        template: template.clone(),
        subscription: SUBSCRIPTION.to_owned(),
        operation: id.to_owned(),
        state,
        sub_state: String::new(),
        message: String::new(),
        queued: Timestamp::now(),
        ended: state.is_over().then(Timestamp::now),
        epoch: 0,
        vcpus: 1,
        memory_mib: 1,
        input: Value::Null,
        cause: db::Cause::Manual,
        optimization: None,
        owner: None,
        crashes: 0,
        worked: std::time::Duration::ZERO,
    };
    place.store.commit(vec![Write::InsertRun(run)]).await.unwrap();
    let folder = run_folder::of(&place.app.settings().layout, id);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("customization.log"), "line\n").unwrap();
    std::fs::write(folder.join(run_folder::EVENTS), "").unwrap();
}
