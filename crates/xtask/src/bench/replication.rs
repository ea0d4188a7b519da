//! `cargo xtask bench-replication`: the bytes that replication of a version to three regions reads, and
//! the bytes that the next version uploads.
//!
//! The disk is generated: one half is data (four fifths noise, the rest text, in files of 64 KiB to
//! 64 MiB), the other half holes. The next version overwrites 2 % of the data in runs of 64 KiB to 1 MiB,
//! with evenly distributed logarithms, at multiples of 4 KiB anywhere in the data. No machine is
//! started. The regions are folders.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{fresh, output, write};
use crate::Result;

const GIB: u64 = 1 << 30;
const BLOCK: u64 = 4096;
const REGIONS: [&str; 3] = ["eastus", "westeurope", "japaneast"];
const DEFINITION: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/Microsoft.Compute/galleries/gal/images/def";
/// The share of the data that the next version overwrites.
const CHANGED: f64 = 0.02;
/// The limit for its upload, as a share of the first version's.
const LIMIT: f64 = 0.1;

/// The path of the executable, and the size of the disk.
pub(crate) struct Options {
    goldsmith: PathBuf,
    gib: u64,
    /// The work folder; it needs about four times the size of the disk.
    dir: PathBuf,
}

impl Options {
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self {
            goldsmith: "target/release/goldsmith".into(),
            gib: 4,
            dir: "target/bench".into(),
        };
        for pair in words.chunks(2) {
            match pair {
                ["--goldsmith", path] => options.goldsmith = path.into(),
                ["--dir", dir] => options.dir = dir.into(),
                ["--gib", gib] => {
                    options.gib = match gib.parse() {
                        Ok(gib @ 1..=64) => gib,
                        _ => return Err(format!("--gib {gib}: not a number from 1 to 64")),
                    };
                }
                other => return Err(format!("unknown arguments {}", other.join(" "))),
            }
        }
        Ok(options)
    }
}

/// The figures of one replication.
struct Copied {
    seconds: f64,
    /// Bytes of the disk that goldsmith reports as read, and all bytes that the process read.
    read: u64,
    process_read: u64,
    moved: Vec<u64>,
    chunks: u64,
    moved_chunks: u64,
}

pub(crate) fn run(repository: &Path, options: &Options) -> Result<()> {
    let dir = fresh(&repository.join(&options.dir).join("replication"))?;
    let measured = measure(repository, options, &dir);
    // Several gigabytes, which are not needed any more.
    fs::remove_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let result = measured?;
    fs::create_dir_all(repository.join("target/bench")).map_err(|e| e.to_string())?;
    let path = repository.join("target/bench/replication.json");
    write(&path, &format!("{result:#}\n"))?;
    println!("written: {}", path.display());
    if result["ok"] == true { Ok(()) } else { Err("a limit is not kept".to_owned()) }
}

fn measure(repository: &Path, options: &Options, dir: &Path) -> Result<Value> {
    let goldsmith = Goldsmith {
        program: repository.join(&options.goldsmith),
        data: dir.join("data"),
        cache: dir.join("cache"),
    };
    configure(dir)?;
    let raw = dir.join("disk.raw");
    let mut disk = Disk::make(&raw, options.gib * GIB)?;
    let data = disk.data();
    goldsmith.import(dir, &raw, "1.0.0")?;
    let one = goldsmith.replicate("1.0.0", &REGIONS[..1])?;
    fresh(&dir.join(REGIONS[0]))?;
    let three = goldsmith.replicate("1.0.0", &REGIONS)?;
    let runs = disk.change()?;
    let changed: u64 = runs.iter().map(|(_, length)| length).sum();
    goldsmith.import(dir, &raw, "1.0.1")?;
    let next = goldsmith.replicate("1.0.1", &REGIONS)?;
    let stored = bytes_below(&dir.join(REGIONS[0]))?;

    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let part = next.moved[0] as f64 / three.moved[0] as f64;
    println!(
        "disk {:.0} MiB, data {:.0} MiB, changed {:.1} MiB in {} runs",
        mib(options.gib * GIB),
        mib(data),
        mib(changed),
        runs.len()
    );
    for (name, copied) in [("one region", &one), ("three regions", &three), ("next version", &next)]
    {
        println!(
            "{name:<14} {:>6.1} s  read {:>7.1} MiB ({:>7.1} by the process)  {:>6} of {:>6} pieces, {:>7.1} MiB to each",
            copied.seconds,
            mib(copied.read),
            mib(copied.process_read),
            copied.moved_chunks,
            copied.chunks,
            mib(copied.moved[0]),
        );
    }
    // A qcow2 has clusters of 64 KiB, so it contains slightly more data than was written.
    let read_once = three.read == one.read && three.read < data + data / 20;
    // The process also reads folders, the piece table and the program, but not the disk again.
    let process_once = three.process_read < data + data / 4;
    let little = part <= LIMIT;
    println!("the source is read once for three regions: {}", verdict(read_once && process_once));
    println!(
        "the next version moves {:.2} % (limit {:.0} %): {}",
        part * 100.0,
        LIMIT * 100.0,
        verdict(little)
    );
    for kib in [64, 128, 256, 512] {
        let count = touched(&runs, kib << 10);
        let part = (count * (kib << 10)) as f64 / data as f64 * 100.0;
        println!(
            "pieces of {kib:>3} KiB: the runs touch {count:>4} of them, {part:.2} % of the data"
        );
    }
    println!("a region stores {:.1} MiB for both", mib(stored));
    Ok(json!({
        "dataBytes": data, "changedBytes": changed, "changedRuns": runs.len(),
        "oneRegion": one.json(), "threeRegions": three.json(), "nextVersion": next.json(),
        "storedBytes": stored, "movedPart": part, "ok": read_once && process_once && little,
    }))
}

