//! How a script of goldsmith's runs in a guest: one command line, the same for every script, and
//! everything else over standard input (`scripts/bootstrap.ps1` describes the lines). So no text of a
//! template is ever quoted, and the limit of command lines does not matter.
//!
//! Answers are lines of standard output that begin with a mark, random for each call. Other output,
//! as of a profile, is not listened to.

use std::{ops::ControlFlow, time::Duration};

use api::ErrorCode;
use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use images::error::{Error, Result, guest_error};
use serde_json::{Map, Value};
use tokio::io::AsyncRead;
use vm::{Bounded, Exit, Guest, Sink, Stdin, StreamKind};

use super::{lines::Lines, scripts};

/// The most that a script may write to standard output, and to standard error before it is cut.
const OUTPUT: usize = 2 * 1024 * 1024;
const ERRORS: usize = 8 * 1024;
/// More answers than any script gives.
const ANSWERS: usize = 100;
/// The characters of unexpected answers that an error shows.
const SHOWN: usize = 500;

/// A script to run for its answers.
pub(super) struct Call<'a> {
    /// Completes "… in the guest", for errors.
    what: &'static str,
    script: &'static str,
    arguments: Map<String, Value>,
    data: Option<&'a mut (dyn AsyncRead + Send + Unpin)>,
    limit: Duration,
}

impl<'a> Call<'a> {
    pub(super) fn new(what: &'static str, script: &'static str, limit: Duration) -> Self {
        Self { what, script, arguments: Map::new(), data: None, limit }
    }

    /// Adds an argument.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.arguments.insert(name.to_owned(), value.into());
        self
    }

    /// Adds data.
    pub(super) fn data(mut self, data: &'a mut (dyn AsyncRead + Send + Unpin)) -> Self {
        self.data = Some(data);
        self
    }

    /// Runs it.
    pub(super) async fn ask(self, guest: &dyn Guest) -> Result<Answers, Unanswered> {
        let mark = mark();
        let Self { what, script, mut arguments, data, limit } = self;
        arguments.insert("mark".to_owned(), mark.clone().into());
        let mut input = Lines::new(&head(script, arguments), data);
        let mut heard = Heard::new(&mark);
        let command = command(Profile::Without);
        let ran = guest.run(&command, Stdin::Reader(&mut input), &mut heard);
        let exit = match tokio::time::timeout(limit, ran).await {
            Ok(Ok(exit)) => exit,
            Ok(Err(error)) if error.is_lost_connection() => {
                return Err(Unanswered::Lost(guest_error(error)));
            }
            Ok(Err(error)) => return Err(Unanswered::Failed(guest_error(error))),
            Err(_) => return Err(Unanswered::Lost(late(what, limit))),
        };
        if !exit.success() || heard.answers.is_empty() {
            return Err(Unanswered::Failed(heard.failed(what, &exit)));
        }
        Ok(Answers { what, lines: heard.answers })
    }
}

fn late(what: &str, limit: Duration) -> Error {
    let text = format!("{what} in the guest did not end within {} s", limit.as_secs());
    Error::new(ErrorCode::StepTimedOut, text)
        .hint("the guest may be overloaded: give it more vCPUs or memory, or build again")
}

/// Why a script gave no answer.
pub(super) enum Unanswered {
    /// The connection was lost, or the guest is too slow: it may be restarting.
    Lost(Error),
    /// The script did not do its work.
    Failed(Error),
}

impl From<Unanswered> for Error {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Lost(error) | Unanswered::Failed(error) => error,
        }
    }
}

/// What a script answered.
#[derive(Debug)]
pub(super) struct Answers {
    what: &'static str,
    lines: Vec<String>,
}

