//! `goldsmith build`: builds the image of a template.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::PathBuf,
    time::Instant,
};

use api::ErrorCode;
use engine::build::{self, Freshness, Report, Request};
use images::{
    error::{Coded, Error},
    event::{Event, Events, Optimization, StepOutcome},
    run_context::RunContext,
};

use vm::may_wait;

use super::{GIB, MIB, Result, Session, template};
use crate::{
    cli::{self, OnError},
    duration::{bytes, human},
    output::{Output, Table},
    signals,
    timings::{Recorder, Timings},
};

pub(super) async fn run(args: cli::Build, session: Session<'_>) -> Result {
    let output = session.output;
    let input = template::read(&args.template, output).await?;
    let mut trace = args.timings.clone().flatten().map(Trace::create).transpose()?;
    let cancel = signals::cancel_on_signals();
    let (host, backend) = session.qemu().await?;
    let (events, shown) = follow(output);
    let mut cx = RunContext::new(session.layout.clone(), events, cancel);
    cx.log_bytes = Some(args.log_mib.saturating_mul(MIB));
    let request = Request {
        exports: args.export.into_iter().map(|spec| spec.replacing(args.force)).collect(),
        freshness: freshness(&args.freshness),
        on_error: match args.on_error {
            None => build::OnError::AsTemplate,
            Some(OnError::Cleanup) => build::OnError::Cleanup,
            Some(OnError::Keep) => build::OnError::Keep,
        },
        keep_for: args.keep_for,
        boot_timeout: args.boot_timeout,
        cache_bytes: args.cache_gib.saturating_mul(GIB),
        run_id: None,
    };
    let result: Result<Report> = match build::resolve(&cx, input).await {
        Ok(plan) => build::build(&cx, &host, &backend, &plan, &request).await.map_err(Into::into),
        Err(errors) => Err(errors.into()),
    };
    drop(cx);
    let (finished, timings) = shown.await.unwrap_or_else(|e| {
        tracing::error!(error = %e, "the output task failed");
        (Vec::new(), Timings::default())
    });
    let waterfall = timings.text();
    if args.timings.is_some() && !waterfall.is_empty() {
        output.aside(waterfall.trim_end());
    }
    if let Some(trace) = &mut trace
        && let Err(e) = trace.write(&timings)
    {
        output.note(&format!("warning: cannot write {}: {e}", trace.path.display()));
    }
    let report = result?;
    output.result("result", &report, || text(&report, &finished));
    Ok(0)
}

/// The file of `--timings`.
struct Trace {
    path: PathBuf,
    file: File,
}

impl Trace {
    /// Created before the build, which may take hours.
    fn create(path: PathBuf) -> Result<Self, Error> {
        let file = may_wait(|| File::create(&path)).code(ErrorCode::InvalidArgument, || {
            format!("--timings: cannot create {}", path.display())
        })?;
        Ok(Self { path, file })
    }

    fn write(&mut self, timings: &Timings) -> io::Result<()> {
        may_wait(|| {
            let mut file = BufWriter::new(&self.file);
            serde_json::to_writer(&mut file, &timings.trace())?;
            file.flush()
        })
    }
}

/// The finished steps for the final table, and the times of the run.
type Followed = (Vec<Event>, Timings);

/// Displays events and records them.
fn follow(output: &Output) -> (Events, tokio::task::JoinHandle<Followed>) {
    let (shown, screen) = output.follow();
    let (events, mut receiver) = Events::channel();
    let began = Instant::now();
    let task = tokio::spawn(async move {
        let (mut finished, mut recorder) = (Vec::new(), Recorder::default());
        while let Some((sent, event)) = receiver.recv_timed().await {
            recorder.add(sent - began, &event);
            if matches!(event, Event::StepFinished { .. }) {
                finished.push(event.clone());
            }
            shown.pass(event).await;
        }
        // Not after the display, which may be slow.
        let timings = recorder.finish(began.elapsed());
        drop(shown);
        if let Err(e) = screen.await {
            tracing::error!(error = %e, "the output task failed");
        }
        (finished, timings)
    });
    (events, task)
}

pub(super) fn freshness(args: &cli::Freshness) -> Freshness {
    Freshness { no_cache: args.no_cache, max_age: args.max_age }
}

fn text(report: &Report, finished: &[Event]) -> String {
    let mut steps = Table::new(&["step", "what", "time"]);
    for event in finished {
        if let Event::StepFinished { step, title, seconds, outcome } = event {
            let time = match outcome {
                StepOutcome::Done => human(*seconds),
                #[expect(clippy::cast_precision_loss, reason = "an age for people")]
                StepOutcome::Cached { age_seconds } => {
                    format!("cached, {} old", human(*age_seconds as f64))
                }
            };
            steps.row([step.clone(), title.clone(), time]);
        }
    }
    let mut artifacts = Table::new(&["artifact", "where", "size", "sha-256"]);
    for output in &report.outputs {
        let place = output.artifact_id.clone().or_else(|| output.artifact_uri.clone());
        artifacts.row([
            format!("{} {}", output.kind, output.run_output_name),
            place.unwrap_or_default(),
            bytes(output.bytes),
            output.digest.to_string(),
        ]);
        for disk in &output.data_disks {
            artifacts.row([
                format!("  data disk, LUN {}", disk.lun),
                disk.path.display().to_string(),
                bytes(disk.virtual_size),
                disk.digest.to_string(),
            ]);
        }
    }
    for export in &report.exports {
        artifacts.row([
            format!("export {}", export.format),
            export.path.display().to_string(),
            bytes(export.bytes),
            export.digest.to_string(),
        ]);
    }
    let (artifacts, verb) = if report.source_validation_only {
        let only =
            "validated only the source because of sourceValidationOnly: no image was created\n";
        (only.to_owned(), "validated")
    } else {
        (artifacts.render(), "forged")
    };
    let optimization = report.optimization.as_ref().map(optimized).unwrap_or_default();
    format!(
        "\n{}\n{artifacts}{optimization}\nsource {}\nlogs {}\n{verb} in {}",
        steps.render(),
        report.source,
        report.log_dir.display(),
        human(report.seconds)
    )
}

/// The gain of the optimization, in one or two lines.
fn optimized(figures: &Optimization) -> String {
    let mut text = String::new();
    if let (Some(before), Some(after)) = (figures.boot_seconds_before, figures.boot_seconds_after) {
        text = format!("\nboots in {} (before its optimization: {})", human(after), human(before));
    }
    let (before, after) = (bytes(figures.bytes_before), bytes(figures.bytes_after));
    text + &format!("\ntakes {after} (before its optimization: {before})")
}
