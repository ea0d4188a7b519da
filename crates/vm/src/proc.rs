//! Starts programs: the only file of the workspace that does.
//!
//! Every program gets its own process group, no standard input, the C locale and, of this process's
//! environment, only what is in [`INHERITED`]: credentials of object stores and databases are there, too.
//! Whatever ends the wait early (cancel, deadline, a dropped future) kills the whole group, so no grandchild stays.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Child,
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use crate::{may_wait, off_runtime};

/// The variables of this process that every program sees.
const INHERITED: [&str; 7] = ["PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "LD_LIBRARY_PATH"];
/// What programs that fetch something need besides.
const NETWORK: [&str; 10] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
];
/// How much of standard error an error carries.
const TAIL_LINES: usize = 20;
/// How much output `run_streaming` keeps; the rest was handed to the caller line by line.
const STREAM_KEEP: usize = 64 * 1024;
/// A line longer than this is handed over in pieces.
const LINE_LIMIT: usize = 16 * 1024;

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such program on this host.
    #[error("{program} is not installed")]
    NotFound {
        /// As it was asked for.
        program: String,
    },
    /// It ran and reported a failure.
    #[error("{program} failed with {status}{}", tail_text(stderr_tail))]
    Failed {
        /// As it was asked for.
        program: String,
        /// Its exit status or signal.
        status: ExitStatus,
        /// The last lines of its standard error.
        stderr_tail: Vec<String>,
    },
    /// It ran longer than it was allowed to, and was killed.
    #[error("{program} was still running after {} s", after.as_secs())]
    TimedOut {
        /// As it was asked for.
        program: String,
        /// The deadline.
        after: Duration,
    },
    /// The caller wanted it to end; it was killed.
    #[error("{program} was canceled")]
    Canceled {
        /// As it was asked for.
        program: String,
    },
    /// It could not be started or watched.
    #[error("{program} could not be run")]
    Io {
        /// As it was asked for.
        program: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

fn tail_text(tail: &[String]) -> String {
    if tail.is_empty() { String::new() } else { format!(": {}", tail.join("\n")) }
}

/// What a program that succeeded left behind.
#[derive(Debug, Clone)]
pub struct Output {
    /// Always a success.
    pub status: ExitStatus,
    /// Standard output; of `run_streaming` only the end.
    pub stdout: String,
    /// Standard error; of `run_streaming` only the end.
    pub stderr: String,
}

/// A program about to be started.
#[derive(Debug, Clone)]
pub struct Command {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    cwd: Option<PathBuf>,
}

impl Command {
    /// A program by name (looked up in `PATH`) or by path.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut env = inherited(&INHERITED);
        env.push(("LC_ALL".into(), "C".into()));
        Self { program: program.as_ref().to_owned(), args: Vec::new(), env, cwd: None }
    }

    /// Lets it see the proxies and certificates that this process uses.
    #[must_use]
    pub fn fetches(mut self) -> Self {
        self.env.extend(inherited(&NETWORK));
        self
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I, A>(mut self, args: I) -> Self
    where
        I: IntoIterator<Item = A>,
        A: AsRef<OsStr>,
    {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Sets a variable beside the few inherited ones.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the folder it runs in.
    #[must_use]
    pub fn cwd(mut self, folder: impl AsRef<Path>) -> Self {
        self.cwd = Some(folder.as_ref().to_owned());
        self
    }

    /// Runs it to its end and keeps all output. Anything but exit code 0 is an error.
    pub async fn run(
        self,
        cancel: &CancellationToken,
        deadline: Option<Duration>,
    ) -> Result<Output, Error> {
        self.watch(cancel, deadline, usize::MAX, &mut |_| {}).await
    }

    /// Runs it to its end and hands over each line of standard output and standard error as it
    /// comes. A carriage return ends a line too, so that progress displays arrive live.
    pub async fn run_streaming(
        self,
        cancel: &CancellationToken,
        deadline: Option<Duration>,
        mut on_line: impl FnMut(&str) + Send,
    ) -> Result<Output, Error> {
        self.watch(cancel, deadline, STREAM_KEEP, &mut on_line).await
    }

    /// Starts a program that outlives this call; its output goes to `log`.
    pub(crate) fn start(self, log: File) -> Result<Daemon, Error> {
        let fail = |source| self.fault(source);
        let mut command = self.prepare();
        let out = log.try_clone().map_err(fail)?;
        command.stdout(out).stderr(log);
        let child = command.spawn().map_err(fail)?;
        Daemon::of(child).map_err(fail)
    }

    fn name(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }

    fn fault(&self, source: io::Error) -> Error {
        may_wait(|| {
            let program = self.name();
            let cwd_there = self.cwd.as_ref().is_none_or(|folder| folder.is_dir());
            if source.kind() == io::ErrorKind::NotFound && cwd_there {
                Error::NotFound { program }
            } else {
                Error::Io { program, source }
            }
        })
    }

    fn prepare(&self) -> tokio::process::Command {
        self.dress(command(&self.program))
    }

    /// The same, but the kernel kills the program when we die, `kill -9` included, where util-linux
    /// is there to ask for it.
    fn prepare_mortal(&self) -> tokio::process::Command {
        let program = find_program(&self.program);
        let (Some(setpriv), Some(program)) = (find_program("setpriv"), program) else {
            return self.prepare();
        };
        let mut mortal = command(setpriv.as_os_str());
        mortal.args(["--pdeathsig", "KILL", "--"]).arg(program);
        self.dress(mortal)
    }

    fn dress(&self, mut command: tokio::process::Command) -> tokio::process::Command {
        command.args(&self.args).stdin(Stdio::null()).process_group(0);
        command.env_clear().envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &self.cwd {
            command.current_dir(folder);
        }
        command
    }

    async fn watch(
        self,
        cancel: &CancellationToken,
        deadline: Option<Duration>,
        keep: usize,
        on_line: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Output, Error> {
        if cancel.is_cancelled() {
            return Err(Error::Canceled { program: self.name() });
        }
        let mut command = self.prepare_mortal();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| self.fault(e))?;
        let group = Group::of(&child);
        let limit = async {
            match deadline {
                Some(after) => tokio::time::sleep(after).await,
                None => std::future::pending().await,
            }
        };
        let finished = tokio::select! {
            finished = collect(&mut child, keep, on_line) => finished,
            () = cancel.cancelled() => {
                group.end(&mut child).await;
                return Err(Error::Canceled { program: self.name() });
            }
            () = limit => {
                group.end(&mut child).await;
                let after = deadline.unwrap_or_default();
                return Err(Error::TimedOut { program: self.name(), after });
            }
        };
        let output = finished.map_err(|e| self.fault(e))?;
        group.disarm();
        if output.status.success() {
            return Ok(output);
        }
        let lines: Vec<String> =
            output.stderr.lines().rev().take(TAIL_LINES).map(str::to_owned).collect();
        Err(Error::Failed {
            program: self.name(),
            status: output.status,
            stderr_tail: lines.into_iter().rev().collect(),
        })
    }
}

#[allow(clippy::disallowed_methods, reason = "this is the one home of it")]
fn command(program: &OsStr) -> tokio::process::Command {
    tokio::process::Command::new(program)
}

#[allow(
    clippy::disallowed_methods,
    reason = "what a program may see of the environment is said here"
)]
fn inherited(names: &[&str]) -> Vec<(OsString, OsString)> {
    names.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?))).collect()
}

