//! The routes of deployments.

use arm::{ApiError, Call, Extension, Method, Reply, is, operation};
use arm_template::{Limits, Node, Template};
use db::{OperationStatus, ResourceKey, Write};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use service::App;

use crate::{
    accept, errors, history, load,
    manager::{Client, Manager, Requests},
    place::{Place, not_found},
    record::{Record, Step},
    what_if,
};

/// `{scope}/providers/Microsoft.Resources/deployments…`
///
/// # Errors
/// Those of the request; `DeploymentNotFound`, `MethodNotAllowed`.
pub async fn handle(manager: &Manager, call: &Call, at: &Extension) -> Result<Reply, ApiError> {
    let app = &manager.app;
    let requests = manager.requests(Client::of(call));
    let rest: Vec<&str> = at.rest.iter().skip(1).map(String::as_str).collect();
    let place = match Place::of(app, at, call.method).await {
        Err(error) if call.method == Method::Head && error.status == StatusCode::NOT_FOUND => {
            return Ok(Reply::empty(StatusCode::NOT_FOUND));
        }
        place => place?,
    };
    match rest.as_slice() {
        [] => {
            call.only(&[Method::Get])?;
            history::list(app, call, &place).await
        }
        [name] => one(&requests, call, &place, name).await,
        [name, action] if call.method == Method::Post => {
            act(&requests, call, &place, name, action).await
        }
        [name, word, id] if is(word, "operationStatuses") => {
            call.only(&[Method::Get])?;
            status(app, &place, name, id).await
        }
        [name, word, id @ ..] if is(word, "operations") && id.len() < 2 => {
            call.only(&[Method::Get])?;
            steps(app, call, &place, name, id.first().copied()).await
        }
        _ => Err(ApiError::absent(
            "InvalidResourceType",
            format!("There is nothing at '{}'.", call.path.text),
        )),
    }
}

/// `{group}/deployments/{name}/operations[/{id}]`, without the provider: az and the SDKs leave it out.
///
/// # Errors
/// `ResourceGroupNotFound`, `DeploymentNotFound`.
pub async fn operations(
    manager: &Manager,
    call: &Call,
    name: &str,
    id: Option<&str>,
) -> Result<Reply, ApiError> {
    call.only(&[Method::Get])?;
    let scope: Vec<&str> = call.path.text.split('/').take(5).collect();
    let at = Extension { scope: scope.join("/"), kind: String::new(), rest: Vec::new() };
    let place = Place::of(&manager.app, &at, call.method).await?;
    steps(&manager.app, call, &place, name, id).await
}

/// `POST /providers/Microsoft.Resources/calculateTemplateHash`
///
/// # Errors
/// `InvalidTemplate`
pub fn template_hash(call: &Call) -> Result<Reply, ApiError> {
    call.only(&[Method::Post])?;
    let limits = Limits::default();
    let node = Node::parse(&call.body, &limits).map_err(|error| errors::content(&error))?;
    let wrong = |error: arm_template::Error| errors::template(&error);
    let template = Template::from_node(&node).map_err(wrong)?;
    Ok(Reply::ok(json!({
        "minifiedTemplate": Value::from(&template.to_value()).to_string(),
        "templateHash": template.hash(),
    })))
}

async fn one(
    requests: &Requests,
    call: &Call,
    place: &Place,
    name: &str,
) -> Result<Reply, ApiError> {
    let app = requests.app();
    let key = ResourceKey::of(&place.deployment(name));
    match call.method {
        Method::Put => accept::put(requests, call, place, name).await,
        Method::Get => {
            let record = history::existing(app, &key, name).await?;
            let reply = Reply::ok(record.view());
            // PowerShell polls the deployment itself, every 5 s without the header.
            Ok(if record.is_active() { reply.header("retry-after", "1") } else { reply })
        }
        Method::Head => {
            let found = app.store().deployment(&key).await?.is_some();
            let status = if found { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND };
            Ok(Reply::empty(status))
        }
        Method::Delete => history::delete(app, Record::find(app.store(), &key).await?).await,
        Method::Patch | Method::Post => Err(ApiError::method_not_allowed(call)),
    }
}

async fn act(
    requests: &Requests,
    call: &Call,
    place: &Place,
    name: &str,
    action: &str,
) -> Result<Reply, ApiError> {
    let app = requests.app();
    let key = ResourceKey::of(&place.deployment(name));
    match action.to_lowercase().as_str() {
        "validate" => accept::validate(requests, call, place, name).await,
        "whatif" => what_if::answer(requests, call, place, name).await,
        "cancel" => {
            let record = history::existing(app, &key, name).await?;
            cancel(app, record).await?;
            Ok(Reply::empty(StatusCode::NO_CONTENT))
        }
        "exporttemplate" => {
            let record = history::existing(app, &key, name).await?;
            export(requests, &record).await
        }
        "listoutputswithsecurevalues" => {
            let record = history::existing(app, &key, name).await?;
            Ok(Reply::ok(record.hidden.secure_outputs))
        }
        _ => Err(ApiError::absent(
            "ResourceNotFound",
            format!(
                "There is no action '{action}' at a deployment; it has 'validate', 'whatIf', 'cancel' and 'exportTemplate'."
            ),
        )),
    }
}

