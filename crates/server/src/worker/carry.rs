//! One run, from its turn to its end.

use std::time::Duration;

use api::ErrorCode;
use engine::error::Error;
use engine::step::Phase;

use super::{
    executor::{Ended, Executor, Job, Seen},
    local,
    row::{self, As, Change, Refused},
    targets,
};
use crate::{
    App,
    providers::image_builder::with_latest,
    store::{self, Run, RunState},
};

/// Between two tries to write to a database that fails.
const RETRY: Duration = Duration::from_secs(1);

/// Takes the run on and sees it through. When this returns the run is over, waits again, or is
/// somebody else's.
pub(super) async fn carry(app: &App, executor: &dyn Executor, run: Run) {
    // Until the end is written, so that readers learn of it at once.
    let _feed = app.feeds().open(&run.id);
    let working = Change::Working(Phase::Building.name());
    let run = match row::write(app, &run.id, As::Claim(run.epoch), working).await {
        Ok(run) => run,
        Err(Refused::Lost) => return,
        Err(Refused::Store(e)) => {
            tracing::error!(run = %run.id, error = %e, "the run cannot be begun");
            return tokio::time::sleep(RETRY).await;
        }
    };
    let ended = match refusal(app, &run).await {
        Ok(Some(error)) => Ended { outputs: Vec::new(), error: Some(error) },
        Ok(None) => match build(app, executor, &run).await {
            Some(ended) => ended,
            None => return,
        },
        Err(e) => {
            let text = format!("the service could not look up the targets: {e}");
            let error = Error::new(ErrorCode::InternalError, text);
            Ended { outputs: Vec::new(), error: Some(error) }
        }
    };
    end(app, &run.id, As::Holder(run.epoch), &ended).await;
}

/// Why the run does not even begin to build.
async fn refusal(app: &App, run: &Run) -> Result<Option<Error>, store::Error> {
    if run.state == RunState::Canceling {
        return Ok(Some(Error::new(ErrorCode::Canceled, "canceled before the build")));
    }
    match local::parse(&run.input) {
        Ok(template) => targets::missing(app, &template).await,
        Err(error) => Ok(Some(error)),
    }
}

/// Builds. `None` if the run is somebody else's by now.
async fn build(app: &App, executor: &dyn Executor, run: &Run) -> Option<Ended> {
    let template = run.template.as_str().rsplit('/').next().unwrap_or_default().to_owned();
    let input = match with_latest(app, run.input.clone()).await {
        Ok(input) => input,
        Err(e) => {
            let text = format!("the service could not look up the source: {e}");
            let error = Some(Error::new(ErrorCode::InternalError, text));
            return Some(Ended { outputs: Vec::new(), error });
        }
    };
    executor.submit(Job { run_id: run.id.clone(), template, input });
    // What came while there was nothing to cancel yet.
    if let Ok(Some(now)) = app.store().run(&run.id).await
        && now.state == RunState::Canceling
    {
        executor.cancel(&run.id);
    }
    let mut is_ours = true;
    let mut is_ending = false;
    loop {
        let seen = tokio::select! {
            seen = executor.observe(&run.id) => seen,
            () = app.shutdown().cancelled(), if !is_ending => {
                is_ending = true;
                executor.cancel(&run.id);
                continue;
            }
        };
        match seen {
            Some(Seen::Phase(phase)) if is_ours => {
                is_ours = tell(app, executor, run, Change::Working(phase.name())).await;
            }
            Some(Seen::Source(exact)) if is_ours => {
                is_ours = tell(app, executor, run, Change::Source(&exact)).await;
            }
            Some(Seen::Phase(_) | Seen::Source(_)) => {}
            Some(Seen::Ended(ended)) => return is_ours.then_some(ended),
            None => {
                let text = "the executor lost the run";
                let error = Some(Error::new(ErrorCode::InternalError, text));
                return is_ours.then_some(Ended { outputs: Vec::new(), error });
            }
        }
    }
}

/// Writes where the run is. False if the run is somebody else's by now, who must not find us at work.
async fn tell(app: &App, executor: &dyn Executor, run: &Run, change: Change<'_>) -> bool {
    match row::write(app, &run.id, As::Holder(run.epoch), change).await {
        Ok(now) if now.state != RunState::Canceling => true,
        Ok(_) => {
            executor.cancel(&run.id);
            true
        }
        Err(Refused::Lost) => {
            tracing::warn!(run = %run.id, "somebody else has taken the run on");
            executor.cancel(&run.id);
            false
        }
        // This is for people; the build goes on without it.
        Err(Refused::Store(e)) => {
            tracing::warn!(run = %run.id, error = %e, "where the run is cannot be written");
            true
        }
    }
}

/// Writes that it is over. Everything the run held is released by now. A database that fails is waited
/// for, but not beyond the service's end: then the next start takes the run up.
pub(super) async fn end(app: &App, id: &str, who: As, ended: &Ended) {
    loop {
        let change =
            if is_cut_off(app, id, ended).await { Change::Waiting } else { Change::Over(ended) };
        match row::write(app, id, who, change).await {
            Ok(run) => {
                tracing::info!(run = %id, state = ?run.state, "the run is over");
                let state = format!("{:?}", run.state);
                metrics::counter!("goldsmith_runs_ended_total", "state" => state).increment(1);
                return;
            }
            Err(Refused::Lost) => return,
            Err(Refused::Store(e)) => {
                tracing::error!(run = %id, error = %e, "the run's end cannot be written");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = app.shutdown().cancelled() => return,
        }
    }
}

/// Whether the run ended only because the service ends: nobody asked for it.
async fn is_cut_off(app: &App, id: &str, ended: &Ended) -> bool {
    let canceled = ended.error.as_ref().is_some_and(|e| e.code == ErrorCode::Canceled);
    if !canceled || !app.shutdown().is_cancelled() {
        return false;
    }
    let run = app.store().run(id).await;
    !matches!(run, Ok(Some(run)) if run.state == RunState::Canceling)
}
