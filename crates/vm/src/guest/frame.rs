//! Separates a command's output from what the guest's login shell prints.
//!
//! SSH passes a command to the user's login shell, which may be of any family and whose start-up
//! files may print anything. So the shell receives one line that every shell understands. It replaces
//! the shell with `/bin/sh`, which first prints a mark on both streams. Text before the mark is not
//! output of the command.

use std::fmt::Write as _;

use super::StreamKind;
use crate::Error;

/// How many bytes of the text before the mark an error quotes.
const QUOTED: usize = 400;

/// The mark of one command, and the state of its streams.
pub(super) struct Frame {
    mark: Vec<u8>,
    out: Head,
    err: Head,
}

/// The beginning of a stream.
#[derive(Default)]
struct Head {
    has_begun: bool,
    /// The end of the bytes received so far, which may contain the beginning of the mark.
    before: Vec<u8>,
    quote: Vec<u8>,
}

impl Frame {
    pub(super) fn new() -> Result<Self, Error> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|e| Error::ssh("cannot generate a random mark", e))?;
        Ok(Self::with_mark(&format!("goldsmith-begin-{}", hex::encode(random))))
    }

    /// For a shell that prints nothing of its own: all output is the command's.
    pub(super) fn none() -> Self {
        let begun = || Head { has_begun: true, ..Head::default() };
        Self { mark: Vec::new(), out: begun(), err: begun() }
    }

    fn with_mark(word: &str) -> Self {
        let mark = format!("\n{word}\n").into_bytes();
        Self { mark, out: Head::default(), err: Head::default() }
    }

    /// The line for the login shell. Bourne shells, C shells and fish read it alike.
    pub(super) fn command(&self, script: &str) -> String {
        let mark = String::from_utf8_lossy(&self.mark);
        let mark = mark.trim();
        let whole = format!("printf '\\n%s\\n' {mark}; printf '\\n%s\\n' {mark} >&2\n{script}");
        format!("exec /bin/sh -c 'eval \"$(printf %b \"{}\")\"'", octal(&whole))
    }

    /// The parts of a piece that are output of the command.
    pub(super) fn output<'a>(&mut self, stream: StreamKind, piece: &'a [u8]) -> Vec<&'a [u8]> {
        let head = match stream {
            StreamKind::Out => &mut self.out,
            StreamKind::Err => &mut self.err,
        };
        if head.has_begun {
            return vec![piece];
        }
        let length = head.before.len();
        head.before.extend_from_slice(piece);
        let Some(at) = head.before.windows(self.mark.len()).position(|part| part == self.mark)
        else {
            let room = QUOTED.saturating_sub(head.quote.len());
            head.quote.extend_from_slice(&piece[..piece.len().min(room)]);
            let surplus = head.before.len().saturating_sub(self.mark.len() - 1);
            head.before.drain(..surplus);
            return Vec::new();
        };
        head.has_begun = true;
        head.before = Vec::new();
        vec![&piece[at + self.mark.len() - length..]]
    }

    /// An error if the command did not start; the exit status is then the login shell's.
    pub(super) fn check_begun(&self) -> Result<(), Error> {
        if self.out.has_begun || self.err.has_begun {
            return Ok(());
        }
        let mut printed = self.out.quote.clone();
        printed.extend_from_slice(&self.err.quote);
        let printed = String::from_utf8_lossy(&printed);
        Err(Error::LoginShell { printed: crate::serial::one_line(&printed) })
    }
}

/// Escapes text for use inside both kinds of quotes: characters that a shell might interpret become
/// `\0nnn`, which `printf %b` decodes.
fn octal(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        match c {
            '\'' | '"' | '\\' | '$' | '`' | '!' | '\u{0}'..='\u{1f}' | '\u{7f}' => {
                let _ = write!(quoted, "\\0{:03o}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::disallowed_methods,
        reason = "the shells of this machine are the test's subject"
    )]
    use super::*;

    fn collect(frame: &mut Frame, pieces: &[&str]) -> String {
        let mut text = Vec::new();
        for piece in pieces {
            for part in frame.output(StreamKind::Out, piece.as_bytes()) {
                text.extend_from_slice(part);
            }
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn text_before_the_mark_is_dropped_for_any_piece_size() {
        let whole = "Welcome!\n\nMARK\none\nMARK\ntwo";
        for size in 1..=whole.len() {
            let pieces: Vec<&str> =
                whole.as_bytes().chunks(size).map(|p| std::str::from_utf8(p).unwrap()).collect();
            let mut frame = Frame::with_mark("MARK");
            assert_eq!(collect(&mut frame, &pieces), "one\nMARK\ntwo", "in pieces of {size}");
        }
    }

    #[test]
    fn endless_text_before_the_mark_is_discarded_and_quoted() {
        let mut frame = Frame::with_mark("MARK");
        for _ in 0..100 {
            assert!(frame.output(StreamKind::Out, &[b'x'; 32 * 1024]).is_empty());
        }
        assert!(frame.out.before.len() < 100 && frame.out.quote.len() <= QUOTED);
        let error = frame.check_begun().unwrap_err().to_string();
        assert!(error.contains("login shell") && error.contains("xxx"), "{error}");
    }

    /// Runs a script through a shell of this machine whose start-up prints text first.
    fn run(shell: &str, script: &str) -> Option<String> {
        let frame = Frame::with_mark("MARK");
        let noisy = format!("echo noise; {}", frame.command(script));
        let output = std::process::Command::new(shell).args(["-c", &noisy]).output().ok()?;
        let mut frame = frame;
        Some(collect(&mut frame, &[&String::from_utf8(output.stdout).unwrap()]))
    }

    #[test]
    fn script_runs_alike_under_every_shell_family() {
        let script = "x=\"a b\"; f() { printf '%s|' \"$x\" 'it'\\''s!' \"$(printf %s '\\n')\"; }\nif true; then f; fi\ncat << 'END'\n$x `no` \\0101 é\nEND\nexit 3";
        let expected = "a b|it's!|\\n|$x `no` \\0101 é\n";
        let mut tried = 0;
        for shell in ["sh", "bash", "dash", "zsh", "ksh", "csh", "tcsh", "fish"] {
            if let Some(printed) = run(shell, script) {
                assert_eq!(printed, expected, "{shell}");
                tried += 1;
            }
        }
        assert!(tried >= 2, "no shells here");
    }
}
