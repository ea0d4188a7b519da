//! Each answer is read.
//!
//! The other opinion is a search for marks in the text, which knows nothing of XML.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::recordings::{self, Pair, between};
use crate::{
    Error, Stream,
    soap::{
        answer::{self, Reply},
        names,
        xml::{self, Element},
    },
};

#[test]
fn all_recorded_answers_are_read() {
    let (mut files, mut pairs) = (0, 0);
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for recording in recordings::all() {
        files += 1;
        for (number, pair) in recording.pairs.iter().enumerate() {
            pairs += 1;
            let kind = check(pair);
            println!("{} {number}: {kind}", recording.name);
            *kinds.entry(kind).or_default() += 1;
        }
    }
    let kinds: Vec<_> = kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    assert_eq!((files, pairs), (67, 522));
    // Counted with Python's ElementTree as well.
    let expected = [
        "Command answered 70",
        "Command refused with 2147942402 1",
        "Connect answered 6",
        "Create answered 75",
        "Delete answered 72",
        "Disconnect answered 5",
        "Enumerate answered 6",
        "Get answered 8",
        "Get cut 1",
        "Get refused with 2150858767 1",
        "Get refused with 2150858843 1",
        "Receive answered 203",
        "Receive refused with 2150858793 4",
        "Receive refused with 2150858843 2",
        "Receive refused with 87 1",
        "Reconnect answered 3",
        "Send answered 39",
        "Signal answered 23",
        "no message 1",
    ];
    assert_eq!(kinds, expected);
}

/// Reads the answer, compares, and names its kind.
fn check(pair: &Pair) -> String {
    let action = pair.action();
    let Some(answer) = pair.answer() else { return format!("{action} cut") };
    let text = pair.answer.as_deref().unwrap();
    if !text.starts_with("<s:Envelope") {
        assert!(matches!(Reply::read(&answer), Err(Error::Protocol(_))), "{text}");
        return "no message".to_owned();
    }
    match Reply::read(&answer).unwrap() {
        Reply::Fault(fault) => {
            let code = between(between(text, "<f:WSManFault", ">"), "Code=\"", "\"");
            assert_eq!(fault.code.unwrap().to_string(), code);
            assert_eq!(fault.is_timeout(), text.contains("<s:Value>w:TimedOut</s:Value>"));
            let message = between(between(text, "<f:Message>", "</f:Message>"), "", "</f:Prov");
            let message = message.rsplit('>').next().unwrap();
            let message =
                if message.is_empty() { between(text, "<f:Message>", "<") } else { message };
            let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(fault.message.contains(&message), "{fault:?} {message}");
            format!("{action} refused with {code}")
        }
        Reply::Body(body) => {
            assert!(text.contains(&format!("/{action}Response</a:Action>")), "{text}");
            body_is_right(pair, text, &body);
            format!("{action} answered")
        }
    }
}

fn body_is_right(pair: &Pair, text: &str, body: &Element) {
    match pair.action() {
        "Create" => {
            let shell = answer::shell(body).unwrap();
            let id = between(text, "<w:Selector Name=\"ShellId\">", "<");
            assert_eq!(shell.selectors, [("ShellId".to_owned(), id.to_owned())]);
            assert_eq!(shell.resource, between(text, "<w:ResourceURI>", "<"));
        }
        "Command" => {
            let id = between(text, "<rsp:CommandId>", "<");
            assert_eq!(answer::command(body).unwrap(), id);
        }
        "Receive" => receive_is_right(&pair.request, text, body),
        "Send" | "Signal" => {
            let response = format!("{}Response", pair.action());
            assert!(body.child(names::SHELL, &response).is_some(), "{text}");
        }
        "Delete" => assert!(body.children.is_empty(), "{text}"),
        // This client does not ask these questions; their answers are envelopes all the same.
        "Connect" | "Disconnect" | "Enumerate" | "Get" | "Reconnect" => {
            assert_eq!(xml::parse(text.as_bytes()).unwrap().children.len(), 2);
        }
        other => panic!("{other}"),
    }
}

/// Output, state and exit code. One answer holds a piece of another command, which is left out. A shell of PowerShell may be asked without a command; its pieces name
/// none then.
fn receive_is_right(request: &str, text: &str, body: &Element) {
    let command = between(between(request, "<rsp:DesiredStream", ">"), "CommandId=\"", "\"");
    let received = answer::received(body, command).unwrap();
    let mut expected = Vec::new();
    for piece in text.split("<rsp:Stream ").skip(1) {
        let stream = match between(piece, "Name=\"", "\"") {
            "stdout" => Stream::Out,
            "stderr" => Stream::Err,
            other => panic!("{other}"),
        };
        let bytes = BASE64_STANDARD.decode(between(piece, ">", "<")).unwrap();
        let id = between(between(piece, "", ">"), "CommandId=\"", "\"");
        if !bytes.is_empty() && (id.is_empty() || id == command) {
            expected.push((stream, bytes));
        }
    }
    assert_eq!(received.output, expected);
    let done = text.contains("CommandState/Done\"");
    let code = between(text, "<rsp:ExitCode>", "<").parse().ok();
    assert_eq!(received.exit, code);
    assert_eq!(received.exit.is_some(), done);
}