fn verdict(kept: bool) -> &'static str {
    if kept { "ok" } else { "NO" }
}

impl Copied {
    fn json(&self) -> Value {
        json!({
            "seconds": self.seconds, "readBytes": self.read, "processReadBytes": self.process_read,
            "movedBytes": self.moved, "chunks": self.chunks, "movedChunks": self.moved_chunks,
        })
    }
}

fn configure(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir.join("data")).map_err(|e| e.to_string())?;
    let region = |name: &str| {
        format!("[[region]]\nname = \"{name}\"\nplace = \"{}\"\n", dir.join(name).display())
    };
    write(&dir.join("data/goldsmith.toml"), &REGIONS.map(region).concat())
}

/// The number of pieces of a size that contain a changed byte.
fn touched(runs: &[(u64, u64)], size: u64) -> u64 {
    let pieces = runs.iter().flat_map(|(at, length)| at / size..(at + length).div_ceil(size));
    pieces.collect::<std::collections::HashSet<u64>>().len() as u64
}

struct Goldsmith {
    program: PathBuf,
    data: PathBuf,
    cache: PathBuf,
}

impl Goldsmith {
    fn start(&self, arguments: &[&str]) -> Result<Child> {
        Command::new(&self.program)
            .args(["--output", "json", "--data-dir"])
            .arg(&self.data)
            .arg("--cache-dir")
            .arg(&self.cache)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("{}: {e}", self.program.display()))
    }

    /// Imports the current disk as a version.
    fn import(&self, dir: &Path, raw: &Path, version: &str) -> Result<()> {
        let qcow2 = dir.join("disk.qcow2");
        let (from, to) = (raw.to_string_lossy(), qcow2.to_string_lossy());
        output("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", &from, &to])?;
        let id = format!("{DEFINITION}/versions/{version}");
        self.finish(self.start(&["image", "import", &id, &to])?)?;
        fs::remove_file(&qcow2).map_err(|e| e.to_string())
    }

    fn replicate(&self, version: &str, regions: &[&str]) -> Result<Copied> {
        let id = format!("{DEFINITION}/versions/{version}");
        let started = Instant::now();
        let mut arguments = vec!["image", "replicate", &id];
        arguments.extend(regions);
        let mut child = self.start(&arguments)?;
        let mut process_read = 0;
        while child.try_wait().map_err(|e| e.to_string())?.is_none() {
            process_read = process_read.max(read_by(child.id()));
            std::thread::sleep(Duration::from_millis(10));
        }
        let seconds = started.elapsed().as_secs_f64();
        let said = self.finish(child)?;
        let each = said["regions"].as_array().cloned().unwrap_or_default();
        if each.len() != regions.len() {
            return Err(format!("not every region has {version}: {said}"));
        }
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        Ok(Copied {
            seconds,
            read: number(&said["readBytes"]),
            process_read,
            moved: each.iter().map(|region| number(&region["copied"]["movedBytes"])).collect(),
            chunks: number(&each[0]["copied"]["chunks"]),
            moved_chunks: number(&each[0]["copied"]["movedChunks"]),
        })
    }

    /// Runs a command and returns its last line of output.
    fn finish(&self, child: Child) -> Result<Value> {
        let done = child.wait_with_output().map_err(|e| e.to_string())?;
        let text = String::from_utf8_lossy(&done.stdout);
        let last = text.lines().last().unwrap_or_default();
        if !done.status.success() {
            return Err(format!("goldsmith failed: {last}"));
        }
        serde_json::from_str(last).map_err(|e| format!("{e}: {last}"))
    }
}

