//! Detached work in the guest: a script that runs as a scheduled task, with its output and its exit
//! code in files. It is polled by offset, so that nothing is lost when connections break, and a
//! restart of the machine in the middle is noticed.

use std::time::Duration;

use api::ErrorCode;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use images::error::{Coded, Error, Result};
use tokio::{
    io::{AsyncRead, AsyncSeek, AsyncSeekExt},
    time::{Instant, sleep},
};
use vm::{Sink, StreamKind};

use super::{
    call::{Call, Unanswered, text},
    scripts,
};
use crate::system::At;

/// How long a start is tried again: a restart may lie between.
const START: Duration = Duration::from_secs(5 * 60);
/// How long a guest may be silent before the job counts as lost. Longer than a restart with updates
/// of the system, after which the guest answers that the job is lost.
const SILENCE: Duration = Duration::from_secs(30 * 60);
/// The same for a guest that executes commands but gives no answer, as while it shuts down.
const CONFUSION: Duration = Duration::from_secs(5 * 60);
/// The pause after an attempt without an answer, and between two polls.
const RETRY: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_secs(1);
/// How long a poll waits in the guest for news, and the most output that it brings.
const WAIT: u64 = 20;
const PIECE: u64 = 512 * 1024;
/// The limit of one call. The guest may be busy with what the job does.
const CALL: Duration = Duration::from_secs(5 * 60);

const SCRIPTS: [&str; 5] =
    [scripts::JOB_START, scripts::JOB_POLL, scripts::JOB_END, scripts::JOB, scripts::LAUNCH];

/// The version of a job that runs that script of goldsmith's, or none, for keys.
pub(super) fn version(script: Option<&str>) -> String {
    let all: Vec<&str> = SCRIPTS.into_iter().chain(script).collect();
    scripts::version(&all)
}

/// The content of a script, which is read again when its first transfer breaks.
pub trait Content: AsyncRead + AsyncSeek + Send + Unpin {}

impl<T: AsyncRead + AsyncSeek + Send + Unpin> Content for T {}

/// A user that a job runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum User {
    /// The build user, with all rights of an administrator.
    Build,
    /// The system itself.
    System,
}

/// Work to do.
pub(super) struct Job<'a> {
    pub script: &'a mut dyn Content,
    pub user: User,
    /// JSON for the script.
    pub arguments: Option<String>,
    /// The error code for a job that does not exit on its own.
    pub failure: ErrorCode,
}

impl Job<'_> {
    /// Runs it. Returns its exit code; its output goes to `out`.
    ///
    /// # Errors
    /// The job could not be started, did not exit on its own, or the guest stayed silent for too long.
    pub(super) async fn run(self, at: At<'_>, out: &mut dyn Sink) -> Result<u32> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let failure = self.failure;
        self.start(at, &id).await?;
        let ended = follow(at, &id, failure, out).await;
        // Removed with the other traces of the build if this does not work.
        if let Err(Unanswered::Lost(error) | Unanswered::Failed(error)) = end(at, &id).await {
            tracing::debug!(%error, "a job of the guest is not removed yet");
        }
        ended
    }

    async fn start(self, at: At<'_>, id: &str) -> Result<()> {
        let (user, password) = match self.user {
            User::System => ("SYSTEM", None),
            User::Build => {
                let windows = at.access.windows.as_ref();
                (at.access.user.as_str(), windows.map(|windows| windows.password.as_str()))
            }
        };
        let deadline = Instant::now() + START;
        loop {
            self.script
                .rewind()
                .await
                .code(ErrorCode::InternalError, || "cannot read a script again".to_owned())?;
            let mut script = &mut *self.script;
            let call = Call::new("starting a script", scripts::JOB_START, CALL)
                .with("id", id)
                .with("user", user)
                .with("password", password)
                .with("batch", scripts::JOB)
                .with("launch", scripts::LAUNCH)
                .with("arguments", self.arguments.as_deref())
                .data(&mut script);
            match call.ask(at.guest).await {
                Ok(answers) if answers.has("started") => return Ok(()),
                Ok(answers) => {
                    let Some(why) = answers.text("failed") else {
                        return Err(answers.unexpected());
                    };
                    let text = format!("the script cannot be started as {user}: {why}");
                    return Err(Error::new(self.failure, text)
                        .hint("look at the service Task Scheduler and the build user's rights"));
                }
                Err(unanswered) if Instant::now() >= deadline => return Err(unanswered.into()),
                Err(_) => sleep(RETRY).await,
            }
        }
    }
}

async fn end(at: At<'_>, id: &str) -> Result<(), Unanswered> {
    let call = Call::new("removing a script", scripts::JOB_END, CALL).with("id", id);
    call.ask(at.guest).await.map(|_| ())
}

/// What a poll brings.
struct News {
    output: Vec<u8>,
    state: State,
}

enum State {
    Running,
    Ended(u32),
    Lost(String),
}

async fn follow(at: At<'_>, id: &str, failure: ErrorCode, out: &mut dyn Sink) -> Result<u32> {
    let mut offset = 0;
    let mut silent_since = None;
    loop {
        let news = match poll(at, id, offset).await {
            Ok(news) => news,
            Err(unanswered) => {
                let limit = match unanswered {
                    Unanswered::Lost(_) => SILENCE,
                    Unanswered::Failed(_) => CONFUSION,
                };
                let since = *silent_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= limit {
                    return Err(silent(limit, &unanswered.into()));
                }
                sleep(RETRY).await;
                continue;
            }
        };
        silent_since = None;
        offset += news.output.len() as u64;
        if !news.output.is_empty() && out.take(StreamKind::Out, &news.output).await.is_break() {
            return Err(Error::new(failure, "the script wrote more output than is allowed"));
        }
        match news.state {
            State::Ended(code) => return Ok(code),
            State::Lost(why) => {
                return Err(Error::new(
                    failure,
                    format!("the script did not end by itself: {why}"),
                )
                .hint("restart the machine with a WindowsRestart customizer, not in a script"));
            }
            State::Running if news.output.is_empty() => sleep(PAUSE).await,
            State::Running => {}
        }
    }
}

fn silent(limit: Duration, last: &Error) -> Error {
    let minutes = limit.as_secs() / 60;
    let text =
        format!("the guest gives no answer for {minutes} minutes while a script runs: {last}");
    Error::new(ErrorCode::GuestUnreachable, text)
        .details(last.details.clone())
        .hint("a script must not cut the machine's network or close WinRM")
}

async fn poll(at: At<'_>, id: &str, offset: u64) -> Result<News, Unanswered> {
    let call = Call::new("asking for a script's output", scripts::JOB_POLL, CALL)
        .with("id", id)
        .with("offset", offset)
        .with("limit", PIECE)
        .with("seconds", WAIT);
    let answers = call.ask(at.guest).await?;
    let unexpected = || Unanswered::Failed(answers.unexpected());
    let output = match answers.rest("output").and_then(|rest| rest.split_once(' ')) {
        None => Vec::new(),
        Some((from, bytes)) if from == offset.to_string() => {
            BASE64.decode(bytes).map_err(|_| unexpected())?
        }
        Some(_) => return Err(unexpected()),
    };
    let state = if let Some(code) = answers.rest("ended") {
        State::Ended(code.parse().map_err(|_| unexpected())?)
    } else if let Some(why) = answers.rest("lost") {
        State::Lost(text(why))
    } else if answers.has("unknown") {
        State::Lost("its files are gone".to_owned())
    } else if answers.has("running") {
        State::Running
    } else {
        return Err(unexpected());
    };
    Ok(News { output, state })
}
