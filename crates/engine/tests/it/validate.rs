//! Validators on the scripted machine: on a fork, once for an unchanged image, before distribution;
//! and the machines that are retained after a failure.

use std::time::Duration;

use api::ErrorCode;
use engine::{
    build::{self, Freshness, Hit, OnError, Report, Request},
    janitor,
};
use images::{
    error::Result,
    event::{Event, Events, StepOutcome},
    ledger,
    run_context::RunContext,
    step::{Fault, Faults, Step},
};
use serde_json::{Value, json};
use vm::{
    Ended, Firmware,
    fake::{Call, Mishap, Point, Reaction, Then},
};

use crate::matrix::{Bench, check, names};

fn two_validators() -> Value {
    json!({ "inVMValidations": [
        { "type": "Shell", "name": "first", "inline": ["echo first"] },
        { "type": "Shell", "inline": ["echo second"] }
    ]})
}

async fn bench(validate: Value) -> Bench {
    let mut bench = Bench::new().await;
    bench.also = json!({ "validate": validate });
    bench
}

/// With a change to the block.
fn changed(field: &str, value: Value) -> Value {
    let mut validate = two_validators();
    validate[field] = value;
    validate
}

impl Bench {
    /// The guest's scripts, in order.
    fn scripts(&self) -> Vec<String> {
        let script = |call| match call {
            Call::Run { command, stdin } if command.contains("mktemp") => {
                String::from_utf8(stdin).ok()?.lines().nth(1).map(str::to_owned)
            }
            _ => None,
        };
        self.fake.calls().into_iter().filter_map(script).collect()
    }

    fn fails_at(&self, text: &'static str) {
        self.fake.on_call("mktemp", move |_, script| {
            let is_it = String::from_utf8_lossy(script).contains(text);
            if is_it { Reaction::exit(3).err("not so\n") } else { Reaction::exit(0) }
        });
    }

    /// Whether the managed image is in the store.
    fn is_distributed(&self) -> bool {
        self.layout.images().join("managed/s/g/made").exists()
    }

    async fn build_as(&self, request: Request) -> Result<Report> {
        let cx = self.cx();
        let plan = self.plan(&cx).await;
        build::build(&cx, &self.host, &self.fake, &plan, &request).await
    }
}

const STEPS: [Step; 5] =
    [Step::Fork, Step::Validate(0), Step::Validate(1), Step::Convert, Step::Distribute];

#[tokio::test]
async fn every_step_of_validation_releases_everything_after_an_error_and_a_panic() {
    for step in STEPS {
        for fault in [Fault::Error, Fault::Panic] {
            let bench = bench(two_validators()).await;
            let cx = RunContext { faults: Faults::at(step, fault), ..bench.cx() };
            let error = bench.build(&cx).await.unwrap_err();
            let what = format!("{step} {fault:?}");
            check(&error, step, ErrorCode::InternalError, &what);
            bench.assert_clean(&what);
            assert!(!bench.is_distributed(), "{what}");
            bench.build(&bench.cx()).await.unwrap_or_else(|e| panic!("{what}, again: {e}"));
        }
    }
}

#[tokio::test]
async fn every_step_of_validation_releases_everything_after_cancel_and_at_the_deadline() {
    for step in STEPS {
        for by_deadline in [false, true] {
            let bench = bench(two_validators()).await;
            let cx = RunContext { faults: Faults::at(step, Fault::Hang), ..bench.cx() };
            let (result, ()) = tokio::join!(bench.build(&cx), async {
                cx.faults.hanging().await;
                if by_deadline {
                    tokio::time::pause();
                    tokio::time::advance(Duration::from_secs(241 * 60)).await;
                    tokio::time::resume();
                } else {
                    cx.cancel.cancel();
                }
            });
            let error = result.unwrap_err();
            let code = if by_deadline { ErrorCode::BuildTimeout } else { ErrorCode::Canceled };
            let what = format!("{step} {code}");
            assert_eq!(error.code, code, "{what}: {error}");
            let field = by_deadline.then_some("properties.buildTimeoutInMinutes");
            assert_eq!(error.target.as_deref(), field, "{what}");
            bench.assert_clean(&what);
            assert!(!bench.is_distributed(), "{what}");
        }
    }
}

