//! Writes requests.

use std::{fmt::Write as _, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use uuid::Uuid;

use super::names;

/// What every client asks for, in bytes; the oldest services take no more either.
const MAX_ENVELOPE: usize = 153_600;
/// The resource of a shell of `cmd.exe`.
const CMD: &str = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd";
const ANONYMOUS: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous";
/// What ends a command: its process, and its place among the user's operations.
const TERMINATE: &str = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/signal/terminate";

/// A shell in the guest, as its service names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shell {
    /// The resource's URI.
    pub(crate) resource: String,
    /// The selectors that tell it from other shells.
    pub(crate) selectors: Vec<(String, String)>,
}

/// What all requests of one conversation have in common.
#[derive(Debug, Clone)]
pub(crate) struct Letterhead {
    to: String,
    session: Uuid,
    timeout: Duration,
}

impl Letterhead {
    /// For the service at this URL, which answers within `timeout` (whole seconds) in any case.
    pub(crate) fn new(to: String, timeout: Duration) -> Self {
        Self { to, session: Uuid::new_v4(), timeout }
    }

    /// Asks for a new shell of `cmd.exe` that writes UTF-8. The user's profile is loaded, as Packer
    /// has it.
    pub(crate) fn create(&self) -> Bytes {
        let action = format!("{}/Create", names::TRANSFER);
        let options = [("WINRS_NOPROFILE", "FALSE"), ("WINRS_CODEPAGE", "65001")];
        let mut text = self.head(&action, CMD, &options, &[]);
        text.push_str(
            "<rsp:Shell><rsp:InputStreams>stdin</rsp:InputStreams>\
             <rsp:OutputStreams>stdout stderr</rsp:OutputStreams></rsp:Shell>",
        );
        close(text)
    }

    /// Starts a command line of `cmd.exe`. Its input is a pipe, not a console.
    pub(crate) fn command(&self, shell: &Shell, line: &str) -> Bytes {
        let options = [("WINRS_CONSOLEMODE_STDIN", "FALSE"), ("WINRS_SKIP_CMD_SHELL", "FALSE")];
        let mut text = self.shell_head("Command", shell, &options);
        text.push_str("<rsp:CommandLine><rsp:Command>");
        escape(&mut text, line);
        text.push_str("</rsp:Command></rsp:CommandLine>");
        close(text)
    }

    /// Asks for the output of a command.
    pub(crate) fn receive(&self, shell: &Shell, command: &str) -> Bytes {
        let options = [("WSMAN_CMDSHELL_OPTION_KEEPALIVE", "True")];
        let mut text = self.shell_head("Receive", shell, &options);
        text.push_str("<rsp:Receive><rsp:DesiredStream CommandId=\"");
        escape(&mut text, command);
        text.push_str("\">stdout stderr</rsp:DesiredStream></rsp:Receive>");
        close(text)
    }

    /// Sends a piece of a command's input; `last` closes the input.
    pub(crate) fn send(&self, shell: &Shell, command: &str, piece: &[u8], last: bool) -> Bytes {
        let mut text = self.send_head(shell, command, last);
        text.reserve(piece.len() / 3 * 4 + 4 + SEND_TAIL.len() + TAIL.len());
        BASE64_STANDARD.encode_string(piece, &mut text);
        text.push_str(SEND_TAIL);
        close(text)
    }

    /// The largest piece in bytes that `send` takes.
    pub(crate) fn largest_piece(&self, shell: &Shell, command: &str) -> usize {
        let rest = self.send_head(shell, command, false).len() + SEND_TAIL.len() + TAIL.len();
        MAX_ENVELOPE.saturating_sub(rest) / 4 * 3
    }

    fn send_head(&self, shell: &Shell, command: &str, last: bool) -> String {
        let mut text = self.shell_head("Send", shell, &[]);
        text.push_str("<rsp:Send><rsp:Stream CommandId=\"");
        escape(&mut text, command);
        let end = if last { "True" } else { "False" };
        let _ = write!(text, "\" End=\"{end}\" Name=\"stdin\">");
        text
    }

    /// Ends a command, or frees the place of one that has ended.
    pub(crate) fn signal(&self, shell: &Shell, command: &str) -> Bytes {
        let mut text = self.shell_head("Signal", shell, &[]);
        text.push_str("<rsp:Signal CommandId=\"");
        escape(&mut text, command);
        let _ = write!(text, "\"><rsp:Code>{TERMINATE}</rsp:Code></rsp:Signal>");
        close(text)
    }

