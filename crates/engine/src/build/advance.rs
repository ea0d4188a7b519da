//! Executes the missing steps, from the newest cached node to the last one. Each step makes a node.

use std::time::Duration;

use api::ErrorCode;
use guests::{StepOutput, Traces};
use images::{
    error::{Coded, Error, Result, machine_error},
    lock::{Lock, UseLock},
    step::Step,
};
use sources::SourceImage;
use tokio::time::Instant;
use vm::may_wait;

use super::{
    Run, cached,
    chain::{Chain, Link, Role},
    freshness::age,
    live::{From, Live, SealAs, unreadable},
    plan::Plan,
    ram::Ram,
};
use crate::node::Node;

const POWER_OFF: Duration = Duration::from_secs(300);

/// The data that all steps of a run share.
#[derive(Clone, Copy)]
struct Work<'a> {
    run: &'a Run<'a>,
    plan: &'a Plan,
    source: &'a SourceImage,
    chain: &'a Chain,
}

/// Executes the steps that are missing and returns the last node, protected from eviction. If
/// another process is executing a step at this moment, waits for its result.
pub(super) async fn advance(
    run: &Run<'_>,
    plan: &Plan,
    source: &SourceImage,
    chain: &Chain,
    live: &mut Option<Live>,
) -> Result<(Node, UseLock)> {
    let work = Work { run, plan, source, chain };
    let mut reported_until = 0;
    loop {
        let newest = chain.newest(&run.store).map_err(unreadable)?;
        if let Some((_, node)) = &newest
            && !run.is_sound(node).await?
        {
            continue;
        }
        let done = newest.map_or(0, |(index, _)| index + 1);
        report_cached(run, chain, &mut reported_until, done);
        let Some(link) = chain.links.get(done) else {
            match last(run, chain)? {
                Some(last) => return Ok(last),
                None => continue,
            }
        };
        let making = turn(run, link).await?;
        if run.node(&link.key)?.is_some() {
            continue;
        }
        // The steps that were executed here have been reported.
        // On the heap, since it contains every step.
        let reached = Box::pin(go_live(work, done, making, live)).await?;
        reported_until = reported_until.max(reached);
        // The machine remains if another process got ahead, or if its first boot was all: its last
        // node counts.
        if let Some(mut overtaken) = live.take() {
            overtaken.settled(run).await?;
            overtaken.machine.stop(Duration::ZERO).await.map_err(machine_error)?;
        }
    }
}

/// The last node, protected from eviction. `None` if it does not exist (any more).
fn last(run: &Run<'_>, chain: &Chain) -> Result<Option<(Node, UseLock)>> {
    let Some(node) = chain.last(&run.store).map_err(unreadable)? else { return Ok(None) };
    Ok(held(run, &node)?.map(|hold| (node, hold)))
}

fn held(run: &Run<'_>, node: &Node) -> Result<Option<UseLock>> {
    let cannot = || "cannot lock a node".to_owned();
    run.store.hold(&node.meta.key).code(ErrorCode::HostNotReady, cannot)
}

/// Waits until no other process is making that node.
async fn turn(run: &Run<'_>, link: &Link) -> Result<Lock> {
    let path = run.store.making(&link.key);
    let locked =
        |e| Err(e).code(ErrorCode::HostNotReady, || format!("cannot lock {}", path.display()));
    match Lock::try_take(&path) {
        Ok(Some(lock)) => return Ok(lock),
        Ok(None) => {}
        Err(e) => return locked(e),
    }
    run.cx.events.note(format!("{}: another build is doing this step, waiting for it", link.title));
    let _waiting = run.cx.events.wait("another build's step");
    tokio::select! {
        lock = Lock::take(path.clone(), Duration::MAX) => lock.or_else(locked),
        () = run.cx.cancel.cancelled() => {
            Err(Error::new(ErrorCode::Canceled, "canceled while waiting for another build"))
        }
        () = tokio::time::sleep(run.cx.time_left()) => {
            let text = "another build, which this one waited for, took its whole time";
            Err(Error::new(ErrorCode::BuildTimeout, text)
                .target("properties.buildTimeoutInMinutes")
                .hint("build again: it continues from the result of the other build"))
        }
    }
}

