//! Each request is written again.
//!
//! What is compared: the whole envelope as a tree, its headers in their order with their attributes and
//! values, and its body. What may differ, and is made equal first:
//! identifiers of messages and sessions, the service's address, the time limit, the largest envelope; the option sets of Create
//! and Command, the further settings of Create, the arguments of Command; the signal's name; and, for a
//! shell of PowerShell, which has other streams, the names and the contents of streams.

use std::{collections::BTreeMap, time::Duration};

use super::recordings::{self, Pair, between};
use crate::soap::{
    names,
    request::{Letterhead, Shell},
    xml::{self, Element},
};

#[test]
fn all_recorded_requests_of_known_kinds_are_written_alike() {
    let mut compared: BTreeMap<&str, usize> = BTreeMap::new();
    let recordings = recordings::all();
    for recording in &recordings {
        for (number, pair) in recording.pairs.iter().enumerate() {
            let Some(written) = write(pair) else { continue };
            let expected = known(xml::parse(pair.request.as_bytes()).unwrap());
            let at = format!("{} {number}", recording.name);
            assert_eq!(known(xml::parse(&written).unwrap()), expected, "{at}");
            *compared.entry(pair.action()).or_default() += 1;
        }
    }
    // The others: Create, Command of PowerShell's shells, whose bodies are not ours, and kinds of
    // requests that this client does not send.
    let expected = [
        ("Command", 21),
        ("Create", 22),
        ("Delete", 72),
        ("Receive", 210),
        ("Send", 39),
        ("Signal", 23),
    ];
    assert_eq!(compared.into_iter().collect::<Vec<_>>(), expected);
}

/// What this client sends in the place of a recorded request.
pub(super) fn write(pair: &Pair) -> Option<Vec<u8>> {
    let text = &pair.request;
    let letterhead = Letterhead::new("http://guest/wsman".to_owned(), Duration::from_secs(20));
    let resource = between(text, "<wsman:ResourceURI s:mustUnderstand=\"true\">", "<").to_owned();
    let is_cmd = resource.ends_with("/shell/cmd");
    let id = between(text, "<wsman:Selector Name=\"ShellId\">", "<").to_owned();
    let shell = Shell { resource, selectors: vec![("ShellId".to_owned(), id)] };
    let command = between(text, "CommandId=\"", "\"");
    let written = match pair.action() {
        "Create" if is_cmd => letterhead.create(),
        "Command" if is_cmd => letterhead.command(&shell, between(text, "<rsp:Command>", "<")),
        "Receive" => letterhead.receive(&shell, command),
        "Send" => letterhead.send(&shell, command, b"text", text.contains("End=\"True\"")),
        "Signal" => letterhead.signal(&shell, command),
        "Delete" => letterhead.delete(&shell),
        _ => return None,
    };
    Some(written.to_vec())
}

/// An envelope without what may differ.
pub(super) fn known(mut envelope: Element) -> Element {
    let is_cmd = envelope.whole_text().contains("windows/shell/cmd");
    let whole = envelope.whole_text();
    let options = !whole.contains("transfer/Create") && !whole.contains("shell/Command");
    for part in &mut envelope.children {
        part.children.retain(|header| options || !header.is(names::WSMAN, "OptionSet"));
        for header in &mut part.children {
            if ["MaxEnvelopeSize", "MessageID", "OperationTimeout", "SessionId", "To"]
                .contains(&header.name.as_str())
            {
                header.text.clear();
            }
            let extra =
                ["Arguments", "Environment", "IdleTimeOut", "Lifetime", "Name", "WorkingDirectory"];
            header.children.retain(|child| !extra.contains(&child.name.as_str()));
            for child in &mut header.children {
                if child.is(names::SHELL, "Code") || child.is(names::SHELL, "Stream") {
                    child.text.clear();
                }
                if !is_cmd && ["Stream", "DesiredStream"].contains(&child.name.as_str()) {
                    child.text.clear();
                    child.attributes.clear();
                }
                // One recording asks for the output of no command.
                child.attributes.retain(|(_, value)| !value.is_empty());
                child.attributes.sort();
            }
        }
    }
    envelope
}
