#![allow(clippy::disallowed_methods, reason = "the relay runs on this machine, as in a guest")]

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
};

use images::{event::Events, layout::Layout};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
};
use vm::{Exit, Sink};

use super::*;

const HERE: Endpoint = Endpoint { address: "127.0.0.1", port: 0, bring: false };

/// This host as a guest. Stores the port that the relay reports.
#[derive(Default)]
struct Here {
    port: Arc<Mutex<Option<u16>>>,
}

#[async_trait]
impl Guest for Here {
    async fn run(
        &self,
        command: &str,
        stdin: Stdin<'_>,
        sink: &mut dyn Sink,
    ) -> Result<Exit, vm::Error> {
        let mut child = Command::new("sh")
            .args(["-c", command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (mut input, mut out, mut err) =
            (child.stdin.take(), child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let Stdin::Reader(reader) = stdin else { panic!("the relay reads its answers") };
        let (mut answers, mut said, mut errors) = ([0; 4096], [0; 4096], [0; 4096]);
        loop {
            tokio::select! {
                read = reader.read(&mut answers), if input.is_some() => match read.unwrap() {
                    0 => input = None,
                    n => input.as_mut().unwrap().write_all(&answers[..n]).await.unwrap(),
                },
                read = err.read(&mut errors) => {
                    let text = String::from_utf8_lossy(&errors[..read.unwrap()]).into_owned();
                    if let Some(port) = text.trim().strip_prefix("port ") {
                        *self.port.lock().unwrap() = port.parse().ok();
                    }
                    let _ = sink.take(StreamKind::Err, text.as_bytes()).await;
                    if text.is_empty() {
                        break;
                    }
                }
                read = out.read(&mut said) => {
                    let _ = sink.take(StreamKind::Out, &said[..read.unwrap()]).await;
                }
            }
        }
        let status = child.wait().await.unwrap();
        Ok(Exit { code: status.code().map(i32::cast_unsigned), signal: None })
    }
}

/// Echoes each request.
#[derive(Debug)]
struct Echo;

#[async_trait]
impl Metadata for Echo {
    async fn answer(&self, asked: &Asked, time_left: Duration) -> Answer {
        let body = format!("{asked:?} {}", time_left.is_zero());
        Answer { status: 418, content_type: "text/plain", body }
    }
}

fn cx() -> RunContext {
    let layout = Layout::new("/nowhere".into(), "/nowhere".into());
    RunContext::new(layout, Events::none(), CancellationToken::new())
}

async fn get(port: u16, headers: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("GET /metadata/a?b=c%20d HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn request_in_the_guest_is_answered_by_the_host() {
    let guest = Here::default();
    let port = guest.port.clone();
    let relay = Relay::start(&cx(), Box::new(guest), Arc::new(Echo), HERE).await.unwrap();
    let port = port.lock().unwrap().unwrap();
    let answer = get(port, "metadata: TRUE\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 418 "), "{answer}");
    for part in [
        "method: \"GET\"",
        "target: \"/metadata/a?b=c%20d\"",
        "metadata: true",
        "forwarded: false",
        " false",
    ] {
        assert!(answer.contains(part), "{part} in {answer}");
    }
    // Concurrent requests, each with its own answer.
    let (one, two) = tokio::join!(get(port, "X-Forwarded-For: y\r\n"), get(port, ""));
    assert!(one.contains("metadata: false, forwarded: true"), "{one}");
    assert!(two.contains("metadata: false, forwarded: false"), "{two}");
    relay.stop().await.unwrap();
    TcpStream::connect(("127.0.0.1", port)).await.expect_err("the relay is gone");
}

/// A guest in which the command fails.
struct Bare;

#[async_trait]
impl Guest for Bare {
    async fn run(&self, _: &str, _: Stdin<'_>, sink: &mut dyn Sink) -> Result<Exit, vm::Error> {
        let _ = sink.take(StreamKind::Err, b"there is no Python\n").await;
        Ok(Exit { code: Some(127), signal: None })
    }
}

#[tokio::test]
async fn guest_without_python_is_reported() {
    let error = Relay::start(&cx(), Box::new(Bare), Arc::new(Echo), HERE).await.unwrap_err();
    assert!(error.message.contains("exited with status 127"), "{error}");
    assert_eq!(error.details, ["there is no Python"]);
}

fn requests() -> (Requests, mpsc::Receiver<String>) {
    let (lines, receiver) = mpsc::channel(WAITING);
    (Requests { pending: Vec::new(), said: Bounded::new(10), lines }, receiver)
}

#[tokio::test]
async fn endless_line_disconnects_the_guest() {
    let (mut requests, mut lines) = requests();
    assert!(requests.take(StreamKind::Out, b"one\ntw").await.is_continue());
    assert!(requests.take(StreamKind::Out, b"o\n").await.is_continue());
    assert_eq!(lines.try_recv().unwrap(), "one");
    assert_eq!(lines.try_recv().unwrap(), "two");
    assert!(requests.take(StreamKind::Out, &vec![b'x'; LONGEST_LINE]).await.is_continue());
    assert!(requests.take(StreamKind::Out, b"x").await.is_break());
}

/// A guest that runs another program in place of relay.py.
struct Rogue {
    line: &'static str,
    sent: Arc<std::sync::atomic::AtomicU64>,
}

#[async_trait]
impl Guest for Rogue {
    async fn run(&self, _: &str, stdin: Stdin<'_>, sink: &mut dyn Sink) -> Result<Exit, vm::Error> {
        // Releasable open, and never read.
        let _stdin = stdin;
        let _ = sink.take(StreamKind::Out, b"ready\n").await;
        loop {
            if sink.take(StreamKind::Out, self.line.as_bytes()).await.is_break() {
                return Err(vm::Error::TooMuchOutput);
            }
            self.sent.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    }
}

const REQUEST: &str =
    "{\"id\":1,\"method\":\"GET\",\"target\":\"/\",\"metadata\":true,\"forwarded\":false}\n";

async fn cut_off(line: &'static str) -> (String, u64) {
    let sent = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let (events, mut receiver) = Events::channel();
    let layout = Layout::new("/nowhere".into(), "/nowhere".into());
    let cx = RunContext::new(layout, events, CancellationToken::new());
    let guest = Box::new(Rogue { line, sent: sent.clone() });
    let relay = Relay::start(&cx, guest, Arc::new(Echo), HERE).await.unwrap();
    let Some(images::event::Event::Warning { text }) = receiver.recv().await else {
        panic!("no warning");
    };
    relay.stop().await.unwrap();
    (text, sent.load(std::sync::atomic::Ordering::Relaxed))
}

#[tokio::test]
async fn flooding_guest_is_disconnected_with_a_warning() {
    let (text, sent) = cut_off(REQUEST).await;
    assert!(text.contains("more requests at once"), "{text}");
    assert!(sent <= 2 * WAITING as u64, "{sent} requests were taken");
}

#[tokio::test]
async fn guest_with_invalid_requests_is_disconnected_with_a_warning() {
    let (text, sent) = cut_off("y\n").await;
    assert!(text.contains("an invalid request"), "{text}");
    assert!(sent <= 2 * WAITING as u64, "{sent} lines were taken");
}

/// Sends requests at the pace of the answers, and reads no answer.
struct Deaf;

#[async_trait]
impl Guest for Deaf {
    async fn run(&self, _: &str, stdin: Stdin<'_>, sink: &mut dyn Sink) -> Result<Exit, vm::Error> {
        let _stdin = stdin;
        let _ = sink.take(StreamKind::Out, b"ready\n").await;
        loop {
            if sink.take(StreamKind::Out, REQUEST.as_bytes()).await.is_break() {
                return Err(vm::Error::TooMuchOutput);
            }
            tokio::time::sleep(PACE * 2).await;
        }
    }
}

/// An answer that fills half of the room.
#[derive(Debug)]
struct Long;

#[async_trait]
impl Metadata for Long {
    async fn answer(&self, _: &Asked, _: Duration) -> Answer {
        Answer { status: 200, content_type: "text/plain", body: "x".repeat(LONGEST_LINE / 2) }
    }
}

#[tokio::test(start_paused = true)]
async fn guest_that_reads_no_answers_is_disconnected_or_stopped() {
    let (events, mut receiver) = Events::channel();
    let layout = Layout::new("/nowhere".into(), "/nowhere".into());
    let cx = RunContext::new(layout, events, CancellationToken::new());
    let relay = Relay::start(&cx, Box::new(Deaf), Arc::new(Long), HERE).await.unwrap();
    let Some(images::event::Event::Warning { text }) = receiver.recv().await else {
        panic!("no warning");
    };
    assert!(text.contains("is cut off"), "{text}");
    relay.stop().await.unwrap();
}
