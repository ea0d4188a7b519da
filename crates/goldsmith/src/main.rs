//! The executable: parses commands, displays the engine's events, and ends with an exit code.

mod cli;
mod cmd;
mod duration;
mod failure;
mod output;
mod remote;
mod setting;
mod signals;
mod timings;

use std::{process::ExitCode, time::Duration};

use clap::Parser;

/// How long background work may continue after a command has ended.
const FAREWELL: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    images::private::begin();
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap reports help and version as errors, and prints them to standard output.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let output = output::Output::new(cli.global.output);
    // A service reports its activity in the log, so it logs more by default.
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
    // Background work that waits for a lock or a slow disk must not delay the exit. The next command
    // removes what remains.
    runtime.shutdown_timeout(FAREWELL);
    log.flush_within(FAREWELL);
    ExitCode::from(code)
}

/// The program's own log, for operators and bug reports. It goes to standard error; write errors are
/// ignored.
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
        // They would go to standard error, with a panic if that fails.
        .log_internal_errors(false)
        .init();
    writer
}
