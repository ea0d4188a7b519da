//! Trials of guests that are only scripted: what passes, what fails, and what is left.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use images::{digest::digest, event::Events, layout::Layout, run_context::RunContext};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use trial::{Exchange, Image, Report, Trial};
use vm::{
    Ended, Host,
    fake::{Call, Fake, Mishap, Point, Reaction, Then},
};

struct Bench {
    dir: tempfile::TempDir,
    host: Host,
    fake: Fake,
    cancel: CancellationToken,
    /// The script that is running when the trial is canceled.
    canceled_by: Arc<Mutex<Option<&'static str>>>,
    /// What a script of the trial does instead of what it does where all is well.
    instead: Arc<Mutex<BTreeMap<&'static str, Reaction>>>,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::probe(None).await.expect("QEMU is installed (make setup)");
        let fake = Fake::new();
        let instead: Arc<Mutex<BTreeMap<&'static str, Reaction>>> = Arc::default();
        let rules = instead.clone();
        let disk = Command::new(&host.qemu_img)
            .args(["create", "-q", "-f", "qcow2"])
            .arg(dir.path().join("image.qcow2"))
            .arg("64M")
            .status();
        assert!(disk.unwrap().success());
        let (calls, stop, cancel) = (fake.clone(), Arc::default(), CancellationToken::new());
        let canceled_by: Arc<Mutex<Option<&'static str>>> = stop;
        let (by, token) = (canceled_by.clone(), cancel.clone());
        guests::windows::played::install(&fake, move |script| {
            let name = script.lines().next().unwrap_or_default();
            let name =
                name.trim_start_matches('\u{feff}').trim_start_matches("# goldsmith: trial-");
            if *by.lock().unwrap() == Some(name) {
                token.cancel();
                return Reaction::then(Then::Hang);
            }
            let rule = rules.lock().unwrap().get(name).cloned();
            rule.unwrap_or_else(|| well(name, script, &calls))
        });
        fake.on_console("goldsmith", "step makes the build user");
        fake.on_console("certificate", "00".repeat(32));
        fake.on_console("goldsmith goldsmith-", "generalized");
        Self { dir, host, fake, cancel, canceled_by, instead }
    }

    fn instead(&self, script: &'static str, reaction: Reaction) {
        self.instead.lock().unwrap().insert(script, reaction);
    }

    fn archive(&self) -> PathBuf {
        self.dir.path().join("report.tar.gz")
    }

    fn layout(&self) -> Layout {
        Layout::new(self.dir.path().join("cache"), self.dir.path().join("data"))
    }

    async fn run(&self) -> Report {
        let cx = RunContext::new(self.layout(), Events::none(), self.cancel.clone());
        let image = Image::Disk {
            path: self.dir.path().join("image.qcow2"),
            format: "qcow2".to_owned(),
            bytes: 64 << 20,
        };
        let trial = Trial {
            title: "an image".to_owned(),
            image,
            is_uefi: false,
            vcpus: 1,
            memory_mib: 512,
            boot_timeout: Duration::from_secs(10),
            updates: false,
            trusted: false,
            archive: self.archive(),
            findings: json!([{ "what": "kvm" }]),
        };
        let exchange = Exchange::default();
        let report = trial::run(&cx, &self.host, &self.fake, &trial, &exchange).await.unwrap();
        self.assert_released();
        report
    }

    fn assert_released(&self) {
        assert!(self.fake.running().is_empty(), "{:?}", self.fake.running());
        for folder in [self.layout().runs(), self.layout().ledger()] {
            let left: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
            assert!(left.is_empty(), "{left:?}");
        }
        assert!(!self.dir.path().join("report.tar.gz.part").exists());
    }

    /// The unpacked archive: names without the folder, and contents.
    fn unpacked(&self) -> BTreeMap<String, Vec<u8>> {
        let to = self.dir.path().join("unpacked");
        std::fs::create_dir_all(&to).unwrap();
        let tar = Command::new("tar").arg("xzf").arg(self.archive()).arg("-C").arg(&to).status();
        assert!(tar.unwrap().success());
        let folder = std::fs::read_dir(&to).unwrap().next().unwrap().unwrap().path();
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        files
            .map(|file| {
                let name = file.file_name().into_string().unwrap();
                (name, std::fs::read(file.path()).unwrap())
            })
            .collect()
    }
}

