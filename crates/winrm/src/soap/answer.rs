//! Reads answers.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::StatusCode;

use super::{
    names,
    request::Shell,
    xml::{self, Element},
};
use crate::{Error, Stream, channel::Answer};

/// The operation took longer than its time limit: for output, ask again.
const TIMED_OUT: u32 = 2_150_858_793;
/// There is no such shell, or no such command in it.
const NO_SUCH_SHELL: u32 = 2_150_858_843;
/// `ERROR_BUSY`: an earlier piece of input still waits for the command to read it.
const BUSY: u32 = 170;
const DONE: &str = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/CommandState/Done";
const LONGEST_MESSAGE: usize = 500;

/// What an answer holds.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The body of what was asked for.
    Body(Element),
    /// The service refuses.
    Fault(Fault),
}

/// Why the service refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Windows's number of the fault.
    pub(crate) code: Option<u32>,
    /// What the service says about it, without line ends.
    pub(crate) message: String,
    timed_out: bool,
}

impl Fault {
    /// Nothing happened within the time limit of the operation.
    pub(crate) fn is_timeout(&self) -> bool {
        self.code.map_or(self.timed_out, |code| code == TIMED_OUT)
    }

    /// The input cannot be taken yet.
    pub(crate) fn is_busy(&self) -> bool {
        self.code == Some(BUSY)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault.code {
            Some(NO_SUCH_SHELL) => Self::ShellGone,
            code => Self::Fault { code, message: fault.message },
        }
    }
}

impl Reply {
    /// Reads an answer. A fault comes with the status 500; any other failure is not SOAP.
    pub(crate) fn read(answer: &Answer) -> Result<Self, Error> {
        let status = answer.status;
        let expected = status.is_success() || status == StatusCode::INTERNAL_SERVER_ERROR;
        match read(&answer.body) {
            Ok(Self::Body(_)) if !status.is_success() => {
                Err(Error::Protocol(format!("HTTP status {status} without a fault")))
            }
            Ok(reply) => Ok(reply),
            Err(_) if !expected => Err(Error::Protocol(format!("HTTP status {status}"))),
            Err(what) => Err(Error::Protocol(format!("the answer cannot be read: {what}"))),
        }
    }

    /// The body, when a fault is an error.
    pub(crate) fn body(self) -> Result<Element, Error> {
        match self {
            Self::Body(body) => Ok(body),
            Self::Fault(fault) => Err(fault.into()),
        }
    }
}

fn read(document: &[u8]) -> Result<Reply, String> {
    let envelope = xml::parse(document)?;
    if !envelope.is(names::SOAP, "Envelope") {
        return Err("it is no SOAP envelope".to_owned());
    }
    let bodies = envelope.children.into_iter();
    let body = bodies.into_iter().find(|child| child.is(names::SOAP, "Body"));
    let body = body.ok_or("it has no body")?;
    let fault = body.child(names::SOAP, "Fault").map(fault);
    Ok(fault.map_or(Reply::Body(body), Reply::Fault))
}

fn fault(fault: &Element) -> Fault {
    let detail = fault.child(names::SOAP, "Detail");
    let windows = detail.and_then(|detail| detail.child(names::FAULT, "WSManFault"));
    let code = windows.and_then(|windows| windows.attribute("Code")?.trim().parse().ok());
    let message = windows.and_then(|windows| windows.child(names::FAULT, "Message"));
    let reason = fault.child(names::SOAP, "Reason");
    let texts = [message, reason].into_iter().flatten().map(line);
    let message = texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
    let subcode = fault.child(names::SOAP, "Code").map(Element::whole_text).unwrap_or_default();
    Fault { code, message, timed_out: subcode.trim_end().ends_with(":TimedOut") }
}

/// The text of an element as a line of a bounded length.
fn line(element: &Element) -> String {
    let text = element.whole_text();
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().filter(|character| !character.is_control()).take(LONGEST_MESSAGE).collect()
}

