//! A deployment in a deployment: a record of its own, with operations and a history of its own.

use std::time::Duration;

use arm::{ApiError, is};
use arm_template::Resource;
use db::ResourceKey;

use super::work::{Failure, Shown, Work};
use crate::{
    begin::{self, New},
    check::{self, For},
    errors,
    load::{self, Draft},
    manager::Requests,
    place::{Place, check_name},
    record::{Parent, Record},
    request::Request,
    source::Source,
};

/// The first pause between two looks at a nested deployment, and the last.
const FIRST: Duration = Duration::from_millis(10);
const LAST: Duration = Duration::from_secs(1);

/// Deploys a nested deployment, or waits for the one that an earlier process began.
pub(super) async fn deploy(work: &Work, resource: &Resource) -> Result<Shown, Failure> {
    let requests = &work.requests;
    let key = ResourceKey::of(&resource.id);
    if work.is_resumed
        && let Some(record) = Record::find(requests.app().store(), &key).await.map_err(refused)?
        && record.row.started >= work.begun
        // Not one that somebody else deployed there meanwhile.
        && record.hidden.parent.as_ref().is_some_and(|parent| parent.id == work.deployment)
    {
        return wait(requests, &key, resource).await;
    }
    requests.may_deploy(&resource.id).await?;
    let place = load::place_of(requests, &resource.id).await?;
    check_name(&resource_name(resource))?;
    let nested = load::nested(requests, &work.plan, resource).await?;
    let links = load::nested_links(requests, &nested).await?;
    let plan = |preview| load::nested_plan(requests, &work.plan, &nested, &place, &links, preview);
    let (plan, preview) = (plan(false)?, plan(true)?);
    let facts = plan.facts();
    let draft = Draft {
        request: Request::of_nested(
            facts.location.as_deref(),
            links.source.as_ref().map(Source::link),
        ),
        hash: plan.template().hash(),
        now: jiff::Timestamp::now(),
        seed: facts.seed.to_string(),
        plan,
        preview,
        links,
    };
    begin(work, resource, &place, &draft).await?;
    wait(requests, &key, resource).await
}

async fn begin(
    work: &Work,
    resource: &Resource,
    place: &Place,
    draft: &Draft,
) -> Result<(), ApiError> {
    let requests = &work.requests;
    let name = resource_name(resource);
    let existing = begin::replaceable(requests, place, &name).await?;
    begin::check_location(requests, place, &draft.request, existing.as_ref())?;
    check::all(requests, &name, draft, For::Deployment).await?;
    let parent = Parent { id: work.deployment.clone(), index: work.index };
    let is_rollback = work.is_rollback;
    let fence = Some(work.fence());
    let new = New { place, name: &name, draft, parent: Some(parent), fence, is_rollback };
    let text = serde_json::Value::from(&draft.plan.template().to_value()).to_string();
    new.begin(requests, existing, &text, draft.plan.clone(), super::start).await?;
    Ok(())
}

fn resource_name(resource: &Resource) -> String {
    resource.name.rsplit('/').next().unwrap_or_default().to_owned()
}

async fn wait(
    requests: &Requests,
    key: &ResourceKey,
    resource: &Resource,
) -> Result<Shown, Failure> {
    let mut pause = FIRST;
    loop {
        let record = Record::find(requests.app().store(), key).await.map_err(refused)?;
        let Some(record) = record else {
            let name = resource_name(resource);
            return Err(crate::place::not_found(&name).target(&*resource.id).into());
        };
        if !record.is_active() {
            let state = record.state().to_owned();
            if is(&state, "Succeeded") {
                return Ok(Shown { response: Some(record.view()), ..Shown::default() });
            }
            let cause = record.row.body["properties"]["error"].clone();
            return Err(Failure::Later(errors::resource_state(&resource.id, &state, Some(cause))));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST);
    }
}

fn refused(error: db::Error) -> Failure {
    Failure::Refused(error.into())
}
