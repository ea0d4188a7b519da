//! A scripted guest with Windows, for dry runs and for tests of other crates: it answers goldsmith's
//! scripts as a guest would in which all goes well. The template's scripts are simulated by the
//! caller.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    fs::File,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use images::{
    digest::{Kind, digest},
    image_file::digest::of_file,
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use vm::{
    Ended,
    fake::{Fake, Media, Reaction, Then},
    may_wait,
};

use super::{call, script, scripts};

type Simulate = Box<dyn Fn(&str) -> Reaction + Send + Sync>;

struct Guest {
    simulate: Simulate,
    media: Media,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    boot: u32,
    jobs: HashMap<String, Reaction>,
    /// Whether the one update that there is has just been installed.
    is_updated: bool,
    /// The jobs that have generalized their machines.
    sealed: HashSet<String>,
}

/// Makes the guests of a backend such guests. `simulate` gets the text of a template's script.
pub fn install(fake: &Fake, simulate: impl Fn(&str) -> Reaction + Send + Sync + 'static) {
    let (simulate, state) = (Box::new(simulate), Mutex::new(State::default()));
    let guest = Arc::new(Guest { simulate, media: fake.media(), state });
    let restarts = guest.clone();
    fake.on_call("-EncodedCommand", move |_, stdin| guest.answer(stdin));
    fake.on_call("shutdown /r", move |_, _| {
        restarts.state(|state| state.boot += 1);
        Reaction::then(Then::Reset)
    });
    fake.on_console("certificate", "00".repeat(32));
    fake.on_console("goldsmith goldsmith-", "generalized");
}

impl Guest {
    fn state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn answer(&self, stdin: &[u8]) -> Reaction {
        let Some(input) = Input::read(stdin) else { return Reaction::exit(90) };
        let mark = input.text("mark");
        let lines = |lines: &[&str]| {
            let mut out = String::new();
            for line in lines {
                let _ = writeln!(out, "{mark} {line}");
            }
            Reaction::out(out)
        };
        let boot = format!("boot {}", self.state(|state| state.boot));
        match scripts::name(&input.script).unwrap_or_default() {
            "boot-id" => lines(&[&boot]),
            "settled" => lines(&[&boot, "settled"]),
            "clock" => lines(&["clock"]),
            "extend" => lines(&["extended"]),
            "disks" => lines(&[&format!("online {}", input.number("disks"))]),
            "address" => lines(&["yes"]),
            "sync" => lines(&["synced"]),
            "deprovision" => lines(&["placed"]),
            "upload" => lines(&[&format!("sha256 {}", digest(&input.data))]),
            "take" => lines(&[&self.taken(&input.text("name"))]),
            "run" => {
                let ran = self.simulated(&input.data);
                Reaction { out: format!("{mark} starts\n{}", ran.out), ..ran }
            }
            "job-start" => {
                let job = self.job(&input);
                self.state(|state| state.jobs.insert(input.text("id"), job));
                lines(&[&boot, "started"])
            }
            "job-poll" => self.polled(&input, &mark),
            "job-end" if self.state(|state| state.sealed.remove(&input.text("id"))) => {
                Reaction::then(Then::Gone(Ended::GuestShutdown))
            }
            "job-end" => {
                self.state(|state| state.jobs.remove(&input.text("id")));
                lines(&["removed"])
            }
            _ => Reaction::exit(1).err("this script is not simulated\n"),
        }
    }

    /// The answer about a file on a CD.
    fn taken(&self, name: &str) -> String {
        let file = self.media.file(name).and_then(|file| {
            let never = CancellationToken::new();
            let hash = || of_file(&File::open(file)?, Kind::Plain, &never, &mut |_| {});
            may_wait(hash).ok()
        });
        file.map_or_else(|| "missing".to_owned(), |digest| format!("sha256 {}", digest.hex()))
    }

    fn simulated(&self, script: &[u8]) -> Reaction {
        (self.simulate)(script::inside(&String::from_utf8_lossy(script)))
    }

    /// What a job will have done.
    fn job(&self, input: &Input) -> Reaction {
        let arguments: Value =
            serde_json::from_str(&input.text("arguments")).unwrap_or(Value::Null);
        let mark = arguments["mark"].as_str().unwrap_or_default().to_owned();
        match scripts::name(&String::from_utf8_lossy(&input.data)).unwrap_or_default() {
            "generalize" => {
                self.state(|state| state.sealed.insert(input.text("id")));
                Reaction::out(format!("{mark} sealed\n"))
            }
            "optimize" => Reaction::out("optimize: this machine is only simulated\n"),
            "update-round" if self.state(|state| std::mem::take(&mut state.is_updated)) => {
                Reaction::out(format!("{mark} found 0\n"))
            }
            "update-round" => {
                self.state(|state| state.is_updated = true);
                let title = BASE64.encode("an update that is only simulated");
                let lines = ["found 1", &format!("update {title}"), "installed 1 failed 0"];
                let out = lines.iter().map(|line| format!("{mark} {line}\n")).collect();
                Reaction { out, ..Reaction::exit(101) }
            }
            _ => self.simulated(&input.data),
        }
    }

    fn polled(&self, input: &Input, mark: &str) -> Reaction {
        let id = input.text("id");
        let Some(job) = self.state(|state| state.jobs.get(&id).cloned()) else {
            return Reaction::out(format!("{mark} unknown\n"));
        };
        let all = format!("{}{}", job.out, job.err);
        let offset = usize::try_from(input.number("offset")).unwrap_or(usize::MAX);
        let rest = all.as_bytes().get(offset..).unwrap_or_default();
        if !rest.is_empty() {
            let rest = BASE64.encode(rest);
            return Reaction::out(format!("{mark} output {offset} {rest}\n{mark} running\n"));
        }
        match job.then {
            Then::Exit(code) => Reaction::out(format!("{mark} ended {code}\n")),
            Then::Sleep(time) => {
                let ended = Reaction { then: Then::Exit(0), ..job };
                self.state(|state| state.jobs.insert(id, ended));
                running(mark, time)
            }
            // The next poll does not find it any more.
            Then::Reset => self.state(|state| {
                state.boot += 1;
                state.jobs.remove(&id);
                Reaction::then(Then::Reset)
            }),
            then => Reaction::then(then),
        }
    }
}

fn running(mark: &str, time: Duration) -> Reaction {
    Reaction { then: Then::Sleep(time), ..Reaction::out(format!("{mark} running\n")) }
}

/// What a script gets.
struct Input {
    arguments: Value,
    script: String,
    data: Vec<u8>,
}

impl Input {
    /// `None` if it is not whole.
    fn read(stdin: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(stdin).ok()?;
        let mut lines = text.strip_suffix(".\n")?.lines();
        let arguments = serde_json::from_slice(&BASE64.decode(lines.next()?).ok()?).ok()?;
        let script = call::text(lines.next()?);
        let mut data = Vec::new();
        for line in lines {
            data.extend(BASE64.decode(line).ok()?);
        }
        Some(Self { arguments, script, data })
    }

    fn text(&self, name: &str) -> String {
        self.arguments[name].as_str().unwrap_or_default().to_owned()
    }

    fn number(&self, name: &str) -> u64 {
        self.arguments[name].as_u64().unwrap_or_default()
    }
}
