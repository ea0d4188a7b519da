//! The table and the result file. Each figure is the median of the runs.

use std::{fmt::Write, path::Path};

use serde_json::{Value, json};

use super::{
    Bench, MEMORY_MIB, SMALL_MEMORY_MIB, VCPUS,
    goldsmith::{Goldsmith, Run},
    host,
};

/// All results.
pub(super) struct Measured {
    pub(super) runs: Vec<Measurement>,
    host: Value,
}

/// The results of the parts that one run measured.
#[derive(Default)]
pub(super) struct Measurement {
    pub(super) goldsmith: Option<Goldsmith>,
    pub(super) packer_s: Option<f64>,
    /// Seconds of each step on the bare floor.
    pub(super) floor_s: Vec<f64>,
}

impl Measurement {
    /// Seconds of all steps on the floor; `None` if it was not measured.
    fn floor(&self) -> Option<f64> {
        (!self.floor_s.is_empty()).then(|| self.floor_s.iter().sum())
    }

    /// How much longer the warm build takes than its commands on the floor, in seconds.
    fn above_floor(&self) -> Option<f64> {
        Some(self.goldsmith.as_ref()?.warm.seconds - self.floor()?)
    }

    /// The same for one step. A step that saved RAM has no limit.
    fn step_overhead(&self, step: usize) -> Option<f64> {
        let ours = *self.goldsmith.as_ref()?.warm.customizers().get(step)?;
        Some(ours? - self.floor_s.get(step)?)
    }
}

/// A build of ours, and the limit of its time in Packer's.
struct Case {
    name: &'static str,
    of: fn(&Goldsmith) -> &Run,
    limit: f64,
}

const CASES: [Case; 4] = [
    Case { name: "cold", of: |goldsmith| &goldsmith.cold, limit: 0.80 },
    Case { name: "warm", of: |goldsmith| &goldsmith.warm, limit: 0.50 },
    Case { name: "edit_last", of: |goldsmith| &goldsmith.edit_last, limit: 0.07 },
    Case { name: "unchanged", of: |goldsmith| &goldsmith.unchanged, limit: 0.001 },
];

/// The pauses of seals with RAM on a machine of that size.
struct Pauses {
    name: &'static str,
    memory_mib: u32,
    of: fn(&Goldsmith) -> &[f64],
}

const PAUSES: [Pauses; 2] = [
    Pauses { name: "pause", memory_mib: MEMORY_MIB, of: |goldsmith| &goldsmith.pauses },
    Pauses {
        name: "pause_small",
        memory_mib: SMALL_MEMORY_MIB,
        of: |goldsmith| &goldsmith.small_pauses,
    },
];

const PAUSE_LIMIT_S: f64 = 0.2;
/// The limit for the warm build beyond the floor.
const ABOVE_FLOOR_LIMIT_S: f64 = 4.0;
/// The limit for the overhead of a step beyond the floor.
const OVERHEAD_LIMIT_S: f64 = 1.0;
/// A higher load before the start comes from other work on the host.
const BUSY: f64 = 0.7;
const BAR_WIDTH: f64 = 30.0;

impl Measured {
    pub(super) fn new(bench: &Bench<'_>, image: &Path) -> Self {
        let load = load_average();
        if load > BUSY {
            println!("this host is busy (load {load}): the times are less reliable");
        }
        let mut host = host::facts(&bench.goldsmith(), bench.repository, &bench.dir, &bench.guests);
        host["load_before"] = load.into();
        host["guest_vcpus"] = VCPUS.into();
        host["guest_memory_mib"] = MEMORY_MIB.into();
        host["image"] = json!(image);
        Self { runs: Vec::new(), host }
    }

    fn goldsmiths(&self) -> impl Iterator<Item = &Goldsmith> {
        self.runs.iter().filter_map(|run| run.goldsmith.as_ref())
    }

    fn seconds(&self, case: &Case) -> Option<f64> {
        median(self.goldsmiths().map(|goldsmith| (case.of)(goldsmith).seconds))
    }

    fn packer(&self) -> Option<f64> {
        median(self.runs.iter().filter_map(|run| run.packer_s))
    }

    fn ratio(&self, case: &Case) -> Option<f64> {
        Some(self.seconds(case)? / self.packer()?)
    }

    fn floor(&self) -> Option<f64> {
        median(self.runs.iter().filter_map(Measurement::floor))
    }

    fn above_floor(&self) -> Option<f64> {
        median(self.runs.iter().filter_map(Measurement::above_floor))
    }

