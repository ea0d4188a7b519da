//! `goldsmith serve --backend scripted`: a service without machines, for tests of clients and
//! pipelines. Everything is real except the guest, which only simulates scripts.
//!
//! It interprets four kinds of lines, which suffice for every result of a run: `echo TEXT` prints the
//! text, `sleep forever` hangs until the run is canceled, `sleep N` ends the script with success after
//! N seconds, and `exit N` ends it with that code. For a file, it returns the checksum of the received
//! bytes. A guest with Windows does the same for scripts of PowerShell; its restarts and updates
//! succeed.

use std::time::Duration;

use images::digest::digest;
use vm::fake::{Fake, Reaction, Then};

pub(super) fn backend() -> Fake {
    let fake = Fake::forgetful();
    fake.on_call("sha256sum --", |_, content| Reaction::out(format!("{}  -\n", digest(content))));
    fake.on_call("goldsmith-script", |_, script| simulate(&String::from_utf8_lossy(script)));
    fake.on_call("generalize", |command, _| guests::linux::played(command));
    fake.on_deaf("goldsmith-metadata", Reaction::exit(127).err("this machine is only simulated\n"));
    guests::windows::played::install(&fake, simulate);
    fake
}

fn simulate(script: &str) -> Reaction {
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
    fn simulated_script_stops_at_exit_or_sleep() {
        let reaction = simulate("#!/bin/sh -e\necho hello\nexit 3\necho never\n");
        assert_eq!((reaction.out.as_str(), reaction.then), ("hello\n", Then::Exit(3)));
        assert_eq!(simulate("sleep forever").then, Then::Hang);
        assert_eq!(simulate("sleep 2\nexit 1").then, Then::Sleep(Duration::from_secs(2)));
        assert_eq!(simulate("apt-get update").then, Then::Exit(0));
    }
}
