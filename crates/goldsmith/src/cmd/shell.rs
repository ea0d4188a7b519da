//! `goldsmith shell`: logs in to a retained machine.

use std::{
    io::{self, Write},
    ops::ControlFlow,
    os::unix::process::CommandExt,
};

use api::ErrorCode;
use async_trait::async_trait;
use engine::build::{RetainedMachine, retained_machines};
use images::{
    error::{Error, guest_error},
    layout::Layout,
};
use vm::{Guest, Sink, Stdin, StreamKind};

use super::Result;
use crate::cli;

pub(super) async fn run(args: &cli::Shell, layout: &Layout) -> Result {
    let all = retained_machines(layout)?;
    let machine = choose(all, args.run.as_deref())?;
    if let Some(guest) = machine.over_winrm()? {
        return over_winrm(guest.as_ref(), &args.command).await;
    }
    #[expect(clippy::disallowed_methods, reason = "ssh replaces this process")]
    let mut ssh = std::process::Command::new("ssh");
    ssh.arg("-i").arg(&machine.key_file);
    ssh.args(["-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes", "-F", "none"]);
    ssh.arg("-o").arg(format!("UserKnownHostsFile={}", machine.known_hosts.display()));
    ssh.arg("-p").arg(machine.port.to_string());
    ssh.arg(format!("{}@127.0.0.1", machine.user));
    ssh.args(&args.command);
    // Returns only on failure: otherwise ssh replaces this process.
    let error = ssh.exec();
    Err(Error::new(ErrorCode::HostNotReady, format!("cannot run ssh: {error}"))
        .hint("apt-get install openssh-client")
        .into())
}

/// The command, or `cmd.exe` with this process's standard input.
async fn over_winrm(guest: &dyn Guest, command: &[String]) -> Result {
    let mut input = tokio::io::stdin();
    let (command, stdin) = match command {
        [] => ("cmd".to_owned(), Stdin::Reader(&mut input)),
        words => (words.join(" "), Stdin::Empty),
    };
    let exit = guest.run(&command, stdin, &mut Terminal).await.map_err(guest_error)?;
    let code = exit.code.unwrap_or(1);
    Ok(u8::try_from(code).unwrap_or(1))
}

/// This process's standard output and standard error.
struct Terminal;

#[async_trait]
impl Sink for Terminal {
    async fn take(&mut self, stream: StreamKind, bytes: &[u8]) -> ControlFlow<()> {
        let written = match stream {
            StreamKind::Out => write(io::stdout().lock(), bytes),
            StreamKind::Err => write(io::stderr().lock(), bytes),
        };
        if written.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn write(mut stream: impl Write, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    stream.flush()
}

fn choose(all: Vec<RetainedMachine>, wanted: Option<&str>) -> Result<RetainedMachine> {
    let names: Vec<String> =
        all.iter().map(|machine| format!("{} ({})", machine.run_id, machine.template)).collect();
    let is_wanted =
        |machine: &RetainedMachine| wanted.is_none_or(|run| machine.run_id.starts_with(run));
    all.into_iter().find(is_wanted).ok_or_else(|| {
        let message = match wanted {
            Some(run) => format!("run {run:?} has no retained machine"),
            None => "no machine is retained".to_owned(),
        };
        let hint = if names.is_empty() {
            "goldsmith build --on-error keep, or errorHandling in the template, retains the machine of \
             a failed step"
                .to_owned()
        } else {
            format!("retained: {}", names.join(", "))
        };
        Error::new(ErrorCode::NotFound, message).hint(hint).into()
    })
}
