//! The executable: commands in, engine's events out, one exit code at the end.

mod cli;
mod cmd;
mod duration;
mod failure;
mod output;
mod remote;
mod setting;
mod signals;

use std::{process::ExitCode, time::Duration};

use clap::Parser;

/// What goes on in the background when a command is over is given so long.
const FAREWELL: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    images::private::begin();
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not errors; clap knows where each goes.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let output = output::Output::new(cli.global.output);
    // What a service does is told by its log.
    let serves = matches!(cli.command, cli::Command::Serve(_));
    let log = init_log(cli.global.verbose.saturating_add(u8::from(serves)));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output.error(&failure::internal(&error));
            return ExitCode::from(1);
        }
    };
    let result = runtime.block_on(cmd::run(cli, &output));
    let code = match result {
        Ok(0) => output::Output::lost().unwrap_or(0),
        Ok(code) => code,
        Err(error) => {
            output.failure(&error);
            error.exit_code()
        }
    };
    // Whatever still waits in the background (a lock, a slow disk) must not hold the end up for long; what is being
    // removed is mostly gone by then, and the next command takes the rest.
    runtime.shutdown_timeout(FAREWELL);
    log.flush_within(FAREWELL);
    ExitCode::from(code)
}

/// The log of the program itself, for its operators and for bug reports: on standard error, whatever becomes of that.
fn init_log(verbose: u8) -> server::log::Writer {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("GOLDSMITH_LOG").unwrap_or_else(|_| {
            tracing_subscriber::EnvFilter::new(format!("{level},russh=error,sqlx=warn"))
        });
    let writer = server::log::Writer::to(std::io::stderr());
    let lines = writer.clone();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || lines.clone())
        // It would print on standard error, and panic where it cannot.
        .log_internal_errors(false)
        .init();
    writer
}
