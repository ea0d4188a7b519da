//! `cargo xtask bench-vhd`: checks that the time for a fixed VHD depends on its content, not on the size
//! of its disk.
//!
//! Two disks with the same content, one of 3 GiB and one of 127 GiB (the usual size of Windows), are
//! imported and exported as VHDs: converted, hashed, delivered, verified. No machine is started.

use std::{
    fs::{self, File},
    io::Read,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::Instant,
};

use serde_json::json;

use super::{fresh, output, write};
use crate::Result;

const GIB: u64 = 1 << 30;
const SIZES_GIB: [u64; 2] = [3, 127];
/// The limit for the ratio of the times.
const LIMIT: f64 = 1.5;

/// The path of the executable, and the amount of content.
pub(crate) struct Options {
    goldsmith: PathBuf,
    content_gib: u64,
    /// The work folder; it needs about five times the content.
    dir: PathBuf,
}

impl Options {
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self {
            goldsmith: "target/release/goldsmith".into(),
            content_gib: 2,
            dir: "target/bench".into(),
        };
        for pair in words.chunks(2) {
            match pair {
                ["--goldsmith", path] => options.goldsmith = path.into(),
                ["--dir", dir] => options.dir = dir.into(),
                ["--content-gib", gib] => {
                    options.content_gib = match gib.parse() {
                        Ok(gib @ 1..=2) => gib,
                        _ => return Err(format!("--content-gib {gib}: 1 or 2")),
                    };
                }
                other => return Err(format!("unknown arguments {}", other.join(" "))),
            }
        }
        Ok(options)
    }
}

pub(crate) fn run(repository: &Path, options: &Options) -> Result<()> {
    let dir = fresh(&repository.join(&options.dir).join("vhd"))?;
    let mut seconds = Vec::new();
    for gib in SIZES_GIB {
        let measured = export(repository, options, &dir, gib);
        // Several gigabytes, which are not needed any more.
        fresh(&dir)?;
        seconds.push(measured?);
    }
    fs::remove_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let ratio = seconds[1] / seconds[0];
    println!("127 GiB takes {ratio:.2} times as long as 3 GiB (limit {LIMIT})");
    let result = json!({
        "contentGib": options.content_gib, "sizesGib": SIZES_GIB, "seconds": seconds,
        "ratio": ratio, "ok": ratio <= LIMIT,
    });
    fs::create_dir_all(repository.join("target/bench")).map_err(|e| e.to_string())?;
    let path = repository.join("target/bench/vhd.json");
    write(&path, &format!("{result:#}\n"))?;
    println!("written: {}", path.display());
    if ratio <= LIMIT { Ok(()) } else { Err("the limit is not kept".to_owned()) }
}

/// Measures the export of a disk of that size, in seconds.
fn export(repository: &Path, options: &Options, dir: &Path, gib: u64) -> Result<f64> {
    let raw = dir.join("disk.raw");
    disk(&raw, gib * GIB, options.content_gib * GIB)?;
    let program = repository.join(&options.goldsmith).display().to_string();
    let folders = ["data", "cache"].map(|name| dir.join(name).display().to_string());
    let [data, cache] = &folders;
    let goldsmith = |command: &[&str]| {
        let mut words = vec!["--data-dir", data, "--cache-dir", cache];
        words.extend(command);
        output(&program, &words)
    };
    goldsmith(&["image", "import", "disk", &raw.display().to_string()])?;
    let spec = format!("vhd={}", dir.join("out.vhd").display());
    let started = Instant::now();
    goldsmith(&["image", "export", "disk", "--export", &spec])?;
    let seconds = started.elapsed().as_secs_f64();
    println!("{gib:>4} GiB, {} GiB of content: {seconds:.1} s", options.content_gib);
    Ok(seconds)
}

/// Creates a sparse disk with noise in pieces of 16 MiB, spread over the whole disk.
fn disk(path: &Path, size: u64, content: u64) -> Result<()> {
    const PIECE: u64 = 16 << 20;
    let fail = |e: std::io::Error| format!("{}: {e}", path.display());
    let file = File::create(path).map_err(fail)?;
    file.set_len(size).map_err(fail)?;
    let mut noise = vec![0; PIECE as usize];
    let mut random = File::open("/dev/urandom").map_err(fail)?;
    random.read_exact(&mut noise).map_err(fail)?;
    let pieces = content / PIECE;
    for number in 0..pieces {
        noise[..8].copy_from_slice(&number.to_le_bytes());
        let at = number * (size / pieces) / PIECE * PIECE;
        file.write_all_at(&noise, at).map_err(fail)?;
    }
    // The signature of a boot sector, without which goldsmith rejects the disk.
    file.write_all_at(&[0x55, 0xaa], 510).map_err(fail)
}
