//! Each recorded conversation with a shell of `cmd.exe` is held again.
//!
//! The recorded answers come in their order for each kind of request, and each request is compared with
//! the recorded one of its kind. One request is never recorded: the end of an empty input. Left out
//! are two recordings without a command: one asks for output without one, one makes and ends a shell.

use std::{
    collections::VecDeque,
    ops::ControlFlow,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::StatusCode;
use tokio::sync::watch;

use super::{
    recordings::{self, Pair, between},
    requests::known,
};
use crate::{
    Error, Input, Output, Stream,
    channel::{Answer, Channel, Connect},
    run::run,
    soap::{
        request::Letterhead,
        xml::{self, Element},
    },
};

/// Answers with what was recorded.
#[derive(Clone)]
struct Replay {
    rest: Arc<Mutex<VecDeque<Pair>>>,
    asked: Arc<Mutex<Vec<String>>>,
    stdin: Arc<Mutex<Vec<u8>>>,
    /// Whether the input has ended: a command reads all of it before it writes.
    ended: watch::Sender<bool>,
}

impl Replay {
    fn new(pairs: &[Pair]) -> Self {
        Self {
            rest: Arc::new(Mutex::new(pairs.iter().cloned().collect())),
            asked: Arc::default(),
            stdin: Arc::default(),
            ended: watch::Sender::new(false),
        }
    }

    fn send(&self, text: &str) {
        let bytes = BASE64_STANDARD.decode(between(text, "Name=\"stdin\">", "<")).unwrap();
        self.stdin.lock().unwrap().extend(bytes);
        self.ended.send_replace(text.contains("End=\"True\""));
    }
}

#[async_trait]
impl Connect for Replay {
    async fn connect(&self) -> Result<Box<dyn Channel>, Error> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Channel for Replay {
    async fn post(&mut self, envelope: Bytes) -> Result<Answer, Error> {
        let text = String::from_utf8(envelope.to_vec()).unwrap();
        let action = action(&text).to_owned();
        match action.as_str() {
            "Send" => self.send(&text),
            "Receive" => drop(self.ended.subscribe().wait_for(|ended| *ended).await),
            _ => {}
        }
        let mut rest = self.rest.lock().unwrap();
        let at = rest.iter().position(|pair| pair.action() == action);
        let Some(pair) = at.and_then(|at| rest.remove(at)) else {
            assert_eq!(action, "Send", "not recorded: {text}");
            return Ok(Answer { status: StatusCode::OK, body: EMPTY.into() });
        };
        self.asked.lock().unwrap().push(action);
        let recorded = pair.request.replace(NO_COMMAND.0, NO_COMMAND.1);
        assert_eq!(comparable(&text), comparable(&recorded));
        Ok(pair.answer().unwrap())
    }

    async fn is_open(&mut self) -> bool {
        true
    }
}

/// In one recording, pypsrp asks on purpose for the output of another command than the one it started.
const NO_COMMAND: (&str, &str) =
    ("87E77BEB-6761-4C48-9D70-A00266B8459A", "644983A8-4292-4922-97E9-D569C2170784");

/// An answer without anything in it.
const EMPTY: &str =
    "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\"><s:Body/></s:Envelope>";

/// An envelope without what may differ, and without where a piece of input ends.
fn comparable(text: &str) -> Element {
    let mut envelope = known(xml::parse(text.as_bytes()).unwrap());
    for stream in envelope.children.iter_mut().flat_map(|part| &mut part.children) {
        for child in &mut stream.children {
            child.attributes.retain(|(name, _)| name != "End");
        }
    }
    envelope
}

fn action(text: &str) -> &str {
    between(text, "Action s:mustUnderstand=\"true\">", "<").rsplit('/').next().unwrap()
}

#[derive(Default)]
struct Kept {
    out: Vec<u8>,
    err: Vec<u8>,
}

#[async_trait]
impl Output for Kept {
    async fn take(&mut self, stream: Stream, bytes: &[u8]) -> ControlFlow<()> {
        match stream {
            Stream::Out => self.out.extend_from_slice(bytes),
            Stream::Err => self.err.extend_from_slice(bytes),
        }
        ControlFlow::Continue(())
    }
}

/// How a command ended, and what it wrote to both streams.
type End = (Result<u32, String>, String, String);

/// Holds the conversation, as far as it is about one command; checks the order of its requests.
async fn hold(pairs: &[Pair]) -> End {
    let replay = Replay::new(pairs);
    let connect: Arc<dyn Connect> = Arc::new(replay.clone());
    let recorded: Vec<u8> =
        pairs.iter().filter(|pair| pair.action() == "Send").fold(Vec::new(), |mut all, pair| {
            let piece = between(&pair.request, "Name=\"stdin\">", "<");
            all.extend(BASE64_STANDARD.decode(piece).unwrap());
            all
        });
    let command = pairs.iter().find(|pair| pair.action() == "Command").unwrap();
    let command = between(&command.request, "<rsp:Command>", "<");
    let letterhead = Letterhead::new("http://guest/wsman".to_owned(), Duration::from_secs(20));
    let mut kept = Kept::default();
    let code = run(&connect, letterhead, command, Input::Bytes(&recorded), &mut kept).await;
    // After an error the shell is ended in the background.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    let mut expected: Vec<_> = pairs.iter().map(|pair| pair.action().to_owned()).collect();
    // The same input goes in fewer pieces.
    expected.dedup_by(|one, other| one == other && one == "Send");
    assert_eq!(*replay.asked.lock().unwrap(), expected);
    assert_eq!(*replay.stdin.lock().unwrap(), recorded);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (code.map_err(|error| format!("{error:?}")), text(kept.out), text(kept.err))
}

/// What pypsrp's own tests expect of its client, for the whole output (with `=`) or for parts of it.
fn expected(
    name: &str,
    number: usize,
) -> (Result<u32, &'static str>, Vec<&'static str>, &'static str) {
    let (code, out, err): (_, &[_], _) = match (name, number) {
        ("test_client_copy_file" | "test_client_copy_expand_vars", 0) => {
            (Ok(0), &["=abcdefghijklmnopqrstuvwxyz\r\n"], "")
        }
        ("test_client_copy_file" | "test_client_copy_expand_vars", 1)
        | ("test_client_copy_file_empty", 0 | 1)
        | ("test_client_copy_file_warning", 0) => (Ok(0), &["="], ""),
        ("test_client_execute_cmd", 0) => (Ok(0), &["Volume in drive C"], ""),
        ("test_client_execute_cmd", 1) => (Ok(0), &["=abc\r\n"], ""),
        ("test_client_execute_cmd_environment", 0) => {
            (Ok(0), &["string=string value", "int=1234", "double_quote=double \" quote"], "")
        }
        ("test_winrs_bad_cmd_id", 0) => (Err("ShellGone"), &["="], ""),
        ("test_winrs_environment", 0) => (Ok(0), &["env1=var1", "1234=5678"], ""),
        ("test_winrs_extra_opts", 0) => (Ok(0), &["=C:\\Windows\r\n"], ""),
        ("test_winrs_no_cmd_shell", 0) => (Err("Fault { code: Some(2147942402)"), &["="], ""),
        ("test_winrs_no_cmd_shell", 1) => (Ok(0), &["=hi\n"], ""),
        ("test_winrs_noprofile", 0) => (Ok(0), &["USERPROFILE=C:\\Users\\Default"], ""),
        ("test_winrs_operation_timeout", 0) => (Ok(0), &["=hi\nhi again\n"], ""),
        ("test_winrs_send", 0) => (Ok(0), &["=output 1\noutput 2\n"], ""),
        ("test_winrs_standard", 0) => (Ok(0), &["=hi\r\n"], ""),
        ("test_winrs_stderr_rc", 0) => (Ok(1), &["=out \r\n"], "err \r\n"),
        ("test_winrs_unicode", 0) => (Ok(0), &["=\u{3053}\u{3093}\u{306b}\u{3061}\u{306f}\n"], ""),
        other => panic!("{other:?} is not expected"),
    };
    (code, out.to_vec(), err)
}

/// The parts of a recording that are about one command each.
fn parts(pairs: &[Pair]) -> Vec<Vec<Pair>> {
    let mut parts: Vec<Vec<Pair>> = Vec::new();
    for pair in pairs.iter().filter(|pair| pair.request.contains("windows/shell/cmd<")) {
        match (pair.action(), parts.last_mut()) {
            ("Create", _) | (_, None) => parts.push(vec![pair.clone()]),
            (_, Some(part)) => part.push(pair.clone()),
        }
    }
    parts.into_iter().flat_map(separate).collect()
}

/// A shell with two commands, the first refused, becomes two shells with one.
fn separate(part: Vec<Pair>) -> Vec<Vec<Pair>> {
    let commands: Vec<_> = part
        .iter()
        .enumerate()
        .filter(|(_, pair)| pair.action() == "Command")
        .map(|(at, _)| at)
        .collect();
    match commands[..] {
        [] => vec![],
        [_] => vec![part],
        [first, second] => {
            let refused = vec![part[0].clone(), part[first].clone(), part[part.len() - 1].clone()];
            let ran = [&part[..1], &part[second..]].concat();
            vec![refused, ran]
        }
        _ => panic!("a shell with {} commands", commands.len()),
    }
}

#[tokio::test]
async fn all_recorded_commands_of_cmd_run_again() {
    let mut held = 0;
    for recording in recordings::all() {
        for (number, pairs) in parts(&recording.pairs).iter().enumerate() {
            let (code, out, err) = hold(pairs).await;
            let (expected_code, lines, expected_err) = expected(&recording.name, number);
            let at = format!("{} {number}: {code:?} {out:?} {err:?}", recording.name);
            match (&code, expected_code) {
                (Ok(code), Ok(expected)) => assert_eq!(*code, expected, "{at}"),
                (Err(error), Err(expected)) => assert!(error.starts_with(expected), "{at}"),
                _ => panic!("{at}"),
            }
            for line in lines {
                match line.strip_prefix('=') {
                    Some(whole) => assert_eq!(out, whole, "{at}"),
                    None => assert!(out.contains(line), "{line:?} in {at}"),
                }
            }
            assert_eq!(err, expected_err, "{at}");
            held += 1;
        }
    }
    assert_eq!(held, 21);
}
