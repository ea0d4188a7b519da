//! One resource of a deployment: evaluated, written through the routes, and waited for.

use std::time::Duration;

use arm::{ApiError, Reply};
use arm_template::Resource;
use db::ResourceKey;
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    nested, settle,
    work::{Ended, Failure, Shown, Work},
};
use crate::{
    ask::{self, url},
    errors,
};

/// Repetitions of a failed write if the template does not say how many.
const REPETITIONS: u32 = 3;

/// The pause before a repetition.
const PAUSE: Duration = Duration::from_secs(1);

impl Work {
    /// Does the work. An error here is one of the service, which the next start tries again.
    pub(super) async fn run(self) -> Result<Ended, ApiError> {
        let resource = &self.plan.resources()[self.index];
        let done = Box::pin(self.write(resource)).await;
        let ended = |status: String, result, shown: Shown| Ended {
            index: self.index,
            result,
            status,
            request: shown.request.filter(|_| self.debug.requests),
            response: shown.response.filter(|_| self.debug.responses),
        };
        match done {
            Ok(shown) => Ok(ended(errors::status_word(shown.status), Ok(()), shown)),
            Err(Failure::Refused(error)) if is_passing(&error) => Err(error),
            Err(Failure::Refused(error)) => {
                let body = errors::resource_refused(&resource.id, &error);
                Ok(ended(errors::status_word(error.status), Err(body), Shown::default()))
            }
            Err(Failure::Later(error)) => {
                Ok(ended("Conflict".to_owned(), Err(error), Shown::default()))
            }
        }
    }

    async fn write(&self, resource: &Resource) -> Result<Shown, Failure> {
        if resource.existing {
            return self.read(resource).await;
        }
        if resource.is_deployment() {
            return nested::deploy(self, resource).await;
        }
        let id = url(&resource.id);
        if self.is_resumed && self.was_written(&id).await? {
            settle::wait(&self.requests, &id, &resource.api_version, None).await?;
            return Ok(Shown::default());
        }
        if resource.options.only_if_not_exists
            && let Some(found) = self.requests.find(&id, &resource.api_version).await?
        {
            return Ok(Shown { response: Some(found), ..Shown::default() });
        }
        let body = self.body(resource).await?;
        let reply = self.put(resource, &id, &body).await?;
        settle::wait(&self.requests, &id, &resource.api_version, Some(&reply)).await?;
        Ok(Shown { status: reply.status, request: Some(body), response: reply.body })
    }

    /// Reads a resource that the template declares as existing.
    async fn read(&self, resource: &Resource) -> Result<Shown, Failure> {
        let found = self.requests.find(&url(&resource.id), &resource.api_version).await?;
        match found {
            None if !resource.options.null_if_not_found => {
                let error = ApiError::absent(
                    "ResourceNotFound",
                    format!(
                        "The resource '{}', which the template declares as existing, was not found.",
                        resource.id
                    ),
                );
                Err(error.target(&*resource.id).into())
            }
            response => Ok(Shown { response, ..Shown::default() }),
        }
    }

    /// Whether a write after the intent reached the resource. Every write of a resource is one commit, so it either
    /// happened or not.
    async fn was_written(&self, id: &str) -> Result<bool, ApiError> {
        let row = self.requests.app().store().resource(&ResourceKey::of(id)).await?;
        Ok(row.is_some_and(|row| row.changed >= self.begun))
    }

    async fn body(&self, resource: &Resource) -> Result<Value, ApiError> {
        let evaluated =
            ask::until_known(&self.requests, |answers| self.plan.body(resource, answers)).await?;
        let evaluated = evaluated.map_err(|error| errors::expressions(&resource.id, &error))?;
        Ok(match Value::from(&evaluated.value) {
            Value::Null => json!({}),
            body => body,
        })
    }

    async fn put(&self, resource: &Resource, id: &str, body: &Value) -> Result<Reply, ApiError> {
        let mut left = match &resource.options.retry_on {
            Some(retry) => retry.times.unwrap_or(REPETITIONS),
            None => 0,
        };
        loop {
            let error = match self.requests.put(id, &resource.api_version, body).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            // Many steps of this deployment may write one row at the same moment, such as a network with its subnets:
            // the routes do not try that often.
            if error.is_overtaken {
                tokio::task::yield_now().await;
                continue;
            }
            let retry = resource.options.retry_on.as_ref();
            let is_listed = retry
                .is_some_and(|retry| retry.codes.iter().any(|code| arm::is(code, &error.code)));
            if is_listed && left > 0 {
                left -= 1;
                tokio::time::sleep(PAUSE).await;
                self.check_active().await?;
            } else {
                return Err(error);
            }
        }
    }
}

/// Whether the service, not the template, is the cause, and a later attempt may succeed.
fn is_passing(error: &ApiError) -> bool {
    matches!(error.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE)
}