/// A running program's process group; killed on drop unless the program ended by itself.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)))
    }

    fn disarm(mut self) {
        self.0 = None;
    }

    async fn end(self, child: &mut Child) {
        drop(self);
        let _ = child.wait().await;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

async fn collect(
    child: &mut Child,
    keep: usize,
    on_line: &mut (dyn FnMut(&str) + Send),
) -> io::Result<Output> {
    let mut stdout = child.stdout.take();
    let mut stderr = child.stderr.take();
    let mut out = Stream::new(keep);
    let mut err = Stream::new(keep);
    while stdout.is_some() || stderr.is_some() {
        tokio::select! {
            end = out.read(&mut stdout) => if end? { stdout = None; out.flush(on_line); }
                  else { out.lines(on_line); },
            end = err.read(&mut stderr) => if end? { stderr = None; err.flush(on_line); }
                  else { err.lines(on_line); },
        }
    }
    let status = child.wait().await?;
    Ok(Output { status, stdout: out.text(), stderr: err.text() })
}

/// One of the two output streams: what is kept of it, and where the current line starts.
struct Stream {
    kept: Vec<u8>,
    line_start: usize,
    keep: usize,
}

impl Stream {
    fn new(keep: usize) -> Self {
        Self { kept: Vec::new(), line_start: 0, keep }
    }

    /// Reads some bytes; true at the end. Pending for ever once the stream is gone.
    async fn read(&mut self, from: &mut Option<impl AsyncRead + Unpin>) -> io::Result<bool> {
        match from {
            Some(stream) => Ok(stream.read_buf(&mut self.kept).await? == 0),
            None => std::future::pending().await,
        }
    }

    fn lines(&mut self, on_line: &mut (dyn FnMut(&str) + Send)) {
        while let Some(length) =
            self.kept[self.line_start..].iter().position(|b| matches!(b, b'\n' | b'\r'))
        {
            self.emit(length, on_line);
            self.line_start += 1;
        }
        while self.kept.len() - self.line_start > LINE_LIMIT {
            self.emit(LINE_LIMIT, on_line);
        }
        if self.kept.len() > self.keep.saturating_mul(2) {
            let surplus = (self.kept.len() - self.keep).min(self.line_start);
            self.kept.drain(..surplus);
            self.line_start -= surplus;
        }
    }

    fn emit(&mut self, length: usize, on_line: &mut (dyn FnMut(&str) + Send)) {
        let end = self.line_start + length;
        if length > 0 {
            on_line(&String::from_utf8_lossy(&self.kept[self.line_start..end]));
        }
        self.line_start = end;
    }

    fn flush(&mut self, on_line: &mut (dyn FnMut(&str) + Send)) {
        self.lines(on_line);
        self.emit(self.kept.len() - self.line_start, on_line);
    }

    fn text(self) -> String {
        String::from_utf8_lossy(&self.kept).into_owned()
    }
}

/// A program that runs beside us. It is *not* killed on drop: its owner decides.
#[derive(Debug)]
pub(crate) struct Daemon {
    process: Process,
    exit: watch::Receiver<Option<ExitStatus>>,
}

impl Daemon {
    fn of(mut child: Child) -> io::Result<Self> {
        let id = child.id().ok_or_else(|| io::Error::other("it ended at once"))?;
        let process = Process::open(id)?.ok_or_else(|| io::Error::other("it ended at once"))?;
        let (send, exit) = watch::channel(None);
        tokio::spawn(async move {
            let status = child.wait().await.unwrap_or_default();
            let _ = send.send(Some(status));
        });
        Ok(Self { process, exit })
    }

    /// The process, for signals.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Waits until it ended; may be called by many at once.
    pub(crate) fn ended(&self) -> impl Future<Output = ExitStatus> + Send + 'static {
        let mut exit = self.exit.clone();
        async move {
            match exit.wait_for(Option::is_some).await {
                Ok(status) => (*status).unwrap_or_default(),
                Err(_) => ExitStatus::default(),
            }
        }
    }

    /// True once it ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.exit.borrow().is_some()
    }
}

