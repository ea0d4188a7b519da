//! The exchange with the guest's WinRM service, as a transcript.
//!
//! The transcript has the form of the ones that pypsrp's tests replay, so that a trial on a real
//! Windows can become a test. It is JSON, which is YAML too. The input of commands is left out: it is
//! goldsmith's own scripts, whose arguments may be passwords, and files.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::secrets::Secrets;

/// What the transcript takes at most. Later envelopes are only counted.
const MOST: usize = 24 * 1024 * 1024;

/// Collects the exchange of all machines of a trial. Give it to [`vm::Qemu::recorded`].
#[derive(Default)]
pub struct Exchange {
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    pairs: Vec<Pair>,
    bytes: usize,
    left_out: u64,
}

struct Pair {
    /// The step in which it happened.
    step: &'static str,
    request: String,
    answer: Result<(u16, String), String>,
}

impl Exchange {
    /// Later pairs belong to this step.
    pub(crate) fn begin(&self, step: &'static str) {
        self.taken().step(step);
    }

    /// The transcript, without secrets.
    pub(crate) fn transcript(&self, secrets: &Secrets) -> String {
        let mut taken = self.taken();
        taken.mask_streams(secrets);
        let mut step = "";
        let mut messages = Vec::new();
        for pair in &taken.pairs {
            if pair.request.is_empty() {
                step = pair.step;
                continue;
            }
            let message = match &pair.answer {
                Ok((status, answer)) => {
                    json!({ "step": step, "request": pair.request, "status": status, "response": answer })
                }
                Err(error) => json!({ "step": step, "request": pair.request, "error": error }),
            };
            messages.push(message);
        }
        let left_out = taken.left_out;
        let transcript = json!({ "messages": messages, "messagesLeftOut": left_out });
        let mut text = serde_json::to_string_pretty(&transcript).unwrap_or_default().into_bytes();
        secrets.mask(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, request: &[u8], answer: Result<(u16, String), String>) {
        let request = without_input(&String::from_utf8_lossy(request));
        self.taken().add(Pair { step: "", request, answer });
    }
}

impl vm::WinrmRecorder for Exchange {
    fn answered(&self, request: &[u8], status: u16, answer: &[u8]) {
        self.take(request, Ok((status, String::from_utf8_lossy(answer).into_owned())));
    }

    fn unanswered(&self, request: &[u8], error: &vm::WinrmError) {
        self.take(request, Err(error.to_string()));
    }
}

/// Without the content, which has secrets.
impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("pairs", &self.taken().pairs.len()).finish_non_exhaustive()
    }
}

impl Taken {
    /// A mark between the pairs.
    fn step(&mut self, step: &'static str) {
        self.pairs.push(Pair { step, request: String::new(), answer: Err(String::new()) });
    }

    fn add(&mut self, pair: Pair) {
        let bytes = pair.request.len() + pair.answer.as_ref().map_or(0, |(_, answer)| answer.len());
        if self.bytes + bytes > MOST {
            self.left_out += 1;
            return;
        }
        self.bytes += bytes;
        self.pairs.push(pair);
    }

    /// Masks secrets in the streams of commands, which are in Base64 and in pieces: a secret may
    /// begin in one envelope and end in the next.
    fn mask_streams(&mut self, secrets: &Secrets) {
        let mut streams: BTreeMap<String, Vec<Piece>> = BTreeMap::new();
        for (pair, Pair { answer, .. }) in self.pairs.iter().enumerate() {
            let answer = answer.as_ref().map_or("", |(_, answer)| answer.as_str());
            for Body { stream, at } in bodies(answer) {
                if let Ok(content) = STANDARD.decode(&answer[at.clone()]) {
                    streams.entry(stream).or_default().push(Piece { pair, at, content });
                }
            }
        }
        for mut pieces in streams.into_values() {
            let mut whole: Vec<u8> =
                pieces.iter().flat_map(|piece| piece.content.clone()).collect();
            if secrets.mask(&mut whole) == 0 {
                continue;
            }
            let mut rest = whole.as_slice();
            for piece in &mut pieces {
                let (content, after) = rest.split_at(piece.content.len());
                rest = after;
                if content != piece.content {
                    self.replace(piece, &STANDARD.encode(content));
                }
            }
        }
    }

    /// Puts a text of the same length in the place of a piece.
    fn replace(&mut self, piece: &Piece, text: &str) {
        if let Ok((_, answer)) = &mut self.pairs[piece.pair].answer {
            answer.replace_range(piece.at.clone(), text);
        }
    }
}

/// A piece of a stream of a command.
struct Piece {
    pair: usize,
    at: Range<usize>,
    content: Vec<u8>,
}

/// The body of an element `Stream` in an envelope.
struct Body {
    /// The command and the name of its stream.
    stream: String,
    at: Range<usize>,
}

