//! Bicep files, compiled by the `bicep` on this host.

use std::{path::Path, time::Duration};

use api::ErrorCode;
use images::error::Error;
use vm::proc;

use crate::{cmd::Result, signals};

/// Compilation may download modules from a registry.
const DEADLINE: Duration = Duration::from_secs(300);

/// The ARM template that a Bicep file means.
pub(super) async fn compile(file: &Path) -> Result<String> {
    let name = file.display();
    let command = proc::Command::new("bicep").args(["build", "--stdout"]).arg(file).fetches();
    match command.run(&signals::cancel_on_signals(), Some(DEADLINE)).await {
        Ok(done) => Ok(done.stdout),
        Err(proc::Error::NotFound { .. }) => {
            let message = format!("{name} is Bicep, and there is no bicep on the PATH");
            Err(Error::new(ErrorCode::HostNotReady, message).hint(hint(file)).into())
        }
        Err(proc::Error::Failed { stderr_tail, .. }) => {
            let message = format!("bicep cannot compile {name}");
            Err(Error::new(ErrorCode::ValidationFailed, message).details(stderr_tail).into())
        }
        Err(proc::Error::Canceled { .. }) => {
            Err(Error::new(ErrorCode::Canceled, "canceled while bicep ran").into())
        }
        Err(error @ (proc::Error::TimedOut { .. } | proc::Error::Io { .. })) => {
            let message = format!("bicep cannot compile {name}: {error}");
            Err(Error::new(ErrorCode::HostNotReady, message).caused_by(error).into())
        }
    }
}

fn hint(file: &Path) -> String {
    let (source, json) = (file.display(), file.with_extension("json"));
    format!(
        "install bicep (https://github.com/Azure/bicep/releases), or compile the file where it is \
         installed and use {json}: bicep build {source}, or az bicep build --file {source}",
        json = json.display()
    )
}
