//! `goldsmith ledger`: the resources that runs hold on this host.

use api::ErrorCode;
use engine::janitor;
use images::{error::Error, layout::Layout, ledger};
use serde_json::json;

use super::{Reaper, Result, Session, internal};
use crate::{
    cli,
    output::{Output, Table},
};

pub(super) async fn run(command: &cli::Ledger, session: Session<'_>) -> Result {
    let Session { layout, output, .. } = session;
    match command {
        cli::Ledger::Ls => list(layout, output)?,
        cli::Ledger::Release { run } => release(run, layout, output).await?,
    }
    Ok(0)
}

fn list(layout: &Layout, output: &Output) -> Result<()> {
    let mut table = Table::new(&["run", "resource", "retained until"]);
    let mut values = Vec::new();
    for run_id in ledger::runs(layout)? {
        let rows = ledger::all_of(layout, &run_id)?;
        for problem in rows.problems() {
            output.note(&format!("warning: {problem}"));
        }
        for (_, row) in rows.read {
            let until = row.keep_until.map_or_else(String::new, |until| until.to_string());
            table.row([run_id.clone(), format!("{:?}", row.held), until]);
            values.push(json!({ "run": run_id, "held": row.held, "keepUntil": row.keep_until }));
        }
    }
    output.result("ledger", &json!({ "rows": values }), || table.or("no resources are held"));
    Ok(())
}

async fn release(run: &str, layout: &Layout, output: &Output) -> Result<()> {
    let runs = ledger::runs(layout)?;
    let matching: Vec<&String> = runs.iter().filter(|id| id.starts_with(run)).collect();
    let [run_id] = matching.as_slice() else {
        let message =
            format!("{} runs with resources have an id that begins with {run:?}", matching.len());
        return Err(Error::new(ErrorCode::NotFound, message).hint("goldsmith ledger ls").into());
    };
    let released = janitor::release_kept(layout, run_id, &Reaper).await?;
    let Some(problems) = released else {
        let message = format!("run {run_id} is active in another process");
        return Err(Error::new(ErrorCode::Conflict, message).hint("end that process").into());
    };
    if let Some(problem) = problems.first() {
        return Err(internal(problem).into());
    }
    output.result("released", &json!({ "run": run_id }), || format!("released {run_id}"));
    Ok(())
}
