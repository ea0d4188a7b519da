//! Measures the optimization of boot and disk. A fork of the machine from before it and one from
//! after it boot one after the other, while the run does no other work.
//!
//! Both are the build machine again, with its keys and its seed, so that they do the same work. The
//! figures are stored beside the nodes, so that a reused node is not measured again.

use std::{fs, path::PathBuf, time::Duration};

use api::ErrorCode;
use images::{
    digest::KeyBuilder,
    error::{Coded, Error, Result, machine_error},
    event::{Event, Optimization},
    image_file::artifact::write_json,
    step::Step,
};
use vm::may_wait;

use super::{
    Run, cached,
    chain::Chain,
    fork::{Entry, Fork, ForkOf},
    freshness::age,
};
use crate::node::Node;

const TITLE: &str = "boot before and after";

/// The figures, measured now if they are unknown. `None` without an optimization.
pub(super) async fn optimization(run: &Run<'_>, chain: &Chain) -> Result<Option<Optimization>> {
    let Some((before, after)) = chain.around_optimize() else { return Ok(None) };
    let (Some(before), Some(after)) = (run.node(&before.key)?, run.node(&after.key)?) else {
        return Err(Error::new(ErrorCode::InternalError, "the nodes to compare are gone")
            .hint("build again"));
    };
    let file = file(run, &after);
    let known =
        may_wait(|| fs::read(&file)).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let optimization = match known {
        Some(optimization) => {
            cached(&run.cx, Step::Measure, TITLE, age(&after).as_secs());
            optimization
        }
        None => {
            let work = compare(run, &before, &after);
            let measured = run.cx.step(Step::Measure, TITLE, work).await?;
            may_wait(|| remember(&file, &measured)).unwrap_or_else(|e| {
                run.cx.events.warn(format!("the figures could not be kept: {e}"));
            });
            measured
        }
    };
    run.cx.events.send(Event::Optimized { optimization: optimization.clone() });
    Ok(Some(optimization))
}

async fn compare(run: &Run<'_>, before: &Node, after: &Node) -> Result<Optimization> {
    let mut figures = Optimization {
        bytes_before: bytes(run, before).await?,
        bytes_after: bytes(run, after).await?,
        ..Optimization::default()
    };
    match boot(run, "before", before).await {
        Ok(times) => figures.before(times),
        // An image may be good although goldsmith cannot connect to it after a boot.
        Err(error) if is_the_guests(&error) => {
            run.cx.events.warn(format!(
                "the boot is not measured, as the machine from before the optimization cannot be \
                 entered after a boot: {}",
                error.message
            ));
            return Ok(figures);
        }
        Err(error) => return Err(error),
    }
    match boot(run, "after", after).await {
        Ok(times) => figures.after(times),
        Err(error) if is_the_guests(&error) => return Err(broken(error)),
        Err(error) => return Err(error),
    }
    Ok(figures)
}

/// The times from power-on to the first answer, and to the end of the start-up.
async fn boot(run: &Run<'_>, name: &str, node: &Node) -> Result<(Duration, Duration)> {
    let entry = Entry::Own { resume: false };
    let fork = Fork::start(run, ForkOf { name, node, entry }).await?;
    let times = (fork.entered.answered, fork.entered.settled);
    fork.stop(run).await?;
    run.cx.events.note(format!(
        "{name}: answers after {:.1} s, start-up is over after {:.1} s",
        times.0.as_secs_f64(),
        times.1.as_secs_f64()
    ));
    Ok(times)
}

async fn bytes(run: &Run<'_>, node: &Node) -> Result<u64> {
    let measured = vm::disk::measure(run.host, &node.disk(), "qcow2", &run.cx.cancel, None).await;
    measured.map_err(|e| machine_error(e.into()))
}

fn is_the_guests(error: &Error) -> bool {
    matches!(
        error.code,
        ErrorCode::BootTimeout | ErrorCode::GuestStopped | ErrorCode::GuestUnreachable
    )
}

fn broken(error: Error) -> Error {
    let text = format!("the machine starts without the optimization and not with it: {error}");
    Error::new(ErrorCode::OptimizationFailed, text)
        .target("properties.optimize.vmBoot")
        .details(error.details.iter().cloned())
        .hint("set properties.optimize.vmBoot.state to Disabled to build without it")
        .caused_by(error)
}

/// Named by the node, the time it was made, and the host of the measurement.
fn file(run: &Run<'_>, node: &Node) -> PathBuf {
    let key = KeyBuilder::new(node.meta.key.as_str(), "measured")
        .field("created", &node.meta.created.to_string())
        .field("host", &run.host.ram_identity(node.meta.shape.os))
        .finish();
    run.cx.layout.measured().join(format!("{key}.json"))
}

fn remember(file: &std::path::Path, figures: &Optimization) -> Result<()> {
    let write = || -> std::io::Result<()> {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        write_json(file, figures)
    };
    write().code(ErrorCode::HostNotReady, || format!("cannot write {}", file.display()))
}