/// The bytes that a process has read so far.
fn read_by(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let read = text.lines().find_map(|line| line.strip_prefix("rchar: "));
    read.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn bytes_below(dir: &Path) -> Result<u64> {
    let text = output("du", &["-sb", "--apparent-size", &dir.to_string_lossy()])?;
    let number = text.split_whitespace().next().and_then(|number| number.parse().ok());
    number.ok_or_else(|| format!("unexpected output of du: {text}"))
}

/// A generated raw disk.
struct Disk {
    file: File,
    random: Random,
    /// The ranges of the files.
    files: Vec<(u64, u64)>,
}

impl Disk {
    fn make(path: &Path, size: u64) -> Result<Self> {
        let file = File::create(path).map_err(|e| e.to_string())?;
        file.set_len(size).map_err(|e| e.to_string())?;
        let mut disk = Self { file, random: Random(0x9e37_79b9_7f4a_7c15), files: Vec::new() };
        let mut at = 1 << 20;
        loop {
            let length = disk.random.size(64 << 10, 64 << 20);
            // A hole of the same length follows each file.
            if at + 2 * length > size {
                return Ok(disk);
            }
            let is_text = disk.random.next().is_multiple_of(5);
            disk.write(at, length, is_text)?;
            disk.files.push((at, length));
            at += 2 * length;
        }
    }

    fn data(&self) -> u64 {
        self.files.iter().map(|(_, length)| length).sum()
    }

    /// Overwrites a share of the data. Returns offset and length of each run.
    fn change(&mut self) -> Result<Vec<(u64, u64)>> {
        let data = self.data();
        let wanted = (data as f64 * CHANGED) as u64;
        let (mut done, mut runs) = (0, Vec::new());
        while done < wanted {
            let length = self.random.size(64 << 10, 1 << 20).min(wanted - done).max(BLOCK);
            // By position in the data, so that large files are chosen more often.
            let mut at = self.random.next() % data;
            let found = self.files.iter().find(|(_, length)| {
                let inside = at < *length;
                if !inside {
                    at -= length;
                }
                inside
            });
            let Some((start, whole)) = found.copied() else { continue };
            let at = at / BLOCK * BLOCK;
            let length = (length / BLOCK * BLOCK).min(whole - at);
            self.write(start + at, length, false)?;
            done += length;
            runs.push((start + at, length));
        }
        Ok(runs)
    }

    fn write(&mut self, at: u64, length: u64, is_text: bool) -> Result<()> {
        let mut done = 0;
        while done < length {
            let part = usize::try_from((length - done).min(1 << 20)).unwrap_or(0);
            let bytes = if is_text { self.random.text(part) } else { self.random.noise(part) };
            self.file.write_all_at(&bytes, at + done).map_err(|e| e.to_string())?;
            done += part as u64;
        }
        Ok(())
    }
}

/// Random numbers with a fixed seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A size in whole blocks between two limits, with an evenly distributed logarithm.
    fn size(&mut self, least: u64, most: u64) -> u64 {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        let (low, high) = ((least as f64).ln(), (most as f64).ln());
        ((low + unit * (high - low)).exp() as u64) / BLOCK * BLOCK
    }

    fn noise(&mut self, length: usize) -> Vec<u8> {
        let words = (0..length.div_ceil(8)).flat_map(|_| self.next().to_le_bytes());
        words.take(length).collect()
    }

    /// Text that compresses about as well as source code.
    fn text(&mut self, length: usize) -> Vec<u8> {
        let mut text = String::with_capacity(length + 64);
        while text.len() < length {
            let number = self.next() % 100_000;
            text.push_str(&format!("line {number} of a file that has many lines\n"));
        }
        text.truncate(length);
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_half_data_and_changes_as_much_as_it_should() {
        let path = std::env::temp_dir().join(format!("replication-{}.raw", std::process::id()));
        let mut disk = Disk::make(&path, 96 << 20).unwrap();
        let data = disk.data();
        assert!((20 << 20..49 << 20).contains(&data), "{data}");
        let runs = disk.change().unwrap();
        let changed: u64 = runs.iter().map(|(_, length)| length).sum();
        let wanted = (data as f64 * CHANGED) as u64;
        assert!(changed >= wanted && changed < wanted + BLOCK * 2, "{changed} of {wanted}");
        assert_eq!(touched(&[(100, 10), (120, 90)], 64), 3);
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn options_are_read() {
        let options = Options::parse(&["--gib", "2", "--goldsmith", "x"]).unwrap();
        assert_eq!((options.gib, options.goldsmith), (2, "x".into()));
        assert!(Options::parse(&["--gib", "0"]).is_err() && Options::parse(&["--x"]).is_err());
    }
}
