//! `cargo xtask bench-deployments evaluate`: how long a large deployment template takes to be read,
//! planned and evaluated with all its nested deployments, and how much memory that needs.
//!
//! Each run is a process of its own, so that none gains from the memory of another, and the kernel's
//! count of the most memory is that of one evaluation.

mod generate;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use arm_template::{Limits, Parameters};
use serde_json::{Value, json};

use super::{output, write};
use crate::{
    Result,
    templates::{Counts, Place, evaluate},
};

const LIMIT_MS: f64 = 100.0;
const LIMIT_MB: f64 = 100.0;

/// What to evaluate.
#[derive(Debug)]
pub(crate) struct Options {
    /// A deployment file; a generated one if absent.
    file: Option<PathBuf>,
    parameters: Option<PathBuf>,
    runs: usize,
    /// The program that evaluates, in a release build.
    program: PathBuf,
    /// Whether this is the process of one run.
    once: bool,
}

impl Options {
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self {
            file: None,
            parameters: None,
            runs: 11,
            program: "target/release/xtask".into(),
            once: false,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().copied().ok_or(format!("{word}: no value"));
            match *word {
                "--parameters" => options.parameters = Some(value()?.into()),
                "--program" => options.program = value()?.into(),
                "--once" => options.once = true,
                "--runs" => {
                    let runs = value()?;
                    options.runs = match runs.parse() {
                        Ok(runs @ 1..) => runs,
                        _ => return Err(format!("--runs {runs}: not a number from 1")),
                    };
                }
                file if !file.starts_with('-') && options.file.is_none() => {
                    options.file = Some(file.into());
                }
                other => return Err(format!("bench-deployments: unknown argument {other}")),
            }
        }
        Ok(options)
    }
}

pub(crate) fn run(repository: &Path, options: &Options) -> Result<()> {
    let dir = repository.join("target/bench");
    fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let file = match &options.file {
        Some(file) if options.once => return once(file, options.parameters.as_deref()),
        Some(file) => file.clone(),
        None => {
            let file = dir.join("deployment.json");
            write(&file, &generate::template())?;
            file
        }
    };
    let program = repository.join(&options.program);
    if !program.is_file() {
        return Err(format!("{}: make bench-deployments builds it", program.display()));
    }
    let runs: Vec<Value> =
        (0..options.runs).map(|_| start(&program, &file, options)).collect::<Result<_>>()?;
    let mut ms: Vec<f64> = runs.iter().filter_map(|run| run["ms"].as_f64()).collect();
    ms.sort_by(f64::total_cmp);
    let peaks = runs.iter().filter_map(|run| run["peakMb"].as_f64());
    let (median, longest) = (ms[ms.len() / 2], ms[ms.len() - 1]);
    let peak = peaks.fold(0.0, f64::max);
    let size = Size::of(&read(&file)?);
    println!("{}: {size}", file.display());
    println!(
        "{} resources, {} nested deployments, {} undetermined",
        runs[0]["resources"], runs[0]["nested"], runs[0]["undetermined"]
    );
    let ok = |kept| if kept { "ok" } else { "over" };
    println!(
        "read and evaluated  {median:7.1} ms   limit {LIMIT_MS} {} (median of {}; longest {longest:.1})",
        ok(median <= LIMIT_MS),
        ms.len()
    );
    println!("most memory         {peak:7.1} MB   limit {LIMIT_MB} {}", ok(peak <= LIMIT_MB));
    let kept = median <= LIMIT_MS && peak <= LIMIT_MB;
    let result = json!({
        "bytes": size.bytes, "expressions": size.expressions, "nesting": size.nesting,
        "runs": runs, "medianMs": median, "longestMs": longest, "peakMb": peak, "ok": kept,
    });
    let path = dir.join("deployments.json");
    write(&path, &format!("{result:#}\n"))?;
    println!("written: {}", path.display());
    if kept { Ok(()) } else { Err("a limit is not kept".to_owned()) }
}

