//! `goldsmith serve --backend scripted`: a service without machines, to try clients and pipelines
//! against. Everything is real but the guest, which runs no script and only seems to.
//!
//! Of a script it understands four things, so that clients can be shown every end a run can have:
//! lines `echo TEXT` are printed, `sleep forever` hangs until the run is canceled, `sleep N` ends the
//! script well after N seconds, and a line `exit N` ends it with that code. A file arrives whole: the
//! answer is the checksum of what was sent.

use std::time::Duration;

use images::digest::digest;
use vm::fake::{Fake, Reaction, Then};

/// The machine.
pub(super) fn backend() -> Fake {
    let fake = Fake::forgetful();
    fake.on_call("sha256sum --", |_, content| Reaction::out(format!("{}  -\n", digest(content))));
    fake.on_call("goldsmith-script", |_, script| play(&String::from_utf8_lossy(script)));
    fake.on_call("generalize", |command, _| engine::generalize::played(command));
    fake.on_deaf("goldsmith-metadata", Reaction::exit(127).err("it is only a scripted machine\n"));
    fake
}

fn play(script: &str) -> Reaction {
    let mut out = String::new();
    for line in script.lines().map(str::trim) {
        match line.split_once(' ') {
            Some(("echo", text)) => {
                out.push_str(text.trim_matches(['"', '\'']));
                out.push('\n');
            }
            Some(("sleep", "forever")) => {
                return Reaction { out, err: String::new(), then: Then::Hang };
            }
            Some(("sleep", seconds)) => {
                let time = Duration::from_secs(seconds.parse().unwrap_or_default());
                return Reaction { out, err: String::new(), then: Then::Sleep(time) };
            }
            Some(("exit", code)) => {
                let code = code.parse().unwrap_or(1);
                return Reaction { out, err: String::new(), then: Then::Exit(code) };
            }
            _ => {}
        }
    }
    Reaction { out, err: String::new(), then: Then::Exit(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_played_up_to_its_end() {
        let played = play("#!/bin/sh -e\necho hello\nexit 3\necho never\n");
        assert_eq!((played.out.as_str(), played.then), ("hello\n", Then::Exit(3)));
        assert_eq!(play("sleep forever").then, Then::Hang);
        assert_eq!(play("sleep 2\nexit 1").then, Then::Sleep(Duration::from_secs(2)));
        assert_eq!(play("apt-get update").then, Then::Exit(0));
    }
}
