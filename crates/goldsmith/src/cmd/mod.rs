//! The commands, one file each. They pass flags to the engine and print its results.

mod admin;
mod boot;
mod build;
mod cache;
mod catalogue;
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
mod validate;

use engine::janitor;
use images::layout::Layout;
use vm::{Host, Qemu};

use crate::{
    cli::{Cli, Command, Global},
    failure::{Failure, internal},
    output::Output,
    setting,
};

type Result<T = u8, E = Failure> = std::result::Result<T, E>;

/// Executes the command and returns the exit code.
pub(crate) async fn run(cli: Cli, output: &Output) -> Result {
    let global = &cli.global;
    let layout = setting::layout(global)?;
    for problem in images::private::close_folders(&layout) {
        output.note(&format!("warning: {problem}"));
    }
    clean(&layout, output).await;
    match cli.command {
        Command::Validate(args) => validate::run(&args, &layout, output).await,
        // On the heap, because the future contains the state of a whole build.
        Command::Build(args) => Box::pin(build::run(args, global, &layout, output)).await,
        Command::Plan(args) => plan::run(args, global, &layout, output).await,
        Command::Shell(args) => shell::run(&args, &layout).await,
        Command::Login(args) => login::run(args, output).await,
        Command::Run(command) => run::run(command, output).await,
        Command::Image(command) => image::run(command, global, &layout, output).await,
        Command::Catalogue(command) => catalogue::run(&command, &layout, output),
        Command::Cache(command) => cache::run(&command, &layout, output).await,
        Command::Ledger(command) => ledger::run(&command, global, &layout, output).await,
        Command::Doctor(database) => doctor::run(&database, &layout, output).await,
        Command::Serve(args) => Box::pin(serve::run(args, global, &layout, output)).await,
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

async fn qemu(global: &Global) -> Result<(Host, Qemu)> {
    let host = setting::host(global).await?;
    Ok((host.clone(), Qemu::new(host)))
}
