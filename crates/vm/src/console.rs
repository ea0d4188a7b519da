//! Records a guest's serial console: QEMU sends it through a socket, and the log has a size limit.
//!
//! A guest may write without end. The log keeps the beginning (the boot) and the end (the last
//! messages), and drops the middle. QEMU does not wait for a reader that has gone away, so a machine
//! can outlive goldsmith.
//!
//! A machine with two serial ports has one log. What the second port writes is added in whole lines.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{fd::AsRawFd, unix::fs::FileExt},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::AsyncReadExt,
    net::{UnixListener, UnixStream},
    sync::watch,
};

use crate::args::{SERIAL_LOG, SERIAL_SOCKET};

/// Above this size the log loses its middle, in bytes.
const MOST: u64 = 4 * 1024 * 1024;
/// How much of the beginning, and of the end, then remains, in bytes.
const PART: u64 = 1024 * 1024;
const CHUNK: usize = 32 * 1024;
/// A longer line of the second port is added in parts, in bytes.
const LINE: usize = 4 * 1024;
/// QEMU connects while it starts.
const CONNECT: Duration = Duration::from_secs(60);
/// How long to wait for the last output of a machine, and the silence that ends the wait earlier.
const LAST_WORDS: Duration = Duration::from_millis(500);
const SILENCE: Duration = Duration::from_millis(10);

/// A console that is recorded until QEMU closes it.
#[derive(Debug, Clone)]
pub(crate) struct Console {
    progress: watch::Sender<Progress>,
    /// Where the machine's output begins in the log.
    start: u64,
}

/// How far the log is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Bytes that the machine has written.
    pub(crate) received: u64,
    /// Bytes that the log has dropped.
    pub(crate) cut: u64,
}

impl Console {
    /// Opens the socket and the log in the run folder, for this many serial ports (one or two). Call it
    /// before QEMU starts.
    pub(crate) fn open(run_dir: &Path, ports: usize) -> io::Result<Self> {
        let log = Middle::open(&run_dir.join(SERIAL_LOG), MOST, PART)?;
        // Through the folder's descriptor, because a socket's path is limited to 107 bytes.
        let folder = File::open(run_dir)?;
        let at = PathBuf::from(format!("/proc/self/fd/{}/{SERIAL_SOCKET}", folder.as_raw_fd()));
        absent_is_fine(fs::remove_file(&at))?;
        let listener = UnixListener::bind(&at)?;
        let progress = watch::Sender::new(Progress::default());
        let console = Self { progress: progress.clone(), start: log.length.min(PART) };
        tokio::spawn(async move {
            let accepted = tokio::time::timeout(CONNECT, accept(&listener, ports)).await;
            drop((listener, folder));
            let written = match accepted {
                Ok(Ok(ports)) => record(ports, log, &progress).await,
                Ok(Err(error)) => Err(error),
                Err(_) => Ok(()),
            };
            if let Err(error) = written {
                tracing::warn!(%error, "cannot write a machine's serial log any more");
            }
        });
        Ok(console)
    }