/// Evaluates in a process of its own.
fn start(program: &Path, file: &Path, options: &Options) -> Result<Value> {
    let file = file.to_string_lossy();
    let mut arguments = vec!["bench-deployments", "evaluate", &file, "--once"];
    let parameters = options.parameters.as_ref().map(|path| path.to_string_lossy());
    if let Some(parameters) = &parameters {
        arguments.extend(["--parameters", parameters]);
    }
    let printed = output(&program.to_string_lossy(), &arguments)?;
    serde_json::from_str(&printed).map_err(|error| format!("{}: {error}", program.display()))
}

/// One run: prints its figures as JSON.
fn once(file: &Path, parameters: Option<&Path>) -> Result<()> {
    let text = read(file)?;
    let parameters = parameters.map_or_else(|| Ok("{}".to_owned()), read)?;
    let folder = file.parent().unwrap_or(file);
    let begin = Instant::now();
    let parameters =
        Parameters::parse(&parameters, &Limits::default()).map_err(|error| error.to_string())?;
    let rendered = evaluate(&text, parameters, false, &Place::default(), folder)
        .map_err(|error| format!("{}: {error}", file.display()))?;
    let ms = begin.elapsed().as_secs_f64() * 1000.0;
    if cfg!(debug_assertions) {
        return Err("a debug build measures nothing of interest".to_owned());
    }
    let Counts { resources, nested, undetermined, .. } = Counts::of(&rendered);
    let figures = json!({
        "ms": ms, "peakMb": peak_mb()?,
        "resources": resources, "nested": nested, "undetermined": undetermined,
    });
    println!("{figures}");
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The most memory that this process had, in megabytes.
fn peak_mb() -> Result<f64> {
    let status = read(Path::new("/proc/self/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.map(|kib| kib * 1024.0 / 1e6).ok_or("/proc/self/status has no VmHWM".to_owned())
}

/// How large a template is.
#[derive(Debug, PartialEq, Eq)]
struct Size {
    bytes: usize,
    expressions: usize,
    /// How deep templates are inside one another.
    nesting: usize,
}

impl Size {
    fn of(text: &str) -> Self {
        let node = arm_template::Node::parse(text, &Limits::default());
        let value = node.map_or(Value::Null, |node| Value::from(&node.to_value()));
        let (mut expressions, mut levels) = (0, 0);
        count(&value, 0, &mut expressions, &mut levels);
        Self { bytes: text.len(), expressions, nesting: levels.saturating_sub(1) }
    }
}

fn count(value: &Value, level: usize, expressions: &mut usize, levels: &mut usize) {
    match value {
        Value::String(text) => {
            let is_one = text.starts_with('[') && !text.starts_with("[[") && text.ends_with(']');
            *expressions += usize::from(is_one);
        }
        Value::Array(items) => {
            items.iter().for_each(|item| count(item, level, expressions, levels));
        }
        Value::Object(members) => {
            let level = level + usize::from(members.contains_key("$schema"));
            *levels = level.max(*levels);
            members.values().for_each(|member| count(member, level, expressions, levels));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bytes, expressions, nesting } = self;
        write!(f, "{bytes} bytes, {expressions} expressions, nesting {nesting}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_template_is_as_large_as_the_limits_are_meant_for_and_can_be_evaluated() {
        let text = generate::template();
        let size = Size::of(&text);
        assert!((1_000_000..1_200_000).contains(&size.bytes), "{size}");
        assert!((1_800..2_000).contains(&size.expressions), "{size}");
        assert_eq!(size.nesting, 4);
        let place = Place::default();
        let rendered = evaluate(&text, Parameters::new(), false, &place, Path::new(".")).unwrap();
        let counts = Counts::of(&rendered);
        // Each module has a deployment for telemetry beside its own; the group is the one resource at the top.
        assert_eq!((counts.nested, counts.undetermined), (2 * 42, 0));
        assert_eq!(counts.resources, 1 + 3 * 42);
    }

    #[test]
    fn nonsense_is_refused() {
        for words in [&["--runs", "0"][..], &["--runs"], &["a", "b"], &["--fast"]] {
            assert!(Options::parse(words).is_err(), "{words:?}");
        }
    }
}