/// Starts a machine before link `first` and executes the rest. Returns the index that it reached:
/// not the end if another process got ahead in the middle, or evicted the node to resume from.
async fn go_live(
    work: Work<'_>,
    first: usize,
    making: Lock,
    slot: &mut Option<Live>,
) -> Result<usize> {
    let Work { run, plan, source, chain } = work;
    let mut making = Some(making);
    let mut next = first;
    if first == 0 {
        let started = Instant::now();
        let boot = async {
            let mut live =
                Live::start(run, chain, From::Source(source, plan.seeding(source))).await?;
            let seconds = started.elapsed().as_secs_f64();
            let seal = SealAs { link: &chain.links[0], seconds, ram: Ram::Always };
            if let Some(making) = making.take() {
                live.seal(run, chain, seal, making).await?;
            }
            Ok(live)
        };
        *slot = Some(run.cx.step(Step::Boot, "first boot", boot).await?);
        next = 1;
    } else {
        // Looked up again: the node may have been evicted while this build waited for its turn.
        let newest = chain.newest(&run.store).map_err(unreadable)?;
        let Some((_, node)) = newest.filter(|(index, _)| index + 1 == first) else {
            return Ok(first);
        };
        let Some(hold) = held(run, &node)? else { return Ok(first) };
        let how = if run.ram_of(&node).await?.is_some() {
            "resume"
        } else {
            "cold boot of a sealed disk"
        };
        let start = Live::start(run, chain, From::Node(Box::new(node), hold));
        *slot = Some(run.cx.step(Step::Start, how, start).await?);
    }
    for index in next..chain.links.len() {
        let link = &chain.links[index];
        let lock = match making.take() {
            Some(lock) => lock,
            None => turn(run, link).await?,
        };
        if run.node(&link.key)?.is_some() {
            return Ok(index);
        }
        match link.role {
            Role::Boot => {}
            Role::Customize(number) => {
                customize(work, index, number, slot, lock).await?;
            }
            Role::Workload | Role::Optimize => {
                optimize(work, index, slot, lock).await?;
            }
            Role::Generalize => {
                power_off(run, chain, link, slot, lock).await?;
            }
        }
    }
    Ok(chain.links.len())
}

async fn customize(
    work: Work<'_>,
    index: usize,
    number: usize,
    slot: &mut Option<Live>,
    making: Lock,
) -> Result<()> {
    let Work { run, plan, chain, .. } = work;
    let live = slot.as_mut().ok_or_else(evicted)?;
    let step = Step::Customize(number);
    let target = format!("properties.customize[{number}]");
    let mut out = output(run, &step)?;
    let link = &chain.links[index];
    // The next build most likely edits the last customizer: its parent is worth resuming.
    let before_last = chain.links.get(index + 1).is_some_and(is_last_customizer(plan));
    let ram = if before_last { Ram::Always } else { Ram::IfWorthwhile };
    let work = async {
        Box::pin(live.serve_metadata(run, plan)).await?;
        let started = Instant::now();
        let place = live.place();
        let apply = plan.steps[number].action.apply(&place, &mut out);
        live.unless_gone(apply).await?;
        let seconds = started.elapsed().as_secs_f64();
        live.seal(run, chain, SealAs { link, seconds, ram }, making).await
    };
    run.cx.step(step, &link.title, work).await.map_err(|e| name_customizer(e, &link.title, &target))
}

