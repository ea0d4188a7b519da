//! The commands, one file each. They pass flags to the engine and print its results.

mod admin;
mod az;
mod boot;
mod build;
mod cache;
mod catalogue;
mod deployment;
mod doctor;
mod image;
mod ledger;
mod login;
mod plan;
mod replica;
mod run;
mod scripted;
mod serve;
mod shell;
mod template;
mod trial;
mod validate;

use engine::janitor;
use images::{event::Events, layout::Layout, run_context::RunContext};
use vm::{Host, Qemu};

use crate::{
    cli::{Cli, Command, Global},
    failure::{Failure, internal},
    output::Output,
    setting, signals,
};

type Result<T = u8, E = Failure> = std::result::Result<T, E>;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The surroundings of a command.
#[derive(Clone, Copy)]
struct Session<'a> {
    global: &'a Global,
    layout: &'a Layout,
    output: &'a Output,
}

impl Session<'_> {
    async fn qemu(self) -> Result<(Host, Qemu)> {
        let host = setting::host(self.global).await?;
        Ok((host.clone(), Qemu::new(host)))
    }

    /// A context that shows no events. Signals cancel it.
    fn cx(self) -> RunContext {
        RunContext::new(self.layout.clone(), Events::none(), signals::cancel_on_signals())
    }

    /// Runs the work and displays its progress, until it is done or the user cancels it.
    async fn with_progress<T>(
        self,
        work: impl AsyncFnOnce(&RunContext) -> images::error::Result<T>,
    ) -> Result<T> {
        let (events, shown) = self.output.follow();
        let cx = RunContext { events, ..self.cx() };
        let done = work(&cx).await;
        drop(cx);
        shown.await.map_err(|e| internal(&e))?;
        Ok(done?)
    }
}

/// Executes the command and returns the exit code.
pub(crate) async fn run(cli: Cli, output: &Output) -> Result {
    let global = &cli.global;
    let layout = setting::layout(global)?;
    for problem in images::private::close_folders(&layout) {
        output.note(&format!("warning: {problem}"));
    }
    clean(&layout, output).await;
    let session = Session { global, layout: &layout, output };
    match cli.command {
        Command::Validate(args) => validate::run(&args, session).await,
        // On the heap, because the future contains the state of a whole build.
        Command::Build(args) => Box::pin(build::run(args, session)).await,
        Command::Plan(args) => plan::run(args, session).await,
        Command::Shell(args) => shell::run(&args, &layout).await,
        Command::Template(command) => deployment::run(command, session).await,
        Command::Login(args) => login::run(args, output).await,
        Command::Az(args) => az::run(&args, output).await,
        Command::Run(command) => run::run(command, output).await,
        Command::Image(command) => image::run(command, session).await,
        Command::Catalogue(command) => catalogue::run(&command, &layout, output),
        Command::Cache(command) => cache::run(&command, session).await,
        Command::Trial(command) => trial::run(command, session).await,
        Command::Ledger(command) => ledger::run(&command, session).await,
        Command::Doctor(database) => doctor::run(&database, session).await,
        Command::Serve(args) => Box::pin(serve::run(args, session)).await,
        Command::Admin(command) => admin::run(&command, &layout, output).await,
    }
}

/// Releases the resources of a killed goldsmith. A failure does not stop the command.
async fn clean(layout: &Layout, output: &Output) {
    match janitor::sweep(layout, &Reaper).await {
        Ok(problems) => {
            for problem in problems {
                output.note(&format!("warning: leftover of an earlier run: {problem}"));
            }
        }
        Err(e) => output.note(&format!("warning: cannot clean up after earlier runs: {e}")),
    }
}

/// A backend that only ends machines, because cleanup must work after QEMU was uninstalled.
struct Reaper;

#[async_trait::async_trait]
impl vm::Backend for Reaper {
    async fn start(
        &self,
        _spec: &vm::MachineSpec,
        _cancel: &tokio_util::sync::CancellationToken,
    ) -> std::result::Result<Box<dyn vm::Machine>, vm::Error> {
        Err(vm::Error::Start { output: "this backend only ends machines".to_owned() })
    }

    async fn end(&self, run_dir: &std::path::Path) -> std::result::Result<(), vm::Error> {
        vm::end(run_dir).await
    }
}
