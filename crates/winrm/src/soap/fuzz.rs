//! Random answers: nothing panics, what is well-formed is read as it was meant, and what is read has
//! limits.

use bytes::Bytes;
use http::StatusCode;
use proptest::prelude::*;

use super::{
    answer::{self, Reply},
    xml::{self, Element},
};
use crate::{Stream, channel::Answer};

/// What answers are made of, and random bytes.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "<?xml version=\"1.0\"?>",
        "<!DOCTYPE x [<!ENTITY a 'b'>]>",
        "<!-- c -->",
        "<![CDATA[<x>]]>",
        "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
         xmlns:rsp=\"http://schemas.microsoft.com/wbem/wsman/1/windows/shell\">",
        "</s:Envelope>",
        "<s:Header/>",
        "<s:Body>",
        "</s:Body>",
        "<s:Fault>",
        "</s:Fault>",
        "<s:Detail><f:WSManFault xmlns:f=\"http://schemas.microsoft.com/wbem/wsman/1/wsmanfault\" Code=\"87\">",
        "</f:WSManFault></s:Detail>",
        "<rsp:ReceiveResponse>",
        "</rsp:ReceiveResponse>",
        "<rsp:Stream Name=\"stdout\" CommandId=\"C\">",
        "<rsp:Stream Name=\"stderr\" End=\"true\">",
        "</rsp:Stream>",
        "<rsp:CommandState CommandId=\"C\" State=\"http://schemas.microsoft.com/wbem/wsman/1/windows/shell/CommandState/Done\">",
        "</rsp:CommandState>",
        "<rsp:ExitCode>3221225786</rsp:ExitCode>",
        "YWJj",
        "YQ==",
        "\r\n",
        "&amp;",
        "&#x41;",
        "&#0;",
        "&a;",
        "\u{feff}",
        "\u{e4}",
        "<",
        ">",
        "\"",
        "xmlns:a='b' ",
    ]);
    prop_oneof![
        8 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
        1 => (0..3000_usize).prop_map(|times| "<a>".repeat(times).into_bytes()),
    ]
}

/// All that the client may do with an answer.
fn read(status: u16, body: Vec<u8>) {
    let answer = Answer { status: StatusCode::from_u16(status).unwrap(), body: Bytes::from(body) };
    let length = answer.body.len();
    match Reply::read(&answer) {
        Ok(Reply::Body(body)) => {
            let _ = answer::shell(&body);
            let _ = answer::command(&body);
            let _ = answer::identity(&body);
            if let Ok(received) = answer::received(&body, "C") {
                let bytes: usize = received.output.iter().map(|(_, bytes)| bytes.len()).sum();
                assert!(bytes <= length);
            }
        }
        Ok(Reply::Fault(fault)) => assert!(fault.message.chars().count() <= 500),
        Err(error) => assert!(error.to_string().len() < 1000, "{error}"),
    }
}

/// Answers as a service writes them, with damage.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8, any::<u8>()), 0..6);
    (answer_text(), damage).prop_map(|((text, _, _), damage)| {
        let mut bytes = text.into_bytes();
        for (at, what, byte) in damage {
            let at = at.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        bytes
    })
}

type Output = Vec<(bool, Vec<u8>)>;

/// An answer with output, what it holds, and the exit code.
fn answer_text() -> impl Strategy<Value = (String, Output, Option<u32>)> {
    let output =
        prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..200)), 0..8);
    (output, any::<Option<u32>>(), any::<bool>(), "[a-w]{1,4}").prop_map(|(output, code, spaced, prefix)| {
        let stream = |(is_out, bytes): &(bool, Vec<u8>)| {
            use base64::{Engine as _, prelude::BASE64_STANDARD};
            let mut text = BASE64_STANDARD.encode(bytes);
            if spaced && text.len() > 4 {
                text.insert_str(4, "\r\n ");
            }
            let name = if *is_out { "stdout" } else { "stderr" };
            format!("<{prefix}:Stream CommandId='c' Name='{name}'>{text}</{prefix}:Stream>")
        };
        let streams: String = output.iter().map(stream).collect();
        let state = code.map_or(String::new(), |code| {
            let shell = super::names::SHELL;
            format!(
                "<{prefix}:CommandState State='{shell}/CommandState/Done' CommandId='C'>\
                 <{prefix}:ExitCode>{code}</{prefix}:ExitCode></{prefix}:CommandState>"
            )
        });
        let (soap, shell) = (super::names::SOAP, super::names::SHELL);
        let text = format!(
            "<Envelope xmlns=\"{soap}\" xmlns:{prefix}=\"{shell}\"><Header/><Body>\
             <{prefix}:ReceiveResponse>{streams}{state}</{prefix}:ReceiveResponse></Body></Envelope>"
        );
        (text, output, code)
    })
}

/// An element, and its text.
fn tree() -> impl Strategy<Value = Element> {
    let text = "[ -~\u{e4}\u{1f600}]{0,12}";
    let attributes = prop::collection::vec(("[a-w]{1,3}", text), 0..4);
    let leaf =
        ("[a-w][a-z0-9]{0,6}", text, attributes.clone()).prop_map(|(name, text, attributes)| {
            Element { name, text, attributes, ..Element::default() }
        });
    leaf.prop_recursive(6, 40, 5, move |inner| {
        let children = prop::collection::vec(inner, 0..5);
        ("[a-w][a-z0-9]{0,6}", "[a-z]{0,5}", attributes.clone(), children).prop_map(
            |(space, name, attributes, children)| Element {
                space: format!("urn:{space}"),
                name: format!("n{name}"),
                attributes,
                children,
                ..Element::default()
            },
        )
    })
}

fn write(element: &Element, text: &mut String) {
    let escaped = |raw: &str| quick_xml::escape::escape(raw).into_owned();
    text.push_str(&format!("<{} xmlns=\"{}\"", element.name, element.space));
    for (name, value) in &element.attributes {
        text.push_str(&format!(" {name}=\"{}\"", escaped(value)));
    }
    text.push('>');
    text.push_str(&escaped(&element.text));
    for child in &element.children {
        write(child, text);
    }
    text.push_str(&format!("</{}>", element.name));
}

proptest! {
    #[test]
    fn no_answer_makes_the_reader_fail(
        parts in prop::collection::vec(part(), 0..40),
        status in prop::sample::select(vec![200_u16, 400, 401, 500]),
    ) {
        read(status, parts.concat());
    }

    #[test]
    fn no_damaged_answer_makes_the_reader_fail(
        body in damaged(),
        status in prop::sample::select(vec![200_u16, 500]),
    ) {
        read(status, body);
    }

    #[test]
    fn output_is_read_as_it_was_written((text, output, code) in answer_text()) {
        let answer = Answer { status: StatusCode::OK, body: Bytes::from(text) };
        let received = answer::received(&Reply::read(&answer).unwrap().body().unwrap(), "C").unwrap();
        let stream = |is_out| if is_out { Stream::Out } else { Stream::Err };
        let expected: Vec<_> = output.into_iter().filter(|(_, bytes)| !bytes.is_empty())
            .map(|(is_out, bytes)| (stream(is_out), bytes)).collect();
        prop_assert_eq!(received.output, expected);
        prop_assert_eq!(received.exit, code);
    }

    #[test]
    fn trees_are_read_as_they_were_written(tree in tree()) {
        let mut text = String::new();
        write(&tree, &mut text);
        prop_assert_eq!(xml::parse(text.as_bytes()).unwrap(), tree);
    }
}