fn bodies(envelope: &str) -> Vec<Body> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = envelope[at..].find('<') {
        let begin = at + open + 1;
        let Some(length) = envelope[begin..].find('>') else { break };
        let tag = &envelope[begin..begin + length];
        at = begin + length + 1;
        let name = tag.split([' ', '\t', '\r', '\n']).next().unwrap_or_default();
        if name.rsplit(':').next() != Some("Stream") || tag.ends_with('/') || tag.starts_with('/') {
            continue;
        }
        let length = envelope[at..].find('<').unwrap_or(0);
        let stream = format!("{} {}", attribute(tag, "CommandId"), attribute(tag, "Name"));
        found.push(Body { stream, at: at..at + length });
        at += length;
    }
    found
}

fn attribute<'t>(tag: &'t str, name: &str) -> &'t str {
    let Some((_, rest)) = tag.split_once(&format!(" {name}=")) else { return "" };
    let quote = rest.chars().next().unwrap_or('"');
    rest[quote.len_utf8().min(rest.len())..].split(quote).next().unwrap_or_default()
}

fn without_input(request: &str) -> String {
    let mut text = request.to_owned();
    for Body { at, .. } in bodies(request).into_iter().rev().filter(|body| !body.at.is_empty()) {
        let note = format!("[{} characters of Base64 are left out]", at.len());
        text.replace_range(at, &STANDARD.encode(note));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use vm::WinrmRecorder;

    use super::*;

    fn envelope(kind: &str, name: &str, content: &[u8]) -> String {
        let body = STANDARD.encode(content);
        format!(
            "<s:Envelope><s:Body><rsp:{kind}><rsp:Stream Name=\"{name}\" CommandId=\"C1\" End=\"true\">\
             {body}</rsp:Stream><rsp:Stream Name=\"stderr\" CommandId=\"C1\" /></rsp:{kind}>"
        )
    }

    fn secrets() -> Secrets {
        let mut secrets = Secrets::default();
        secrets.add("correct horse");
        secrets
    }

    fn streams(text: &str) -> String {
        let contents =
            bodies(text).into_iter().map(|body| STANDARD.decode(&text[body.at]).unwrap());
        String::from_utf8(contents.flatten().collect()).unwrap()
    }

    #[test]
    fn secret_that_spans_two_answers_is_masked_in_both() {
        let exchange = Exchange::default();
        exchange.begin("job");
        for piece in ["it is corr", "ect horse, they said"] {
            let answer = envelope("ReceiveResponse", "stdout", piece.as_bytes());
            exchange.answered(b"<Receive/>", 200, answer.as_bytes());
        }
        let transcript: Value = serde_json::from_str(&exchange.transcript(&secrets())).unwrap();
        let answers: Vec<String> =
            [0, 1].map(|n| streams(transcript["messages"][n]["response"].as_str().unwrap())).into();
        assert_eq!(answers, ["it is ****", "*********, they said"]);
        assert_eq!(transcript["messages"][0]["step"], "job");
    }

    #[test]
    fn input_is_left_out_and_secret_in_command_is_masked() {
        let exchange = Exchange::default();
        let send = envelope("Send", "stdin", b"password: correct horse\n");
        exchange.answered(send.as_bytes(), 200, b"<ok/>");
        exchange.unanswered(
            b"<rsp:Command>net use correct horse</rsp:Command>",
            &vm::WinrmError::ShellGone,
        );
        let transcript = exchange.transcript(&secrets());
        assert!(!transcript.contains("correct horse") && transcript.contains("net use ****"));
        let transcript: Value = serde_json::from_str(&transcript).unwrap();
        let sent = streams(transcript["messages"][0]["request"].as_str().unwrap());
        assert_eq!(sent, "[32 characters of Base64 are left out]");
        assert_eq!(transcript["messages"][1]["error"], vm::WinrmError::ShellGone.to_string());
    }

    #[test]
    fn secret_within_base64_within_a_stream_is_masked() {
        let exchange = Exchange::default();
        for before in ["", "x", "xy"] {
            let line = STANDARD.encode(format!("{before}{{\"password\":\"correct horse\"}}"));
            let answer = envelope("ReceiveResponse", "stdout", line.as_bytes());
            exchange.answered(b"<Receive/>", 200, answer.as_bytes());
        }
        let transcript: Value = serde_json::from_str(&exchange.transcript(&secrets())).unwrap();
        for message in transcript["messages"].as_array().unwrap() {
            let line = streams(message["response"].as_str().unwrap());
            let text = String::from_utf8_lossy(&STANDARD.decode(line).unwrap()).into_owned();
            assert!(text.contains("password") && !text.contains("orrect hors"), "{text}");
        }
    }

    #[test]
    fn endless_exchange_is_bounded_and_counted() {
        let exchange = Exchange::default();
        let answer = vec![b'a'; MOST / 2 - 100];
        for _ in 0..5 {
            exchange.answered(b"<Receive/>", 200, &answer);
        }
        let transcript: Value = serde_json::from_str(&exchange.transcript(&secrets())).unwrap();
        assert_eq!(transcript["messages"].as_array().unwrap().len(), 2);
        assert_eq!(transcript["messagesLeftOut"], 3);
    }

    #[test]
    fn mangled_envelope_does_not_stop_the_scan() {
        for text in [
            "<",
            "<Stream",
            "<Stream>",
            "<Stream Name=>a",
            "<Stream Name='x",
            "<a:Stream Name=\"é>",
        ] {
            bodies(text);
        }
    }
}
