//! `cargo xtask bench`: compares goldsmith with Packer and with the floor, in one run on one host.
//! Image, the five steps, machine type and final cleanup are the same, and each side writes one
//! standalone qcow2. Only one machine runs at a time.

pub(crate) mod authorization;
pub(crate) mod evaluation;
mod floor;
mod goldsmith;
mod guest;
mod host;
mod packer;
pub(crate) mod replication;
mod report;
pub(crate) mod template;
pub(crate) mod vhd;
mod workload;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::Result;
use guest::Access;
use host::Guests;
use workload::Workload;

/// The size of the build machine: `Standard_B2s`.
const VM_SIZE: &str = "Standard_B2s";
const VCPUS: u32 = 2;
const MEMORY_MIB: u32 = 4096;
/// A size with one vCPU and 2 GiB, to measure the pause of a seal with less RAM.
const SMALL_VM_SIZE: &str = "Standard_B1ms";
const SMALL_MEMORY_MIB: u32 = 2048;

/// What to measure.
pub(crate) struct Options {
    /// As goldsmith chooses by default.
    accel: Option<String>,
    /// How often everything is measured. The result is the median of each figure.
    runs: usize,
    only: Option<String>,
    image: Option<PathBuf>,
    /// Whether Packer's machine gets goldsmith's tuning of QEMU as well (`--packer-qemu goldsmith`).
    packer_tuned: bool,
}

impl Options {
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut options =
            Self { accel: None, runs: 1, only: None, image: None, packer_tuned: false };
        for pair in words.chunks(2) {
            match pair {
                ["--accel", accel @ ("tcg" | "kvm")] => options.accel = Some((*accel).to_owned()),
                ["--packer-qemu", whose @ ("own" | "goldsmith")] => {
                    options.packer_tuned = *whose == "goldsmith";
                }
                ["--runs", runs] => {
                    options.runs = match runs.parse() {
                        Ok(runs @ 1..) => runs,
                        _ => return Err(format!("--runs {runs}: not a number from 1")),
                    };
                }
                ["--only", side @ ("packer" | "floor" | "goldsmith")] => {
                    options.only = Some((*side).to_owned());
                }
                ["--image", image] => options.image = Some(PathBuf::from(image)),
                other => return Err(format!("bench: unknown arguments {}", other.join(" "))),
            }
        }
        Ok(options)
    }

    fn wants(&self, side: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == side)
    }
}

/// The parameters of all sides.
struct Bench<'a> {
    repository: &'a Path,
    /// `target/bench`: caches, logs, results.
    dir: PathBuf,
    options: &'a Options,
    guests: Guests,
    access: Access,
}

impl Bench<'_> {
    fn goldsmith(&self) -> PathBuf {
        executable(self.repository)
    }
}

/// The executable, which `make` builds.
fn executable(repository: &Path) -> PathBuf {
    repository.join("target/release/goldsmith")
}

pub(crate) fn run(repository: &Path, options: &Options) -> Result<()> {
    let dir = repository.join("target/bench");
    fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let access = Access::generate(&dir.join("access"))?;
    let guests = Guests::of(&executable(repository), options.accel.as_deref())?;
    let bench = Bench { repository, dir, options, guests, access };
    let image = match &options.image {
        Some(image) => fs::canonicalize(image).map_err(|e| format!("{}: {e}", image.display()))?,
        None => goldsmith::source_image(&bench)?,
    };
    let mut measured = report::Measured::new(&bench, &image);
    for run in 1..=options.runs {
        if options.runs > 1 {
            println!("run {run} of {}", options.runs);
        }
        measured.runs.push(measure(&bench, &image)?);
    }
    println!("\n{}", measured.table());
    // A partial measurement does not replace a complete one.
    if options.only.is_none() {
        let path = bench.dir.join("build.json");
        write(&path, &measured.json())?;
        println!("written: {}", path.display());
        println!("for docs/performance.md:\n{}", measured.row());
    }
    Ok(())
}

/// One whole measurement.
fn measure(bench: &Bench<'_>, image: &Path) -> Result<report::Measurement> {
    // A unique first line, so that no node of an earlier run matches.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let workload = Workload::new(now);
    let mut measured = report::Measurement::default();
    if bench.options.wants("goldsmith") {
        measured.goldsmith = Some(goldsmith::measure(bench, &workload)?);
    }
    if bench.options.wants("packer") {
        measured.packer_s = Some(packer::measure(bench, &workload, image)?);
    }
    if bench.options.wants("floor") {
        measured.floor_s = floor::measure(bench, &workload, image)?;
    }
    Ok(measured)
}

fn write(path: &Path, content: &str) -> Result<()> {
    fs::write(path, content).map_err(|error| format!("{}: {error}", path.display()))
}

/// Creates an empty folder, or empties it.
fn fresh(path: &Path) -> Result<PathBuf> {
    if path.exists() {
        fs::remove_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path.to_owned())
}

/// Runs a program to its end and returns its output.
fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let done = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run {program}: {error}"))?;
    if !done.status.success() {
        let errors = String::from_utf8_lossy(&done.stderr);
        return Err(format!("{program} {}: {}", arguments.join(" "), errors.trim()));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Fails unless the file is a standalone qcow2.
fn check_standalone(image: &Path) -> Result<()> {
    let json = output("qemu-img", &["info", "--output=json", &image.to_string_lossy()])?;
    let info: serde_json::Value = serde_json::from_str(&json)
        .map_err(|error| format!("qemu-img info {}: {error}", image.display()))?;
    if info["format"] != "qcow2" || info.get("backing-filename").is_some() {
        return Err(format!("{} is not a standalone qcow2", image.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let options = Options::parse(&["--accel", "kvm", "--runs", "3"]).unwrap();
        assert_eq!((options.accel.as_deref(), options.runs), (Some("kvm"), 3));
        assert!(options.wants("floor"));
        let options = Options::parse(&["--only", "packer", "--image", "x.qcow2"]).unwrap();
        assert!(options.wants("packer") && !options.wants("goldsmith"));
        assert_eq!((options.accel, options.runs), (None, 1));
    }

    #[test]
    fn nonsense_is_refused() {
        for words in [&["--accel", "fast"][..], &["--accel"], &["--runs", "0"], &["x"]] {
            assert!(Options::parse(words).is_err(), "{words:?}");
        }
    }
}
