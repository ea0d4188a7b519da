//! Windows Update, in rounds: each is a job of the system, and after each that installs anything the
//! machine restarts, until nothing is left.

use std::time::Duration;

use api::ErrorCode;
use images::error::{Error, Result};
use serde_json::json;
use tokio::time::timeout;

use super::{
    call,
    job::{self, Job, User},
    marked::Marked,
    restart::{self, Restart},
    scripts,
};
use crate::{output::StepOutput, system::At};

/// What AIB searches for.
pub const CRITERIA: &str = "BrowseOnly=0 and IsInstalled=0";
/// AIB's limit of updates in a round.
pub const LIMIT: u32 = 1000;
/// Exit codes of a round that wants a restart. Windows Server 2012 reports it as an error of Windows.
const RESTART: [u32; 2] = [101, 0x8007_0065];
/// How often a round that fails is tried in all, and how many rounds in a row may install nothing.
const TRIES: u32 = 5;
const IN_VAIN: u32 = 3;
/// More rounds than any release of Windows needs.
const ROUNDS: u32 = 60;
/// The time of one round, and of one restart: Windows installs while it starts.
const ROUND: Duration = Duration::from_secs(4 * 60 * 60);
const BACK: Duration = Duration::from_secs(4 * 60 * 60);

/// Updates to install.
#[derive(Debug, Clone, Copy)]
pub struct Update<'a> {
    /// The criteria of the search; [`CRITERIA`] if the template has none.
    pub criteria: Option<&'a str>,
    /// Each is `include:` or `exclude:` and an expression of PowerShell over `$_`. The first that holds
    /// decides.
    pub filters: &'a [String],
    /// The most updates of a round; 0 is [`LIMIT`].
    pub limit: u32,
}

/// The version of it, for keys.
pub fn version() -> String {
    format!("{} {}", job::version(Some(scripts::UPDATE_ROUND)), restart::version())
}

/// The end of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    NothingLeft,
    Installed(u32),
    Failed(u32),
}

impl Update<'_> {
    /// Installs updates until none is left. What happens goes to `out`.
    ///
    /// # Errors
    /// `CustomizerFailed` for a round that fails five times, or for updates that come back round after
    /// round; those of a restart.
    pub async fn run(self, at: At<'_>, out: &mut StepOutput) -> Result<()> {
        let mut in_vain = 0;
        for _ in 0..ROUNDS {
            match self.round_until_done(at, out).await? {
                Round::NothingLeft => return Ok(()),
                Round::Installed(0) => in_vain += 1,
                Round::Installed(_) | Round::Failed(_) => in_vain = 0,
            }
            if in_vain == IN_VAIN {
                let text = format!("no update could be installed in {IN_VAIN} rounds");
                return Err(Error::new(ErrorCode::CustomizerFailed, text).details(out.tail()).hint(
                    "leave them out with a filter, such as `exclude:$_.Title -like '*Preview*'`",
                ));
            }
            let restart = Restart { command: None, check_command: None, timeout: BACK };
            restart.run(at, out).await?;
        }
        let text = format!("there are updates left after {ROUNDS} rounds");
        Err(Error::new(ErrorCode::CustomizerFailed, text).details(out.tail()))
    }

    async fn round_until_done(self, at: At<'_>, out: &mut StepOutput) -> Result<Round> {
        for _ in 0..TRIES {
            let round = timeout(ROUND, self.round(at, out)).await.unwrap_or_else(|_| {
                let hours = ROUND.as_secs() / 3600;
                let text = format!("a round of updates did not end within {hours} hours");
                Err(Error::new(ErrorCode::StepTimedOut, text)
                    .hint("a lower `updateLimit` makes rounds shorter"))
            });
            match round? {
                Round::Failed(code) => tracing::info!(code, "a round of updates failed"),
                round => return Ok(round),
            }
        }
        let text = format!("a round of updates failed {TRIES} times");
        Err(Error::new(ErrorCode::CustomizerFailed, text)
            .details(out.tail())
            .hint("the lines above say why; `searchCriteria` and `filters` choose other updates"))
    }

    async fn round(self, at: At<'_>, out: &mut StepOutput) -> Result<Round> {
        let mark = call::mark();
        let limit = if self.limit == 0 { LIMIT } else { self.limit };
        let criteria = self.criteria.unwrap_or(CRITERIA);
        let arguments = json!({
            "mark": &mark, "criteria": criteria, "filters": self.filters, "limit": limit,
        });
        let mut script = std::io::Cursor::new(scripts::UPDATE_ROUND);
        let job = Job {
            script: &mut script,
            user: User::System,
            arguments: Some(arguments.to_string()),
            failure: ErrorCode::CustomizerFailed,
        };
        let mut installed = None;
        let mut report = Marked::new(&mark, out, |line| {
            Some(match line.split_once(' ') {
                Some(("found", count)) => format!("{count} updates to install"),
                Some(("update", title)) => format!("installs {}", call::text(title)),
                Some(("installed", rest)) => {
                    let count = rest.split(' ').next().unwrap_or_default();
                    installed = count.parse().ok();
                    line.to_owned()
                }
                _ => line.to_owned(),
            })
        });
        let code = job.run(at, &mut report).await;
        out.flush().await;
        Ok(match code? {
            0 => Round::NothingLeft,
            // Without a number, it wanted a restart before it looked for updates.
            code if RESTART.contains(&code) => Round::Installed(installed.unwrap_or(1)),
            code => Round::Failed(code),
        })
    }
}