/// Executes the workload or the optimization of boot and disk.
async fn optimize(
    work: Work<'_>,
    index: usize,
    slot: &mut Option<Live>,
    making: Lock,
) -> Result<()> {
    let Work { run, plan, chain, .. } = work;
    let live = slot.as_mut().ok_or_else(evicted)?;
    let link = &chain.links[index];
    let workload = plan.optimize.workload.as_ref().filter(|_| link.role == Role::Workload);
    let step = if workload.is_some() { Step::Workload } else { Step::Optimize };
    let mut out = output(run, &step)?;
    let work = async {
        if workload.is_some() {
            // A build may begin at this step, so that no customizer has started the service.
            Box::pin(live.serve_metadata(run, plan)).await?;
        }
        let started = Instant::now();
        let place = live.place();
        match workload {
            Some(workload) => live.unless_gone(workload.warm(&place, &mut out)).await?,
            None => live.unless_gone(place.system.optimize(place.at, &mut out)).await?,
        }
        let seconds = started.elapsed().as_secs_f64();
        live.seal(run, chain, SealAs { link, seconds, ram: Ram::Never }, making).await
    };
    run.cx.step(step, &link.title, work).await
}

fn is_last_customizer(plan: &Plan) -> impl Fn(&Link) -> bool {
    let last = plan.steps.last().map(|step| Role::Customize(step.index));
    move |link| Some(link.role) == last
}

fn name_customizer(error: Error, title: &str, target: &str) -> Error {
    if error.concerns_whole_build() {
        return error;
    }
    let mut error = error.target(target);
    error.message = format!("customizer {title:?} failed: {}", error.message);
    error
}

async fn power_off(
    run: &Run<'_>,
    chain: &Chain,
    link: &Link,
    slot: &mut Option<Live>,
    making: Lock,
) -> Result<()> {
    let live = slot.as_mut().ok_or_else(evicted)?;
    live.end_metadata(run).await;
    let mut out = output(run, &Step::Generalize)?;
    let started = Instant::now();
    let traces = Traces { cards: live_cards(run) };
    let work = live.unless_gone(live.system().generalize(live.at(), &traces, &mut out));
    run.cx.step(Step::Generalize, "generalize", work).await?;
    let off = async { live.machine.wait_off(POWER_OFF).await.map_err(machine_error) };
    run.cx.step(Step::PowerOff, "power off", off).await?;
    let seconds = started.elapsed().as_secs_f64();
    match slot.take() {
        Some(live) => live.seal_off(run, chain, link, seconds, making).await,
        None => Err(evicted()),
    }
}

/// The MAC addresses of the build machine's cards: on a bridge its own and the channel's, otherwise
/// QEMU's.
fn live_cards(run: &Run<'_>) -> Vec<String> {
    match run.bridge() {
        Some(bridge) => vec![bridge.mac, vm::args::CHANNEL_MAC.to_owned()],
        None => vec![vm::args::DEFAULT_MAC.to_owned()],
    }
}

fn output(run: &Run<'_>, step: &Step) -> Result<StepOutput> {
    may_wait(|| {
        StepOutput::open(&step.to_string(), &run.cx, &run.log_dir)
            .code(ErrorCode::HostNotReady, || {
                format!("cannot write below {}", run.log_dir.display())
            })
    })
}

fn evicted() -> Error {
    Error::new(ErrorCode::InternalError, "the state to go on from is not there any more")
        .hint("build again")
}

/// Reports each step between `reported_until` and `done` as cached.
fn report_cached(run: &Run<'_>, chain: &Chain, reported_until: &mut usize, done: usize) {
    for link in chain.links.iter().take(done).skip(*reported_until) {
        let step = match link.role {
            Role::Boot => Step::Boot,
            Role::Customize(number) => Step::Customize(number),
            Role::Workload => Step::Workload,
            Role::Optimize => Step::Optimize,
            Role::Generalize => Step::Generalize,
        };
        if let Ok(Some(node)) = run.store.get(&link.key) {
            let _ = run.store.hold(&link.key);
            cached(&run.cx, step, &link.title, age(&node).as_secs());
        }
    }
    *reported_until = done.max(*reported_until);
}