/// The arguments, the name and the data of each script that guests were given.
fn scripts(fake: &Fake) -> Vec<(Value, String, Vec<u8>)> {
    let decode = |text: &str| STANDARD.decode(text).unwrap_or_default();
    let read = |stdin: Vec<u8>| {
        let text = String::from_utf8(stdin).ok()?;
        let mut lines = text.strip_suffix(".\n")?.lines();
        let arguments = serde_json::from_slice(&decode(lines.next()?)).ok()?;
        let script = String::from_utf8(decode(lines.next()?)).ok()?;
        let name = script.lines().next()?.trim_start_matches("# goldsmith: ").to_owned();
        Some((arguments, name, lines.flat_map(decode).collect()))
    };
    let inputs = fake.calls().into_iter().filter_map(|call| match call {
        Call::Run { stdin, .. } => Some(stdin),
        _ => None,
    });
    inputs.filter_map(read).collect()
}

/// What a script of the trial does where all is well.
fn well(name: &str, script: &str, calls: &Fake) -> Reaction {
    let lines = |lines: &[&str]| {
        Reaction::out(lines.iter().map(|line| format!("trial {line}\r\n")).collect::<String>())
    };
    match name {
        "guest" => lines(&["product A Windows", "build 17763.1"]),
        "exit" => {
            let code = script.lines().find_map(|line| line.strip_prefix("exit ")).unwrap();
            Reaction::exit(code.parse::<i64>().unwrap() as u32)
        }
        "text" => lines(&["text Grüße, 世界, 😀"]).err("schön schiefgegangen\r\n"),
        "restart" => Reaction::then(Then::Reset),
        "network" => lines(&["card PCI\\VEN_8086&DEV_10D3", "driver e1i65x64.sys"]),
        "clock" => {
            let now = jiff::Timestamp::now().as_millisecond();
            lines(&[&format!("clock {now}")])
        }
        "identity" => {
            let jobs = scripts(calls).into_iter().filter(|(_, name, _)| name == "job-start");
            let system = jobs.count() > 0;
            let out = format!("trial user a\ntrial system {system}\ntrial administrator True\n");
            Reaction { out, ..Reaction::exit(7) }
        }
        "digest" => {
            let uploads = scripts(calls).into_iter().rev().find(|(_, name, _)| name == "upload");
            lines(&[&format!("digest {}", digest(&uploads.unwrap().2).to_uppercase())])
        }
        name => Reaction::exit(1).err(format!("no script {name}\n")),
    }
}

fn results(report: &Report) -> BTreeMap<&'static str, String> {
    let value = serde_json::to_value(report).unwrap();
    let result = |step: &Value| {
        let text = |field: &str| step[field].as_str().unwrap_or_default().to_owned();
        match text("result").as_str() {
            "pass" => "pass".to_owned(),
            "fail" => format!("fail: {}", text("message")),
            _ => format!("skipped: {}", text("reason")),
        }
    };
    let steps = value["steps"].as_array().unwrap();
    report.steps.iter().zip(steps).map(|(step, value)| (step.step, result(value))).collect()
}

/// The steps that cannot pass on such a guest: its boot id does not change when a machine starts.
const NOT_PLAYED: [&str; 1] = ["cold-boot"];

fn assert_passed(results: &BTreeMap<&'static str, String>, steps: &[&str]) {
    for step in steps.iter().filter(|step| !NOT_PLAYED.contains(step)) {
        assert_eq!(results[step], "pass", "{step}: {results:#?}");
    }
}

#[tokio::test]
async fn trial_of_a_good_guest_passes_and_its_archive_has_no_secret() {
    let bench = Bench::new().await;
    let report = bench.run().await;
    let results = results(&report);
    let expected = [
        "start",
        "medium",
        "answers",
        "guest",
        "upload",
        "exit-codes",
        "text",
        "job-user",
        "job-system",
        "job-restart",
        "restart",
        "network",
        "resume",
        "update-search",
        "generalize",
        "fork",
    ];
    assert_passed(&results, &expected);
    assert_eq!(results["cold-boot"], "fail: the boot id did not change by a boot");
    assert!(results["updates"].starts_with("skipped: only with --updates"));
    assert!(results["trusted"].starts_with("skipped: only with --trusted"));

    let files = bench.unpacked();
    for name in ["report.txt", "report.json", "winrm.json", "customization.log"] {
        assert!(files.contains_key(name), "{name}: {:?}", files.keys());
    }
    let screens = files.keys().filter(|name| name.ends_with(".png")).count();
    assert!(screens >= 14, "{:?}", files.keys());
    let json: Value = serde_json::from_slice(&files["report.json"]).unwrap();
    assert_eq!(json["guest"]["build"], "17763.1");
    assert_eq!(json["host"]["findings"][0]["what"], "kvm");
    let passwords: Vec<String> = scripts(&bench.fake)
        .iter()
        .filter_map(|(arguments, ..)| arguments["password"].as_str().map(str::to_owned))
        .collect();
    assert!(!passwords.is_empty());
    for (name, content) in &files {
        let text = String::from_utf8_lossy(content);
        assert!(passwords.iter().all(|password| !text.contains(password)), "{name}");
    }
}