    /// Reports the growth of the log.
    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Where the machine's output begins in the log, in bytes.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// Returns once the machine's output so far is in the log.
    pub(crate) async fn caught_up(&self) {
        let silent = async {
            loop {
                let before = *self.progress.borrow();
                tokio::time::sleep(SILENCE).await;
                if *self.progress.borrow() == before {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(LAST_WORDS, silent).await;
    }
}

/// QEMU connects the ports in their order.
async fn accept(listener: &UnixListener, ports: usize) -> io::Result<[Port; 2]> {
    let mut both = [Port::default(), Port { is_second: true, ..Port::default() }];
    for port in both.iter_mut().take(ports) {
        port.stream = Some(listener.accept().await?.0);
    }
    Ok(both)
}

/// One serial port.
#[derive(Default)]
struct Port {
    stream: Option<UnixStream>,
    is_second: bool,
    /// The beginning of a line of the second port.
    pending: Vec<u8>,
}

impl Port {
    /// The next bytes for the log. Never resolves once the port is closed.
    async fn read(&mut self) -> io::Result<Vec<u8>> {
        let Some(stream) = &mut self.stream else { return std::future::pending().await };
        let mut chunk = Vec::with_capacity(CHUNK);
        if stream.read_buf(&mut chunk).await? == 0 {
            self.stream = None;
            return Ok(std::mem::take(&mut self.pending));
        }
        if !self.is_second {
            return Ok(chunk);
        }
        self.pending.append(&mut chunk);
        match self.pending.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => Ok(self.pending.drain(..=end).collect()),
            None if self.pending.len() > LINE => Ok(std::mem::take(&mut self.pending)),
            None => Ok(Vec::new()),
        }
    }
}

/// Continues to read when the log cannot be written, so that the guest does not block.
async fn record(
    [mut first, mut second]: [Port; 2],
    mut log: Middle,
    progress: &watch::Sender<Progress>,
) -> io::Result<()> {
    let mut failed = None;
    let mut is_second_last = false;
    while first.stream.is_some() || second.stream.is_some() {
        let (mut piece, is_second) = tokio::select! {
            piece = first.read() => (piece?, false),
            piece = second.read() => (piece?, true),
        };
        let bytes = piece.len() as u64;
        if bytes == 0 {
            continue;
        }
        if is_second != is_second_last && !log.ends_with_line {
            piece.insert(0, b'\n');
        }
        is_second_last = is_second;
        if failed.is_none() {
            let work = move || {
                let added = log.add(&piece);
                (log, added)
            };
            let (back, added) =
                tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?;
            log = back;
            failed = added.err();
        }
        progress.send_modify(|progress| {
            progress.received += bytes;
            progress.cut = log.cut;
        });
    }
    failed.map_or(Ok(()), Err)
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// A file that drops its middle when it becomes too long.
#[derive(Debug)]
struct Middle {
    file: File,
    length: u64,
    most: u64,
    part: u64,
    /// Dropped bytes, and the size of the line in the file that reports them.
    cut: u64,
    remark: u64,
    ends_with_line: bool,
}

impl Middle {
    /// The file's existing content stays as its beginning.
    fn open(path: &Path, most: u64, part: u64) -> io::Result<Self> {
        let file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file, length, most, part, cut: 0, remark: 0, ends_with_line: true })
    }

    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.length)?;
        self.length += bytes.len() as u64;
        self.ends_with_line = bytes.ends_with(b"\n");
        if self.length > self.most { self.lose_middle() } else { Ok(()) }
    }

    fn lose_middle(&mut self) -> io::Result<()> {
        let part = usize::try_from(self.part).map_err(io::Error::other)?;
        let mut end = vec![0; part];
        self.file.read_exact_at(&mut end, self.length - self.part)?;
        self.cut += self.length - 2 * self.part - self.remark;
        let remark = format!("\n… {} bytes of the console are left out here …\n", self.cut);
        self.remark = remark.len() as u64;
        // The end is written before the file shrinks, so that it is never lost.
        self.file.write_all_at(remark.as_bytes(), self.part)?;
        self.file.write_all_at(&end, self.part + self.remark)?;
        self.length = 2 * self.part + self.remark;
        self.file.set_len(self.length)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[test]
    fn long_log_drops_the_middle_and_reports_its_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = Middle::open(&path, 400, 100).unwrap();
        for number in 0..10_000 {
            log.add(format!("{number:09}\n").as_bytes()).unwrap();
            assert!(fs::metadata(&path).unwrap().len() <= 400);
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("000000000\n000000001\n"), "{text}");
        assert!(text.ends_with("000009998\n000009999\n"), "{text}");
        let remaining = text.lines().filter(|line| line.len() == 9).count() as u64;
        let left_out = format!("… {} bytes of the console", (10_000 - remaining) * 10);
        assert!(text.contains(&left_out), "{text}");
    }

    #[tokio::test]
    async fn flooding_console_is_bounded_and_ends_with_the_last_line() {
        let dir = tempfile::tempdir().unwrap();
        let console = Console::open(dir.path(), 1).unwrap();
        let mut qemu = UnixStream::connect(dir.path().join(SERIAL_SOCKET)).await.unwrap();
        qemu.write_all(b"booting\n").await.unwrap();
        let flood = b"y\n".repeat(CHUNK);
        for _ in 0..512 {
            qemu.write_all(&flood).await.unwrap();
        }
        qemu.write_all(b"Kernel panic\n").await.unwrap();
        console.caught_up().await;
        let log = dir.path().join(SERIAL_LOG);
        assert!(fs::metadata(&log).unwrap().len() <= MOST);
        assert_eq!(crate::serial::tail(&log, 1), ["Kernel panic"]);
        assert!(fs::read(&log).unwrap().starts_with(b"booting\n"));
    }

    #[tokio::test]
    async fn second_port_adds_whole_lines_between_those_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let console = Console::open(dir.path(), 2).unwrap();
        let socket = dir.path().join(SERIAL_SOCKET);
        let mut first = UnixStream::connect(&socket).await.unwrap();
        let mut second = UnixStream::connect(&socket).await.unwrap();
        let mut progress = console.progress();
        let mut sent = 0;
        for (port, text) in
            [(1, "boot\nSAC>"), (2, "gold"), (1, " ch\nSAC>"), (2, "smith ready\nx")]
        {
            let port = if port == 1 { &mut first } else { &mut second };
            port.write_all(text.as_bytes()).await.unwrap();
            // What a port holds back is not reported.
            if text != "gold" {
                sent += text.trim_end_matches('x').len();
                let all = u64::try_from(sent).unwrap();
                let more = async { progress.wait_for(|now| now.received >= all).await.map(drop) };
                more.await.unwrap();
            }
        }
        drop((first, second, console));
        while progress.changed().await.is_ok() {}
        let text = fs::read_to_string(dir.path().join(SERIAL_LOG)).unwrap();
        assert_eq!(text, "boot\nSAC> ch\nSAC>\ngoldsmith ready\nx");
    }
}
