//! `goldsmith shell`: logs in to a retained machine.

use std::os::unix::process::CommandExt;

use api::ErrorCode;
use engine::build::{RetainedMachine, retained_machines};
use images::{error::Error, layout::Layout};

use super::Result;
use crate::cli;

#[expect(clippy::unused_async, reason = "every command has the same shape")]
pub(super) async fn run(args: &cli::Shell, layout: &Layout) -> Result {
    let all = retained_machines(layout)?;
    let machine = choose(all, args.run.as_deref())?;
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
