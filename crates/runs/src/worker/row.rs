//! Writing a run's row, with its template, as the one that has taken it on.
//!
//! A request may set a run to `Canceling` at any moment. It writes the template in the same commit, so
//! that the template's revision tells us: whoever loses reads again and writes what then is right.

use db::{Error, Run, RunState, Write};
use providers::image_builder::{
    state::{Event, SubState, next_of_run},
    with_run,
};
use serde_json::json;
use service::App;

use super::{executor::Ended, outcome};

/// How often to try again when a request was faster. Each time somebody else got something done.
const TRIES: usize = 50;

/// Why a run's row was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// Somebody else has taken the run on or ended it, or it is gone.
    #[error("somebody else has taken the run on")]
    Lost,
    /// The database failed.
    #[error(transparent)]
    Store(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match error {
            Error::NotOwner => Self::Lost,
            error => Self::Store(error),
        }
    }
}

/// As whom a row is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum As {
    /// Takes the run on from whoever had it at this epoch.
    Claim(i64),
    /// As the holder at this epoch.
    Holder(i64),
}

/// What is to become of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change<'a> {
    /// It is at work, in this phase. One that is to end stays so.
    Working(&'static str),
    /// What `latest` of its source stands for.
    Source(&'a str),
    /// It waits again, for the next start of the service.
    Waiting,
    /// It is over.
    Over(&'a Ended),
    /// It is over, and nothing else is written of it.
    Closed(&'a Ended),
}

/// Changes a run and its template in one commit. Returns the run as it is now.
pub(crate) async fn write(
    app: &App,
    id: &str,
    who: As,
    change: Change<'_>,
) -> Result<Run, Refused> {
    let store = app.store();
    let (As::Claim(epoch) | As::Holder(epoch)) = who;
    let mut last = Refused::Lost;
    for _ in 0..TRIES {
        let Some(known) = store.run(id).await? else { return Err(Refused::Lost) };
        // The template before the run: a change of both between the two is then refused.
        let mut template = store.resource(&known.template).await?;
        // A request may end a run that waits, at the epoch it has.
        let is_ours = |run: &Run| run.epoch == epoch && !run.state.is_over();
        let Some(mut run) = store.run(id).await?.filter(is_ours) else {
            return Err(Refused::Lost);
        };
        let mut writes = apply(app, &mut run, change).await?;
        if let (Change::Source(_), Some(template)) = (change, &mut template) {
            let exact = run.input["properties"]["source"]["exactVersion"].clone();
            if !exact.is_null() {
                template.body["properties"]["source"]["exactVersion"] = exact;
            }
        }
        match who {
            As::Claim(_) => {
                run.epoch = epoch + 1;
                run.owner = store.own_lease().map(str::to_owned);
                // Whoever had it has not handed it over.
                run.crashes += i64::from(known.state == RunState::Running);
                writes.push(Write::ClaimRun(run.clone()));
            }
            As::Holder(_) => writes.push(Write::ReplaceRun(run.clone())),
        }
        writes.extend(template.map(|template| Write::Replace(with_run(template, &run))));
        match store.commit(writes).await {
            Ok(()) => return Ok(run),
            Err(error @ Error::Stale { .. }) => last = Refused::Store(error),
            Err(error) => return Err(error.into()),
        }
    }
    Err(last)
}

/// Changes the run; returns what else is to be written.
async fn apply(app: &App, run: &mut Run, change: Change<'_>) -> Result<Vec<Write>, Error> {
    match change {
        Change::Over(ended) => return outcome::end(app, run, ended).await,
        Change::Closed(ended) => return outcome::close(app, run, ended).await,
        Change::Working(phase) => {
            // One that is to end stays so.
            if next_of_run(run, Event::Step(SubState::named(phase))).is_ok() {
                run.state = RunState::Running;
                run.sub_state = phase.to_owned();
            }
        }
        Change::Source(exact) => {
            let source = &mut run.input["properties"]["source"];
            match source["type"].as_str() {
                Some("PlatformImage") => {
                    source["exactVersion"] = json!(exact.rsplit(':').next().unwrap_or_default());
                }
                Some("SharedImageVersion") => source["exactVersion"] = json!(exact),
                // A managed image has no versions.
                _ => {}
            }
        }
        Change::Waiting if run.state != RunState::Canceling => {
            run.owner = None;
            run.state = RunState::Queued;
            run.sub_state = "Queued".to_owned();
        }
        Change::Waiting => {}
    }
    Ok(Vec::new())
}