    fn pauses(&self, pauses: &Pauses) -> Vec<f64> {
        self.goldsmiths().flat_map(pauses.of).copied().collect()
    }

    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        if self.packer().is_some() {
            text.push_str(
                "Packer keeps nothing between builds: its full build stands in every row. Image, steps, CPU model, vCPUs, memory and firmware are the same;\nhow QEMU is tuned beyond that is each one's own (--packer-qemu goldsmith gives Packer ours).\n",
            );
        }
        if self.runs.len() > 1 {
            let _ = writeln!(text, "Each figure is the median of {} runs.", self.runs.len());
        }
        self.cases_table(&mut text);
        self.floor_table(&mut text);
        self.pauses_table(&mut text);
        text
    }

    fn cases_table(&self, text: &mut String) {
        let packer = self.packer();
        if self.goldsmiths().next().is_none() {
            if let Some(packer) = packer {
                let _ = writeln!(text, "packer {packer:.1} s");
            }
            return;
        }
        let head = ["goldsmith", "packer", "ratio"];
        let _ = writeln!(text, "{:<10} {:>11} {:>9} {:>7}  limit", "", head[0], head[1], head[2]);
        for case in &CASES {
            let Some(ours) = self.seconds(case) else { continue };
            let _ = write!(text, "{:<10} {ours:>9.1} s", case.name);
            if let (Some(packer), Some(ratio)) = (packer, self.ratio(case)) {
                let (limit, verdict, bar) = (case.limit, verdict(ratio, case.limit), bar(ratio));
                let _ =
                    write!(text, " {packer:>7.1} s {ratio:>7.4}  {limit:<5} {verdict:<4} {bar}");
            }
            text.push('\n');
        }
        for run in self.goldsmiths().map(|goldsmith| &goldsmith.unchanged) {
            if run.started_a_machine() {
                let seconds = run.seconds;
                let _ =
                    writeln!(text, "unchanged started a machine in {seconds:.1} s: it must not");
            }
        }
    }

    fn floor_table(&self, text: &mut String) {
        let Some(floor) = self.floor() else { return };
        let _ = writeln!(
            text,
            "bare floor {floor:>9.1} s  the same commands typed into a machine that has booted"
        );
        let steps = self.runs.iter().map(|run| run.floor_s.len()).max().unwrap_or(0);
        for step in 0..steps {
            let floor = self.runs.iter().filter_map(|run| run.floor_s.get(step).copied());
            let _ = write!(text, "  step {} {:>9.1} s", step + 1, median(floor).unwrap_or(0.0));
            if let Some(over) = self.step_overhead(step) {
                let verdict = match self.saved_ram(step) {
                    true => "RAM saved, no limit".to_owned(),
                    false => {
                        format!("limit {OVERHEAD_LIMIT_S:+} {}", verdict(over, OVERHEAD_LIMIT_S))
                    }
                };
                let _ = write!(text, "   goldsmith {over:>+6.1} s  {verdict}");
            }
            text.push('\n');
        }
        if let Some(above) = self.above_floor() {
            let verdict = verdict(above, ABOVE_FLOOR_LIMIT_S);
            let _ = writeln!(
                text,
                "warm above the floor {above:>+6.1} s  limit {ABOVE_FLOOR_LIMIT_S:+} {verdict}"
            );
        }
    }

    fn pauses_table(&self, text: &mut String) {
        for pauses in &PAUSES {
            let all = self.pauses(pauses);
            let Some(middle) = median(all.iter().copied()) else { continue };
            let (memory, count) = (pauses.memory_mib, all.len());
            let verdict = verdict(middle, PAUSE_LIMIT_S);
            let _ = writeln!(
                text,
                "pause of a seal with RAM, {memory} MiB {middle:>7.3} s  limit {PAUSE_LIMIT_S} {verdict} (median of {count})"
            );
        }
    }

    /// The line of this host for the table in docs/performance.md.
    pub(super) fn row(&self) -> String {
        let text = |name: &str| self.host[name].as_str().unwrap_or("?").to_owned();
        // "QEMU emulator version 10.0.2 (Debian …)"
        let qemu = text("qemu").split(' ').nth(3).unwrap_or("?").to_owned();
        let figure = |value: Option<f64>, digits: usize| match value {
            Some(value) => format!("{value:.digits$}"),
            None => "-".to_owned(),
        };
        let mut cells = vec![
            format!("{}, {} cores", text("processor"), self.host["cores"]),
            text("accel"),
            qemu,
            self.runs.len().to_string(),
        ];
        cells.extend(CASES.iter().map(|case| figure(self.ratio(case), 3)));
        cells.push(figure(self.above_floor(), 1));
        cells
            .extend(PAUSES.iter().map(|pauses| figure(median(self.pauses(pauses).into_iter()), 3)));
        format!("| {} |", cells.join(" | "))
    }

    fn step_overhead(&self, step: usize) -> Option<f64> {
        median(self.runs.iter().filter_map(|run| run.step_overhead(step)))
    }

    /// Whether any warm build saved RAM with that step.
    fn saved_ram(&self, step: usize) -> bool {
        self.goldsmiths().any(|goldsmith| goldsmith.warm.saved_ram().get(step) == Some(&true))
    }

    pub(super) fn json(&self) -> String {
        let floors: Vec<_> = self.runs.iter().map(|run| &run.floor_s).collect();
        let steps = floors.first().map_or(0, |steps| steps.len());
        let overhead: Vec<_> = (0..steps).map(|step| self.step_overhead(step)).collect();
        let packer: Vec<_> = self.runs.iter().map(|run| run.packer_s).collect();
        let mut result = json!({
            "runs": self.runs.len(),
            "host": self.host,
            "packer": { "s": self.packer(), "runs_s": packer },
            "floor": { "s": self.floor(), "runs_s": floors },
            "warm_above_floor": { "s": self.above_floor(), "limit_s": ABOVE_FLOOR_LIMIT_S },
            "step_overhead_s": overhead,
        });
        for case in &CASES {
            let runs: Vec<_> = self.goldsmiths().map(case.of).collect();
            result[case.name] = json!({
                "goldsmith_s": self.seconds(case),
                "packer_s": self.packer(),
                "ratio": self.ratio(case),
                "limit": case.limit,
                "runs_s": runs.iter().map(|run| run.seconds).collect::<Vec<_>>(),
                "started_a_machine": runs.iter().any(|run| run.started_a_machine()),
                "steps": runs.iter().map(|run| run.json()).collect::<Vec<_>>(),
            });
        }
        for pauses in &PAUSES {
            let all = self.pauses(pauses);
            result[pauses.name] = json!({
                "memory_mib": pauses.memory_mib,
                "s": median(all.iter().copied()),
                "limit_s": PAUSE_LIMIT_S,
                "seals_s": all,
            });
        }
        format!("{result:#}\n")
    }
}

