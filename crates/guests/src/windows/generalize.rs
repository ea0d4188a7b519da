//! The hidden last customizer: Sysprep, by the script at AIB's well-known path, then the end of what
//! the build has brought.
//!
//! The script runs as a job of the system. When the image is sealed, the job leaves a process behind
//! that waits until the job's folder is gone: that is goldsmith's word that it has read everything.
//! Then this process removes user, service settings, certificate, firewall rule and task, tells the
//! result on the serial console, since no connection is left, and powers off.

use std::{collections::BTreeMap, time::Duration};

use api::ErrorCode;
use images::error::{Error, Result, machine_error};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    call,
    job::{self, Job, User},
    marked::Marked,
    scripts,
};
use crate::{output::StepOutput, system::At};

/// How long the guest may take to remove the build's traces once nobody is connected. It waits for two
/// minutes if it does not learn that.
const FINISH: Duration = Duration::from_secs(10 * 60);

/// Faults of Sysprep that its log shows, and what to do.
const KNOWN: [(&str, &str); 3] = [
    (
        "0x80073cf2",
        "an app of the store is installed for one user alone: remove it in a customizer (Get-AppxPackage -AllUsers … | \
         Remove-AppxPackage -AllUsers), or install it for all users",
    ),
    (
        "0x80310039",
        "a volume is encrypted by BitLocker: decrypt it in a customizer (Disable-BitLocker), and wait until it is done",
    ),
    (
        "was installed for a user, but not provisioned for all users",
        "remove that app in a customizer (Get-AppxPackage -AllUsers … | Remove-AppxPackage -AllUsers)",
    ),
];

pub(super) fn inputs() -> BTreeMap<String, String> {
    BTreeMap::from([
        ("script".to_owned(), job::version(Some(scripts::GENERALIZE))),
        ("finish".to_owned(), scripts::version(&[scripts::FINISH])),
    ])
}

/// Generalizes the guest, which powers off.
pub(super) async fn run(at: At<'_>, out: &mut StepOutput) -> Result<()> {
    let mark = call::mark();
    let arguments = json!({ "mark": &mark, "user": &at.access.user, "finish": scripts::FINISH });
    let mut script = std::io::Cursor::new(scripts::GENERALIZE);
    let job = Job {
        script: &mut script,
        user: User::System,
        arguments: Some(arguments.to_string()),
        failure: ErrorCode::GeneralizeFailed,
    };
    let (mut is_sealed, mut failed) = (false, None);
    let mut output = Marked::new(&mark, out, |line| {
        match line.split_once(' ') {
            Some(("failed", why)) => failed = Some(call::text(why)),
            _ => is_sealed |= line == "sealed",
        }
        None
    });
    let code = job.run(at, &mut output).await;
    out.flush().await;
    let code = code.map_err(|error| error.details(out.tail()))?;
    if code != 0 || !is_sealed {
        let why = failed.unwrap_or_else(|| format!("its script exited with status {code}"));
        return Err(refused(&why, out.tail()));
    }
    finished(at, &mark).await
}

fn refused(why: &str, lines: Vec<String>) -> Error {
    let known = |line: &String| {
        let line = line.to_lowercase();
        KNOWN.iter().find(|(sign, _)| line.contains(&sign.to_lowercase())).map(|(_, hint)| *hint)
    };
    let hint = lines.iter().find_map(known).unwrap_or(
        "the lines of setuperr.log say why; look at C:\\DeprovisioningScript.ps1 if the template changes it",
    );
    Error::new(ErrorCode::GeneralizeFailed, format!("generalization failed: {why}"))
        .details(lines)
        .hint(hint)
}

/// Waits for the guest's last word.
async fn finished(at: At<'_>, mark: &str) -> Result<()> {
    let cancel = CancellationToken::new();
    let beginning = format!("goldsmith {mark} ");
    let word = tokio::select! {
        biased;
        word = at.machine.console_line(&beginning, FINISH, &cancel) => word,
        () = at.machine.gone() => return off_without_a_word(at),
    };
    let word = match word {
        Ok(word) => word,
        Err(vm::Error::Gone { .. }) => return off_without_a_word(at),
        Err(vm::Error::Timeout { serial, .. }) => {
            let minutes = FINISH.as_secs() / 60;
            let text = format!(
                "the image is sealed, but the guest did not power off within {minutes} minutes"
            );
            return Err(Error::new(ErrorCode::GeneralizeFailed, text).details(serial));
        }
        Err(error) => return Err(machine_error(error)),
    };
    match word.split_once(' ') {
        Some(("leftover", what)) => Err(Error::new(
            ErrorCode::LeftoverFound,
            format!("the image would still contain: {}", what.trim()),
        )
        .hint("remove it in a customizer, or do not copy it there in the first place")),
        _ => Ok(()),
    }
}

/// Something else may have switched the machine off, before the build's user was removed. A guest whose
/// serial ports cannot be used has no word to say; one that has told its certificate there has.
fn off_without_a_word(at: At<'_>) -> Result<()> {
    match at.access.windows.as_ref().and_then(|windows| windows.certificate.as_ref()) {
        None => Ok(()),
        Some(_) => Err(Error::new(
            ErrorCode::GeneralizeFailed,
            "the machine powered off before the guest said that the traces of the build are removed",
        )
        .details(at.machine.serial_tail(20))
        .hint("no script may schedule a shutdown")),
    }
}