    /// Ends a shell and what runs in it.
    pub(crate) fn delete(&self, shell: &Shell) -> Bytes {
        let action = format!("{}/Delete", names::TRANSFER);
        close(self.head(&action, &shell.resource, &[], &shell.selectors))
    }

    fn shell_head(&self, action: &str, shell: &Shell, options: &[(&str, &str)]) -> String {
        let action = format!("{}/{action}", names::SHELL);
        self.head(&action, &shell.resource, options, &shell.selectors)
    }

    /// Everything before the body, in the order that Windows was seen to accept.
    fn head(
        &self,
        action: &str,
        resource: &str,
        options: &[(&str, &str)],
        selectors: &[(String, String)],
    ) -> String {
        let mut text = String::with_capacity(2048);
        let (timeout, session, message) =
            (self.timeout.as_secs(), self.session.hyphenated(), Uuid::new_v4().hyphenated());
        for piece in [
            "<s:Envelope xmlns:rsp=\"",
            names::SHELL,
            "\" xmlns:s=\"",
            names::SOAP,
            "\" xmlns:wsa=\"",
            names::ADDRESSING,
            "\" xmlns:wsman=\"",
            names::WSMAN,
            "\" xmlns:wsmv=\"",
            names::MICROSOFT,
            "\"><s:Header><wsa:Action s:mustUnderstand=\"true\">",
            action,
        ] {
            text.push_str(piece);
        }
        let _ = write!(
            text,
            "</wsa:Action>\
             <wsmv:DataLocale s:mustUnderstand=\"false\" xml:lang=\"en-US\"/>\
             <wsman:Locale s:mustUnderstand=\"false\" xml:lang=\"en-US\"/>\
             <wsman:MaxEnvelopeSize s:mustUnderstand=\"true\">{MAX_ENVELOPE}</wsman:MaxEnvelopeSize>\
             <wsa:MessageID>uuid:{message:X}</wsa:MessageID>\
             <wsman:OperationTimeout>PT{timeout}S</wsman:OperationTimeout>\
             <wsa:ReplyTo><wsa:Address s:mustUnderstand=\"true\">{ANONYMOUS}</wsa:Address></wsa:ReplyTo>\
             <wsman:ResourceURI s:mustUnderstand=\"true\">"
        );
        escape(&mut text, resource);
        let _ = write!(
            text,
            "</wsman:ResourceURI>\
             <wsmv:SessionId s:mustUnderstand=\"false\">uuid:{session:X}</wsmv:SessionId>\
             <wsa:To>"
        );
        escape(&mut text, &self.to);
        text.push_str("</wsa:To>");
        list(&mut text, "<wsman:OptionSet s:mustUnderstand=\"true\">", "Option", options);
        list(&mut text, "<wsman:SelectorSet>", "Selector", selectors);
        text.push_str("</s:Header><s:Body>");
        text
    }
}

/// Asks what kind of service this is.
pub(crate) fn identify() -> Bytes {
    let (soap, identity) = (names::SOAP, names::IDENTITY);
    Bytes::from(format!(
        "<s:Envelope xmlns:s=\"{soap}\" xmlns:wsmid=\"{identity}\"><s:Header/>\
         <s:Body><wsmid:Identify/></s:Body></s:Envelope>"
    ))
}

const SEND_TAIL: &str = "</rsp:Stream></rsp:Send>";
const TAIL: &str = "</s:Body></s:Envelope>";

fn close(mut text: String) -> Bytes {
    text.push_str(TAIL);
    Bytes::from(text)
}

/// A set of named texts; none at all if it is empty.
fn list<S: AsRef<str>>(text: &mut String, begin: &str, each: &str, entries: &[(S, S)]) {
    if entries.is_empty() {
        return;
    }
    text.push_str(begin);
    for (name, value) in entries {
        let _ = write!(text, "<wsman:{each} Name=\"");
        escape(text, name.as_ref());
        text.push_str("\">");
        escape(text, value.as_ref());
        let _ = write!(text, "</wsman:{each}>");
    }
    let _ = write!(text, "</wsman:{each}Set>");
}

/// Adds a text as it must stand in an element or an attribute. A carriage return would be read as a
/// line feed.
fn escape(text: &mut String, raw: &str) {
    for character in raw.chars() {
        match character {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\r' | '\n' | '\t' => {
                let _ = write!(text, "&#{};", u32::from(character));
            }
            _ => text.push(character),
        }
    }
}
