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
    image_builder::{self, Fault, record::RunInput, run_ended, with_latest},
};
use service::App;

use super::{
    executor::{Ended, Executor, Job, Progress},
    machines,
    row::{self, Change, Owned},
    staged::{self, Destination},
};

/// The pause between two attempts to write to a failing database.
const RETRY: Duration = Duration::from_secs(1);
/// After so many refusals of a run's end in a row, each after many attempts, the run ends without its
/// outputs, which conflict permanently with existing rows.
const REFUSALS: usize = 3;

/// Executes a run. When this returns true the run is over, waits again, or has another owner; else it
/// could not begin and is as it was.
pub(super) async fn execute(app: &App, executor: &dyn Executor, run: ActiveRun) -> bool {
    // Until the end is written, so that readers learn of it at once.
    let _feed = app.feeds().open(&run.id);
    let working = Change::Working(Phase::Building.name());
    let ActiveRun { id, template, epoch, .. } = &run;
    let owned = Owned { id, template, epoch: *epoch, is_taken: false };
    let run = match row::write(app, owned, working).await {
        Ok(run) => run,
        Err(db::Error::NotOwner) => return true,
        Err(e) => {
            tracing::error!(run = %run.id, error = %chain(&e), "the run cannot begin");
            tokio::time::sleep(RETRY).await;
            return false;
        }
    };
    let (input, ended) = match RunInput::of(&run) {
        Ok(input) => {
            let ended = attempt(app, executor, &run, &input).await;
            (Some(input), ended)
        }
        Err(error) => (None, Some(refuse(app, &run, error).await)),
    };
    if let Some(ended) = ended {
        end(app, Owned::of(&run), input.as_ref(), &ended).await;
    }
    true
}

/// How the run ended. `None` if it has another owner by now.
async fn attempt(app: &App, executor: &dyn Executor, run: &Run, input: &RunInput) -> Option<Ended> {
    match patiently(app, run, || prepare(app, run, input)).await {
        Ok((place, job)) => {
            let ended = build(app, executor, run, job).await?;
            Some(staged::deliver(app, &place, ended).await)
        }
        Err(Fault::Refused(error)) => Some(refuse(app, run, error).await),
        Err(Fault::Database(e)) => {
            let text = format!("the service could not look up what the run needs: {e}");
            Some(Ended::failed(Error::new(ErrorCode::InternalError, text)))
        }
    }
}

/// The end of a run that does not begin to build.
async fn refuse(app: &App, run: &Run, error: Error) -> Ended {
    staged::log_refusal(app, &run.id, &error).await;
    Ended::failed(error)
}

/// Retries until the database answers: a short failure of the database must not fail a run. Shutdown
/// ends the retries; the run then waits for the next start.
async fn patiently<T, F>(app: &App, run: &Run, attempt: impl Fn() -> F) -> Result<T, Fault<Error>>
where
    F: Future<Output = Result<T, Fault<Error>>>,
{
    loop {
        let error = match attempt().await {
            Err(Fault::Database(error)) if error.is_passing() => error,
            result => return result,
        };
        tracing::warn!(run = %run.id, error = %chain(&error), "the run waits for the database");
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = app.shutdown().cancelled() => {
                return Err(Error::new(ErrorCode::Canceled, "the service ends").into());
            }
        }
    }
}

/// The run's destination and the executor's job, or why the run does not begin to build.
async fn prepare(
    app: &App,
    run: &Run,
    input: &RunInput,
) -> Result<(Destination, Job), Fault<Error>> {
    if run.state == RunState::Canceling {
        return Err(Error::new(ErrorCode::Canceled, "canceled before the build").into());
    }
    // First: of what the template's identity may not read, nobody learns whether it exists.
    image_builder::confirm(app, &input.template).await?;
    targets::reserve(app, &input.template).await?;
    Error::all(targets::faults(app, &input.template, Some(&run.id)).await?)?;
    let place = staged::place(app, run).await?;
    let input = with_latest(app, input.clone()).await?;
    let job = Job {
        run_id: run.id.clone(),
        subscription: run.subscription.clone(),
        partition: app.partition().await?,
        name: run.template.as_str().rsplit('/').next().unwrap_or_default().to_owned(),
        region_set: targets::region_set(app, &input.template).await?,
        input,
        account: place.account.clone(),
        worked: run.worked,
    };
    Ok((place, job))
}

