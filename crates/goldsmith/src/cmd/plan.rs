//! `goldsmith plan`: shows what a build would do, and why.

use engine::{
    build::{self, Chain, Forecast, Hit},
    node::NodeStore,
};
use serde_json::json;

use super::{Result, Session, build::freshness, template};
use crate::{cli, duration::human, output::Table};

pub(super) async fn run(args: cli::Plan, session: Session<'_>) -> Result {
    let Session { layout, output, .. } = session;
    let input = template::read(&args.template, output).await?;
    let (host, _) = session.qemu().await?;
    let cx = session.cx();
    let plan = build::resolve(&cx, input).await?;
    let Some(source) = plan.source.present(&cx, &host).await? else {
        let value = json!({ "source": plan.source.title(), "sourcePresent": false, "steps": [] });
        output.result("plan", &value, || {
            format!(
                "{}: not fetched yet, so nothing is cached; {} customizers and {} validators to run",
                plan.source.title(),
                plan.steps.len(),
                plan.validators.len()
            )
        });
        return Ok(0);
    };
    plan.check_disks(&source, &[])?;
    let store = NodeStore::new(layout);
    let chain = Chain::compute(&plan, &source, &host, &store, freshness(&args.freshness), "plan");
    let steps = build::forecast(layout, &plan, &chain);
    let value = json!({ "source": source.exact_version, "sourcePresent": true, "steps": steps });
    output.result("plan", &value, || text(&source.exact_version, &steps));
    Ok(0)
}

fn text(source: &str, steps: &[Forecast]) -> String {
    let mut table = Table::new(&["step", "kind", "cache", "expected", "why"]);
    for step in steps {
        let (cache, why) = match &step.hit {
            Hit::Hit { age_seconds, ram } => {
                #[expect(clippy::cast_precision_loss, reason = "an age for people")]
                let age = human(*age_seconds as f64);
                let how = match (*ram, step.kind.ends_with(" validator")) {
                    (true, _) => "can be resumed",
                    (false, true) => "passed",
                    (false, false) => "disk only",
                };
                ("hit", format!("{age} old, {how}"))
            }
            Hit::Miss { why } => ("miss", why.clone()),
        };
        let expected = match (&step.hit, step.expected_seconds) {
            (Hit::Hit { .. }, _) => "0 s".to_owned(),
            (Hit::Miss { .. }, Some(seconds)) => human(seconds),
            (Hit::Miss { .. }, None) => "?".to_owned(),
        };
        table.row([step.title.clone(), step.kind.clone(), cache.to_owned(), expected, why]);
    }
    format!("source {source}\n{}", table.render())
}