fn verdict(value: f64, limit: f64) -> &'static str {
    if value <= limit { "ok" } else { "over" }
}

/// The middle one, or the mean of the two in the middle; `None` without values.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let (upper, lower) = (values.get(values.len() / 2)?, values.get((values.len() - 1) / 2)?);
    Some(f64::midpoint(*upper, *lower))
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

    fn measured(runs: Vec<Measurement>) -> Measured {
        Measured { runs, host: Value::Null }
    }

    /// A run whose builds take these seconds.
    fn run(cold: f64, warm: f64, packer: f64, floor: f64, pauses: &[f64]) -> Measurement {
        let goldsmith = Goldsmith {
            cold: Run::of(cold),
            warm: Run::of(warm),
            edit_last: Run::of(5.0),
            unchanged: Run::of(0.05),
            pauses: pauses.to_vec(),
            small_pauses: Vec::new(),
        };
        let goldsmith = Some(goldsmith);
        Measurement { goldsmith, packer_s: Some(packer), floor_s: vec![floor] }
    }

    #[test]
    fn packer_alone_is_its_median() {
        let packer = |seconds| Measurement { packer_s: Some(seconds), ..Measurement::default() };
        let table = measured(vec![packer(10.0), packer(90.0), packer(14.0)]).table();
        assert!(table.contains("packer 14.0 s"), "{table}");
        assert!(table.contains("median of 3 runs"), "{table}");
    }

    #[test]
    fn figures_are_medians_and_each_has_its_limit() {
        let measured = measured(vec![
            run(60.0, 30.0, 100.0, 20.0, &[0.1, 0.9]),
            run(85.0, 28.0, 100.0, 25.0, &[0.3]),
            run(70.0, 90.0, 100.0, 20.0, &[0.15]),
        ]);
        let table = measured.table();
        let row = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(row("cold").contains("70.0 s   100.0 s  0.7000  0.8   ok"), "{table}");
        assert!(row("warm ").contains("0.3000  0.5   ok"), "{table}");
        assert!(row("unchanged").contains("0.0005  0.001 ok"), "{table}");
        assert!(row("bare floor").contains("20.0 s"), "{table}");
        assert!(row("warm above the floor").contains("+10.0 s  limit +4 over"), "{table}");
        assert!(
            row("pause").contains("4096 MiB   0.225 s  limit 0.2 over (median of 4)"),
            "{table}"
        );
        assert!(!table.contains("2048 MiB"), "it was not measured: {table}");
        let json: Value = serde_json::from_str(&measured.json()).unwrap();
        assert_eq!((&json["cold"]["ratio"], &json["pause"]["limit_s"]), (&json!(0.7), &json!(0.2)));
        assert_eq!(json["cold"]["runs_s"], json!([60.0, 85.0, 70.0]));
        let host = json!({ "processor": "P", "cores": 2, "accel": "tcg",
            "qemu": "QEMU emulator version 10.0.2 (Debian 1)" });
        assert_eq!(
            Measured { host, ..measured }.row(),
            "| P, 2 cores | tcg | 10.0.2 | 3 | 0.700 | 0.300 | 0.050 | 0.001 | 10.0 | 0.225 | - |"
        );
    }

    #[test]
    fn median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(median([4.0, 1.0, 3.0, 2.0].into_iter()), Some(2.5));
        assert_eq!(median([2.0].into_iter()), Some(2.0));
        assert_eq!(median(std::iter::empty()), None);
    }

    #[test]
    fn bars_grow_with_the_ratio_and_are_never_empty() {
        assert_eq!(bar(0.001).chars().count(), 1);
        assert_eq!(bar(0.5).chars().count(), 15);
        assert_eq!(bar(40.0).chars().count(), 45);
    }
}