#[tokio::test]
async fn validator_machine_failure_is_reported_and_released() {
    let cases = [
        (Then::Gone(Ended::GuestPanic), ErrorCode::GuestStopped),
        (Then::Disconnect, ErrorCode::GuestUnreachable),
        (Then::Panic, ErrorCode::InternalError),
    ];
    for (then, code) in cases {
        let bench = bench(two_validators()).await;
        let what = format!("{then:?}");
        bench.fake.on_call("mktemp", move |_, script| {
            let second = String::from_utf8_lossy(script).contains("echo second");
            Reaction::then(if second { then.clone() } else { Then::Exit(0) })
        });
        // The engine waits a minute to see whether a broken connection is a shutdown.
        let cx = bench.cx();
        let (result, ()) = tokio::join!(bench.build(&cx), async {
            if code == ErrorCode::GuestUnreachable {
                while bench.scripts().len() < 4 {
                    tokio::task::yield_now().await;
                }
                tokio::time::pause();
                tokio::time::advance(Duration::from_secs(61)).await;
                tokio::time::resume();
            }
        });
        check(&result.unwrap_err(), Step::Validate(1), code, &what);
        bench.assert_clean(&what);
    }
}

// conformance: 70
#[tokio::test]
async fn validators_run_in_order_on_their_own_machine() {
    let bench = bench(two_validators()).await;
    bench.build(&bench.cx()).await.unwrap();
    assert_eq!(bench.scripts(), ["echo one", "echo two", "echo first", "echo second"]);
    let starts = bench.starts();
    let [build, fork] = starts.as_slice() else { panic!("{starts:?}") };
    assert_eq!((build.vcpus, build.memory_mib), (fork.vcpus, fork.memory_mib));
    assert!(fork.resume_from.is_none(), "it boots");
    assert_ne!(build.seed, fork.seed, "by keys of its own");
    let Firmware::Uefi { vars, .. } = &fork.firmware else { panic!("{fork:?}") };
    assert_eq!(vars.parent(), fork.disk.parent());
    assert_eq!(fork.run_dir.parent(), Some(&*build.run_dir), "its folder goes with the run's");
    std::fs::remove_file(bench.dir.path().join("out.raw")).unwrap();
    bench.assert_clean("validated");
}

// conformance: 68, 69
#[tokio::test]
async fn failed_validator_ends_the_run_without_distribution() {
    let bench = bench(two_validators()).await;
    bench.fails_at("echo first");
    let error = bench.build(&bench.cx()).await.unwrap_err();
    check(&error, Step::Validate(0), ErrorCode::ValidatorFailed, "first");
    assert_eq!(error.target.as_deref(), Some("properties.validate.inVMValidations[0]"));
    assert!(error.message.contains("\"first\"") && error.message.contains('3'), "{error}");
    assert!(error.details.contains(&"not so".to_owned()), "{error:?}");
    assert_eq!(bench.scripts(), ["echo one", "echo two", "echo first"]);
    assert!(!bench.is_distributed());
    bench.assert_clean("failed");
}

// conformance: 68
#[tokio::test]
async fn failed_image_is_distributed_on_request_and_the_run_fails() {
    let bench = bench(changed("continueDistributeOnFailure", json!(true))).await;
    bench.fails_at("echo second");
    let error = bench.build(&bench.cx()).await.unwrap_err();
    check(&error, Step::Validate(1), ErrorCode::ValidatorFailed, "second");
    assert!(error.details.iter().any(|line| line.starts_with("published: made ")), "{error:?}");
    assert!(bench.is_distributed());
    let export = bench.dir.path().join("out.raw");
    assert!(export.exists());
    std::fs::remove_file(export).unwrap();
    bench.assert_clean("distributed");

    // A later failure does not hide it.
    let cx = RunContext { faults: Faults::at(Step::Distribute, Fault::Error), ..bench.cx() };
    let error = bench.build(&cx).await.unwrap_err();
    check(&error, Step::Validate(1), ErrorCode::ValidatorFailed, "the first error wins");
    assert!(error.details.iter().any(|line| line.starts_with("also: ")), "{error:?}");
}

#[tokio::test]
async fn cancel_is_not_a_failed_validation() {
    let bench = bench(changed("continueDistributeOnFailure", json!(true))).await;
    let cx = RunContext { faults: Faults::at(Step::Validate(0), Fault::Hang), ..bench.cx() };
    let (result, ()) = tokio::join!(bench.build(&cx), async {
        cx.faults.hanging().await;
        cx.cancel.cancel();
    });
    assert_eq!(result.unwrap_err().code, ErrorCode::Canceled);
    assert!(!bench.is_distributed());
    bench.assert_clean("canceled");
}

// conformance: 71
#[tokio::test]
async fn source_validation_only_makes_no_image() {
    let bench = bench(changed("sourceValidationOnly", json!(true))).await;
    let request = || Request { exports: Vec::new(), ..bench.request() };
    let report = bench.build_as(request()).await.unwrap();
    assert!(report.source_validation_only && report.outputs.is_empty(), "{report:?}");
    assert_eq!(bench.scripts(), ["echo first", "echo second"], "no customizer");
    let fork = bench.starts().pop().unwrap();
    assert!(fork.resume_from.is_some(), "it continues from the source's first boot");
    assert!(!bench.is_distributed());
    assert_eq!(names(&bench.layout.artifacts()), Vec::<String>::new(), "nothing is converted");
    bench.assert_clean("source");

    bench.fails_at("echo second");
    let fresh = Request { freshness: Freshness::FRESH, ..request() };
    let error = bench.build_as(fresh).await.unwrap_err();
    check(&error, Step::Validate(1), ErrorCode::ValidatorFailed, "source");
    let exported = bench.build_as(bench.request()).await.unwrap_err();
    assert_eq!(exported.code, ErrorCode::InvalidArgument, "{exported}");
    bench.assert_clean("source");
}

