#![allow(clippy::disallowed_methods, reason = "the relay runs on this machine, as in a guest")]

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
};
use vm::{Exit, Sink};

use super::*;
use crate::{event::Events, layout::Layout};

const HERE: Place = Place { address: "127.0.0.1", port: 0, bring: false };

/// This machine as a guest. What it says of its port is kept.
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
        sink: &mut Sink<'_>,
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
        let (mut answers, mut said, mut told) = ([0; 4096], [0; 4096], [0; 4096]);
        loop {
            tokio::select! {
                read = reader.read(&mut answers), if input.is_some() => match read.unwrap() {
                    0 => input = None,
                    n => input.as_mut().unwrap().write_all(&answers[..n]).await.unwrap(),
                },
                read = err.read(&mut told) => {
                    let text = String::from_utf8_lossy(&told[..read.unwrap()]).into_owned();
                    if let Some(port) = text.trim().strip_prefix("port ") {
                        *self.port.lock().unwrap() = port.parse().ok();
                    }
                    sink(StreamKind::Err, text.as_bytes());
                    if text.is_empty() {
                        break;
                    }
                }
                read = out.read(&mut said) => sink(StreamKind::Out, &said[..read.unwrap()]),
            }
        }
        let status = child.wait().await.unwrap();
        Ok(Exit { code: status.code(), signal: None })
    }
}

/// Says back what it was asked.
#[derive(Debug)]
struct Echo;

#[async_trait]
impl Metadata for Echo {
    async fn answer(&self, asked: &Asked, time_left: Duration) -> Answer {
        let body = format!("{asked:?} {}", time_left.is_zero());
        Answer { status: 418, content_type: "text/plain", body }
    }
}

fn cx() -> Cx {
    let layout = Layout::new("/nowhere".into(), "/nowhere".into());
    Cx::new(layout, Events::none(), CancellationToken::new())
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
async fn a_request_in_the_guest_is_answered_by_the_host() {
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
    // Several at once, each with its own answer.
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
    async fn run(&self, _: &str, _: Stdin<'_>, sink: &mut Sink<'_>) -> Result<Exit, vm::Error> {
        sink(StreamKind::Err, b"there is no Python\n");
        Ok(Exit { code: Some(127), signal: None })
    }
}

#[tokio::test]
async fn a_guest_without_python_is_told() {
    let error = Relay::start(&cx(), Box::new(Bare), Arc::new(Echo), HERE).await.unwrap_err();
    assert!(error.message.contains("exited with status 127"), "{error}");
    assert_eq!(error.details, ["there is no Python"]);
}

#[test]
fn a_line_without_an_end_does_not_fill_the_memory() {
    let (send, mut lines) = mpsc::unbounded_channel();
    let mut pending = Vec::new();
    split(&mut pending, b"one\ntw", &send);
    split(&mut pending, b"o\n", &send);
    assert_eq!(lines.try_recv().unwrap(), "one");
    assert_eq!(lines.try_recv().unwrap(), "two");
    split(&mut pending, &vec![b'x'; LONGEST_LINE + 1], &send);
    assert!(pending.is_empty());
}