/// Any process of this host, held by a descriptor so that its number cannot be reused under us.
#[derive(Debug)]
pub(crate) struct Process {
    fd: OwnedFd,
}

impl Process {
    /// `None` when there is no such process any more.
    pub(crate) fn open(id: u32) -> io::Result<Option<Self>> {
        let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => Ok(Some(Self { fd })),
            Err(rustix::io::Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        let _ = pidfd_send_signal(&self.fd, Signal::TERM);
    }

    /// Ends it.
    pub(crate) fn kill(&self) {
        let _ = pidfd_send_signal(&self.fd, Signal::KILL);
    }

    /// Waits until it is gone; false if it is still there after that time.
    pub(crate) async fn gone_within(&self, time: Duration) -> io::Result<bool> {
        let fd = self.fd.try_clone()?;
        off_runtime(move || {
            let time = Timespec::try_from(time).map_err(io::Error::other)?;
            let mut readable = [PollFd::new(&fd, PollFlags::IN)];
            Ok(poll(&mut readable, Some(&time))? > 0)
        })
        .await
    }
}

/// Looks a program up in `PATH`, then in the places where only root looks.
#[allow(clippy::disallowed_methods, reason = "finding programs is what PATH is for")]
pub fn find_program(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    may_wait(|| {
        let name = Path::new(name.as_ref());
        if name.components().count() > 1 {
            return is_program(name).then(|| name.to_owned());
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let more = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/libexec"].map(PathBuf::from);
        std::env::split_paths(&path)
            .chain(more)
            .map(|folder| folder.join(name))
            .find(|p| is_program(p))
    })
}

fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests;