#[tokio::test]
async fn source_without_validators_is_validated_by_its_boot() {
    let bench = bench(json!({ "sourceValidationOnly": true })).await;
    let request = Request { exports: Vec::new(), ..bench.request() };
    assert!(bench.build_as(request).await.unwrap().source_validation_only);
    assert_eq!(bench.starts().len(), 1);
    bench.assert_clean("source");
}

/// Whether each validator's result came from the cache.
async fn outcomes(bench: &Bench, freshness: Freshness) -> Vec<bool> {
    let (events, mut receiver) = Events::channel();
    let cx = RunContext { events, ..bench.cx() };
    let plan = bench.plan(&cx).await;
    let request = Request { exports: Vec::new(), freshness, ..bench.request() };
    build::build(&cx, &bench.host, &bench.fake, &plan, &request).await.unwrap();
    let mut cached = Vec::new();
    while let Some(event) = receiver.try_recv() {
        if let Event::StepFinished { step, outcome, .. } = event
            && step.starts_with("validate[")
        {
            cached.push(matches!(outcome, StepOutcome::Cached { .. }));
        }
    }
    cached
}

#[tokio::test]
async fn passed_validation_is_reused_unless_fresh() {
    let mut bench = bench(two_validators()).await;
    let any = Freshness::default();
    assert_eq!(outcomes(&bench, any).await, [false, false]);
    let before = bench.starts().len();
    assert_eq!(outcomes(&bench, any).await, [true, true]);
    assert_eq!(bench.starts().len(), before, "no machine is started");
    let too_old = Freshness { max_age: Some(Duration::ZERO), ..any };
    assert_eq!(outcomes(&bench, too_old).await, [false, false]);
    assert_eq!(outcomes(&bench, Freshness::FRESH).await, [false, false]);
    assert_eq!(outcomes(&bench, any).await, [true, true]);
    bench.also["validate"]["inVMValidations"][1]["inline"] = json!(["echo third"]);
    assert_eq!(outcomes(&bench, any).await, [false, false], "they share one machine");
    bench.also["customize"] = json!([{ "type": "Shell", "inline": ["echo other"] }]);
    assert_eq!(outcomes(&bench, any).await, [false, false], "another image");
}

#[tokio::test]
async fn failed_validation_is_not_recorded() {
    let bench = bench(two_validators()).await;
    bench.fails_at("echo second");
    for _ in 0..2 {
        let error = bench.build(&bench.cx()).await.unwrap_err();
        check(&error, Step::Validate(1), ErrorCode::ValidatorFailed, "again");
    }
    assert_eq!(names(&bench.layout.validated()), Vec::<String>::new());
}

#[tokio::test]
async fn validation_record_is_removed_with_its_node() {
    let bench = bench(two_validators()).await;
    bench.build(&bench.cx()).await.unwrap();
    assert_eq!(names(&bench.layout.validated()).len(), 1);
    engine::cache::trim(&bench.layout, 0).unwrap();
    assert_eq!(names(&bench.layout.validated()), Vec::<String>::new());
}

#[tokio::test]
async fn plan_shows_validators_as_steps() {
    let mut bench = bench(two_validators()).await;
    let forecast = async |bench: &Bench| {
        let cx = bench.cx();
        let plan = bench.plan(&cx).await;
        let source = plan.source.present(&cx, &bench.host).await.unwrap().unwrap();
        let store = engine::node::NodeStore::new(&bench.layout);
        let any = Freshness::default();
        let chain = build::Chain::compute(&plan, &source, &bench.host, &store, any, "plan");
        build::forecast(&bench.layout, &plan, &chain).split_off(chain.links.len())
    };
    let why = |hit: &Hit| match hit {
        Hit::Hit { .. } => "hit".to_owned(),
        Hit::Miss { why } => why.clone(),
    };
    let before = forecast(&bench).await;
    assert_eq!(before[0].title, "first");
    assert_eq!(before[1].kind, "Shell validator");
    assert_eq!(why(&before[0].hit), "never built here");
    bench.build(&bench.cx()).await.unwrap();
    assert!(forecast(&bench).await.iter().all(|step| why(&step.hit) == "hit"));
    bench.also["validate"]["inVMValidations"][1]["inline"] = json!(["echo third"]);
    let changed = forecast(&bench).await;
    assert!(why(&changed[1].hit).contains("script changed"), "{changed:?}");
    assert!(why(&changed[0].hit).contains("another validator"), "{changed:?}");
}

