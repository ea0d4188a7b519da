//! The facts of the host that times depend on, and the guests that goldsmith runs on it.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use serde_json::{Value, json};

use super::output;
use crate::Result;

/// How goldsmith runs its guests here. The other sides run theirs in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Guests {
    pub(super) accel: String,
    /// The value of QEMU's `-cpu`.
    pub(super) cpu: String,
}

impl Guests {
    /// Asks goldsmith, with `--accel` if one was requested.
    pub(super) fn of(goldsmith: &Path, accel: Option<&str>) -> Result<Self> {
        let mut arguments = vec!["--output", "json"];
        arguments.extend(accel.into_iter().flat_map(|accel| ["--accel", accel]));
        arguments.push("doctor");
        // Its exit code also covers what only a service needs.
        let done = std::process::Command::new(goldsmith).args(arguments).output();
        let done = done.map_err(|error| format!("cannot run {}: {error}", goldsmith.display()))?;
        Self::parse(&String::from_utf8_lossy(&done.stdout))
    }

    fn parse(doctor: &str) -> Result<Self> {
        let value: Value = doctor
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .find(|value: &Value| value["kind"] == "doctor")
            .ok_or_else(|| format!("goldsmith doctor printed no result: {doctor}"))?;
        match (value["guests"]["accel"].as_str(), value["guests"]["cpu"].as_str()) {
            (Some(accel), Some(cpu)) => Ok(Self { accel: accel.to_owned(), cpu: cpu.to_owned() }),
            _ => Err("no machine can run on this host: see goldsmith doctor".to_owned()),
        }
    }

    /// QEMU's value for `-accel`: as goldsmith sets it, or without its tuning.
    pub(super) fn qemu_accel(&self, tuned: bool) -> &str {
        match (self.accel.as_str(), tuned) {
            ("tcg", true) => "tcg,thread=multi,tb-size=512",
            ("tcg", false) => "tcg,thread=multi",
            (other, _) => other,
        }
    }
}

/// What a reader needs to compare the result with that of another host. `dir` is on the disk that the
/// measurements use.
pub(super) fn facts(goldsmith: &Path, repository: &Path, dir: &Path, guests: &Guests) -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let first_line = |program: &str, arguments: &[&str]| {
        let text = output(program, arguments).ok()?;
        text.lines().next().map(str::to_owned)
    };
    let (folder, program) = (repository.to_string_lossy(), goldsmith.to_string_lossy());
    json!({
        "processor": field(&read("/proc/cpuinfo"), "model name"),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory_mib": field(&read("/proc/meminfo"), "MemTotal")
            .and_then(|kib| kib.split(' ').next()?.parse::<u64>().ok())
            .map(|kib| kib / 1024),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "is_disk_rotational": is_rotational(dir),
        "accel": guests.accel,
        "guest_cpu": guests.cpu,
        "qemu": first_line("qemu-system-x86_64", &["--version"]),
        "packer": first_line("packer", &["version"]),
        "goldsmith": first_line(&program, &["--version"]),
        "commit": first_line("git", &["-C", &folder, "describe", "--always", "--dirty"]),
    })
}

/// The first value of a field in one of the kernel's `name : value` files.
fn field(text: &str, name: &str) -> Option<String> {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
}

/// Whether the disk below a folder has moving parts; `None` where the kernel does not tell.
fn is_rotational(dir: &Path) -> Option<bool> {
    let device = fs::metadata(dir).ok()?.dev();
    let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xfff00);
    let device = format!("/sys/dev/block/{major}:{minor}");
    // A partition has no queue, but its disk, whose folder contains the partition's, does.
    let queue = ["queue/rotational", "../queue/rotational"].into_iter();
    let mut found = queue.filter_map(|file| fs::read_to_string(format!("{device}/{file}")).ok());
    found.next().map(|text| text.trim() == "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_what_goldsmith_says() {
        let doctor = r#"{"kind":"note","text":"x"}
{"findings":[],"guests":{"accel":"kvm","cpu":"EPYC","machine":"pc-q35-10.0"},"kind":"doctor","ready":false}"#;
        let guests = Guests::parse(doctor).unwrap();
        assert_eq!((guests.qemu_accel(true), guests.cpu.as_str()), ("kvm", "EPYC"));
        let without = r#"{"findings":[],"guests":null,"kind":"doctor","ready":false}"#;
        assert!(Guests::parse(without).unwrap_err().contains("doctor"));
        assert!(Guests::parse("").is_err());
    }

    #[test]
    fn only_tuned_emulation_has_a_larger_buffer() {
        let guests = Guests { accel: "tcg".to_owned(), cpu: "max".to_owned() };
        assert_eq!(guests.qemu_accel(true), "tcg,thread=multi,tb-size=512");
        assert_eq!(guests.qemu_accel(false), "tcg,thread=multi");
    }

    #[test]
    fn field_is_the_first_of_that_name() {
        let text = "processor\t: 0\nmodel name\t: A 1: fast\nprocessor\t: 1\nmodel name\t: B\n";
        assert_eq!(field(text, "model name").as_deref(), Some("A 1: fast"));
        assert_eq!(field(text, "model"), None);
    }
}
