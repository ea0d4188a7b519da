//! A template's PowerShell script.

use std::{ops::ControlFlow, time::Duration};

use api::ErrorCode;
use async_trait::async_trait;
use images::error::{Coded, Error, Result, guest_error};
use serde_json::Map;
use tokio::{
    io::AsyncSeekExt,
    time::{Instant, sleep},
};
use vm::{Discard, Exit, Sink, Stdin, StreamKind};

use super::{
    call::{self, Profile},
    job::{self, Content, Job, User},
    lines::Lines,
    scripts,
};
use crate::{output::StepOutput, system::At};

/// How long a script that has not started is tried again: a restart may lie between.
const START: Duration = Duration::from_secs(5 * 60);
const RETRY: Duration = Duration::from_secs(5);
/// The limit for the removal of a file.
const REMOVE: Duration = Duration::from_secs(60);
/// A longer line of a profile is no line of goldsmith's.
const LINE: usize = 16 * 1024;

/// Who a script runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// The build user, over the connection.
    Plain,
    /// The build user, as a scheduled task with a password: some programs refuse remote sessions.
    Elevated,
    /// The system itself, as a scheduled task.
    System,
}

/// A script to run.
pub struct Script<'a> {
    /// The script.
    pub content: &'a mut dyn Content,
    /// Who it runs as.
    pub rights: Rights,
    /// The code of errors that are the script's own doing.
    pub failure: ErrorCode,
}

/// What a script's lines become in a template's `inline`: the lines in one script that ends with 1 when
/// one of them throws, and otherwise with the exit code of the last program that they ran. The mark
/// at its beginning tells PowerShell that the text is UTF-8.
pub fn inline(lines: &[String]) -> String {
    format!("{BEFORE}{}{AFTER}", lines.join("\n"))
}

const BEFORE: &str = "\u{feff}$global:ProgressPreference = 'SilentlyContinue'\n\
    $goldsmithExitCode = 0\n\
    try {\n";
const AFTER: &str = "\n} catch {\n\
    Write-Error \"An error ended the script: $_\"\n\
    $goldsmithExitCode = 1\n\
    }\n\
    if ((Test-Path variable:LASTEXITCODE) -and $LASTEXITCODE) { $goldsmithExitCode = $LASTEXITCODE }\n\
    exit $goldsmithExitCode\n";

/// The lines of a script that [`inline`] has made; another script is returned as it is.
pub(super) fn inside(script: &str) -> &str {
    let lines = script.strip_prefix(BEFORE).and_then(|rest| rest.strip_suffix(AFTER));
    lines.unwrap_or(script)
}

/// The version of what runs a script, for keys.
pub fn version(rights: Rights) -> String {
    match rights {
        Rights::Plain => scripts::version(&[scripts::RUN]),
        Rights::Elevated | Rights::System => job::version(None),
    }
}

impl Script<'_> {
    /// Runs it to its end. Its output goes to `out`; a script that fails is not an error.
    ///
    /// # Errors
    /// It could not be started, or how it ended is not known.
    pub async fn run(self, at: At<'_>, out: &mut StepOutput) -> Result<Exit> {
        let user = match self.rights {
            Rights::Plain => return self.run_plain(at, out).await,
            Rights::Elevated => User::Build,
            Rights::System => User::System,
        };
        let job = Job { script: self.content, user, arguments: None, failure: self.failure };
        let code = job.run(at, out).await;
        out.flush().await;
        Ok(Exit { code: Some(code?), signal: None })
    }

    async fn run_plain(self, at: At<'_>, out: &mut StepOutput) -> Result<Exit> {
        let deadline = Instant::now() + START;
        let id = uuid::Uuid::new_v4().simple().to_string();
        let command = call::command(Profile::With);
        let resets = *at.machine.resets().borrow();
        loop {
            self.content
                .rewind()
                .await
                .code(ErrorCode::InternalError, || "cannot read a script again".to_owned())?;
            let mark = call::mark();
            let mut arguments = Map::new();
            arguments.insert("mark".to_owned(), mark.clone().into());
            arguments.insert("id".to_owned(), id.clone().into());
            let mut content = &mut *self.content;
            let mut input = Lines::new(&call::head(scripts::RUN, arguments), Some(&mut content));
            let mut sink = Started::new(&mark, out);
            let ran = at.guest.run(&command, Stdin::Reader(&mut input), &mut sink).await;
            let has_started = sink.has_started;
            sink.out.flush().await;
            match ran {
                Ok(exit) if has_started => {
                    remove(at, &id).await;
                    return Ok(exit);
                }
                Ok(exit) if Instant::now() >= deadline => {
                    let text = format!("the script cannot be started: PowerShell {exit}");
                    return Err(Error::new(ErrorCode::GuestUnreachable, text).details(out.tail()));
                }
                Ok(_) => {}
                Err(error) if error.is_lost_connection() && !has_started => {
                    if Instant::now() >= deadline {
                        return Err(guest_error(error));
                    }
                }
                Err(error) => {
                    let lost = error.is_lost_connection();
                    let error = guest_error(error);
                    return Err(match lost && *at.machine.resets().borrow() != resets {
                        true => restarted(self.failure, &error),
                        false => error,
                    });
                }
            }
            sleep(RETRY).await;
        }
    }
}

/// Removes the script's file. What is left goes at the end of the build.
async fn remove(at: At<'_>, id: &str) {
    let command = format!("del /f /q %SystemRoot%\\Temp\\goldsmith-{id}.ps1");
    let mut discard = Discard;
    let removed = at.guest.run(&command, Stdin::Empty, &mut discard);
    if !matches!(tokio::time::timeout(REMOVE, removed).await, Ok(Ok(_))) {
        tracing::debug!("the file of a script is not removed yet");
    }
}

fn restarted(failure: ErrorCode, error: &Error) -> Error {
    let text = format!(
        "the machine restarted while the script ran, so that its end is not known: {error}"
    );
    Error::new(failure, text)
        .hint("restart the machine with a WindowsRestart customizer, not in a script")
}

/// Passes output on, but for the line that says that the script starts.
struct Started<'a> {
    out: &'a mut StepOutput,
    line: String,
    partial: Vec<u8>,
    has_started: bool,
}

impl<'a> Started<'a> {
    fn new(mark: &str, out: &'a mut StepOutput) -> Self {
        let line = format!("{mark} starts");
        Self { out, line, partial: Vec::new(), has_started: false }
    }
}

#[async_trait]
impl Sink for Started<'_> {
    async fn take(&mut self, stream: StreamKind, bytes: &[u8]) -> ControlFlow<()> {
        if self.has_started || stream == StreamKind::Err {
            return self.out.take(stream, bytes).await;
        }
        let mut rest = bytes;
        while !self.has_started && !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
            let (piece, next) = rest.split_at(end);
            self.partial.extend_from_slice(piece);
            rest = next;
            if !piece.ends_with(b"\n") && self.partial.len() <= LINE {
                continue;
            }
            let line = std::mem::take(&mut self.partial);
            if line.trim_ascii_end() == self.line.as_bytes() {
                self.has_started = true;
            } else if self.out.take(stream, &line).await.is_break() {
                return ControlFlow::Break(());
            }
        }
        match rest {
            [] => ControlFlow::Continue(()),
            rest => self.out.take(stream, rest).await,
        }
    }
}