/// Builds. `None` if the run has another owner by now.
async fn build(app: &App, executor: &dyn Executor, run: &Run, job: Job) -> Option<Ended> {
    let input = job.input.clone();
    executor.submit(job);
    // A cancel may have arrived before the executor had the run.
    if let Ok(Some(now)) = app.store().run_without_input(&run.id).await
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
            Some(Progress::Phase(phase)) if is_ours => {
                is_ours = report(app, executor, run, Change::Working(phase.name())).await;
            }
            Some(Progress::MachineStarted(machine)) if is_ours => {
                machines::show(app, run, &input, &machine).await;
            }
            Some(Progress::MachineEnded(number)) => machines::hide(app, run, &input, number).await,
            Some(Progress::Source(source)) if is_ours => {
                if let Some(version) = input.template.properties.source.exact_version(&source) {
                    is_ours = report(app, executor, run, Change::Source(version)).await;
                }
            }
            Some(Progress::Phase(_) | Progress::Source(_) | Progress::MachineStarted(_)) => {}
            Some(Progress::Ended(ended)) => return is_ours.then_some(ended),
            None => {
                let error = Error::new(ErrorCode::InternalError, "the executor lost the run");
                return is_ours.then(|| Ended::failed(error));
            }
        }
    }
}

/// Writes where the run is. False if it has another owner by now, which this build must not disturb.
async fn report(app: &App, executor: &dyn Executor, run: &Run, change: Change<'_>) -> bool {
    match row::write(app, Owned::of(run), change).await {
        Ok(now) if now.state != RunState::Canceling => true,
        Ok(_) => {
            executor.cancel(&run.id);
            true
        }
        Err(db::Error::NotOwner) => {
            tracing::warn!(run = %run.id, "another owner has claimed the run");
            executor.cancel(&run.id);
            false
        }
        // The row only informs clients; the build continues without it.
        Err(e) => {
            tracing::warn!(run = %run.id, error = %chain(&e), "the progress of the run cannot be written");
            true
        }
    }
}

/// Writes that the run is over, when it has released everything. It waits for a failing database, but not
/// beyond the service's end: the next start then recovers the run.
/// If the database refuses the outputs for good, the run fails without them.
pub(super) async fn end(app: &App, owned: Owned<'_>, input: Option<&RunInput>, ended: &Ended) {
    let id = owned.id;
    let mut refusals = 0;
    let mut unwritten = None;
    loop {
        let change = match &unwritten {
            Some(failed) => Change::Over(failed, None),
            None if is_cut_off(app, id, ended).await => Change::Waiting,
            None => Change::Over(ended, input),
        };
        match row::write(app, owned, change).await {
            Ok(run) => {
                tracing::info!(run = %id, state = ?run.state, "the run is over");
                let state = format!("{:?}", run.state);
                metrics::counter!("goldsmith_runs_ended_total", "state" => state).increment(1);
                run_ended(app, &run.template, input);
                return;
            }
            Err(db::Error::NotOwner) => return,
            Err(e) => {
                tracing::error!(run = %id, error = %chain(&e), "the run's end cannot be written");
                refusals = if matches!(e, db::Error::Stale { .. }) { refusals + 1 } else { 0 };
                if refusals == REFUSALS {
                    unwritten = Some(unwritable(&e));
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
    Ended::failed(error)
}

/// Whether the run ended only because the service ends, not by a request.
async fn is_cut_off(app: &App, id: &str, ended: &Ended) -> bool {
    let canceled = ended.error.as_ref().is_some_and(|e| e.code == ErrorCode::Canceled);
    if !canceled || !app.shutdown().is_cancelled() {
        return false;
    }
    let run = app.store().run_without_input(id).await;
    !matches!(run, Ok(Some(run)) if run.state == RunState::Canceling)
}
