//! The table and the result file.

use std::{fmt::Write, path::Path};

use serde_json::{Value, json};

use super::{
    Bench, MEMORY_MIB, VCPUS,
    goldsmith::{Goldsmith, Run},
    output,
};
use crate::Result;

/// The results of the measured parts.
pub(super) struct Measured {
    pub(super) goldsmith: Option<Goldsmith>,
    pub(super) packer_s: Vec<f64>,
    /// Seconds of each step on the bare floor.
    pub(super) floor_s: Vec<f64>,
    host: Value,
}

/// A case, its run and the limit of the ratio.
type Case<'a> = (&'static str, &'a Run, f64);

/// The limit for the overhead of a step beyond the floor, in seconds.
const OVERHEAD_LIMIT_S: f64 = 1.0;
/// A higher load before the start comes from other work on the host.
const BUSY: f64 = 0.7;
const BAR_WIDTH: f64 = 30.0;

impl Measured {
    pub(super) fn new(bench: &Bench<'_>, image: &Path) -> Result<Self> {
        let first_line = |text: String| text.lines().next().unwrap_or_default().to_owned();
        let load = load_average();
        if load > BUSY {
            println!("this host is busy (load {load}): the times are less reliable");
        }
        let host = json!({
            "load_before": load,
            "accel": bench.options.accel,
            "vcpus": VCPUS,
            "memory_mib": MEMORY_MIB,
            "host_cpus": std::thread::available_parallelism().map_or(0, usize::from),
            "image": image,
            "qemu": first_line(output("qemu-system-x86_64", &["--version"])?),
            "packer": first_line(output("packer", &["version"])?),
        });
        Ok(Self { goldsmith: None, packer_s: Vec::new(), floor_s: Vec::new(), host })
    }

    fn cases(&self) -> Vec<Case<'_>> {
        let Some(goldsmith) = &self.goldsmith else {
            return Vec::new();
        };
        vec![
            ("cold", &goldsmith.cold, 1.0),
            ("warm", &goldsmith.warm, 0.7),
            ("edit_last", &goldsmith.edit_last, 0.15),
            ("unchanged", &goldsmith.unchanged, 0.02),
        ]
    }

    fn packer(&self) -> Option<f64> {
        let runs = self.packer_s.len();
        (runs > 0).then(|| self.packer_s.iter().sum::<f64>() / runs as f64)
    }

    /// Seconds per step beyond the floor, of the warm build.
    fn overhead(&self) -> Vec<f64> {
        let Some(goldsmith) = &self.goldsmith else {
            return Vec::new();
        };
        let ours = goldsmith.warm.customizers();
        ours.iter().zip(&self.floor_s).filter_map(|(ours, floor)| Some((*ours)? - floor)).collect()
    }

    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        let packer = self.packer();
        if let Some(packer) = packer {
            let runs = self.packer_s.len();
            let _ = writeln!(
                text,
                "Packer keeps nothing between builds: its full build, measured {runs} time(s) in this run, stands in every row. Image, steps, CPU model, vCPUs, memory and firmware are the same;"
            );
            let _ = writeln!(
                text,
                "how QEMU is tuned beyond that is each one's own (--packer-qemu goldsmith gives Packer ours)."
            );
            if self.goldsmith.is_none() {
                let _ = writeln!(text, "packer {packer:.1} s");
            }
        }
        if self.goldsmith.is_some() {
            let _ = writeln!(
                text,
                "{:<10} {:>11} {:>9} {:>7}  limit",
                "", "goldsmith", "packer", "ratio"
            );
        }
        for (name, run, limit) in self.cases() {
            let ours = run.seconds;
            let _ = write!(text, "{name:<10} {ours:>9.1} s");
            if let Some(packer) = packer {
                let ratio = ours / packer;
                let verdict = if ratio <= limit { "ok" } else { "over" };
                let _ = write!(
                    text,
                    " {packer:>7.1} s {ratio:>7.3}  {limit:<4} {verdict:<4} {}",
                    bar(ratio)
                );
            }
            text.push('\n');
        }
        if let Some(goldsmith) = self.goldsmith.as_ref().filter(|g| g.unchanged.started_a_machine())
        {
            let _ = writeln!(
                text,
                "unchanged started a machine in {:.1} s: it must not",
                goldsmith.unchanged.seconds
            );
        }
        self.floor_table(&mut text);
        text
    }

    fn floor_table(&self, text: &mut String) {
        if self.floor_s.is_empty() {
            return;
        }
        let sum: f64 = self.floor_s.iter().sum();
        let _ = writeln!(
            text,
            "bare floor {sum:>9.1} s  the same commands typed into a machine that has booted"
        );
        let overhead = self.overhead();
        let saved_ram = self.goldsmith.as_ref().map_or_else(Vec::new, |g| g.warm.saved_ram());
        for (index, floor) in self.floor_s.iter().enumerate() {
            let _ = write!(text, "  step {} {floor:>9.1} s", index + 1);
            if let Some(over) = overhead.get(index) {
                let verdict = match saved_ram.get(index) {
                    Some(true) => "RAM saved, no limit".to_owned(),
                    _ if *over <= OVERHEAD_LIMIT_S => format!("limit {OVERHEAD_LIMIT_S:+} ok"),
                    _ => format!("limit {OVERHEAD_LIMIT_S:+} over"),
                };
                let _ = write!(text, "   goldsmith {over:>+6.1} s  {verdict}");
            }
            text.push('\n');
        }
    }

    pub(super) fn json(&self) -> String {
        let mut result = json!({
            "floor_s": self.floor_s.iter().sum::<f64>(),
            "floor_steps_s": self.floor_s,
            "step_overhead_s": self.overhead(),
            "packer_runs_s": self.packer_s,
            "host": self.host,
        });
        for (name, run, limit) in self.cases() {
            result[name] = json!({
                "goldsmith_s": run.seconds,
                "packer_s": self.packer(),
                "ratio": self.packer().map(|packer| run.seconds / packer),
                "limit": limit,
                "started_a_machine": run.started_a_machine(),
                "steps": run.json(),
            });
        }
        format!("{result:#}\n")
    }
}

/// The load average of the last minute; 0 if unknown.
fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default()
}

/// A bar that is full at ratio 1.
fn bar(ratio: f64) -> String {
    let filled = (ratio.min(1.5) * BAR_WIDTH).round().max(1.0);
    // Small and not negative because of the line above.
    "█".repeat(filled as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packer_alone_is_its_mean() {
        let measured = Measured {
            goldsmith: None,
            packer_s: vec![10.0, 14.0],
            floor_s: vec![1.0, 2.5],
            host: Value::Null,
        };
        let table = measured.table();
        assert!(table.contains("packer 12.0 s"), "{table}");
        assert!(table.contains("bare floor       3.5 s"), "{table}");
    }

    #[test]
    fn bars_grow_with_the_ratio_and_are_never_empty() {
        assert_eq!(bar(0.001).chars().count(), 1);
        assert_eq!(bar(0.5).chars().count(), 15);
        assert_eq!(bar(40.0).chars().count(), 45);
    }
}
