//! A service without a network. It answers each kind of request with what a test gives it, in order.

use std::{
    collections::{HashMap, VecDeque},
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::StatusCode;
use tokio::sync::Notify;

use crate::{
    Error, Input, Output, Stream,
    channel::{Answer, Channel, Connect},
    run::run,
    soap::request::Letterhead,
};

/// What the service does with a request.
#[derive(Clone)]
pub(super) enum Do {
    /// Answers with this in the body.
    Answer(String),
    /// Refuses with this number.
    Fault(u32),
    /// Ends the connection.
    Cut,
    /// Does nothing any more.
    Nothing,
    /// Waits for this first.
    After(Arc<Notify>, Box<Do>),
}

#[derive(Default)]
pub(super) struct State {
    script: HashMap<String, VecDeque<Do>>,
    /// The kinds of requests, in the order of their arrival.
    pub(super) asked: Vec<String>,
    /// The pieces of the input.
    pub(super) pieces: Vec<Vec<u8>>,
    pub(super) largest_envelope: usize,
    pub(super) connections: usize,
    /// When true, each connection ends after an answer.
    pub(super) one_answer_each: bool,
}

/// The service; its clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Service(Arc<Mutex<State>>);

impl Service {
    /// A service that runs any command, without output, with the exit code 0.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// The next request of this kind gets this; requests without a plan get the usual answer.
    pub(super) fn then(self, kind: &str, what: Do) -> Self {
        self.state().script.entry(kind.to_owned()).or_default().push_back(what);
        self
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.state().asked.clone()
    }

    pub(super) fn connect(&self) -> Arc<dyn Connect> {
        Arc::new(self.clone())
    }

    pub(super) async fn run(
        &self,
        stdin: Input<'_>,
        output: &mut dyn Output,
    ) -> Result<u32, Error> {
        let letterhead = Letterhead::new("https://guest/wsman".to_owned(), Duration::from_secs(20));
        run(&self.connect(), letterhead, "whoami", stdin, output).await
    }

    /// Until so many requests have arrived; the runtime's other tasks go on meanwhile.
    pub(super) async fn until_asked(&self, kind: &str) {
        for _ in 0..10_000 {
            if self.state().asked.iter().any(|asked| asked == kind) {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{kind} was not asked, but {:?}", self.asked());
    }
}

#[async_trait]
impl Connect for Service {
    async fn connect(&self) -> Result<Box<dyn Channel>, Error> {
        self.state().connections += 1;
        Ok(Box::new(Line { service: self.clone(), is_open: true }))
    }
}

struct Line {
    service: Service,
    is_open: bool,
}

#[async_trait]
impl Channel for Line {
    async fn post(&mut self, envelope: Bytes) -> Result<Answer, Error> {
        assert!(self.is_open, "a closed connection is used");
        let text = std::str::from_utf8(&envelope).unwrap();
        let action = text.split("</wsa:Action>").next().unwrap();
        let kind = action.rsplit('/').next().unwrap().to_owned();
        let mut what = {
            let mut state = self.service.state();
            state.asked.push(kind.clone());
            state.largest_envelope = state.largest_envelope.max(envelope.len());
            if kind == "Send" {
                let piece = text.split("Name=\"stdin\">").nth(1).unwrap();
                let piece = BASE64_STANDARD.decode(piece.split('<').next().unwrap()).unwrap();
                state.pieces.push(piece);
            }
            self.is_open = !state.one_answer_each;
            state.script.get_mut(&kind).and_then(VecDeque::pop_front)
        };
        loop {
            what = match what {
                Some(Do::Answer(body)) => return Ok(answer(StatusCode::OK, &body)),
                Some(Do::Fault(code)) => return Ok(fault(code)),
                Some(Do::Cut) => return Err(Error::Cut { during: String::new(), source: None }),
                Some(Do::Nothing) => std::future::pending().await,
                Some(Do::After(notify, then)) => {
                    notify.notified().await;
                    Some(*then)
                }
                None => Some(Do::Answer(usual(&kind))),
            };
        }
    }

    async fn is_open(&mut self) -> bool {
        self.is_open
    }
}

fn answer(status: StatusCode, body: &str) -> Answer {
    let body = format!(
        "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
         xmlns:a=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" \
         xmlns:x=\"http://schemas.xmlsoap.org/ws/2004/09/transfer\" \
         xmlns:w=\"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd\" \
         xmlns:rsp=\"http://schemas.microsoft.com/wbem/wsman/1/windows/shell\">\
         <s:Header/><s:Body>{body}</s:Body></s:Envelope>"
    );
    Answer { status, body: body.into() }
}

fn fault(code: u32) -> Answer {
    let body = format!(
        "<s:Fault><s:Code><s:Value>s:Receiver</s:Value></s:Code><s:Reason><s:Text>no</s:Text></s:Reason>\
         <s:Detail><f:WSManFault xmlns:f=\"http://schemas.microsoft.com/wbem/wsman/1/wsmanfault\" \
         Code=\"{code}\"><f:Message>refused\r\n</f:Message></f:WSManFault></s:Detail></s:Fault>"
    );
    answer(StatusCode::INTERNAL_SERVER_ERROR, &body)
}

fn usual(kind: &str) -> String {
    match kind {
        "Create" => {
            "<x:ResourceCreated><a:ReferenceParameters><w:ResourceURI>urn:shell</w:ResourceURI>\
                     <w:SelectorSet><w:Selector Name=\"ShellId\">S</w:Selector></w:SelectorSet>\
                     </a:ReferenceParameters></x:ResourceCreated>"
                .to_owned()
        }
        "Command" => {
            "<rsp:CommandResponse><rsp:CommandId>C</rsp:CommandId></rsp:CommandResponse>".to_owned()
        }
        "Receive" => done("0"),
        kind => format!("<rsp:{kind}Response/>"),
    }
}

/// A piece of output.
pub(super) fn out(text: &[u8]) -> Do {
    Do::Answer(format!("<rsp:ReceiveResponse>{}</rsp:ReceiveResponse>", stream("stdout", text)))
}

pub(super) fn stream(name: &str, text: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(text);
    format!("<rsp:Stream Name=\"{name}\" CommandId=\"c\">{text}</rsp:Stream>")
}

/// The end of a command.
pub(super) fn done(code: &str) -> String {
    format!("<rsp:ReceiveResponse>{}</rsp:ReceiveResponse>", state(code))
}

pub(super) fn state(code: &str) -> String {
    let done = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/CommandState/Done";
    format!(
        "<rsp:CommandState CommandId=\"C\" State=\"{done}\"><rsp:ExitCode>{code}</rsp:ExitCode></rsp:CommandState>"
    )
}

/// Keeps the output. Breaks when it has more than `most`.
pub(super) struct Kept {
    pub(super) bytes: Vec<(Stream, Vec<u8>)>,
    pub(super) most: usize,
    /// What to wait for before each piece is taken.
    pub(super) wait: Option<Arc<Notify>>,
    /// Whom to tell that a piece has arrived.
    pub(super) tell: Option<Arc<Notify>>,
}

impl Default for Kept {
    fn default() -> Self {
        Self { bytes: Vec::new(), most: usize::MAX, wait: None, tell: None }
    }
}

#[async_trait]
impl Output for Kept {
    async fn take(&mut self, stream: Stream, bytes: &[u8]) -> ControlFlow<()> {
        if let Some(wait) = &self.wait {
            wait.notified().await;
        }
        if let Some(tell) = &self.tell {
            tell.notify_one();
        }
        self.bytes.push((stream, bytes.to_vec()));
        let all: usize = self.bytes.iter().map(|(_, bytes)| bytes.len()).sum();
        if all > self.most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
