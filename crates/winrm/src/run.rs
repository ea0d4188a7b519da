//! The conversation about one command: a shell, the command in it, input and output, and the end of both.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    time::{Instant, timeout},
};

use crate::{
    Error, Input, Output,
    channel::Connect,
    input::{Fed, Pipe},
    link::Link,
    soap::{
        answer::{self, Received, Reply},
        request::{Letterhead, Shell},
    },
};

/// The upper limit for ending a shell while the command's caller waits. It goes on in the background.
const HOLD_UP: Duration = Duration::from_secs(10);
/// The upper limit for ending a command and its shell in the background. A busy guest takes long.
const CLEAN_UP: Duration = Duration::from_secs(60);
/// When the service refuses a command's input, the command has most likely ended, and its exit code
/// is on its way. The end of waiting for it.
const AFTER_REFUSAL: Duration = Duration::from_secs(30);
/// A service that has nothing new answers after seconds. One that answers at once is not asked more
/// often than this.
const PACE: Duration = Duration::from_millis(100);
/// What `cmd.exe` takes.
const LONGEST_COMMAND: usize = 8191;

/// Runs a command to its end and returns its exit code.
pub(crate) async fn run(
    connect: &Arc<dyn Connect>,
    letterhead: Letterhead,
    command: &str,
    stdin: Input<'_>,
    output: &mut dyn Output,
) -> Result<u32, Error> {
    check(command)?;
    let (mut link, mut open) = create(connect.clone(), letterhead).await?;
    let envelope = open.letterhead.command(&open.shell, command);
    let started = link.ask(envelope, "while it started a command").await?.body()?;
    let id = answer::command(&started)?;
    open.command = Some(id.clone());

    let pipe = Pipe { letterhead: &open.letterhead, shell: &open.shell, command: &id };
    let code = match stdin {
        // It has room at once, so a connection of its own would be too much.
        Input::Empty | Input::Bytes([]) => match pipe.feed(&mut link, Input::Empty).await? {
            Fed::All => receive(&mut link, &pipe, output).await?,
            Fed::Refused(why) => last_words(why, receive(&mut link, &pipe, output)).await?,
        },
        stdin => {
            let mut second = Link::new(connect.clone());
            let mut feeding = std::pin::pin!(pipe.feed(&mut second, stdin));
            let mut receiving = std::pin::pin!(receive(&mut link, &pipe, output));
            tokio::select! {
                biased;
                code = &mut receiving => code?,
                fed = &mut feeding => match fed? {
                    Fed::All => receiving.await?,
                    Fed::Refused(why) => last_words(why, receiving).await?,
                },
            }
        }
    };
    open.end(&mut link).await;
    Ok(code)
}

fn check(command: &str) -> Result<(), Error> {
    let length = command.encode_utf16().count();
    if length > LONGEST_COMMAND {
        let what = format!("it has {length} characters, cmd.exe takes {LONGEST_COMMAND}");
        return Err(Error::Command(what));
    }
    match command
        .chars()
        .find(|c| c.is_control() && *c != '\t' || matches!(c, '\u{fffe}' | '\u{ffff}'))
    {
        Some(character) => Err(Error::Command(format!("it contains {character:?}"))),
        None => Ok(()),
    }
}

/// Makes a shell. A task of its own does it: if the command is given up meanwhile, the shell that
/// arrives too late is ended again.
async fn create(connect: Arc<dyn Connect>, letterhead: Letterhead) -> Result<(Link, Open), Error> {
    let making = tokio::spawn(async move {
        let mut link = Link::new(connect.clone());
        let made = link.ask(letterhead.create(), "while it made a shell").await?.body()?;
        let shell = answer::shell(&made)?;
        Ok((link, Open { connect, letterhead, shell, command: None, ended: false }))
    });
    making.await.unwrap_or_else(|error| {
        Err(Error::Io { what: "make a shell".to_owned(), source: io::Error::other(error) })
    })
}

/// Hands over the output until the command ends. Nothing is asked while `output` works.
async fn receive(link: &mut Link, pipe: &Pipe<'_>, output: &mut dyn Output) -> Result<u32, Error> {
    loop {
        let asked = Instant::now();
        let envelope = pipe.letterhead.receive(pipe.shell, pipe.command);
        let received = match link.ask(envelope, "while a command ran").await? {
            Reply::Fault(fault) if fault.is_timeout() => Received::default(),
            reply => answer::received(&reply.body()?, pipe.command)?,
        };
        for (stream, bytes) in &received.output {
            if output.take(*stream, bytes).await.is_break() {
                return Err(Error::TooMuchOutput);
            }
        }
        if let Some(code) = received.exit {
            return Ok(code);
        }
        if received.output.is_empty() {
            tokio::time::sleep_until(asked + PACE).await;
        }
    }
}

async fn last_words(
    why: Error,
    receiving: impl Future<Output = Result<u32, Error>>,
) -> Result<u32, Error> {
    timeout(AFTER_REFUSAL, receiving).await.unwrap_or(Err(why))
}

/// A shell in the guest. Dropping it ends the shell in the background.
struct Open {
    connect: Arc<dyn Connect>,
    letterhead: Letterhead,
    shell: Shell,
    command: Option<String>,
    ended: bool,
}

impl Open {
    /// Ends the command and the shell. That it fails is no error: the command has ended before.
    async fn end(mut self, link: &mut Link) {
        let ending = end(link, &self.letterhead, &self.shell, &self.command);
        self.ended = timeout(HOLD_UP, ending).await.is_ok();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else { return };
        if self.ended {
            return;
        }
        let (connect, letterhead) = (self.connect.clone(), self.letterhead.clone());
        let (shell, command) = (self.shell.clone(), self.command.take());
        runtime.spawn(async move {
            let mut link = Link::new(connect);
            let _ = timeout(CLEAN_UP, end(&mut link, &letterhead, &shell, &command)).await;
        });
    }
}

async fn end(link: &mut Link, letterhead: &Letterhead, shell: &Shell, command: &Option<String>) {
    let signal = command.as_ref().map(|command| letterhead.signal(shell, command));
    for request in signal.into_iter().chain([letterhead.delete(shell)]) {
        match link.ask(request, "while a shell was ended").await.and_then(Reply::body) {
            Ok(_) | Err(Error::ShellGone) => {}
            Err(error) => tracing::debug!(%error, "a guest's shell may not have ended"),
        }
    }
}
