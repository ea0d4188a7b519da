//! A running executable and its machines.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::Done;

/// The deadline that ends a broken test.
const PATIENCE: Duration = Duration::from_secs(600);

/// A running executable whose JSON lines are read as they arrive.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    stderr: JoinHandle<String>,
    received: Vec<String>,
}

impl Running {
    /// Starts a command.
    pub fn start(mut command: Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let stdout = child.stdout.take().expect("it was piped");
        let mut stderr = child.stderr.take().expect("it was piped");
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        Self { child, lines, stderr, received: Vec::new() }
    }

    /// Waits for an object that matches.
    pub fn wait_for(&mut self, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => panic!("no {what} in time"),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("it ended without {what}:\n{}", self.received.join("\n"))
                }
            };
            self.received.push(line.clone());
            if let Ok(value) = serde_json::from_str::<Value>(&line)
                && matches(&value)
            {
                return value;
            }
        }
    }

    /// Waits until a step has started.
    pub fn wait_for_step(&mut self, step: &str) {
        self.wait_for(step, |event| event["kind"] == "stepStarted" && event["step"] == step);
    }

    /// Waits until a guest's command has printed a line.
    pub fn wait_for_output(&mut self, text: &str) {
        self.wait_for(text, |event| event["kind"] == "stepOutput" && event["text"] == text);
    }

    /// Sends a signal to this process only.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it is ours");
    }

    /// The resident memory in bytes.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.expect("a size") * 1024
    }

    pub fn end(mut self) -> Done {
        let status = self.child.wait().expect("it is ours");
        self.received.extend(self.lines.iter());
        Done {
            code: status.code().unwrap_or(-1),
            stdout: self.received.join("\n"),
            stderr: self.stderr.join().unwrap_or_default(),
        }
    }

    /// Waits for its end and fails if it takes longer than `limit`.
    pub fn end_within(self, limit: Duration) -> Done {
        let asked = Instant::now();
        let done = self.end();
        let took = asked.elapsed();
        assert!(took < limit, "it took {took:?} to end\n{}", done.stderr);
        done
    }
}

/// Polls until `done` returns true, for changes without an event.
pub fn wait_for(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < deadline, "no {what} within {limit:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The command lines of QEMU processes with files below `folder`.
pub fn running_machines(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("Linux").map_while(Result::ok) {
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains("qemu-system") && line.contains(&*folder.to_string_lossy()) {
            lines.push(line);
        }
    }
    lines
}