/// The shell that was made.
pub(crate) fn shell(body: &Element) -> Result<Shell, Error> {
    let reference = body
        .child(names::TRANSFER, "ResourceCreated")
        .and_then(|created| created.child(names::ADDRESSING, "ReferenceParameters"))
        .ok_or_else(|| missing("ReferenceParameters of the new shell"))?;
    let resource = reference.child(names::WSMAN, "ResourceURI");
    let resource = resource.ok_or_else(|| missing("ResourceURI of the new shell"))?;
    let set = reference.child(names::WSMAN, "SelectorSet");
    let selectors: Vec<_> = set
        .into_iter()
        .flat_map(|set| set.all(names::WSMAN, "Selector"))
        .map(|one| (one.attribute("Name").unwrap_or_default().to_owned(), one.text.clone()))
        .collect();
    let length: usize = selectors.iter().map(|(name, value)| name.len() + value.len()).sum();
    if selectors.is_empty() || length + resource.text.len() > 4096 {
        return Err(missing("sensible SelectorSet of the new shell"));
    }
    Ok(Shell { resource: resource.text.trim().to_owned(), selectors })
}

/// The identifier of the command that was started.
pub(crate) fn command(body: &Element) -> Result<String, Error> {
    let id = body
        .child(names::SHELL, "CommandResponse")
        .and_then(|response| response.child(names::SHELL, "CommandId"))
        .map(|id| id.text.trim().to_owned());
    id.filter(|id| !id.is_empty() && id.len() <= 256).ok_or_else(|| missing("CommandId"))
}

/// What a command has written, and whether it has ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    /// In the order of writing.
    pub(crate) output: Vec<(Stream, Vec<u8>)>,
    /// Its exit code when it has ended.
    pub(crate) exit: Option<u32>,
}

/// Reads what the service knows of this command.
pub(crate) fn received(body: &Element, command: &str) -> Result<Received, Error> {
    let response = body.child(names::SHELL, "ReceiveResponse");
    let response = response.ok_or_else(|| missing("ReceiveResponse"))?;
    let mut received = Received::default();
    for piece in response.all(names::SHELL, "Stream").filter(|piece| is_of(piece, command)) {
        let stream = match piece.attribute("Name") {
            Some("stdout") => Stream::Out,
            Some("stderr") => Stream::Err,
            _ => continue,
        };
        let bytes = decode(&piece.text)?;
        if !bytes.is_empty() {
            received.output.push((stream, bytes));
        }
    }
    let mut states = response.all(names::SHELL, "CommandState");
    let state = states.find(|state| is_of(state, command));
    if let Some(state) = state.filter(|state| state.attribute("State") == Some(DONE)) {
        let code = state.child(names::SHELL, "ExitCode").map_or("", |code| code.text.trim());
        received.exit = Some(exit_code(code).ok_or_else(|| {
            let code: String = code.chars().take(40).collect();
            Error::Protocol(format!("a command ended with the exit code {code:?}"))
        })?);
    }
    Ok(received)
}

fn is_of(element: &Element, command: &str) -> bool {
    element.attribute("CommandId").is_none_or(|id| id.trim().eq_ignore_ascii_case(command))
}

/// 32 bits, written with or without a sign. No text is no code: a command whose end is not known must
/// not pass for one that succeeded.
fn exit_code(text: &str) -> Option<u32> {
    text.parse::<u32>().ok().or_else(|| text.parse::<i32>().ok().map(i32::cast_unsigned))
}

fn decode(text: &str) -> Result<Vec<u8>, Error> {
    let decoded = if text.contains(|character: char| character.is_ascii_whitespace()) {
        let packed: String = text.split_ascii_whitespace().collect();
        BASE64_STANDARD.decode(packed)
    } else {
        BASE64_STANDARD.decode(text)
    };
    decoded.map_err(|error| Error::Protocol(format!("output that is no base64: {error}")))
}

/// What the service says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// For example `Microsoft Corporation`.
    pub vendor: String,
    /// For example `OS: 10.0.17763 SP: 0.0 Stack: 3.0`.
    pub version: String,
}

/// Reads the identity.
pub(crate) fn identity(body: &Element) -> Result<Identity, Error> {
    let response = body.child(names::IDENTITY, "IdentifyResponse");
    let response = response.ok_or_else(|| missing("IdentifyResponse"))?;
    let text = |name| response.child(names::IDENTITY, name).map(line).unwrap_or_default();
    Ok(Identity { vendor: text("ProductVendor"), version: text("ProductVersion") })
}

fn missing(what: &str) -> Error {
    Error::Protocol(format!("an answer without a {what}"))
}
