//! Writing a run's row, with its template, as the owner of the run.
//!
//! A request may set a run to `Canceling` at any moment. It writes the template in the same commit, so
//! that the template's revision detects it: the slower writer reads again and writes what then is right.

use db::{Error, ResourceKey, Run, RunState, Write};
use providers::image_builder::{
    record::{RunInput, TemplateRecord},
    state::{Event, SubState, next_of_run},
};
use service::App;

use super::{executor::Ended, outcome};

/// How often to try again when a request was faster. Each time another writer got something done.
const TRIES: usize = 50;

/// Why a run's row was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// Another owner has taken the run on or ended it, or it was removed.
    #[error("another owner has taken the run on")]
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

/// A run that this service owns, or is about to take on.
#[derive(Debug, Clone)]
pub(crate) struct Owned {
    id: String,
    template: ResourceKey,
    epoch: i64,
    is_taken: bool,
}

impl Owned {
    /// A run to take on from its owner at this epoch.
    pub(super) fn taking(id: &str, template: &ResourceKey, epoch: i64) -> Self {
        Self { id: id.to_owned(), template: template.clone(), epoch, is_taken: false }
    }

    /// A run that was taken on at this epoch.
    pub(super) fn of(run: &Run) -> Self {
        Self { is_taken: true, ..Self::taking(&run.id, &run.template, run.epoch) }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

/// How a run changes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change<'a> {
    /// It is active, in this phase, unless it is to end.
    Working(&'static str),
    /// Its source has this exact version.
    Source(&'a str),
    /// It waits again, for the next start of the service.
    Waiting,
    /// It is over. What it made is written if its input is known.
    Over(&'a Ended, Option<&'a RunInput>),
    /// It is over, and what it made is not written.
    Closed(&'a Ended),
}

/// Changes a run and its template in one commit. Returns the run as it is now; a run that was taken on
/// comes with its input.
pub(crate) async fn write(app: &App, owned: &Owned, change: Change<'_>) -> Result<Run, Refused> {
    let store = app.store();
    let mut last = Refused::Lost;
    for _ in 0..TRIES {
        // The template before the run: the commit then refuses a change of both between the two.
        let mut template = TemplateRecord::find(store, &owned.template).await?;
        let run = match owned.is_taken {
            true => store.run_without_input(&owned.id).await?,
            false => store.run(&owned.id).await?,
        };
        // A request may end a run that waits, at the epoch it has.
        let is_ours = |run: &Run| run.epoch == owned.epoch && !run.state.is_over();
        let Some(mut run) = run.filter(is_ours) else { return Err(Refused::Lost) };
        let was_running = run.state == RunState::Running;
        let mut writes = apply(app, &mut run, template.as_mut(), change).await?;
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
            Err(error @ Error::Stale { .. }) => last = Refused::Store(error),
            Err(error) => return Err(error.into()),
        }
    }
    Err(last)
}

/// Changes the run; returns what else is to be written.
async fn apply(
    app: &App,
    run: &mut Run,
    template: Option<&mut TemplateRecord>,
    change: Change<'_>,
) -> Result<Vec<Write>, Error> {
    let template = match (change, template) {
        (Change::Source(version), Some(template)) => {
            template.set_exact_version(version);
            Some(&*template)
        }
        (_, template) => template.map(|template| &*template),
    };
    match change {
        Change::Over(ended, input) => return outcome::end(app, run, template, input, ended).await,
        Change::Closed(ended) => return outcome::close(app, run, template, ended).await,
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