/// The template as it was sent, without comments.
async fn export(requests: &Requests, record: &Record) -> Result<Reply, ApiError> {
    let template = load::template_of(requests, record).await?;
    Ok(Reply::ok(json!({ "template": template })))
}

/// Ends a deployment. What resource types have begun, they end.
///
/// # Errors
/// `DeploymentCannotBeCancelled`
pub(crate) async fn cancel(app: &App, record: Record) -> Result<(), ApiError> {
    let name = record.row.name.clone();
    let refused = || {
        ApiError::conflict(
            "DeploymentCannotBeCancelled",
            format!(
                "The deployment '{name}' cannot be cancelled because the provisioning state is not 'Accepted' or 'Running'."
            ),
        )
    };
    // The deployment's own task writes, too.
    let (key, mut current) = (record.key(), Some(record));
    for _ in 0..20 {
        let Some(mut record) = current.filter(Record::is_active) else { return Err(refused()) };
        let mut writes = Vec::new();
        let mut nested = Vec::new();
        for row in app.store().deployment_operations(&key).await? {
            let mut step = Step { row };
            if step.state() != "Running" {
                continue;
            }
            let target = &step.row.body["targetResource"]["id"];
            nested.extend(target.as_str().map(ResourceKey::of));
            step.end("Canceled", "Canceled", None);
            writes.push(Write::DeploymentOperation(step.row));
        }
        record.set_state("Canceled", Timestamp::now());
        record.row.body["properties"]["error"] = canceled();
        let operation = app.store().operation(&record.hidden.operation).await?;
        writes.extend(operation.map(|row| {
            let mut ended = operation::ended(row, Err(canceled()));
            ended.status = OperationStatus::Canceled;
            Write::Operation(ended)
        }));
        writes.insert(0, Write::ReplaceDeployment(record.into_row()?));
        match app.store().commit(writes).await {
            Ok(()) => {
                for key in nested {
                    cancel_nested(app, &key).await?;
                }
                return Ok(());
            }
            Err(db::Error::Stale { .. }) => {
                current = Record::find(app.store(), &key).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(ApiError::internal("the deployment was written to again and again"))
}

/// Cancels a deployment that a canceled one contains; other resources are no deployments.
async fn cancel_nested(app: &App, key: &ResourceKey) -> Result<(), ApiError> {
    let Some(record) = Record::find(app.store(), key).await? else { return Ok(()) };
    match Box::pin(cancel(app, record)).await {
        Err(error) if error.code == "DeploymentCannotBeCancelled" => Ok(()),
        other => other,
    }
}

fn canceled() -> Value {
    json!({ "code": "DeploymentCanceled", "message": "The deployment was canceled." })
}

/// `{"status", "error"?}`
async fn status(app: &App, place: &Place, name: &str, id: &str) -> Result<Reply, ApiError> {
    let row = app.store().operation(id).await?;
    let key = ResourceKey::of(&place.deployment(name));
    let row = row.filter(|row| row.target == key).ok_or_else(|| operation::not_found(id))?;
    let mut body = match row.status {
        OperationStatus::InProgress => json!({ "status": "Running" }),
        other => json!({ "status": other }),
    };
    if let Some(error) = &row.error {
        body["error"] = error.clone();
    }
    let reply = Reply::ok(body);
    Ok(match row.status {
        OperationStatus::InProgress => reply.header("retry-after", "1"),
        _ => reply,
    })
}

/// What a deployment did, newest first.
async fn steps(
    app: &App,
    call: &Call,
    place: &Place,
    name: &str,
    id: Option<&str>,
) -> Result<Reply, ApiError> {
    let key = ResourceKey::of(&place.deployment(name));
    let record = app.store().deployment(&key).await?.ok_or_else(|| not_found(name))?;
    let mut rows = app.store().deployment_operations(&key).await?;
    rows.reverse();
    if let Some(id) = id {
        let row = rows.into_iter().find(|row| is(&row.id, id));
        let row = row.ok_or_else(|| {
            ApiError::absent(
                "DeploymentOperationNotFound",
                format!("The operation '{id}' of deployment '{name}' could not be found."),
            )
        })?;
        return Ok(Reply::ok(Step { row }.view(&record.id)));
    }
    let views = rows.into_iter().map(|row| (row.id.clone(), Step { row }.view(&record.id)));
    history::page(call, views.collect())
}