fn abort(field: &str) -> Value {
    json!({ field: "abort" })
}

/// A machine is retained until a time in the future, with credentials. Releases it.
async fn assert_kept_and_let_go(bench: &Bench, machine: &str) {
    let kept = build::retained_machines(&bench.layout).unwrap();
    assert_eq!(kept.len(), 1, "{machine}");
    let running = bench.fake.running();
    assert_eq!(running.len(), 1, "{machine}: {running:?}");
    assert!(running[0].ends_with(machine.replace("RUN", &kept[0].run_id)), "{running:?}");
    // It is not removed early.
    assert_eq!(janitor::sweep(&bench.layout, &bench.fake).await.unwrap(), Vec::<String>::new());
    assert_eq!(bench.fake.running().len(), 1, "{machine}");
    janitor::end_retention(&bench.layout, &kept[0].run_id).unwrap();
    let problems = janitor::release_due(&bench.layout, &bench.fake).await.unwrap();
    assert_eq!(problems, Vec::<String>::new());
    bench.assert_clean(machine);
}

// conformance: 104, 105
#[tokio::test]
async fn failed_machine_is_retained_if_the_template_requests_it() {
    let cases = [
        ("onCustomizerError", "echo two", "RUN"),
        ("onValidationError", "echo first", "RUN/fork-validation"),
    ];
    for (field, fails_at, machine) in cases {
        let mut bench = bench(two_validators()).await;
        bench.also["errorHandling"] = abort(field);
        bench.fails_at(fails_at);
        let error = bench.build(&bench.cx()).await.unwrap_err();
        let hint = error.hint.unwrap();
        let run_id = build::retained_machines(&bench.layout).unwrap()[0].run_id.clone();
        assert!(
            hint.contains("kept until ") && hint.contains(&format!("goldsmith shell {run_id}")),
            "{hint}"
        );
        assert_kept_and_let_go(&bench, machine).await;
        // The other kind of failure cleans up, and so does an explicit request.
        let request = Request { on_error: OnError::Cleanup, ..bench.request() };
        bench.build_as(request).await.unwrap_err();
        bench.assert_clean(field);
        let other = cases.iter().find(|(name, _, _)| *name != field).unwrap();
        bench.fails_at(other.1);
        let fresh = Request { freshness: Freshness::FRESH, ..bench.request() };
        bench.build_as(fresh).await.unwrap_err();
        bench.assert_clean(field);
    }
}

#[tokio::test]
async fn fork_is_retained_while_its_image_is_distributed() {
    let mut bench = bench(changed("continueDistributeOnFailure", json!(true))).await;
    bench.also["errorHandling"] = abort("onValidationError");
    bench.fails_at("echo first");
    let request = Request { exports: Vec::new(), ..bench.request() };
    bench.build_as(request).await.unwrap_err();
    assert!(bench.is_distributed());
    assert_kept_and_let_go(&bench, "RUN/fork-validation").await;
}

#[tokio::test]
async fn fork_of_killed_process_is_ended_by_the_next_command() {
    let bench = bench(two_validators()).await;
    let cx = RunContext { faults: Faults::at(Step::Validate(0), Fault::Hang), ..bench.cx() };
    let build = bench.build(&cx);
    tokio::select! {
        _ = build => panic!("it hangs"),
        () = cx.faults.hanging() => {}
    }
    // The future is dropped in the middle, like a killed process: only the ledger remains.
    assert!(!ledger::runs(&bench.layout).unwrap().is_empty());
    assert_eq!(janitor::sweep(&bench.layout, &bench.fake).await.unwrap(), Vec::<String>::new());
    let ends: Vec<_> = bench
        .fake
        .calls()
        .into_iter()
        .filter(|c| matches!(c, Call::End(dir) if dir.ends_with("fork-validation")))
        .collect();
    assert_eq!(ends.len(), 1);
    bench.assert_clean("killed");
}

#[tokio::test]
async fn image_that_does_not_boot_is_reported() {
    let bench = bench(two_validators()).await;
    // The build machine already exists.
    let cx = RunContext { faults: Faults::at(Step::Fork, Fault::Error), ..bench.cx() };
    bench.build(&cx).await.unwrap_err();
    bench.fake.at(Point::Connect, Mishap::Fail("no answer".to_owned()));
    let error = bench.build(&bench.cx()).await.unwrap_err();
    assert_eq!(error.step.as_deref(), Some("fork"), "{error}");
    assert!(error.message.contains("the finished image did not come up"), "{error}");
    assert!(error.details.iter().any(|line| line.contains("serial-validation.log")), "{error:?}");
    bench.assert_clean("no answer");
}
