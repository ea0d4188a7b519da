//! One run, from its turn to its end.

use std::time::Duration;

use api::ErrorCode;
use db::{ActiveRun, Run, RunState};
use images::{
    error::{Error, chain},
    step::Phase,
};
use providers::{
    compute::targets,
    image_builder::{run_ended, with_latest},
    stored,
};
use service::App;

use super::{
    executor::{Ended, Executor, Job, Seen},
    machines,
    row::{self, As, Change, Refused},
    staged::{self, Place},
};

/// Between two tries to write to a database that fails.
const RETRY: Duration = Duration::from_secs(1);
/// So often in a row a run's end is refused, each time after many tries, until it is given up: what it brought
/// is then in conflict with what is there, and stays so.
const REFUSALS: usize = 3;

/// Takes the run on and sees it through. When this returns true the run is over, waits again, or is
/// somebody else's; else it could not be begun and is as it was.
pub(super) async fn carry(app: &App, executor: &dyn Executor, run: ActiveRun) -> bool {
    // Until the end is written, so that readers learn of it at once.
    let _feed = app.feeds().open(&run.id);
    let working = Change::Working(Phase::Building.name());
    let run = match row::write(app, &run.id, As::Claim(run.epoch), working).await {
        Ok(run) => run,
        Err(Refused::Lost) => return true,
        Err(Refused::Store(e)) => {
            tracing::error!(run = %run.id, error = %chain(&e), "the run cannot be begun");
            tokio::time::sleep(RETRY).await;
            return false;
        }
    };
    let ended = match patiently(app, &run, || ready(app, &run)).await {
        Ok(Err(error)) => {
            staged::log_refusal(app, &run.id, &error).await;
            Ended { outputs: Vec::new(), optimization: None, error: Some(error) }
        }
        Ok(Ok(place)) => match build(app, executor, &run, &place.account).await {
            Some(ended) => staged::deliver(app, &place, ended).await,
            None => return true,
        },
        Err(e) => {
            let text = format!("the service could not look up the targets: {e}");
            let error = Error::new(ErrorCode::InternalError, text);
            Ended { outputs: Vec::new(), optimization: None, error: Some(error) }
        }
    };
    end(app, &run.id, As::Holder(run.epoch), &ended).await;
    true
}

/// Asks the database until it answers: a run does not fail because the database cannot work for a while.
/// Ended by the service's end, after which the run waits for the next start.
async fn patiently<T, F>(
    app: &App,
    run: &Run,
    attempt: impl Fn() -> F,
) -> Result<Result<T, Error>, db::Error>
where
    F: Future<Output = Result<Result<T, Error>, db::Error>>,
{
    loop {
        let error = match attempt().await {
            Err(error) if error.is_passing() => error,
            result => return result,
        };
        tracing::warn!(run = %run.id, error = %chain(&error), "the run waits for the database");
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = app.shutdown().cancelled() => {
                return Ok(Err(Error::new(ErrorCode::Canceled, "the service ends")));
            }
        }
    }
}

/// The place that the run works with, or why it does not even begin to build.
async fn ready(app: &App, run: &Run) -> Result<Result<Place, Error>, db::Error> {
    if run.state == RunState::Canceling {
        return Ok(Err(Error::new(ErrorCode::Canceled, "canceled before the build")));
    }
    let template = match stored::parse(&run.input) {
        Ok(template) => template,
        Err(error) => return Ok(Err(error)),
    };
    targets::reserve(app, &template).await?;
    let errors = targets::faults(app, &template, Some(&run.id)).await?;
    match Error::all(errors) {
        Err(error) => Ok(Err(error)),
        Ok(()) => staged::place(app, run).await,
    }
}

/// What the executor is given, or why there is nothing to build upon.
async fn job(app: &App, run: &Run, account: &str) -> Result<Result<Job, Error>, db::Error> {
    let input = match with_latest(app, run.input.clone()).await? {
        Ok(input) => input,
        Err(error) => return Ok(Err(error)),
    };
    Ok(Ok(Job {
        run_id: run.id.clone(),
        template: run.template.as_str().rsplit('/').next().unwrap_or_default().to_owned(),
        input,
        account: account.to_owned(),
        worked: run.worked,
        geography: targets::geography(app, &run.input).await?,
    }))
}

/// Builds. `None` if the run is somebody else's by now.
async fn build(app: &App, executor: &dyn Executor, run: &Run, account: &str) -> Option<Ended> {
    let job = match patiently(app, run, || job(app, run, account)).await {
        Ok(Ok(job)) => job,
        Ok(Err(error)) => {
            staged::log_refusal(app, &run.id, &error).await;
            return Some(Ended { outputs: Vec::new(), optimization: None, error: Some(error) });
        }
        Err(e) => {
            let text = format!("the service could not look up what the run needs: {e}");
            let error = Some(Error::new(ErrorCode::InternalError, text));
            return Some(Ended { outputs: Vec::new(), optimization: None, error });
        }
    };
    executor.submit(job);
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
            Some(Seen::MachineStarted(machine)) if is_ours => {
                machines::show(app, run, &machine).await;
            }
            Some(Seen::MachineEnded(number)) => machines::hide(app, run, number).await,
            Some(Seen::Source(exact)) if is_ours => {
                is_ours = tell(app, executor, run, Change::Source(&exact)).await;
            }
            Some(Seen::Phase(_) | Seen::Source(_) | Seen::MachineStarted(_)) => {}
            Some(Seen::Ended(ended)) => return is_ours.then_some(ended),
            None => {
                let text = "the executor lost the run";
                let error = Some(Error::new(ErrorCode::InternalError, text));
                return is_ours.then_some(Ended { outputs: Vec::new(), optimization: None, error });
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
            tracing::warn!(run = %run.id, error = %chain(&e), "where the run is cannot be written");
            true
        }
    }
}

/// Writes that it is over. Everything the run held is released by now. A database that fails is waited
/// for, but not beyond the service's end: then the next start takes the run up.
/// What the database refuses for good ends the run all the same, as failed and without its outputs.
pub(super) async fn end(app: &App, id: &str, who: As, ended: &Ended) {
    let mut refusals = 0;
    let mut given_up = None;
    loop {
        let change = match &given_up {
            Some(failed) => Change::Closed(failed),
            None if is_cut_off(app, id, ended).await => Change::Waiting,
            None => Change::Over(ended),
        };
        match row::write(app, id, who, change).await {
            Ok(run) => {
                tracing::info!(run = %id, state = ?run.state, "the run is over");
                let state = format!("{:?}", run.state);
                metrics::counter!("goldsmith_runs_ended_total", "state" => state).increment(1);
                run_ended(app, &run);
                return;
            }
            Err(Refused::Lost) => return,
            Err(Refused::Store(e)) => {
                tracing::error!(run = %id, error = %chain(&e), "the run's end cannot be written");
                refusals = if matches!(e, db::Error::Stale { .. }) { refusals + 1 } else { 0 };
                if refusals == REFUSALS {
                    given_up = Some(unwritable(&e));
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = app.shutdown().cancelled() => return,
        }
    }
}

/// How a run ends whose own end cannot be written.
fn unwritable(why: &db::Error) -> Ended {
    let text = format!("the service could not write down what the run brought: {why}");
    let error = Error::new(ErrorCode::InternalError, text)
        .hint("Run the template again, and if that does not help, look into the service's log");
    Ended { outputs: Vec::new(), optimization: None, error: Some(error) }
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