#[tokio::test]
async fn failed_step_skips_only_what_needs_it() {
    let bench = Bench::new().await;
    bench.instead("identity", Reaction::exit(1));
    let results = results(&bench.run().await);
    assert_eq!(results["job-system"], "fail: the exit code should be 7, and is 1");
    for step in ["job-restart", "update-search", "generalize"] {
        assert_eq!(results[step], "skipped: it needs the step job-system, which failed");
    }
    assert_eq!(results["fork"], "skipped: it needs the step generalize, which was skipped");
    assert_passed(&results, &["upload", "text", "restart", "network", "resume"]);
}

#[tokio::test]
async fn machine_that_ends_within_a_step_is_started_again_for_the_next_one() {
    let bench = Bench::new().await;
    bench.instead("text", Reaction::then(Then::Gone(Ended::GuestPanic)));
    let results = results(&bench.run().await);
    assert!(results["text"].starts_with("fail: "), "{results:#?}");
    assert_passed(&results, &["job-user", "job-system", "restart", "resume", "generalize", "fork"]);
}

#[tokio::test]
async fn panic_within_a_step_fails_that_step_alone() {
    let bench = Bench::new().await;
    bench.instead("network", Reaction::then(Then::Panic));
    let results = results(&bench.run().await);
    assert!(results["network"].starts_with("fail: goldsmith panicked"), "{results:#?}");
    assert_passed(&results, &["resume", "generalize", "fork"]);
}

#[tokio::test]
async fn guest_that_does_not_answer_leaves_an_archive() {
    let bench = Bench::new().await;
    bench.fake.at(Point::Connect, Mishap::Fail("no answer".to_owned()));
    let report = bench.run().await;
    let results = results(&report);
    assert_passed(&results, &["start", "medium"]);
    assert!(results["answers"].starts_with("fail: "), "{results:#?}");
    assert_eq!(results["upload"], "skipped: it needs the step answers, which failed");
    assert_eq!(report.failures().count(), 1);
    let text = String::from_utf8(bench.unpacked().remove("report.txt").unwrap()).unwrap();
    assert!(text.contains("FAIL     answers"), "{text}");
}

#[tokio::test]
async fn cancel_skips_the_rest_releases_everything_and_writes_the_archive() {
    let bench = Bench::new().await;
    *bench.canceled_by.lock().unwrap() = Some("text");
    let results = results(&bench.run().await);
    assert_passed(&results, &["start", "answers", "upload", "exit-codes"]);
    for step in ["text", "job-user", "fork"] {
        assert_eq!(results[step], "skipped: the trial was canceled");
    }
    assert!(bench.unpacked().contains_key("report.json"));
}

#[tokio::test]
async fn archive_that_cannot_be_written_is_an_error_before_any_machine_starts() {
    let bench = Bench::new().await;
    std::fs::create_dir(bench.dir.path().join("report.tar.gz.part")).unwrap();
    let cx = RunContext::new(bench.layout(), Events::none(), bench.cancel.clone());
    let image =
        Image::Disk { path: "image.qcow2".into(), format: "qcow2".to_owned(), bytes: 64 << 20 };
    let trial = Trial {
        title: "an image".to_owned(),
        image,
        is_uefi: false,
        vcpus: 1,
        memory_mib: 512,
        boot_timeout: Duration::from_secs(10),
        updates: false,
        trusted: false,
        archive: bench.archive(),
        findings: json!(null),
    };
    let error = trial::run(&cx, &bench.host, &bench.fake, &trial, &Exchange::default()).await;
    assert!(error.unwrap_err().message.contains("report.tar.gz.part"));
    assert_eq!(bench.fake.calls(), []);
}
