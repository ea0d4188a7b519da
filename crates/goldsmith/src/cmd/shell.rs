//! `goldsmith shell`: into a machine that was kept.

use std::os::unix::process::CommandExt;

use api::ErrorCode;
use engine::build::{Kept, kept};
use images::{error::Error, layout::Layout};

use super::{Result, internal};
use crate::cli;

#[expect(clippy::unused_async, reason = "every command has the same shape")]
pub(super) async fn run(args: &cli::Shell, layout: &Layout) -> Result {
    let all = kept(layout).map_err(|e| internal(&e))?;
    let kept = choose(all, args.run.as_deref())?;
    #[expect(clippy::disallowed_methods, reason = "this process becomes ssh, nothing is started")]
    let mut ssh = std::process::Command::new("ssh");
    ssh.arg("-i").arg(&kept.key_file);
    ssh.args(["-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes", "-F", "none"]);
    ssh.arg("-o").arg(format!("UserKnownHostsFile={}", kept.known_hosts.display()));
    ssh.arg("-p").arg(kept.port.to_string());
    ssh.arg(format!("{}@127.0.0.1", kept.user));
    ssh.args(&args.command);
    // Only returns if it failed: the terminal belongs to ssh from here on.
    let error = ssh.exec();
    Err(Error::new(ErrorCode::HostNotReady, format!("cannot run ssh: {error}"))
        .hint("apt-get install openssh-client")
        .into())
}

fn choose(all: Vec<Kept>, wanted: Option<&str>) -> Result<Kept> {
    let names: Vec<String> =
        all.iter().map(|kept| format!("{} ({})", kept.run_id, kept.template)).collect();
    let found = all.into_iter().find(|kept| wanted.is_none_or(|run| kept.run_id.starts_with(run)));
    found.ok_or_else(|| {
        let message = match wanted {
            Some(run) => format!("no kept machine of a run {run:?}"),
            None => "no machine is kept".to_owned(),
        };
        let hint = if names.is_empty() {
            "goldsmith build --on-error keep, and errorHandling of a template, leave the machine of a \
             failed step running"
                .to_owned()
        } else {
            format!("kept: {}", names.join(", "))
        };
        Error::new(ErrorCode::NotFound, message).hint(hint).into()
    })
}
