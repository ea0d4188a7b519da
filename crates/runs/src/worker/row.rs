//! Writing a run's row, with its template, as the owner of the run.
//!
//! A request may set a run to `Canceling` at any moment. It writes the template in the same commit, so
//! that the template's revision detects it: the slower writer reads again and then decides anew.

use db::{Error, ResourceKey, Run, RunState, Write};
use providers::image_builder::{
    record::{RunInput, TemplateRecord},
    state::{Event, SubState, next_of_run},
};
use service::App;

use super::{executor::Ended, outcome};

/// How often to try again when a request was faster. Each time another writer got something done.
const TRIES: usize = 50;

/// A run that this service owns, or is about to claim.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owned<'a> {
    pub(super) id: &'a str,
    pub(super) template: &'a ResourceKey,
    /// Its owner's.
    pub(super) epoch: i64,
    pub(super) is_taken: bool,
}

impl<'a> Owned<'a> {
    /// A claimed run.
    pub(super) fn of(run: &'a Run) -> Self {
        Self { id: &run.id, template: &run.template, epoch: run.epoch, is_taken: true }
    }
}

/// How a run changes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change<'a> {
    /// It is active, in this phase, unless it is canceling.
    Working(&'static str),
    /// Its source has this exact version.
    Source(&'a str),
    /// It waits again, for the next start of the service.
    Waiting,
    /// It is over. What it made is written only with its input.
    Over(&'a Ended, Option<&'a RunInput>),
}

/// Changes a run and its template in one commit. Returns the run as it is now; a claimed run comes with
/// its input. `NotOwner` means that another owner has claimed the run or ended it.
pub(crate) async fn write(app: &App, owned: Owned<'_>, change: Change<'_>) -> Result<Run, Error> {
    let store = app.store();
    let mut last = Error::NotOwner;
    for _ in 0..TRIES {
        // The template before the run: the commit then refuses a change of both between the two.
        let mut template = TemplateRecord::find(store, owned.template).await?;
        let run = match owned.is_taken {
            true => store.run_without_input(owned.id).await?,
            false => store.run(owned.id).await?,
        };
        // A request may end a run that waits, at the epoch it has.
        let is_ours = |run: &Run| run.epoch == owned.epoch && !run.state.is_over();
        let Some(mut run) = run.filter(is_ours) else { return Err(Error::NotOwner) };
        let was_running = run.state == RunState::Running;
        let mut writes = apply(app, &mut run, template.as_ref(), change).await?;
        if let (Change::Source(version), Some(template)) = (change, &mut template) {
            template.set_exact_version(version);
        }
        if owned.is_taken {
            writes.push(Write::ReplaceRun(run.clone()));
        } else {
            run.epoch = owned.epoch + 1;
            run.owner = store.own_lease().map(str::to_owned);
            // Its earlier owner has not handed it over.
            run.crashes += i64::from(was_running);
            writes.push(Write::ClaimRun(run.clone()));
        }
        if let Some(mut template) = template {
            template.show_run(&run);
            writes.push(template.replace());
        }
        match store.commit(writes).await {
            Ok(()) => return Ok(run),
            Err(error @ Error::Stale { .. }) => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// Changes the run; returns the further writes.
async fn apply(
    app: &App,
    run: &mut Run,
    template: Option<&TemplateRecord>,
    change: Change<'_>,
) -> Result<Vec<Write>, Error> {
    match change {
        Change::Over(ended, input) => return outcome::end(app, run, template, input, ended).await,
        Change::Working(phase) => {
            if next_of_run(run, Event::Step(SubState::named(phase))).is_ok() {
                run.state = RunState::Running;
                run.sub_state = phase.to_owned();
            }
        }
        Change::Source(version) => {
            if let Some(mut whole) = app.store().run(&run.id).await? {
                RunInput::set_exact_version(&mut whole.input, version);
                return Ok(vec![Write::RunInput(whole.id, whole.input)]);
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
