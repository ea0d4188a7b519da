//! Starts programs. No other file of the workspace does.
//!
//! Every program gets its own process group, no standard input and the C locale. Of this process's
//! environment it sees only [`INHERITED`], because the environment may contain credentials of object
//! stores and databases. Cancellation, a missed deadline and a dropped future kill the whole group,
//! so that no grandchild remains.

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

/// The variables of this process that every program inherits.
const INHERITED: [&str; 7] = ["PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "LD_LIBRARY_PATH"];
/// The further variables that programs with network access inherit.
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
/// How many lines of standard error an error carries.
const TAIL_LINES: usize = 20;
/// How many bytes of output `run_streaming` stores; the caller has received all lines.
const STREAM_KEEP: usize = 64 * 1024;
/// A longer line is passed on in pieces, in bytes.
const LINE_LIMIT: usize = 16 * 1024;

/// A program failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program is not on this host.
    #[error("{program} is not installed")]
    NotFound {
        /// As it was asked for.
        program: String,
    },
    /// The program ran and reported a failure.
    #[error("{program} failed with {status}{}", tail_text(stderr_tail))]
    Failed {
        /// As it was asked for.
        program: String,
        /// Its exit status or signal.
        status: ExitStatus,
        /// The last lines of its standard error.
        stderr_tail: Vec<String>,
    },
    /// The program missed its deadline and was killed.
    #[error("{program} was still running after {} s", after.as_secs())]
    TimedOut {
        /// As it was asked for.
        program: String,
        /// The deadline.
        after: Duration,
    },
    /// The caller canceled the program, and it was killed.
    #[error("{program} was canceled")]
    Canceled {
        /// As it was asked for.
        program: String,
    },
    /// The program could not be started or observed.
    #[error("{program} could not be run")]
    Io {
        /// As it was asked for.
        program: String,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
}

fn tail_text(tail: &[String]) -> String {
    if tail.is_empty() { String::new() } else { format!(": {}", tail.join("\n")) }
}

/// The output of a program that succeeded.
#[derive(Debug, Clone)]
pub struct Output {
    /// Always a success.
    pub status: ExitStatus,
    /// Standard output; of `run_streaming` only the end.
    pub stdout: String,
    /// Standard error; of `run_streaming` only the end.
    pub stderr: String,
}

/// A program to start.
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

    /// Lets the program inherit the settings for proxies and certificates.
    #[must_use]
    pub fn fetches(mut self) -> Self {
        self.env.extend(inherited(&NETWORK));
        self
    }

    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    #[must_use]
    pub fn args<I, A>(mut self, args: I) -> Self
    where
        I: IntoIterator<Item = A>,
        A: AsRef<OsStr>,
    {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Sets a variable in addition to the inherited ones.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn cwd(mut self, folder: impl AsRef<Path>) -> Self {
        self.cwd = Some(folder.as_ref().to_owned());
        self
    }

    /// Runs the program to its end and returns all output. An exit code other than 0 is an error.
    pub async fn run(
        self,
        cancel: &CancellationToken,
        deadline: Option<Duration>,
    ) -> Result<Output, Error> {
        self.watch(cancel, deadline, usize::MAX, &mut |_| {}).await
    }

    /// Runs the program to its end and passes on each line of standard output and standard error as
    /// it arrives. A carriage return also ends a line, so that progress displays arrive live.
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
        self.configure(command(&self.program))
    }

    /// Where util-linux is installed, the kernel also kills the program when this process dies,
    /// including by `kill -9`.
    fn prepare_mortal(&self) -> tokio::process::Command {
        let program = find_program(&self.program);
        let (Some(setpriv), Some(program)) = (find_program("setpriv"), program) else {
            return self.prepare();
        };
        let mut mortal = command(setpriv.as_os_str());
        mortal.args(["--pdeathsig", "KILL", "--"]).arg(program);
        self.configure(mortal)
    }

    fn configure(&self, mut command: tokio::process::Command) -> tokio::process::Command {
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

#[allow(clippy::disallowed_methods, reason = "the only place that starts programs")]
fn command(program: &OsStr) -> tokio::process::Command {
    tokio::process::Command::new(program)
}

#[allow(clippy::disallowed_methods, reason = "the only place that passes on the environment")]
fn inherited(names: &[&str]) -> Vec<(OsString, OsString)> {
    names.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?))).collect()
}

/// A running program's process group; killed on drop unless disarmed.
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

/// One of the two output streams: its stored bytes, and where the current line starts.
struct Stream {
    bytes: Vec<u8>,
    line_start: usize,
    keep: usize,
}

impl Stream {
    fn new(keep: usize) -> Self {
        Self { bytes: Vec::new(), line_start: 0, keep }
    }

    /// Reads some bytes; true at the end of the stream. Never resolves once the stream is closed.
    async fn read(&mut self, from: &mut Option<impl AsyncRead + Unpin>) -> io::Result<bool> {
        match from {
            Some(stream) => Ok(stream.read_buf(&mut self.bytes).await? == 0),
            None => std::future::pending().await,
        }
    }

    fn lines(&mut self, on_line: &mut (dyn FnMut(&str) + Send)) {
        while let Some(length) =
            self.bytes[self.line_start..].iter().position(|b| matches!(b, b'\n' | b'\r'))
        {
            self.emit(length, on_line);
            self.line_start += 1;
        }
        while self.bytes.len() - self.line_start > LINE_LIMIT {
            self.emit(LINE_LIMIT, on_line);
        }
        if self.bytes.len() > self.keep.saturating_mul(2) {
            let surplus = (self.bytes.len() - self.keep).min(self.line_start);
            self.bytes.drain(..surplus);
            self.line_start -= surplus;
        }
    }

    fn emit(&mut self, length: usize, on_line: &mut (dyn FnMut(&str) + Send)) {
        let end = self.line_start + length;
        if length > 0 {
            on_line(&String::from_utf8_lossy(&self.bytes[self.line_start..end]));
        }
        self.line_start = end;
    }

    fn flush(&mut self, on_line: &mut (dyn FnMut(&str) + Send)) {
        self.lines(on_line);
        self.emit(self.bytes.len() - self.line_start, on_line);
    }

    fn text(self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// A program in the background. It is *not* killed on drop: its owner decides.
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

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Waits until the program has ended. Several tasks may wait.
    pub(crate) fn ended(&self) -> impl Future<Output = ExitStatus> + Send + 'static {
        let mut exit = self.exit.clone();
        async move {
            match exit.wait_for(Option::is_some).await {
                Ok(status) => (*status).unwrap_or_default(),
                Err(_) => ExitStatus::default(),
            }
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.exit.borrow().is_some()
    }
}

/// A process of this host. The open descriptor prevents the reuse of its pid.
#[derive(Debug)]
pub(crate) struct Process {
    fd: OwnedFd,
}

impl Process {
    /// `None` if the process does not exist.
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

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let _ = pidfd_send_signal(&self.fd, Signal::TERM);
    }

    /// Sends SIGKILL.
    pub(crate) fn kill(&self) {
        let _ = pidfd_send_signal(&self.fd, Signal::KILL);
    }

    /// Waits until the process has exited. Returns false if it still runs after that time.
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

/// Looks a program up in `PATH`, then in the folders that are only in root's `PATH`.
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
