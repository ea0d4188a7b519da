//! Waiting until a written resource has a final state.

use std::time::Duration;

use arm::{ApiError, Reply, is};
use serde_json::Value;

use super::work::Failure;
use crate::{errors, manager::Requests, record::is_terminal};

/// The first pause between two looks; each further one is twice as long, up to the last.
const FIRST: Duration = Duration::from_millis(10);
const LAST: Duration = Duration::from_secs(1);

/// Waits for the end of a write. `reply` is its response; without it, the resource is read first.
pub(super) async fn wait(
    requests: &Requests,
    id: &str,
    api_version: &str,
    reply: Option<&Reply>,
) -> Result<(), Failure> {
    let mut body = reply.and_then(|reply| reply.body.clone());
    let mut pause = FIRST;
    loop {
        let current = match body.take() {
            Some(body) => body,
            None => requests.get(id, api_version).await?,
        };
        match state(&current) {
            // Resources without a state are complete.
            None => return Ok(()),
            Some(state) if is_terminal(&state) => {
                return ended(requests, id, &state, reply, &current).await;
            }
            Some(_) => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST);
    }
}

fn state(body: &Value) -> Option<String> {
    body["properties"]["provisioningState"].as_str().map(str::to_owned)
}

async fn ended(
    requests: &Requests,
    id: &str,
    state: &str,
    reply: Option<&Reply>,
    body: &Value,
) -> Result<(), Failure> {
    if is(state, "Succeeded") {
        return Ok(());
    }
    let url = reply.and_then(|reply| {
        let headers = reply.headers.iter();
        headers.into_iter().find(|(name, _)| *name == "azure-asyncoperation")
    });
    let cause = match url {
        Some((_, url)) => cause(requests, url).await?,
        None => None,
    };
    // Image templates keep the error of their creation.
    let own = || Some(body["properties"]["provisioningError"].clone()).filter(Value::is_object);
    Err(Failure::Later(errors::resource_state(id, state, cause.or_else(own))))
}

/// The error of a long-running operation.
async fn cause(requests: &Requests, url: &str) -> Result<Option<Value>, ApiError> {
    let status = requests.status(url).await?;
    Ok(status.get("error").filter(|error| error.is_object()).cloned())
}