impl Answers {
    /// The rest of the answer that begins with that word.
    pub(super) fn rest(&self, word: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| match line.split_once(' ') {
            Some((first, rest)) => (first == word).then_some(rest),
            None => (line == word).then_some(""),
        })
    }

    /// Whether there is an answer that begins with that word.
    pub(super) fn has(&self, word: &str) -> bool {
        self.rest(word).is_some()
    }

    /// The text of the answer that begins with that word.
    pub(super) fn text(&self, word: &str) -> Option<String> {
        self.rest(word).map(text)
    }

    /// The rest of an answer that cannot be missing.
    pub(super) fn need(&self, word: &str) -> Result<&str> {
        self.rest(word).ok_or_else(|| self.unexpected())
    }

    /// The error for an answer that the script never gives.
    pub(super) fn unexpected(&self) -> Error {
        let shown: String = format!("{:?}", self.lines).chars().take(SHOWN).collect();
        let text = format!("{} in the guest: unexpected answer {shown}", self.what);
        Error::new(ErrorCode::GuestUnreachable, text)
    }
}

/// The text of an answer, which is base64 there. The guest is not trusted: what does not decode is
/// shown as it is.
pub(super) fn text(encoded: &str) -> String {
    match BASE64.decode(encoded.trim()) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).trim().to_owned(),
        Err(_) => encoded.to_owned(),
    }
}

/// What goldsmith's lines begin with in one call.
pub(super) fn mark() -> String {
    format!("goldsmith-{}", uuid::Uuid::new_v4().simple())
}

/// The lines before the data.
pub(super) fn head(script: &str, arguments: Map<String, Value>) -> String {
    let arguments = BASE64.encode(Value::Object(arguments).to_string());
    format!("{arguments}\n{}\n", BASE64.encode(scripts::complete(script)))
}

/// Whether the user's profile is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Profile {
    With,
    Without,
}

/// The command line.
pub(super) fn command(profile: Profile) -> String {
    let profile = match profile {
        Profile::With => "",
        Profile::Without => "-NoProfile ",
    };
    let mut lines = scripts::BOOTSTRAP.lines();
    let name = lines.next().unwrap_or_default();
    let code = lines.filter(|line| !line.starts_with('#'));
    let text: Vec<&str> = std::iter::once(name).chain(code).collect();
    let utf16: Vec<u8> = text.join("\n").encode_utf16().flat_map(u16::to_le_bytes).collect();
    format!(
        "powershell.exe {profile}-NonInteractive -ExecutionPolicy Bypass -OutputFormat Text \
         -EncodedCommand {}",
        BASE64.encode(utf16)
    )
}

/// Collects answers.
struct Heard {
    mark: String,
    partial: Vec<u8>,
    bytes: usize,
    answers: Vec<String>,
    errors: Bounded,
}

impl Heard {
    fn new(mark: &str) -> Self {
        Self {
            mark: format!("{mark} "),
            partial: Vec::new(),
            bytes: 0,
            answers: Vec::new(),
            errors: Bounded::new(ERRORS),
        }
    }

    fn line(&mut self) {
        let line = std::mem::take(&mut self.partial);
        let line = String::from_utf8_lossy(&line);
        if let Some(answer) = line.trim_end().strip_prefix(&self.mark)
            && self.answers.len() < ANSWERS
        {
            self.answers.push(answer.to_owned());
        }
    }

    fn failed(&self, what: &str, exit: &Exit) -> Error {
        let text = match exit.code {
            Some(0) => format!("{what} in the guest: PowerShell gave no answer"),
            _ => format!("{what} in the guest: PowerShell {exit}"),
        };
        let lines = self.errors.text();
        let lines = lines.lines().filter(|line| !line.trim().is_empty()).take(20);
        Error::new(ErrorCode::GuestUnreachable, text).details(lines.map(str::to_owned))
    }
}

#[async_trait]
impl Sink for Heard {
    async fn take(&mut self, stream: StreamKind, bytes: &[u8]) -> ControlFlow<()> {
        if stream == StreamKind::Err {
            let _ = self.errors.add(bytes);
            return ControlFlow::Continue(());
        }
        self.bytes = self.bytes.saturating_add(bytes.len());
        if self.bytes > OUTPUT {
            return ControlFlow::Break(());
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.line();
            }
        }
        ControlFlow::Continue(())
    }
}
